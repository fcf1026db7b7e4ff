use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, LeaveGroupMemberIdentity,
        LeaveGroupRequest,
    },
};

use crate::admin::{Answer, Failure, Operation, Route, Verdict};

/// Removes members from a group, as if they had left it. Each is removed, or fails, by itself.
#[derive(Debug)]
pub struct RemoveMembers {
    /// The group's id.
    pub group: String,
    /// Who is to go.
    pub members: BTreeSet<MemberToRemove>,
    /// What the coordinator notes in its log, where it takes that (KIP-800).
    pub reason: String,
}

/// A member that is to be removed from its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemberToRemove {
    /// By its id in the group.
    Id(String),
    /// By its name as a static member: `group.instance.id`.
    Instance(String),
}

/// A member, and how it is removed: consumers that follow the consumer protocol leave by a heartbeat of their own.
#[derive(Debug, Clone)]
pub enum LeaveAs {
    /// Any member but those.
    Any(MemberToRemove),
    /// Such a consumer by its `group.instance.id`: its id is asked for first.
    Static(String),
    /// Such a consumer, with its id.
    Consumer(MemberToRemove, String),
}

/// From this version on administrators can remove members, several at a time (KIP-345).
const BATCHED: i16 = 3;
/// The member epoch that says goodbye.
const LEAVES: i32 = -1;

impl LeaveAs {
    fn member(&self) -> MemberToRemove {
        match self {
            Self::Any(member) | Self::Consumer(member, _) => member.clone(),
            Self::Static(name) => MemberToRemove::Instance(name.clone()),
        }
    }
}

impl Operation for RemoveMembers {
    type Outcome = BTreeMap<MemberToRemove, Result<(), Failure>>;
    type Part = LeaveAs;

    fn begin(&self) -> (Self::Outcome, Vec<LeaveAs>) {
        (BTreeMap::new(), self.members.iter().cloned().map(LeaveAs::Any).collect())
    }

    fn route<'a>(&'a self, _: &'a LeaveAs) -> Route<'a, LeaveAs> {
        Route::Coordinator(&self.group)
    }

    fn api(&self, member: &LeaveAs) -> (ApiKey, i16) {
        match member {
            LeaveAs::Any(_) => (ApiKey::LeaveGroup, i16::MAX),
            LeaveAs::Static(_) => (ApiKey::ConsumerGroupDescribe, i16::MAX),
            LeaveAs::Consumer(..) => (ApiKey::ConsumerGroupHeartbeat, i16::MAX),
        }
    }

    fn at_once(&self, api: ApiKey, version: i16) -> usize {
        match api {
            ApiKey::ConsumerGroupDescribe => usize::MAX,
            ApiKey::LeaveGroup if version >= BATCHED => usize::MAX,
            _ => 1,
        }
    }

    fn request(&self, members: &[LeaveAs], version: i16, _: i32) -> Option<Request> {
        let group_id = self.group.clone();
        match members.first()? {
            LeaveAs::Consumer(_, id) => {
                let (member_id, member_epoch) = (id.clone(), LEAVES);
                let request =
                    ConsumerGroupHeartbeatRequest { group_id, member_id, member_epoch, ..Default::default() };
                return Some(request.into());
            }
            LeaveAs::Static(_) => {
                let group_ids = vec![group_id];
                return Some(ConsumerGroupDescribeRequest { group_ids, ..Default::default() }.into());
            }
            LeaveAs::Any(_) => {}
        }
        if version < BATCHED {
            return match members.first()?.member() {
                MemberToRemove::Id(member_id) => {
                    Some(LeaveGroupRequest { group_id, member_id, ..Default::default() }.into())
                }
                // Brokers that old know no static members.
                MemberToRemove::Instance(_) => None,
            };
        }
        let identity = |member: &LeaveAs| {
            let (member_id, group_instance_id) = match member.member() {
                MemberToRemove::Id(id) => (id, None),
                MemberToRemove::Instance(name) => (String::new(), Some(name)),
            };
            LeaveGroupMemberIdentity { member_id, group_instance_id, reason: Some(self.reason.clone()) }
        };
        let members = members.iter().map(identity).collect();
        Some(LeaveGroupRequest { group_id, members, ..Default::default() }.into())
    }

    fn gather(&self, answer: Answer<'_, LeaveAs>, outcome: &mut Self::Outcome) -> Verdict<LeaveAs> {
        match answer.response {
            Response::ConsumerGroupHeartbeat(response) if response.error_code.is_retriable() => {
                Verdict::Again(response.error_code)
            }
            Response::ConsumerGroupHeartbeat(response) => {
                // One that is not there under either protocol, or where this one is switched off, keeps the answer that it got
                // first.
                if !matches!(response.error_code, ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)
                {
                    let left = response.error_code.ok().map_err(Failure::of);
                    outcome.extend(answer.asked.iter().map(|member| (member.member(), left.clone())));
                }
                Verdict::Done
            }
            Response::ConsumerGroupDescribe(response) => {
                let mut groups = response.groups.into_iter();
                let Some(group) = groups.find(|group| group.group_id == self.group) else {
                    return Verdict::stray();
                };
                if group.error_code.is_retriable() {
                    return Verdict::Again(group.error_code);
                }
                // One that is not there keeps the answer that it got first.
                let found = |asked: &LeaveAs| {
                    let LeaveAs::Static(name) = asked else { return None };
                    let named = group.members.iter().find(|one| one.instance_id.as_ref() == Some(name))?;
                    Some(LeaveAs::Consumer(asked.member(), named.member_id.clone()))
                };
                Verdict::left_then(None, Vec::new(), answer.asked.iter().filter_map(found).collect())
            }
            Response::LeaveGroup(response) if response.error_code.is_retriable() => {
                Verdict::Again(response.error_code)
            }
            Response::LeaveGroup(response) => {
                let told = |member: &MemberToRemove| {
                    let named = response.members.iter().find(|told| match member {
                        MemberToRemove::Id(id) => told.group_instance_id.is_none() && told.member_id == *id,
                        MemberToRemove::Instance(name) => told.group_instance_id.as_ref() == Some(name),
                    });
                    match (response.error_code, named) {
                        (ErrorCode::None, Some(told)) => told.error_code,
                        // Up to version 2 only the whole is answered.
                        (error, None) if response.members.is_empty() => error,
                        (ErrorCode::None, None) => ErrorCode::UnknownServerError,
                        (error, _) => error,
                    }
                };
                let mut next = Vec::new();
                for asked in answer.asked {
                    let member = asked.member();
                    let error = told(&member);
                    if error == ErrorCode::UnknownMemberId {
                        next.push(match &member {
                            MemberToRemove::Id(id) => LeaveAs::Consumer(member.clone(), id.clone()),
                            MemberToRemove::Instance(name) => LeaveAs::Static(name.clone()),
                        });
                    }
                    outcome.insert(member, error.ok().map_err(Failure::of));
                }
                Verdict::left_then(None, Vec::new(), next)
            }
            _ => Verdict::stray(),
        }
    }

    fn fail_part(&self, member: &LeaveAs, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(member.member(), Err(failure.clone()));
        true
    }
}
