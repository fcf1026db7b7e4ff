//! The classic protocol. An eager member gives up all its partitions before it joins again. A cooperative member
//! keeps them, and gives up afterwards only those that go to others (KIP-429).
//!
//! JoinGroup and SyncGroup have a connection of their own, as the coordinator holds them until the whole group is
//! there; otherwise heartbeats would wait behind them. Heartbeats go on while partitions are given up.

mod answers;
mod leader;
mod send;

use std::time::Instant;

use ottla_protocol::{ErrorCode, Now, messages::SyncGroupRequestAssignment};

use super::{
    ClassicState, GroupConfig, GroupNews, LastAssignment, LeaveGroup, Pulse,
    interest::{Committer, Interest},
};
use crate::{
    backoff::{Attempts, Backoff},
    deadline::Earliest,
    ids::{NodeId, RequestId},
    log,
    metadata::{Metadata, Wanted},
    planted::{Planted, Plot},
};

/// One consumer's place in a classic group.
#[derive(Debug)]
pub(crate) struct ClassicMember {
    pub(super) config: GroupConfig,
    state: ClassicState,
    pub(super) member_id: String,
    /// The broker that the last JoinGroup was sent to. Another may be known as the coordinator when the answer comes.
    joins_at: Option<NodeId>,
    /// The broker that gave the member its id, until a SyncGroup succeeds: only then the id is in the group's log.
    named_by: Option<NodeId>,
    /// When a static member's JoinGroup without an id was last given up. The coordinator may take it all the same, later.
    given_up_join: Option<Instant>,
    generation_id: i32,
    protocol: Option<String>,
    pub(super) interest: Interest,
    /// The revision of the metadata in which the pattern's topics were looked for.
    matched_in: Option<u64>,
    last: LastAssignment,
    /// The member is to join again as soon as its assignment is carried out.
    rejoins: bool,
    /// It was lost on the way into a generation, and has had no assignment since.
    in_vain: bool,
    /// Why the member joins again, for the coordinator's log (KIP-800).
    reason: Option<String>,
    /// The user subscribed again before the leave was answered.
    joins_again: bool,
    /// JoinGroup, SyncGroup, LeaveGroup or DescribeGroups on its way.
    request: Option<RequestId>,
    heartbeat: Option<(RequestId, i32)>,
    heartbeat_due: Instant,
    pulse: Pulse,
    task: Option<leader::Task>,
    shared: leader::Shared,
    /// The last JoinGroup was a static member's without a member id: the member may have been in the group before.
    comes_back: bool,
    /// The revision of the metadata that was last compared with `shared`.
    looked_at: Option<u64>,
    shared_out: Vec<SyncGroupRequestAssignment>,
    pub(super) attempts: Attempts,
    pub(super) since: Instant,
    pub(super) plot: Plot,
}

impl ClassicMember {
    pub(super) fn new(config: GroupConfig, backoff: Backoff, seed: u64, now: Now) -> Self {
        Self {
            pulse: Pulse::new(config.heartbeat_interval, now.mono),
            config,
            state: ClassicState::Out,
            member_id: String::new(),
            joins_at: None,
            named_by: None,
            given_up_join: None,
            generation_id: -1,
            protocol: None,
            interest: Interest::default(),
            matched_in: None,
            last: LastAssignment { partitions: Vec::new(), generation_id: -1 },
            rejoins: false,
            in_vain: false,
            reason: None,
            joins_again: false,
            request: None,
            heartbeat: None,
            heartbeat_due: now.mono,
            task: None,
            shared: leader::Shared::Unwatched,
            comes_back: false,
            looked_at: None,
            shared_out: Vec::new(),
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            since: now.mono,
            plot: Plot::default(),
        }
    }

    pub(super) fn state(&self) -> ClassicState {
        self.state
    }

    pub(super) fn is_cooperative(&self) -> bool {
        self.config.is_cooperative()
    }

    pub(super) fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// Outside a generation, offsets are committed in nobody's name. A cooperative member that joins again still commits
    /// in its generation. It commits in the next generation only once it has its assignment, as only then is it
    /// known to belong to that generation.
    pub(super) fn committer(&self) -> Option<Committer> {
        let member = || Committer {
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            ..self.nobody()
        };
        match self.state {
            ClassicState::Assigning | ClassicState::Syncing if self.is_cooperative() => None,
            _ if self.is_of_a_generation() => Some(member()),
            _ => Some(self.nobody()),
        }
    }

    /// A coordinator that holds a JoinGroup does not expire who sent it, however long the rebalance takes.
    pub(super) fn is_in_doubt(&self, now: Instant) -> bool {
        let is_held = self.state == ClassicState::Joining && self.request.is_some();
        !is_held && self.pulse.is_in_doubt(now)
    }

    fn is_of_a_generation(&self) -> bool {
        self.state.beats() || self.owns_while_joining()
    }

    /// Whether the member owns partitions while it joins again. As soon as it is known to be no member any more,
    /// others may own them.
    fn owns_while_joining(&self) -> bool {
        self.state == ClassicState::Joining && self.is_cooperative() && self.generation_id >= 0
    }

    /// Whether the group had a generation that this member did not join, and in which its partitions may have been
    /// another's. A static member stays in the group (KIP-345): the leader assigned by its last JoinGroup, which
    /// says nothing of the partitions that it was given since. A dynamic member is not in the group any more, and
    /// the coordinator tells it so.
    fn was_left_out(&self, generation_id: i32) -> bool {
        let is_static = self.config.instance_id.is_some();
        is_static && self.owns_while_joining() && generation_id > self.generation_id.saturating_add(1)
    }

    fn nobody(&self) -> Committer {
        let instance_id = self.config.instance_id.clone();
        Committer { generation_id: -1, member_id: String::new(), instance_id }
    }

    /// A cooperative member owns its partitions from one generation to the next, and so may commit in the next
    /// one's name.
    pub(super) fn commits_again(&self, error: ErrorCode, sent_as: &Committer) -> bool {
        let goes_on = self.is_cooperative() && self.member_id == sent_as.member_id && self.generation_id >= 0;
        match error {
            ErrorCode::RebalanceInProgress => goes_on,
            // While the member joins, the group may already be in the next generation. The answer to its JoinGroup
            // is on its way, and tells whether it is still a member.
            ErrorCode::IllegalGeneration => {
                goes_on && (self.generation_id > sent_as.generation_id || self.state == ClassicState::Joining)
            }
            _ => false,
        }
    }

    fn topics(&self) -> impl Iterator<Item = &String> {
        self.interest.topics.iter().chain(self.task.iter().flat_map(leader::Task::topics))
    }

    /// The topics that metadata must cover: the member's own, and those of the whole group if it leads.
    pub(super) fn wanted(&self) -> Wanted {
        match self.interest.pattern {
            Some(_) => Wanted::All,
            None => Wanted::Topics(self.topics().cloned().collect()),
        }
    }

    fn transition_to(&mut self, next: ClassicState, now: Now) {
        debug_assert!(next.may_follow(self.state), "{next:?} after {:?}", self.state);
        tracing::debug!(target: log::GROUP, from = ?self.state, to = ?next, "member state");
        self.state = next;
        self.since = now.mono;
        (self.request, self.looked_at) = (None, None);
        self.attempts.hurry();
    }

    /// As [`lost`](Self::lost), on the way into a generation. Where that happens time and again, only after a pause.
    fn lost_on_the_way(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        let again = std::mem::replace(&mut self.in_vain, true);
        let news = self.lost(error, now);
        if again {
            self.back_off(error, now);
        }
        news
    }

    fn join_again(&mut self, now: Now) -> GroupNews {
        self.rejoins = false;
        self.transition_to(ClassicState::Joining, now);
        GroupNews::None
    }

    /// Takes over the user's subscription. If it differs from the one before, the member joins again.
    pub(super) fn subscribe(&mut self, interest: Interest, now: Now) -> GroupNews {
        let interest = interest.after(&self.interest);
        if interest.pattern != self.interest.pattern {
            self.matched_in = None;
        }
        self.be_interested(interest, now)
    }

    fn be_interested(&mut self, interest: Interest, now: Now) -> GroupNews {
        let changed = interest != self.interest;
        self.interest = interest;
        match self.state {
            ClassicState::Out if !self.interest.is_empty() => self.join_again(now),
            ClassicState::Leaving => {
                self.joins_again = true;
                GroupNews::None
            }
            _ if changed => {
                self.reason = Some("the subscription changed".to_owned());
                self.begin_rebalance(now)
            }
            _ => GroupNews::None,
        }
    }

    pub(super) fn enforce_rebalance(&mut self, reason: &str, now: Now) -> GroupNews {
        self.reason = Some(reason.to_owned());
        self.begin_rebalance(now)
    }

    /// The group rebalances, or has to: the member joins again. First an eager member gives up its partitions, and
    /// a cooperative one those of topics that it does not want any more.
    fn begin_rebalance(&mut self, now: Now) -> GroupNews {
        self.tell_rebalance("REBALANCE_IN_PROGRESS");
        self.rebalance(now)
    }

    /// Tells the log; `why` stands where the member has no reason of its own.
    fn tell_rebalance(&self, why: &str) {
        if self.state == ClassicState::Stable {
            let (member, generation) = (&self.member_id, self.generation_id);
            let why = self.reason.as_deref().unwrap_or(why);
            tracing::info!(target: log::GROUP, member, generation, why, "rebalancing");
        }
    }

    fn rebalance(&mut self, now: Now) -> GroupNews {
        match self.state {
            ClassicState::Stable if self.is_cooperative() => {
                let owned = self.last.partitions.iter();
                if owned.clone().all(|at| self.interest.topics.contains(&at.topic)) {
                    return self.join_again(now);
                }
                self.transition_to(ClassicState::Revoking, now);
                GroupNews::GiveUp { keep: Some(self.interest.topics.clone()) }
            }
            ClassicState::Stable => {
                self.transition_to(ClassicState::Revoking, now);
                GroupNews::GiveUp { keep: None }
            }
            // JoinGroup carries the subscription, and one that is on its way carries an old one.
            ClassicState::Joining | ClassicState::Assigning | ClassicState::Syncing => self.join_again(now),
            ClassicState::Reconciling => {
                self.rejoins = true;
                GroupNews::None
            }
            _ => GroupNews::None,
        }
    }

    /// The partitions are given up: the member joins again.
    pub(super) fn given_up(&mut self, now: Now) {
        if self.state == ClassicState::Revoking {
            self.last.partitions.retain(|at| self.interest.topics.contains(&at.topic));
            self.join_again(now);
        }
    }

    /// The assignment is carried out. If a cooperative member revoked partitions, it joins again, as their new
    /// owners get them only in the next generation.
    pub(super) fn handed_over(&mut self, revoked_some: bool, now: Now) -> GroupNews {
        if self.state != ClassicState::Reconciling {
            return GroupNews::None;
        }
        self.transition_to(ClassicState::Stable, now);
        let revoked_some = revoked_some && !self.plot.has(Planted::RevokedIsNotShared);
        match self.is_cooperative() && revoked_some || std::mem::take(&mut self.rejoins) {
            true if revoked_some => {
                self.tell_rebalance("partitions were given up");
                self.rebalance(now)
            }
            true => self.begin_rebalance(now),
            false => GroupNews::None,
        }
    }

    /// Begins to leave. A member that has no id, or that is to remain in the group, sends nothing and is out at once.
    pub(super) fn leave(&mut self, how: LeaveGroup, now: Now) {
        self.joins_again = false;
        let silent = self.leaves_silently(how) || self.is_hushed();
        match self.state {
            ClassicState::Out | ClassicState::Failed | ClassicState::Leaving => {}
            _ => {
                self.transition_to(ClassicState::Leaving, now);
                if silent || self.member_id.is_empty() {
                    self.tell_left(false);
                    self.left(now);
                }
            }
        }
    }

    fn leaves_silently(&self, how: LeaveGroup) -> bool {
        match how {
            _ if self.plot.has(Planted::ClosesWithoutLeaving) => true,
            LeaveGroup::Default => self.config.instance_id.is_some(),
            LeaveGroup::Leave => false,
            LeaveGroup::Remain => true,
        }
    }

    /// The planted bug: a member that joins says nothing. Nobody else is hushed.
    fn is_hushed(&self) -> bool {
        matches!(self.state, ClassicState::Joining | ClassicState::Syncing)
            && self.plot.has(Planted::LeavesSilentlyWhileJoining)
    }

    /// Tells the log. Where the coordinator was not `told`, it waits for the member until the session is over.
    fn tell_left(&self, told: bool) {
        let (member, generation) = (&self.member_id, self.generation_id);
        if !member.is_empty() {
            tracing::info!(target: log::GROUP, member, generation, told, "left");
        }
    }

    fn left(&mut self, now: Now) {
        self.forget_member();
        self.transition_to(ClassicState::Out, now);
        if std::mem::take(&mut self.joins_again) && !self.interest.is_empty() {
            self.join_again(now);
        }
    }

    fn forget_member(&mut self) {
        if !self.plot.has(Planted::UnknownMemberKeepsId) {
            self.member_id.clear();
        }
        self.named_by = None;
        self.forget_generation();
    }

    fn forget_generation(&mut self) {
        self.generation_id = -1;
        self.heartbeat = None;
        self.task = None;
    }

    /// The coordinator does not know this member, or not in this generation.
    fn lost(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        let (member, generation) = (&self.member_id, self.generation_id);
        tracing::warn!(target: log::GROUP, member, generation, %error, "fenced");
        self.attempts.note(error);
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.forget_member(),
            _ => self.forget_generation(),
        }
        let keeps = self.is_cooperative() && self.plot.has(Planted::LostGenerationIsKept);
        if !keeps {
            self.last.partitions.clear();
        }
        if self.state == ClassicState::Leaving {
            return GroupNews::None;
        }
        self.join_again(now);
        if keeps { GroupNews::None } else { GroupNews::Lost }
    }

    pub(super) fn commit_refused(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        match error {
            _ if self.plot.has(Planted::RefusedCommitGoesOn) => GroupNews::None,
            ErrorCode::RebalanceInProgress if self.state == ClassicState::Stable => self.begin_rebalance(now),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration if self.is_of_a_generation() => {
                self.lost(error, now)
            }
            ErrorCode::FencedInstanceId => self.fail(error, now),
            _ => GroupNews::None,
        }
    }

    /// Whether the member may have thrown out itself: the coordinator has come to a JoinGroup that the member gave up,
    /// as the connection broke, after the one that the member sent instead. Once, and within a session: otherwise
    /// two with one `group.instance.id` would throw each other out without end.
    fn may_have_fenced_itself(&mut self, error: ErrorCode, now: Now) -> bool {
        let session = self.config.session_timeout;
        error == ErrorCode::FencedInstanceId
            && self.given_up_join.take().is_some_and(|at| now.mono < at + session)
    }

    pub(super) fn fail(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        if self.may_have_fenced_itself(error, now) {
            return self.lost_on_the_way(error, now);
        }
        let (member, state) = (&self.member_id, self.state);
        tracing::error!(target: log::GROUP, member, ?state, %error, "refused for good");
        self.attempts.note(error);
        self.forget_member();
        self.transition_to(ClassicState::Failed, now);
        GroupNews::Failed(error)
    }

    fn back_off(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        self.request = None;
        self.attempts.failed(error, now);
    }

    /// Joins again if other topics match the pattern, if the leader's topics have other partitions than it
    /// assigned, or if partitions that were given up have not been assigned in time.
    pub(super) fn look(&mut self, metadata: &Metadata, now: Now) -> GroupNews {
        // A member that has left joins again only when the user says so, whatever topics match by then.
        if matches!(self.state, ClassicState::Out | ClassicState::Leaving | ClassicState::Failed) {
            return GroupNews::None;
        }
        if let Some(pattern) = self.interest.pattern.clone()
            && metadata.covers(&Wanted::All)
            && self.matched_in != Some(metadata.revision())
        {
            self.matched_in = Some(metadata.revision());
            let topics = metadata.matching(&pattern);
            if topics != self.interest.topics {
                return self.be_interested(Interest { topics, pattern: Some(pattern) }, now);
            }
        }
        let reason = match self.follow_up_by() {
            Some(by) if by <= now.mono => "partitions were given up and not shared out",
            _ if self.is_outdated(metadata) => "there are other partitions than were shared out",
            _ => return GroupNews::None,
        };
        self.reason = Some(reason.to_owned());
        self.begin_rebalance(now)
    }

    fn follow_up_by(&self) -> Option<Instant> {
        self.task.as_ref().filter(|_| self.state == ClassicState::Stable)?.follow_up_by
    }

    /// Whether the topics to subscribe to are known: a pattern must have been matched once.
    fn knows_its_topics(&self) -> bool {
        self.interest.pattern.is_none() || self.matched_in.is_some()
    }

    pub(super) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.attempts.next());
        earliest.consider(self.follow_up_by());
        if self.state.beats() && self.heartbeat.is_none() {
            earliest.consider(self.heartbeat_due);
        }
    }
}
