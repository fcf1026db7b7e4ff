use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{
        ConsumerGroupDescribeAssignment, ConsumerGroupDescribeDescribedGroup, ConsumerGroupDescribeRequest,
        DescribeGroupsDescribedGroup, DescribeGroupsRequest,
    },
};

use crate::{
    admin::{Answer, Failure, Operation, Refusal, Route, Verdict},
    group::embedded::Assignment,
    ids::{NodeId, TopicPartition},
};

/// Asks for groups with their members. Each group has its description, or its failure.
#[derive(Debug)]
pub struct DescribeGroups(pub Vec<String>);

/// A group, and how it is asked for.
#[derive(Debug, Clone)]
pub enum GroupAs {
    /// As one of the classic protocol.
    Classic(String),
    /// As one of the consumer protocol. There may be one under a name that no classic group has.
    Consumer(String),
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its state.
    pub state: String,
    /// What kind of members it has.
    pub protocol_type: String,
    /// The assignor in use.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Its id in the group.
    pub member_id: String,
    /// Its name as a static member.
    pub group_instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Its partitions; empty where the group is not one of consumers.
    pub assignment: Vec<TopicPartition>,
}

impl Operation for DescribeGroups {
    type Outcome = BTreeMap<String, Result<GroupDescription, Failure>>;
    type Part = GroupAs;
    const AT_ONCE: usize = 1;

    fn begin(&self) -> (Self::Outcome, Vec<GroupAs>) {
        (BTreeMap::new(), self.0.iter().cloned().map(GroupAs::Classic).collect())
    }

    fn route<'a>(&'a self, group: &'a GroupAs) -> Route<'a, GroupAs> {
        Route::Coordinator(group.id())
    }

    fn api(&self, group: &GroupAs) -> (ApiKey, i16) {
        match group {
            GroupAs::Classic(_) => (ApiKey::DescribeGroups, i16::MAX),
            GroupAs::Consumer(_) => (ApiKey::ConsumerGroupDescribe, i16::MAX),
        }
    }

    fn request(&self, groups: &[GroupAs], _: i16, _: i32) -> Option<Request> {
        Some(match groups.first()? {
            GroupAs::Classic(id) => {
                DescribeGroupsRequest { groups: vec![id.clone()], ..Default::default() }.into()
            }
            GroupAs::Consumer(id) => {
                ConsumerGroupDescribeRequest { group_ids: vec![id.clone()], ..Default::default() }.into()
            }
        })
    }

    fn gather(&self, answer: Answer<'_, GroupAs>, groups: &mut Self::Outcome) -> Verdict<GroupAs> {
        let Some(coordinator) = answer.from else { return Verdict::stray() };
        match answer.response {
            Response::DescribeGroups(response) => {
                let Some(group) = response.groups.into_iter().next() else {
                    return Verdict::of(ErrorCode::UnknownServerError, None);
                };
                if group.error_code.is_retriable() {
                    return Verdict::Again(group.error_code);
                }
                let id = group.group_id.clone();
                let description = classic(group, coordinator);
                let elsewhere = match &description {
                    Ok(description) => description.state == "Dead",
                    Err(failure) => failure.is(ErrorCode::GroupIdNotFound),
                };
                groups.insert(id.clone(), description);
                match elsewhere {
                    true => Verdict::Then(vec![GroupAs::Consumer(id)]),
                    false => Verdict::Done,
                }
            }
            Response::ConsumerGroupDescribe(response) => {
                let Some(group) = response.groups.into_iter().next() else {
                    return Verdict::of(ErrorCode::UnknownServerError, None);
                };
                if group.error_code.is_retriable() {
                    return Verdict::Again(group.error_code);
                }
                if group.error_code != ErrorCode::GroupIdNotFound {
                    groups.insert(group.group_id.clone(), consumer(group, coordinator));
                }
                Verdict::Done
            }
            _ => Verdict::stray(),
        }
    }

    fn fail_part(&self, group: &GroupAs, failure: &Failure, groups: &mut Self::Outcome) -> bool {
        groups.insert(group.id().to_owned(), Err(failure.clone()));
        true
    }
}

impl GroupAs {
    fn id(&self) -> &str {
        match self {
            Self::Classic(id) | Self::Consumer(id) => id,
        }
    }
}

fn classic(group: DescribeGroupsDescribedGroup, coordinator: NodeId) -> Result<GroupDescription, Failure> {
    let refused = |error| Failure::Refused(Refusal { error, message: group.error_message });
    group.error_code.ok().map_err(refused)?;
    let consumers = group.protocol_type == "consumer";
    let members = group.members.into_iter().map(|member| MemberDescription {
        assignment: match consumers {
            true => Assignment::decode(&member.member_assignment).unwrap_or_default().partitions,
            false => Vec::new(),
        },
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
    });
    Ok(GroupDescription {
        members: members.collect(),
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        coordinator,
    })
}

/// Describes a group of the consumer protocol in the form of a classic one.
fn consumer(
    group: ConsumerGroupDescribeDescribedGroup,
    coordinator: NodeId,
) -> Result<GroupDescription, Failure> {
    let refused = |error| Failure::Refused(Refusal { error, message: group.error_message });
    group.error_code.ok().map_err(refused)?;
    let partitions = |assignment: ConsumerGroupDescribeAssignment| {
        let topics = assignment.topic_partitions.into_iter();
        let each = topics.flat_map(|topic| {
            let name = topic.topic_name;
            topic.partitions.into_iter().map(move |number| TopicPartition::new(name.clone(), number))
        });
        each.collect()
    };
    let members = group.members.into_iter().map(|member| MemberDescription {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: partitions(member.assignment),
    });
    Ok(GroupDescription {
        members: members.collect(),
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        protocol: group.assignor_name,
        coordinator,
    })
}
