//! What a member's coordinator has told it on the wire, and what may follow from that: which generation it is in, whether
//! it is out of it, and what it is to give up.

mod answers;

use std::{collections::BTreeSet, time::Duration};

use ottla_core::{RequestId, TopicPartition};
use ottla_protocol::{ErrorCode, Request, Timestamp};

use crate::{
    holdings::Holdings,
    mode::Protocol,
    role::Role,
    stage::{Stage, Who},
    truth::Truth,
};

/// A close that has to tell the coordinator.
#[derive(Debug)]
struct Farewell {
    since: Duration,
    /// It was said, or there is a reason not to.
    done: bool,
}

#[derive(Debug)]
pub(super) struct Membership {
    who: Who,
    is_incremental: bool,
    follows_broker: bool,
    /// `group.instance.id`.
    instance: Option<String>,
    member_id: String,
    /// The generation, or the member epoch, that the coordinator told last, and the one that the core has told of.
    generation_id: i32,
    joined_generation_id: i32,
    /// The last one whose assignment it asked for, and that in which it committed although there was a newer one.
    synced_generation_id: i32,
    committed_before: Option<i32>,
    /// The newest requests to join, and for what that brought.
    asked_to_join: RequestId,
    asked_to_sync: RequestId,
    /// The one by which it joined last.
    joined_by: RequestId,
    /// It has joined, and asked for its assignment.
    syncing: bool,
    /// It has been told its assignment.
    synced: bool,
    /// The coordinator told this generation's member that it is over, and when.
    told: Option<ErrorCode>,
    told_at: Duration,
    /// It told what may be the end of the generation, or of one before.
    warned: bool,
    /// Until when what is to be given up is waited for.
    waited_for_until: Option<Timestamp>,
    /// What the coordinator has told to be this member's no more, or the user does not subscribe to any more.
    withdrawn: BTreeSet<TopicPartition>,
    /// When it last asked the coordinator for anything that shows that it is there.
    beaten: Duration,
    farewell: Option<Farewell>,
}

impl Membership {
    pub(super) fn new(who: Who, role: &Role) -> Self {
        let role = role.in_group();
        Self {
            who,
            is_incremental: role.is_some_and(|role| role.protocol.is_incremental()),
            follows_broker: role.is_some_and(|role| matches!(role.protocol, Protocol::Consumer(_))),
            instance: role.and_then(|role| role.instance.clone()),
            member_id: String::new(),
            generation_id: -1,
            joined_generation_id: -1,
            synced_generation_id: -1,
            committed_before: None,
            asked_to_join: RequestId(0),
            asked_to_sync: RequestId(0),
            joined_by: RequestId(0),
            syncing: false,
            synced: false,
            told: None,
            told_at: Duration::ZERO,
            warned: false,
            waited_for_until: None,
            withdrawn: BTreeSet::new(),
            beaten: Duration::ZERO,
            farewell: None,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether partitions that stay are kept through a rebalance.
    pub(super) fn is_incremental(&self) -> bool {
        self.is_incremental
    }

    /// Whether it speaks the consumer protocol.
    pub(super) fn follows_broker(&self) -> bool {
        self.follows_broker
    }

    pub(super) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(super) fn joined_generation_id(&self) -> i32 {
        self.joined_generation_id
    }

    /// What the coordinator told of the end of its generation.
    pub(super) fn told(&self) -> Option<ErrorCode> {
        self.told
    }

    /// The same, if it came later than that.
    pub(super) fn told_since(&self, then: Duration) -> Option<ErrorCode> {
        self.told.filter(|_| self.told_at > then)
    }

    /// Whether a partition is to be given up, or is another's already.
    pub(super) fn is_withdrawn(&self, at: &TopicPartition) -> bool {
        self.withdrawn.contains(at)
    }

    /// When it last showed that it is there.
    pub(super) fn beaten(&self) -> Duration {
        self.beaten
    }

    // What its user does.

    /// He subscribes to the same, or to something else.
    pub(super) fn subscribes(&mut self, to_others: bool, has_any: bool) {
        if to_others {
            self.rebalances(has_any);
        }
        // What is not wanted any more goes, and is lost where that takes too long.
        self.warned |= to_others && self.is_incremental;
        // It joins again, and does not follow the answer to what it asked before.
        self.syncing &= !to_others;
    }

    /// It rebalances of its own accord.
    pub(super) fn rebalances(&mut self, has_any: bool) {
        if has_any && !self.is_incremental {
            self.told = Some(ErrorCode::RebalanceInProgress);
        }
    }

    // What its machine does.

    /// It has told of a generation.
    pub(super) fn joins(&mut self, member_id: String, generation_id: i32) {
        (self.member_id, self.joined_generation_id) = (member_id, generation_id);
    }

    /// What is to be given up is waited for.
    pub(super) fn waits_until(&mut self, deadline: Timestamp) {
        self.waited_for_until = Some(deadline);
    }

    pub(super) fn gives_up(&mut self) {
        self.waited_for_until = None;
    }

    pub(super) fn forget_others_than(&mut self, owned: &Holdings) {
        self.withdrawn.retain(|at| owned.contains(at));
    }

    /// Whether it may lose these, whose user is not away.
    pub(super) fn may_lose(&mut self, partitions: &[TopicPartition], stage: &Stage) -> bool {
        let late = self.waited_for_until.take().is_some_and(|deadline| stage.now().wall >= deadline);
        let withdrawn = partitions.iter().all(|at| self.withdrawn.contains(at));
        self.told.is_some() || self.warned || late || withdrawn
    }

    /// It sends something that shows that it is there, that it goes, or that it joins.
    pub(super) fn sends(&mut self, id: RequestId, request: &Request, stage: &mut Stage, truth: &mut Truth) {
        match request {
            Request::Heartbeat(_) => self.beaten = stage.time,
            Request::ConsumerGroupHeartbeat(beat) => {
                self.beaten = stage.time;
                if beat.member_epoch < 0 {
                    self.says_goodbye();
                }
            }
            Request::LeaveGroup(_) => {
                self.keeps_no_place(truth);
                self.says_goodbye();
            }
            Request::JoinGroup(_) => {
                self.beaten = stage.time;
                self.keeps_no_place(truth);
                (self.asked_to_join, self.syncing, self.committed_before) = (id, false, None);
                self.synced = false;
            }
            Request::SyncGroup(_) => {
                self.beaten = stage.time;
                (self.asked_to_sync, self.syncing) = (id, true);
                self.violate_generation(stage);
                self.synced_generation_id = self.generation_id;
            }
            _ => {}
        }
    }

    /// Its place is kept no longer than it may take to ask for its assignment, or not at all.
    fn keeps_no_place(&self, truth: &mut Truth) {
        if let Some(instance) = &self.instance {
            truth.heard.remove(instance);
        }
    }

    /// It commits in this generation.
    pub(super) fn commits_in(&mut self, generation_id: i32, stage: &mut Stage) {
        let own = [self.generation_id, self.joined_generation_id].contains(&generation_id);
        if generation_id >= 0 && !own {
            // One that has given up the question that brought the current one does not follow it, and joins again.
            let before = generation_id == self.synced_generation_id && self.is_incremental;
            let given_up = before && self.asked_to_join != self.joined_by;
            self.committed_before = (!given_up).then_some(generation_id);
            if !before {
                self.violate_generation(stage);
            }
        }
    }

    /// It committed in the generation before, and follows the current one.
    fn violate_generation(&mut self, stage: &mut Stage) {
        let (who, current) = (self.who, self.generation_id);
        if let Some(generation_id) = self.committed_before.take() {
            stage.violate("a commit is of the current generation", || {
                format!("{who} commits in generation {generation_id}, the current is {current}")
            });
        }
    }

    // How it ends.

    /// It is closed, and may have to tell the coordinator.
    pub(super) fn is_to_leave(&mut self, owes_farewell: bool, since: Duration) {
        self.farewell = owes_farewell.then_some(Farewell { since, done: false });
    }

    fn says_goodbye(&mut self) {
        if let Some(farewell) = &mut self.farewell {
            farewell.done = true;
        }
    }

    /// For how long it has had to tell the coordinator that it goes, if it has not.
    pub(super) fn owes_farewell_since(&self) -> Option<Duration> {
        self.farewell.as_ref().filter(|farewell| !farewell.done).map(|farewell| farewell.since)
    }
}
