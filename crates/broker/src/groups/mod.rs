//! Consumer groups, as their coordinator sees them: committed offsets, and members that speak either protocol.
//!
//! One [`Group`] a group id, stepped by the group APIs and by time. What a group answers to requests that it held goes
//! into one list, which the cluster empties after each step.

mod classic;
mod consumer;
mod convert;
mod embedded;
mod offsets;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode, Now, Response,
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, LeaveGroupMemberIdentity,
        SyncGroupRequest, SyncGroupResponse,
    },
};

pub(crate) use classic::{ClassicGroup, Join, JoinWait, Joined};
pub(crate) use consumer::ConsumerGroup;
pub(crate) use embedded::Assignment;
use offsets::Pending;
pub(crate) use offsets::{Committed, Committer, KNOWS_EPOCHS};

use crate::{
    Config, ConnId, GroupKind, GroupView, Refusal, VersionSet,
    planted::{Planted, Plot},
    topics::Topics,
};

/// How many generations a group has before they could be those of the next process that opens the data directory.
const GENERATIONS: i32 = 1 << 20;

/// All groups of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) rules: Rules,
    groups: BTreeMap<String, Group>,
    /// The topics that whoever takes a step is not to know of.
    pub(crate) hidden: Vec<String>,
    replies: Vec<(ConnId, Response)>,
}

/// What holds for every group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    pub(crate) initial_delay: Duration,
    pub(crate) max_size: usize,
    /// Of members that speak the consumer protocol.
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) assignment_interval: Duration,
    /// What release the rules are of.
    pub(crate) versions: VersionSet,
    /// What generations and epochs begin after, so that none is of two groups that bear one name: one that a process had
    /// which has ended, and this one's.
    pub(crate) first_generation: i32,
    pub(crate) plot: Plot,
}

/// One step of a group: when it is taken, what topics there are, and where its answers go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) rules: Rules,
    pub(crate) topics: &'a Topics,
    /// The topics that patterns do not match, as who asks may not know of them.
    pub(crate) hidden: &'a [String],
    pub(crate) replies: &'a mut Vec<(ConnId, Response)>,
}

/// A group of either protocol, and what it committed.
#[derive(Debug)]
pub(crate) struct Group {
    /// By topic and partition.
    pub(crate) offsets: BTreeMap<(String, i32), Committed>,
    pending: Pending,
    commits: u64,
    pub(crate) side: Side,
}

/// The protocol that a group speaks. An empty one turns into what its next member speaks.
#[derive(Debug)]
pub(crate) enum Side {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl Side {
    fn new(rules: Rules) -> Self {
        Self::Classic(ClassicGroup { generation_id: rules.first_generation, ..ClassicGroup::default() })
    }
}

impl Groups {
    pub(crate) fn new(config: &Config) -> Self {
        let rules = Rules {
            initial_delay: config.group_initial_rebalance_delay,
            max_size: config.group_max_size,
            session_timeout: config.group_consumer_session_timeout,
            heartbeat_interval: config.group_consumer_heartbeat_interval,
            assignment_interval: config.group_consumer_assignment_interval,
            versions: config.versions,
            first_generation: 0,
            plot: Plot::default(),
        };
        Self { rules, ..Self::default() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.groups.iter().map(|(id, group)| (id.as_str(), group))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(crate) fn create(&mut self, id: &str) -> &mut Group {
        let rules = self.rules;
        self.groups.entry(id.to_owned()).or_insert_with(|| Group {
            offsets: BTreeMap::new(),
            pending: Pending::new(),
            commits: 0,
            side: Side::new(rules),
        })
    }

    /// A process begins, the how-manieth. The members are gone; a generation is not to be that of any of them.
    pub(crate) fn begin(&mut self, times: i32) {
        self.rules.first_generation = times.wrapping_sub(1).rem_euclid(i32::MAX / GENERATIONS) * GENERATIONS;
        let rules = self.rules;
        self.groups.values_mut().for_each(|group| group.side = Side::new(rules));
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    /// Forgets a group, with what was committed for it.
    pub(crate) fn delete(&mut self, id: &str) -> Option<()> {
        self.groups.remove(id).map(|_| ())
    }

    /// Steps a group, where there is one.
    pub(crate) fn step<T>(
        &mut self,
        id: &str,
        topics: &Topics,
        now: Now,
        step: impl FnOnce(&mut Group, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut turn = Turn {
            now: now.mono,
            rules: self.rules,
            topics,
            hidden: &self.hidden,
            replies: &mut self.replies,
        };
        self.groups.get_mut(id).map(|group| step(group, &mut turn))
    }

    pub(crate) fn handle_timeout(&mut self, topics: &Topics, now: Now) {
        let mut turn = Turn {
            now: now.mono,
            rules: self.rules,
            topics,
            hidden: &self.hidden,
            replies: &mut self.replies,
        };
        self.groups.values_mut().for_each(|group| group.handle_timeout(&mut turn));
    }

    /// Some groups have another coordinator now, which knows of them what the old one has written down.
    pub(crate) fn handle_move(&mut self, concerned: impl Fn(&str) -> bool, topics: &Topics, now: Now) {
        let mut turn = Turn {
            now: now.mono,
            rules: self.rules,
            topics,
            hidden: &self.hidden,
            replies: &mut self.replies,
        };
        for (_, group) in self.groups.iter_mut().filter(|(id, _)| concerned(id)) {
            group.handle_move(&mut turn);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::next_timeout).min()
    }

    pub(crate) fn take_replies(&mut self) -> Vec<(ConnId, Response)> {
        std::mem::take(&mut self.replies)
    }

    /// Forgets what was committed for a topic that is no more.
    pub(crate) fn forget_topic(&mut self, name: &str) {
        self.groups.values_mut().for_each(|group| group.forget(|(topic, _)| topic == name));
    }

    /// A producer's transaction ended, as far as it concerns these groups.
    pub(crate) fn end_transaction(
        &mut self,
        producer_id: i64,
        commit: bool,
        concerned: impl Fn(&str) -> bool,
    ) {
        let commit = commit || self.rules.plot.has(Planted::AbortedOffsetsApplied);
        for (_, group) in self.groups.iter_mut().filter(|(id, _)| concerned(id)) {
            group.end_transaction(producer_id, commit);
        }
    }
}

impl Group {
    // What members of the classic protocol ask.

    pub(crate) fn join(&mut self, join: Join, turn: &mut Turn<'_>) -> Result<Joined, ErrorCode> {
        if self.is_empty() && matches!(self.side, Side::Consumer(_)) {
            self.side = Side::new(turn.rules);
        }
        match &mut self.side {
            Side::Classic(group) => group.join(join, turn),
            Side::Consumer(group) => {
                let joined = group.join(join, turn);
                if group.speaks_classic_only() {
                    // It took the place of the last member that did not.
                    let rebalances = group.epoch > group.target_epoch;
                    self.downgrade(rebalances, turn);
                }
                joined.map(Joined::Now)
            }
        }
    }

    /// `None` where the answer comes when the leader has assigned.
    pub(crate) fn sync(
        &mut self,
        request: SyncGroupRequest,
        conn: ConnId,
        turn: &mut Turn<'_>,
    ) -> Result<Option<SyncGroupResponse>, ErrorCode> {
        match &mut self.side {
            Side::Classic(group) => group.sync(request, conn, turn),
            Side::Consumer(group) => group.sync(&request, turn).map(Some),
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        generation_id: i32,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        match &mut self.side {
            Side::Classic(group) => group.heartbeat(member_id, instance, generation_id, turn),
            Side::Consumer(group) => group.classic_heartbeat(member_id, instance, generation_id, turn),
        }
    }

    pub(crate) fn leave(
        &mut self,
        identities: &[LeaveGroupMemberIdentity],
        turn: &mut Turn<'_>,
    ) -> Vec<Result<(), ErrorCode>> {
        match &mut self.side {
            Side::Classic(group) => identities.iter().map(|identity| group.leave(identity, turn)).collect(),
            Side::Consumer(group) => {
                let left = group.classic_leave(identities, turn);
                self.settle(turn);
                left
            }
        }
    }

    // What members of the consumer protocol ask.

    pub(crate) fn consumer_heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        client_id: &str,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        if let Side::Classic(group) = &mut self.side
            && request.member_epoch == consumer::JOIN
        {
            self.side = Side::Consumer(convert::upgrade(group, turn)?);
        }
        let Side::Consumer(group) = &mut self.side else {
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, "the group is not a consumer group"));
        };
        if !matches!(request.member_epoch, consumer::LEAVE | consumer::LEAVE_FOR_NOW) {
            return group.heartbeat(request, client_id, turn);
        }
        let left = group.leave(request, turn);
        self.settle(turn);
        left
    }

    // Time.

    fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        match &mut self.side {
            Side::Classic(group) => group.handle_timeout(turn),
            Side::Consumer(group) => {
                group.handle_timeout(turn);
                self.settle(turn);
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.side {
            Side::Classic(group) => group.next_timeout(),
            Side::Consumer(group) => group.next_timeout(),
        }
    }

    fn handle_move(&mut self, turn: &mut Turn<'_>) {
        if turn.rules.plot.has(Planted::OffsetsLostByMove) {
            self.forget(|_| true);
        }
        match &mut self.side {
            Side::Classic(group) => group.handle_move(turn),
            Side::Consumer(group) => group.handle_move(turn),
        }
    }

    /// Turns a group whose last member of the consumer protocol has gone into a classic one.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        if matches!(&self.side, Side::Consumer(group) if group.speaks_classic_only()) {
            self.downgrade(true, turn);
        }
    }

    fn downgrade(&mut self, rebalances: bool, turn: &mut Turn<'_>) {
        if let Side::Consumer(group) = &self.side {
            self.side = Side::Classic(convert::downgrade(group, rebalances, turn));
        }
    }

    // What clients and tests are told.

    pub(crate) fn is_empty(&self) -> bool {
        match &self.side {
            Side::Classic(group) => group.is_empty(),
            Side::Consumer(group) => group.members.is_empty(),
        }
    }

    pub(crate) const fn kind(&self) -> GroupKind {
        match &self.side {
            Side::Classic(_) => GroupKind::Classic,
            Side::Consumer(_) => GroupKind::Consumer,
        }
    }

    pub(crate) fn state_name(&self) -> &'static str {
        match &self.side {
            Side::Classic(group) => group.state().name(),
            Side::Consumer(group) => group.state_name(),
        }
    }

    pub(crate) fn protocol_type(&self) -> &str {
        match &self.side {
            Side::Classic(group) => group.protocol_type(),
            Side::Consumer(_) => "consumer",
        }
    }

    pub(crate) fn view(&self, topics: &Topics) -> GroupView {
        match &self.side {
            Side::Classic(group) => group.view(),
            Side::Consumer(group) => group.view(topics),
        }
    }
}
