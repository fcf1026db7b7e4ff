//! The consumer protocol (KIP-848): the coordinator assigns the partitions in its answers to heartbeats, and each
//! member carries its assignment out at its own pace.
//!
//! A heartbeat says only what has changed since the last one that was answered. The first heartbeat, and the one
//! after a failure, say everything.

mod answers;
mod send;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now, TopicId};

use super::{
    ConsumerState, GroupConfig, GroupNews, LeaveGroup, Pulse,
    interest::{Committer, Interest, Owned},
};
use crate::{
    backoff::{Attempts, Backoff},
    deadline::Earliest,
    ids::{RequestId, TopicPartition},
    log,
    metadata::{Metadata, Wanted},
    planted::{Planted, Plot},
};

/// The epoch in a heartbeat of a member that joins. The next two are those of a member that leaves.
const JOINS: i32 = 0;
const LEAVES: i32 = -1;
/// A static member leaves, and will be back.
const LEAVES_FOR_NOW: i32 = -2;

/// One consumer's place in a group of the consumer protocol.
#[derive(Debug)]
pub(crate) struct ConsumerMember {
    pub(super) config: GroupConfig,
    state: ConsumerState,
    /// Kept for as long as the consumer lives (KIP-1082).
    pub(super) member_id: String,
    /// Until when an earlier epoch of this very member may hold the instance id, so that joining is tried again.
    holds_id_until: Option<Instant>,
    /// Whether the member made its id itself. A coordinator of heartbeat version 0 makes another one.
    own_id: bool,
    epoch: i32,
    pub(super) interest: Interest,
    /// Topics of that which the principal may not see. A coordinator refuses a heartbeat that names one.
    forbidden: BTreeSet<String>,
    /// The metadata's revision in which they were looked for.
    forbidden_in: Option<u64>,
    /// The coordinator is to be told the interest.
    changed: bool,
    /// The coordinator was told a pattern, which a later interest without it must take back.
    pattern_told: bool,
    /// The next heartbeat is to say everything.
    full: bool,
    target: BTreeMap<TopicId, Vec<i32>>,
    names: BTreeMap<TopicId, String>,
    /// The target has been handed on as [`GroupNews::Assigned`], as far as the names of its topics were known.
    announced: bool,
    /// Topics of the target whose names metadata does not know.
    nameless: BTreeSet<TopicId>,
    /// It was fenced, and no heartbeat in the epoch that it joined in was answered since.
    in_vain: bool,
    /// The coordinator speaks heartbeat version 0, which has no patterns: they are matched here.
    matches_here: bool,
    matched_in: Option<u64>,
    joins_again: bool,
    leaving_with: i32,
    heartbeat: Option<RequestId>,
    /// The heartbeat on its way lists the owned partitions.
    lists: bool,
    pulse: Pulse,
    due: Instant,
    pub(super) attempts: Attempts,
    pub(super) since: Instant,
    pub(super) plot: Plot,
}

impl ConsumerMember {
    pub(super) fn new(config: GroupConfig, backoff: Backoff, seed: u64, now: Now) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            config,
            state: ConsumerState::Out,
            member_id: new_id(&mut rng),
            holds_id_until: None,
            own_id: true,
            epoch: JOINS,
            interest: Interest::default(),
            forbidden: BTreeSet::new(),
            forbidden_in: None,
            changed: false,
            pattern_told: false,
            full: true,
            target: BTreeMap::new(),
            names: BTreeMap::new(),
            announced: false,
            nameless: BTreeSet::new(),
            in_vain: false,
            matches_here: false,
            matched_in: None,
            joins_again: false,
            leaving_with: LEAVES,
            heartbeat: None,
            lists: false,
            pulse: Pulse::new(Duration::from_secs(5), now.mono),
            due: now.mono,
            attempts: Attempts::new(backoff, rng),
            since: now.mono,
            plot: Plot::default(),
        }
    }

    pub(super) fn state(&self) -> ConsumerState {
        self.state
    }

    /// The member epoch; -1 where there is none.
    pub(super) fn generation_id(&self) -> i32 {
        if self.epoch > 0 { self.epoch } else { -1 }
    }

    pub(super) fn is_in_doubt(&self, now: Instant) -> bool {
        self.pulse.is_in_doubt(now)
    }

    /// Outside the group, offsets are committed in nobody's name.
    pub(super) fn committer(&self) -> Option<Committer> {
        let instance_id = self.config.instance_id.clone();
        Some(match self.epoch > 0 {
            true => Committer { generation_id: self.epoch, member_id: self.member_id.clone(), instance_id },
            false => Committer { generation_id: -1, member_id: String::new(), instance_id },
        })
    }

    /// A commit is made again if the epoch moved on while it was on its way.
    pub(super) fn commits_again(&self, error: ErrorCode, sent_as: &Committer) -> bool {
        let same = self.member_id == sent_as.member_id && self.epoch > 0;
        error == ErrorCode::StaleMemberEpoch && same && !self.plot.has(Planted::StaleEpochFails)
    }

    pub(super) fn wanted(&self) -> Wanted {
        match self.matches_here && self.interest.pattern.is_some() {
            true => Wanted::All,
            false => {
                let named = self.target.keys().filter_map(|id| self.names.get(id));
                Wanted::Topics(self.interest.topics.iter().chain(named).cloned().collect())
            }
        }
    }

    fn transition_to(&mut self, next: ConsumerState, now: Now) {
        debug_assert!(next.may_follow(self.state), "{next:?} after {:?}", self.state);
        tracing::debug!(target: log::GROUP, from = ?self.state, to = ?next, "member state");
        self.state = next;
        self.since = now.mono;
    }

    fn join(&mut self, now: Now) {
        let fenced = self.state == ConsumerState::Fenced;
        self.transition_to(ConsumerState::Joining, now);
        self.full = !(fenced && self.plot.has(Planted::RejoinsWithoutSubscription));
        // Who was fenced time and again waits as that was told.
        if !fenced {
            self.attempts.hurry();
        }
        self.forget_epoch();
    }

    fn forget_epoch(&mut self) {
        (self.epoch, self.heartbeat) = (JOINS, None);
        self.target.clear();
        self.nameless.clear();
    }

    pub(super) fn subscribe(&mut self, interest: Interest, now: Now) -> GroupNews {
        let interest = interest.after(&self.interest);
        self.changed |= interest != self.interest;
        self.forbidden_in = None;
        if interest.pattern != self.interest.pattern {
            self.matched_in = None;
        }
        self.interest = interest;
        match self.state {
            ConsumerState::Out if !self.interest.is_empty() => self.join(now),
            ConsumerState::Leaving => self.joins_again = true,
            _ => {}
        }
        GroupNews::None
    }

    /// The partitions of all topics that have names are taken over. The coordinator is told only when those of
    /// nameless topics are taken over as well, as nobody waits for that.
    pub(super) fn handed_over(&mut self, now: Now) {
        if self.nameless.is_empty() {
            self.carried_out(now);
        }
    }

    /// The assignment is carried out, and the coordinator is to be told, unless another assignment came meanwhile:
    /// that is carried out first.
    pub(super) fn carried_out(&mut self, now: Now) {
        let done = self.announced || self.plot.has(Planted::TargetMeanwhileIsForgotten);
        if self.state == ConsumerState::Reconciling && done {
            self.transition_to(ConsumerState::Acknowledging, now);
        }
    }

    /// Begins to leave. A member of which the coordinator has not heard is out at once.
    pub(super) fn leave(&mut self, how: LeaveGroup, now: Now) {
        self.joins_again = false;
        if matches!(self.state, ConsumerState::Out | ConsumerState::Failed | ConsumerState::Leaving) {
            return;
        }
        let is_static = self.config.instance_id.is_some();
        let (silent, epoch) = match how {
            LeaveGroup::Leave => (false, LEAVES),
            LeaveGroup::Default if is_static => (false, LEAVES_FOR_NOW),
            LeaveGroup::Default => (false, LEAVES),
            LeaveGroup::Remain => (!is_static, LEAVES_FOR_NOW),
        };
        let unheard = !self.state.is_member() && self.heartbeat.is_none() || self.member_id.is_empty();
        self.transition_to(ConsumerState::Leaving, now);
        (self.leaving_with, self.heartbeat) = (epoch, None);
        self.attempts.hurry();
        if silent || unheard {
            if !unheard {
                self.tell_left(false);
            }
            self.left(now);
        }
    }

    /// Tells the log. Where the coordinator was not `told`, it waits for the member until the session is over.
    fn tell_left(&self, told: bool) {
        let (member, generation) = (&self.member_id, self.generation_id());
        let back = self.leaving_with == LEAVES_FOR_NOW;
        tracing::info!(target: log::GROUP, member, generation, told, back, "left");
    }

    fn left(&mut self, now: Now) {
        self.forget_epoch();
        self.transition_to(ConsumerState::Out, now);
        if std::mem::take(&mut self.joins_again) && !self.interest.is_empty() {
            self.join(now);
        }
    }

    /// A commit was refused. A heartbeat goes out at once, and its answer tells what became of the membership.
    pub(super) fn commit_refused(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch | ErrorCode::GroupIdNotFound => {
                self.due = now.mono;
            }
            ErrorCode::FencedInstanceId => return self.fail(error, now),
            _ => {}
        }
        GroupNews::None
    }

    pub(super) fn fail(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        let (member, state) = (&self.member_id, self.state);
        tracing::error!(target: log::GROUP, member, ?state, %error, "refused for good");
        self.attempts.note(error);
        self.forget_epoch();
        self.transition_to(ConsumerState::Failed, now);
        GroupNews::Failed(error)
    }

    fn back_off(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        self.full = true;
        self.attempts.failed(error, now);
    }

    /// Whether a heartbeat that lists the owned partitions is on its way. As soon as the coordinator reads it,
    /// partitions that it does not list may go to another member, so this one must not take any over meanwhile.
    pub(super) fn may_not_take_more(&self) -> bool {
        self.heartbeat.is_some() && self.lists
    }

    /// Whether the assignment waits for the answer to such a heartbeat.
    pub(super) fn awaits_answer(&self) -> bool {
        self.state == ConsumerState::Reconciling && self.may_not_take_more()
    }

    /// How many topics of the assignment have no name yet.
    pub(super) fn nameless(&self) -> usize {
        self.nameless.len()
    }

    /// The topics subscribed to; `None` where the coordinator alone knows which topics match the pattern.
    pub(super) fn topics(&self) -> Option<&BTreeSet<String>> {
        let known = self.matches_here || self.interest.pattern.is_none();
        known.then_some(&self.interest.topics)
    }

    /// Finds the names of the target's topics, and hands the assignment on until the member owns just that.
    pub(super) fn look(&mut self, metadata: &mut Metadata, owned: Owned<'_>) -> GroupNews {
        self.match_pattern(metadata);
        self.leave_out_forbidden(metadata);
        metadata.want_ids(&self.nameless);
        if self.state != ConsumerState::Reconciling || self.may_not_take_more() {
            return GroupNews::None;
        }
        self.nameless.clear();
        let mut resolved = BTreeSet::new();
        for (id, partitions) in &self.target {
            if !self.names.contains_key(id)
                && let Some(name) = metadata.name_of(*id)
            {
                self.names.insert(*id, name.to_owned());
            }
            match self.names.get(id) {
                Some(name) => {
                    resolved
                        .extend(partitions.iter().map(|number| TopicPartition::new(name.clone(), *number)));
                }
                None => _ = self.nameless.insert(*id),
            }
        }
        metadata.want_ids(&self.nameless);
        if self.announced && owned().into_iter().collect::<BTreeSet<_>>() == resolved {
            return GroupNews::None;
        }
        self.announced = true;
        GroupNews::Assigned(resolved.into_iter().collect())
    }

    /// Whether the topics to tell are known: a pattern that is matched here must have been matched once.
    fn knows_its_topics(&self) -> bool {
        !self.matches_here || self.interest.pattern.is_none() || self.matched_in.is_some()
    }

    fn leave_out_forbidden(&mut self, metadata: &Metadata) {
        if self.forbidden_in.replace(metadata.revision()) == Some(metadata.revision()) {
            return;
        }
        let forbidden = metadata.forbidden(&self.interest.topics);
        if forbidden != self.forbidden {
            self.changed = true;
            self.forbidden = forbidden;
        }
    }

    fn match_pattern(&mut self, metadata: &Metadata) {
        let Some(pattern) = self.interest.pattern.as_ref().filter(|_| self.matches_here) else { return };
        if metadata.covers(&Wanted::All) && self.matched_in != Some(metadata.revision()) {
            self.matched_in = Some(metadata.revision());
            let topics = metadata.matching(pattern);
            self.changed |= topics != self.interest.topics;
            self.interest.topics = topics;
        }
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        if self.heartbeat.is_none() {
            earliest.consider(self.attempts.next());
            if self.state.is_member() {
                earliest.consider(self.due);
            }
        }
    }
}

/// A random UUID as Kafka writes it: 22 characters of URL-safe base64, of which the first is not a dash.
fn new_id(rng: &mut fastrand::Rng) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |six: u128| char::from(LETTERS.get(six as usize % 64).copied().unwrap_or(b'A'));
    loop {
        // Version 4, variant 1 (RFC 9562).
        let uuid = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let id: String =
            (0..21).map(|at| letter(uuid >> (122 - 6 * at))).chain([letter(uuid << 4)]).collect();
        if !id.starts_with('-') {
            return id;
        }
    }
}
