//! Members of the classic protocol in a group of the consumer protocol, while a group moves from one to the other.
//!
//! Nobody leads: each is a follower whose assignment is there already. A heartbeat tells it when to join again.

use ottla_protocol::{
    ErrorCode,
    messages::{JoinGroupResponse, LeaveGroupMemberIdentity, SyncGroupRequest, SyncGroupResponse},
};

use super::{
    ConsumerGroup,
    member::{ClassicSide, Member, MemberState, Partition},
    subscriptions::Changed,
    view::named,
};
use crate::groups::{
    Turn,
    classic::{ID_REQUIRED, Join},
    embedded::{Assignment, Subscription},
};

const PROTOCOL_TYPE: &str = "consumer";

impl ConsumerGroup {
    /// Whether there are members, and none speaks the consumer protocol.
    pub(crate) fn speaks_classic_only(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    pub(crate) fn join(&mut self, join: Join, turn: &Turn<'_>) -> Result<JoinGroupResponse, ErrorCode> {
        let is_new = join.member_id.is_empty();
        let id = if is_new { join.new_member_id.clone() } else { join.member_id.clone() };
        if self.members.len() >= turn.rules.max_size && !self.members.contains_key(&id) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let all_support = |name: &str| self.sides().all(|side| side.supports(name));
        if join.protocol_type != PROTOCOL_TYPE || !join.protocols.iter().any(|(name, _)| all_support(name)) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let instance = join.group_instance_id.as_deref();
        if is_new && instance.is_none() && join.wait.version >= ID_REQUIRED {
            let error_code = ErrorCode::MemberIdRequired;
            return Ok(JoinGroupResponse { error_code, member_id: id, ..Default::default() });
        }
        if let Some(instance) = instance.filter(|_| !is_new) {
            self.check_instance(&id, instance)?;
        }
        let metadata = join.protocols.first().map_or(&[][..], |(_, metadata)| metadata);
        let told = Subscription::decode(metadata).map_err(|_| ErrorCode::InconsistentGroupProtocol)?;
        self.admit(&id, instance.filter(|_| is_new), turn);
        let member = self.members.get_mut(&id).ok_or(ErrorCode::UnknownMemberId)?;
        let changed = Changed { names: member.names != told.topics, pattern: member.pattern.is_some() };
        (member.names, member.pattern, member.assignor) = (told.topics, None, None);
        member.instance_id = join.group_instance_id.or(member.instance_id.take());
        member.rack_id = told.rack.or(member.rack_id.take());
        member.client_id = join.client_id;
        member.rebalance_timeout = join.rebalance_timeout;
        member.revoke_deadline = None;
        member.expires = turn.now + join.session_timeout;
        member.classic = Some(ClassicSide {
            session_timeout: join.session_timeout,
            protocols: join.protocols,
            join_deadline: None,
            sync_deadline: Some(turn.now + join.rebalance_timeout),
        });
        let id_of = |(name, index): (String, i32)| Some((turn.topics.find(&name)?.id, index));
        let owned = told.owned.into_iter().filter_map(id_of).collect();
        self.catch_up(&id, changed, Some(&owned), turn);
        let member = self.members.get(&id).ok_or(ErrorCode::UnknownMemberId)?;
        Ok(JoinGroupResponse {
            generation_id: member.epoch,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: member.classic.as_ref().map(|side| side.protocol().to_owned()),
            member_id: id,
            ..Default::default()
        })
    }

    pub(crate) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        turn: &Turn<'_>,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let (instance, target_epoch) = (request.group_instance_id.as_deref(), self.target_epoch);
        let (member, mut side) = self.classic_member(&request.member_id, instance, request.generation_id)?;
        let differs = |asked: &Option<String>, ours: &str| asked.as_ref().is_some_and(|asked| asked != ours);
        if differs(&request.protocol_type, PROTOCOL_TYPE) || differs(&request.protocol_name, side.protocol())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let outdated = target_epoch > member.epoch && member.state != MemberState::Unrevoked;
        if outdated {
            side.join_deadline.get_or_insert(turn.now + member.rebalance_timeout);
        } else {
            side.sync_deadline = None;
            member.expires = turn.now + side.session_timeout;
        }
        member.classic = Some(side);
        if outdated {
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assigned = named(member.assigned.keys(), turn.topics);
        let assignment =
            Assignment::encode(&assigned, member.classic.as_ref().map_or(0, ClassicSide::version));
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..Default::default()
        })
    }

    pub(crate) fn classic_heartbeat(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        generation_id: i32,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let waits = self.waits_for_others(member_id);
        let target_epoch = self.target_epoch;
        let (member, mut side) = self.classic_member(member_id, instance, generation_id)?;
        member.expires = turn.now + side.session_timeout;
        let rejoins = member.epoch < target_epoch
            || member.state == MemberState::Unrevoked
            || (member.state == MemberState::Unreleased && !waits);
        if rejoins {
            side.join_deadline.get_or_insert(turn.now + member.rebalance_timeout);
        }
        member.classic = Some(side);
        if rejoins { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// Members of either protocol can be removed by this request, as an administrator does.
    pub(crate) fn classic_leave(
        &mut self,
        identities: &[LeaveGroupMemberIdentity],
        turn: &Turn<'_>,
    ) -> Vec<Result<(), ErrorCode>> {
        let mut gone = Vec::new();
        let mut left = Vec::with_capacity(identities.len());
        for identity in identities {
            let id = self.identity(identity).map(|member| member.id.clone());
            left.push(id.as_ref().map(|_| ()).map_err(|code| *code));
            gone.extend(id);
        }
        self.remove(&gone, turn);
        left
    }

    fn identity(&self, identity: &LeaveGroupMemberIdentity) -> Result<&Member, ErrorCode> {
        let id = identity.member_id.as_str();
        let member = match identity.group_instance_id.as_deref() {
            None => self.members.get(id),
            Some(instance) if id.is_empty() => self.instance(instance),
            Some(instance) => {
                self.check_instance(id, instance)?;
                self.members.get(id)
            }
        };
        member.ok_or(ErrorCode::UnknownMemberId)
    }

    /// A classic member of this generation, and its classic side, which is to be put back.
    fn classic_member(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation_id: i32,
    ) -> Result<(&mut Member, ClassicSide), ErrorCode> {
        if let Some(instance) = instance {
            self.check_instance(id, instance)?;
        }
        let member = self.members.get_mut(id).ok_or(ErrorCode::UnknownMemberId)?;
        let side = member.classic.clone().ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch != generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok((member, side))
    }

    fn check_instance(&self, id: &str, instance: &str) -> Result<(), ErrorCode> {
        match self.instance(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.id == id => Ok(()),
            Some(_) => Err(ErrorCode::FencedInstanceId),
        }
    }

    /// Whether others still hold a partition of a member's target.
    fn waits_for_others(&self, id: &str) -> bool {
        let holds = |at: &Partition| {
            self.members.values().any(|other| other.id != id && other.held_since(at).is_some())
        };
        self.target.get(id).is_some_and(|target| target.iter().any(holds))
    }

    fn sides(&self) -> impl Iterator<Item = &ClassicSide> {
        self.members.values().filter_map(|member| member.classic.as_ref())
    }
}
