//! A group of the classic protocol: its members, what they ask, and what they are told.

mod member;
mod rebalance;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode,
    messages::{
        DescribeGroupsDescribedGroup, JoinGroupResponse, LeaveGroupMemberIdentity, SyncGroupRequest,
        SyncGroupResponse,
    },
};

pub(crate) use member::{Join, JoinWait, Member, Protocols};

use super::Turn;
use crate::{ConnId, GroupKind, GroupView, planted::Planted};

/// How long a member may wait for its first generation: its client may be gone, which nobody sees while it waits.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);
/// From this version on a dynamic member must know its id before it joins (KIP-394).
pub(super) const ID_REQUIRED: i16 = 4;
/// From this version on a leader can be told that it need not assign (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

/// Where a group stands.
///
/// ```text
///             a member joins            all have joined,           the leader has
///                                       or time is up              assigned
///    Empty ───────────────▶ Preparing ───────────────▶ Completing ───────────────▶ Stable
///      ▲                    Rebalance                  Rebalance                      │
///      │    nobody joined      │ ▲                         │                          │
///      └───────────────────────┘ └─────────────────────────┴──────────────────────────┘
///                                  a member joins, leaves, changes or is lost
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// Kafka's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClassicGroup {
    pub(super) state: State,
    pub(super) generation_id: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids that were given out and not used yet, and when they expire.
    pub(super) pending: BTreeMap<String, Instant>,
    /// When the members that have not joined are given up; for an empty group, when its first rebalance ends.
    pub(super) join_deadline: Option<Instant>,
    /// When the members that have not asked for their assignment are given up.
    pub(super) sync_deadline: Option<Instant>,
    /// The rebalance of an empty group, which waits for more members whoever is there.
    pub(super) initial: Option<Initial>,
}

#[derive(Debug)]
pub(super) struct Initial {
    /// How much longer it may be put off.
    left: Duration,
    /// Whether somebody joined since it was put off last.
    joined: bool,
}

/// What becomes of a request to join.
#[derive(Debug)]
pub(crate) enum Joined {
    /// It is answered when the generation begins.
    Held,
    Now(JoinGroupResponse),
}

impl ClassicGroup {
    // What clients ask.

    pub(crate) fn join(&mut self, join: Join, turn: &mut Turn<'_>) -> Result<Joined, ErrorCode> {
        self.check_size(&join.member_id, turn.rules.max_size)?;
        self.check_protocols(&join)?;
        if !join.member_id.is_empty() {
            if join.group_instance_id.is_none() && self.pending.remove(&join.member_id).is_some() {
                return Ok(self.admit(join.member_id.clone(), join, turn));
            }
            return self.rejoin(join, turn);
        }
        let id = join.new_member_id.clone();
        if let Some(instance) = &join.group_instance_id {
            return Ok(match self.instance(instance) {
                Some(old) => self.replace(&old, id, join, turn),
                None => self.admit(id, join, turn),
            });
        }
        if join.wait.version < ID_REQUIRED {
            return Ok(self.admit(id, join, turn));
        }
        self.pending.insert(id.clone(), turn.now + join.session_timeout);
        let error_code = ErrorCode::MemberIdRequired;
        Ok(Joined::Now(JoinGroupResponse { error_code, member_id: id, ..Default::default() }))
    }

    /// `None` where the answer comes when the leader has assigned.
    pub(crate) fn sync(
        &mut self,
        request: SyncGroupRequest,
        conn: ConnId,
        turn: &mut Turn<'_>,
    ) -> Result<Option<SyncGroupResponse>, ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, ours: &Option<String>| asked.is_some() && asked != ours;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let is_leader = self.leader.as_ref() == Some(&request.member_id);
        let member = self.members.get_mut(&request.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        match self.state {
            State::Empty => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance => {
                member.synced = true;
                member.syncing = Some(conn);
                if is_leader {
                    let assigned = request.assignments.into_iter().map(|to| (to.member_id, to.assignment));
                    self.assign(assigned.collect(), turn.rules.plot);
                    self.state = State::Stable;
                    self.tell_assignments(turn);
                }
            }
            State::Stable => {
                member.synced = true;
                member.touch(turn.now);
                let assignment = member.assignment.clone();
                return Ok(Some(self.sync_response(assignment)));
            }
        }
        Ok(None)
    }

    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance: Option<&str>,
        generation_id: i32,
        turn: &Turn<'_>,
    ) -> Result<(), ErrorCode> {
        self.check_member(member_id, instance)?;
        if generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.touch(member_id, turn.now);
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance if !turn.rules.plot.has(Planted::RebalanceNotTold) => {
                Err(ErrorCode::RebalanceInProgress)
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    pub(crate) fn leave(
        &mut self,
        identity: &LeaveGroupMemberIdentity,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let instance = identity.group_instance_id.as_deref();
        if instance.is_none() && self.pending.remove(&identity.member_id).is_some() {
            self.maybe_complete_join(turn);
            return Ok(());
        }
        // A static member may be removed by its instance alone: by an administrator, who knows no more (KIP-345).
        let id = match instance {
            Some(instance) if identity.member_id.is_empty() => {
                self.instance(instance).ok_or(ErrorCode::UnknownMemberId)?
            }
            _ => {
                self.check_member(&identity.member_id, instance)?;
                identity.member_id.clone()
            }
        };
        self.remove(&id, turn);
        self.rebalance(turn);
        Ok(())
    }

    pub(super) fn touch(&mut self, member_id: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.touch(now);
        }
    }

    // Time.

    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        let pending = self.pending.len();
        self.pending.retain(|_, expires| *expires > turn.now);
        if self.pending.len() < pending {
            self.maybe_complete_join(turn);
        }
        let early = turn.rules.plot.has(Planted::StaticPlaceIsGivenUp);
        let is_over = |m: &mut Member| {
            let halves = early && m.group_instance_id.is_some() && !m.is_waiting();
            let half = if halves { m.session_timeout / 2 } else { Duration::ZERO };
            m.check_session(turn.now + half)
        };
        let over = self.members.values_mut().filter_map(|m| is_over(m).then(|| m.id.clone()));
        let over: Vec<String> = over.collect();
        if !over.is_empty() {
            over.iter().for_each(|id| self.remove(id, turn));
            self.rebalance(turn);
        }
        if self.join_deadline.is_some_and(|deadline| deadline <= turn.now) {
            self.end_join_phase(turn);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= turn.now) {
            self.sync_deadline = None;
            let silent: Vec<String> = self
                .members
                .values()
                .filter(|member| !member.synced)
                .map(|member| member.id.clone())
                .collect();
            if !silent.is_empty() {
                silent.iter().for_each(|id| self.remove(id, turn));
                self.rebalance(turn);
            }
        }
    }

    /// Another broker coordinates the group from now on: who waits must ask there, and all sessions begin anew.
    pub(crate) fn handle_move(&mut self, turn: &mut Turn<'_>) {
        self.pending.clear();
        self.members.retain(|_, member| {
            member.refuse_join(ErrorCode::NotCoordinator, turn);
            member.refuse_sync(ErrorCode::NotCoordinator, turn);
            member.touch(turn.now);
            // Of one that was in no generation nothing is written down.
            !member.is_new
        });
        self.leader = self.leader.take().filter(|leader| self.members.contains_key(leader));
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(|member| member.expires);
        let deadlines = [self.join_deadline, self.sync_deadline].into_iter().flatten();
        sessions.chain(self.pending.values().copied()).chain(deadlines).min()
    }

    // Members come and go.

    fn admit(&mut self, id: String, join: Join, turn: &mut Turn<'_>) -> Joined {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        if let Some(initial) = &mut self.initial {
            initial.joined = true;
        }
        let member = Member::new(id.clone(), join, turn.now + NEW_MEMBER_JOIN_TIMEOUT);
        self.members.insert(id, member);
        self.rebalance(turn);
        Joined::Held
    }

    fn rejoin(&mut self, join: Join, turn: &mut Turn<'_>) -> Result<Joined, ErrorCode> {
        let id = join.member_id.clone();
        self.check_member(&id, join.group_instance_id.as_deref())?;
        let is_leader = self.leader.as_ref() == Some(&id);
        let member = self.members.get_mut(&id).ok_or(ErrorCode::UnknownMemberId)?;
        let unchanged = member.protocols == join.protocols;
        let known = match self.state {
            State::Empty => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => false,
            // It asks again for what it was answered: the answer may have been lost.
            State::CompletingRebalance => unchanged,
            // A leader that asks again wants a rebalance: it saw the topics change.
            State::Stable => unchanged && !is_leader,
        };
        if known {
            return Ok(Joined::Now(self.join_response(&id)));
        }
        member.update(join);
        self.rebalance(turn);
        Ok(Joined::Held)
    }

    /// A static member came back without its id, or another claims to be it: the older one is fenced.
    fn replace(&mut self, old: &str, id: String, join: Join, turn: &mut Turn<'_>) -> Joined {
        let old_leader = self.leader.clone().unwrap_or_default();
        let Some(mut member) = self.members.remove(old) else { return self.admit(id, join, turn) };
        if turn.rules.plot.has(Planted::ReplacedMemberStays) {
            self.members.insert(old.to_owned(), member.clone());
        }
        member.refuse_join(ErrorCode::FencedInstanceId, turn);
        member.refuse_sync(ErrorCode::FencedInstanceId, turn);
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(id.clone());
        }
        let version = join.wait.version;
        member.id.clone_from(&id);
        member.update(join);
        member.touch(turn.now);
        self.members.insert(id.clone(), member);
        if self.state != State::Stable || self.select_protocol() != self.protocol {
            self.rebalance(turn);
            return Joined::Held;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = None;
        }
        let mut response = self.join_response(&id);
        response.skip_assignment = version >= SKIPS_ASSIGNMENT && response.leader == id;
        if version < SKIPS_ASSIGNMENT {
            // It must not think itself the leader, or it would assign to a stable group.
            response.leader = old_leader;
            response.members.clear();
        }
        Joined::Now(response)
    }

    fn remove(&mut self, id: &str, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.remove(id) else { return };
        member.refuse_join(ErrorCode::UnknownMemberId, turn);
        member.refuse_sync(ErrorCode::UnknownMemberId, turn);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    // Checks.

    /// Whether this is a member, and, if it is static, the one that bears the instance id now.
    pub(super) fn check_member(&self, member_id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        match instance.map(|instance| self.instance(instance)) {
            None if self.members.contains_key(member_id) => Ok(()),
            None | Some(None) => Err(ErrorCode::UnknownMemberId),
            Some(Some(id)) if id == member_id => Ok(()),
            Some(Some(_)) => Err(ErrorCode::FencedInstanceId),
        }
    }

    /// The id of the static member with this instance id.
    fn instance(&self, instance: &str) -> Option<String> {
        let bears = |member: &&Member| member.group_instance_id.as_deref() == Some(instance);
        self.members.values().find(bears).map(|member| member.id.clone())
    }

    fn check_size(&self, member_id: &str, max_size: usize) -> Result<(), ErrorCode> {
        let known = self.members.get(member_id);
        let fits = match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some())
                    || self.members.values().filter(|member| member.joining.is_some()).count() < max_size
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < max_size,
        };
        if fits { Ok(()) } else { Err(ErrorCode::GroupMaxSizeReached) }
    }

    fn check_protocols(&self, join: &Join) -> Result<(), ErrorCode> {
        let fits = if self.members.is_empty() {
            !join.protocol_type.is_empty() && !join.protocols.is_empty()
        } else {
            let common = |name: &str| self.members.values().all(|member| member.supports(name));
            self.protocol_type.as_ref() == Some(&join.protocol_type)
                && join.protocols.iter().any(|(name, _)| common(name))
        };
        if fits { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    // What clients and tests are told.

    /// The answer to a member of this generation.
    pub(super) fn join_response(&self, id: &str) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leader = self.leader.clone().unwrap_or_default();
        let members = self.members.values().filter(|_| leader == id);
        JoinGroupResponse {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            members: members.map(|member| member.to_join_response(&protocol)).collect(),
            protocol_name: Some(protocol),
            leader,
            member_id: id.to_owned(),
            ..Default::default()
        }
    }

    pub(super) fn sync_response(&self, assignment: Vec<u8>) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
            ..Default::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub(crate) fn describe(&self, group_id: String) -> DescribeGroupsDescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        DescribeGroupsDescribedGroup {
            group_id,
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type().to_owned(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: self.members.values().map(|member| member.describe(protocol)).collect(),
            ..Default::default()
        }
    }

    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            kind: GroupKind::Classic,
            state: self.state.name(),
            generation_id: self.generation_id,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.values().map(|member| member.view(self.generation_id)).collect(),
            pending: self.pending.len(),
        }
    }
}
