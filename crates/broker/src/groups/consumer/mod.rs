//! A group of the consumer protocol (KIP-848), as its coordinator sees it.
//!
//! Members say what they want and what they have; the coordinator decides what each should have (`assignor.rs`), and
//! takes each there by its own heartbeats (`reconcile.rs`). Three epochs move: the group's with every change of wishes
//! or topics, the target's when the assignor has run, each member's when it has caught up.

mod assignor;
mod classic_side;
mod member;
mod reconcile;
mod subscriptions;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use ottla_protocol::{
    ErrorCode,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    },
};

pub(crate) use member::{ClassicSide, Member, Owned, Partition};
use member::{Pattern, by_topic, listed};
use subscriptions::{Changed, Subscriptions};
pub(crate) use view::named;

use super::{Rules, Turn};
use crate::{Refusal, VersionSet, planted::Planted};

/// Joins.
pub(crate) const JOIN: i32 = 0;
/// Leaves.
pub(crate) const LEAVE: i32 = -1;
/// Leaves, and will be back: for static members.
pub(crate) const LEAVE_FOR_NOW: i32 = -2;

#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    pub(super) epoch: i32,
    /// The group's epoch that the target was made for.
    pub(super) target_epoch: i32,
    pub(super) target: BTreeMap<String, BTreeSet<Partition>>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) subscriptions: Subscriptions,
    pub(super) assigned_at: Option<Instant>,
}

impl ConsumerGroup {
    /// Without members. Epoch 0 is that of a member that joins, so Kafka 4.3 begins after it, whatever is subscribed to.
    pub(crate) fn new(rules: Rules) -> Self {
        let first = i32::from(rules.versions == VersionSet::Kafka4_3);
        let target_epoch = rules.first_generation;
        Self { epoch: target_epoch + first, target_epoch, ..Self::default() }
    }

    /// What does not depend on the group. A version that is older than 1 lets the coordinator make member ids.
    pub(crate) fn check(request: &ConsumerGroupHeartbeatRequest, version: i16) -> Result<(), Refusal> {
        let invalid = |message| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let is_empty = |field: &Option<String>| field.as_ref().is_some_and(String::is_empty);
        let epoch = request.member_epoch;
        if request.member_id.is_empty() && (version >= 1 || epoch > JOIN || epoch == LEAVE) {
            return invalid("MemberId can't be empty.");
        }
        if request.group_id.is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if is_empty(&request.instance_id) || is_empty(&request.rack_id) {
            return invalid("InstanceId and RackId can't be empty.");
        }
        match epoch {
            JOIN if request.rebalance_timeout_ms == -1 => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            JOIN if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            JOIN if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be set in first request.",
                );
            }
            LEAVE_FOR_NOW if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
            ..LEAVE_FOR_NOW => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        request.subscribed_topic_regex.as_deref().map(Pattern::parse).transpose()?;
        match request.server_assignor.as_deref() {
            Some(name) if !assignor::NAMES.contains(&name) => {
                Err(Refusal::new(ErrorCode::UnsupportedAssignor, "the assignors are uniform and range"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        client_id: &str,
        turn: &Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = request.member_id.as_str();
        if self.members.len() >= turn.rules.max_size && !self.members.contains_key(id) {
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, "the group is full"));
        }
        let owned = request.topic_partitions.as_deref().map(listed);
        let pattern = request.subscribed_topic_regex.as_deref().map(Pattern::parse).transpose()?;
        self.check_member(request, owned.as_ref(), turn)?;
        if request.member_epoch == JOIN {
            self.admit(id, request.instance_id.as_deref(), turn);
        }
        let Some(member) = self.members.get_mut(id) else { return Err(unknown(id)) };
        let text = |member: &Member| member.pattern.as_ref().map(|pattern| pattern.text.clone());
        let before = (member.names.clone(), text(member), member.assigned.clone());
        member.update(request, pattern.flatten(), client_id);
        let changed = Changed { names: member.names != before.0, pattern: text(member) != before.1 };
        if !turn.rules.plot.has(Planted::SessionNotExtended) || request.member_epoch == JOIN {
            member.expires = turn.now + turn.rules.session_timeout;
        }
        self.catch_up(id, changed, owned.as_ref(), turn);
        let Some(member) = self.members.get(id) else { return Err(unknown(id)) };
        let is_full = request.member_epoch == JOIN
            || (request.rebalance_timeout_ms != -1
                && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
                && owned.is_some());
        let told = is_full || member.assigned != before.2;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: turn.rules.heartbeat_interval.as_millis() as i32,
            assignment: told.then(|| {
                let topic_partitions = by_topic(member.assigned.keys());
                ConsumerGroupHeartbeatAssignment { topic_partitions }
            }),
            ..Default::default()
        };
        self.resolve_patterns(turn);
        Ok(response)
    }

    /// Takes the group and this member as far as they can go now.
    fn catch_up(&mut self, id: &str, changed: Changed, owned: Option<&BTreeSet<Partition>>, turn: &Turn<'_>) {
        self.take_into_account(id, changed, turn);
        let rests = self.assigned_at.is_some_and(|at| turn.now < at + turn.rules.assignment_interval);
        if self.epoch > self.target_epoch && !rests {
            self.assign(turn);
        }
        self.reconcile(id, changed.names || changed.pattern, owned, turn);
    }

    /// Makes the target of the group's epoch.
    fn assign(&mut self, turn: &Turn<'_>) {
        let nothing = BTreeSet::new();
        let members = self.members.values().map(|member| assignor::Subscriber {
            id: &member.id,
            instance_id: member.instance_id.as_deref(),
            topics: self.topic_ids(member, turn.topics),
            target: self.target.get(&member.id).unwrap_or(&nothing),
        });
        let members: Vec<_> = members.collect();
        let count = |topic| self.partitions_of(topic);
        self.target = assignor::assign(self.assignor(), &members, count);
        self.target_epoch = self.epoch;
        self.assigned_at = Some(turn.now);
    }

    /// The assignor that most ask for.
    pub(super) fn assignor(&self) -> &str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map_or(assignor::UNIFORM, |(name, _)| name)
    }

    // Members come and go.

    fn check_member(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        owned: Option<&BTreeSet<Partition>>,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let (id, epoch) = (request.member_id.as_str(), request.member_epoch);
        let existing = match &request.instance_id {
            None => self.members.get(id),
            Some(instance) => self.instance(instance),
        };
        if epoch == JOIN {
            let old = existing.filter(|_| request.instance_id.is_some());
            return old.map_or(Ok(()), |old| check_released(old, turn));
        }
        let member = existing.ok_or_else(|| unknown(id))?;
        if member.id != id {
            return Err(Refusal::new(ErrorCode::FencedInstanceId, "another member has this instance id"));
        }
        // The answer that told of the newer epoch may have been lost.
        let unaware = epoch == member.previous_epoch && has_no_more(member, owned, turn);
        if epoch == member.epoch
            || (epoch < member.epoch && unaware)
            || turn.rules.plot.has(Planted::EpochNotFenced)
        {
            return Ok(());
        }
        let message = format!(
            "member epoch {epoch} where the coordinator has {}: the member must give up its partitions and join again",
            member.epoch
        );
        Err(Refusal { code: ErrorCode::FencedMemberEpoch, message })
    }

    /// Lets a member in that may join: a new one, one that is there, or one that takes the place of the static member
    /// with its instance id, and with that its partitions and its target.
    fn admit(&mut self, id: &str, instance: Option<&str>, turn: &Turn<'_>) {
        let old = instance.and_then(|instance| self.instance(instance)).map(|old| old.id.clone());
        if let Some(mut member) = old.and_then(|old| self.members.remove(&old)) {
            if let Some(target) = self.target.remove(&member.id) {
                self.target.insert(id.to_owned(), target);
            }
            (member.epoch, member.previous_epoch) = (JOIN, JOIN);
            id.clone_into(&mut member.id);
            self.members.insert(id.to_owned(), member);
        }
        self.members.entry(id.to_owned()).or_insert_with(|| Member::new(id.to_owned(), turn.now));
    }

    pub(crate) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        turn: &Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = request.member_id.as_str();
        let member = match &request.instance_id {
            None => self.members.get(id),
            Some(instance) => self.instance(instance),
        };
        if member.ok_or_else(|| unknown(id))?.id != id {
            return Err(Refusal::new(ErrorCode::FencedInstanceId, "another member has this instance id"));
        }
        if request.member_epoch == LEAVE {
            self.remove(&[id.to_owned()], turn);
        } else if let Some(member) = self.members.get_mut(id) {
            member.epoch = LEAVE_FOR_NOW;
            member.revoking.clear();
            member.revoke_deadline = None;
            member.assigned.values_mut().for_each(|since| *since = 0);
        }
        let (member_id, member_epoch) = (Some(request.member_id.clone()), request.member_epoch);
        Ok(ConsumerGroupHeartbeatResponse { member_id, member_epoch, ..Default::default() })
    }

    /// Removes members; their partitions are free at once.
    pub(super) fn remove(&mut self, ids: &[String], turn: &Turn<'_>) {
        for id in ids {
            self.members.remove(id);
            self.target.remove(id);
        }
        self.forget_patterns();
        // Where only classic members are left the group is about to turn classic, in the epoch that they know.
        if !ids.is_empty() && !self.speaks_classic_only() {
            self.renew(true, turn.topics);
        }
    }

    pub(super) fn instance(&self, instance: &str) -> Option<&Member> {
        self.members.values().find(|member| member.instance_id.as_deref() == Some(instance))
    }

    // Time.

    pub(crate) fn handle_timeout(&mut self, turn: &Turn<'_>) {
        let is_over = |member: &&Member| member.deadlines().any(|deadline| deadline <= turn.now);
        let over: Vec<String> =
            self.members.values().filter(is_over).map(|member| member.id.clone()).collect();
        self.remove(&over, turn);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.members.values().flat_map(Member::deadlines).min()
    }

    /// Another broker coordinates the group from now on, and counts all time anew.
    pub(crate) fn handle_move(&mut self, turn: &Turn<'_>) {
        for member in self.members.values_mut() {
            member.expires = turn.now + member.session_timeout(turn.rules.session_timeout);
            if member.revoke_deadline.is_some() {
                member.revoke_deadline = Some(turn.now + member.rebalance_timeout);
            }
            if let Some(side) = &mut member.classic {
                (side.join_deadline, side.sync_deadline) = (None, None);
            }
        }
    }
}

fn unknown(id: &str) -> Refusal {
    let message = format!("Member {id} is not a member of the group.");
    Refusal { code: ErrorCode::UnknownMemberId, message }
}

/// Whether a static member's place may be taken: it has left for now, or is one of the classic protocol.
fn check_released(old: &Member, turn: &Turn<'_>) -> Result<(), Refusal> {
    let released = old.classic.is_some() || old.epoch == LEAVE_FOR_NOW;
    if released || turn.rules.plot.has(Planted::UnreleasedInstanceAdmitted) {
        return Ok(());
    }
    let message = "another member has this instance id and has not left";
    Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message))
}

/// Whether a member says that it owns nothing but what is assigned to it.
fn has_no_more(member: &Member, owned: Option<&BTreeSet<Partition>>, turn: &Turn<'_>) -> bool {
    owned.is_some_and(|owned| owned.iter().all(|at| member.assigned.contains_key(at)))
        || turn.rules.plot.has(Planted::EarlierEpochHasAnything)
}
