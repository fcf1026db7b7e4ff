//! The way from one generation of a group to the next.

use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::ErrorCode;

use super::{ClassicGroup, Initial, State};
use crate::{
    groups::Turn,
    planted::{Planted, Plot},
};

impl ClassicGroup {
    /// Begins a rebalance, or sees whether the one that runs is complete.
    pub(in crate::groups) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::PreparingRebalance => return self.maybe_complete_join(turn),
            State::CompletingRebalance => {
                let members = self.members.values_mut();
                members.for_each(|member| member.refuse_sync(ErrorCode::RebalanceInProgress, turn));
            }
            State::Empty | State::Stable => {}
        }
        self.sync_deadline = None;
        let delay = turn.rules.initial_delay;
        let was_empty = self.state == State::Empty;
        self.state = State::PreparingRebalance;
        if !was_empty {
            self.join_deadline = Some(turn.now + self.rebalance_timeout());
            self.maybe_complete_join(turn);
        } else if delay.is_zero() {
            self.complete_join(turn);
        } else {
            let left = self.rebalance_timeout().saturating_sub(delay);
            self.initial = Some(Initial { left, joined: false });
            self.join_deadline = Some(turn.now + delay);
        }
    }

    /// Begins the generation, if nobody is to be waited for.
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        let all = self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == State::PreparingRebalance && self.initial.is_none() && all {
            self.complete_join(turn);
        }
    }

    pub(super) fn end_join_phase(&mut self, turn: &mut Turn<'_>) {
        if let Some(initial) = &mut self.initial
            && initial.joined
            && !initial.left.is_zero()
        {
            let delay = turn.rules.initial_delay.min(initial.left);
            *initial = Initial { left: initial.left - delay, joined: false };
            self.join_deadline = Some(turn.now + delay);
        } else {
            self.complete_join(turn);
        }
    }

    /// Begins the generation with those who have joined. Static members stay though they have not.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.initial = None;
        self.join_deadline = None;
        self.members.retain(|_, member| member.joining.is_some() || member.group_instance_id.is_some());
        let joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            self.leader = self.members.keys().find(|id| joined(id)).cloned();
            if self.leader.is_none() && !self.members.is_empty() {
                // Only static members, none of them here: wait until their sessions end.
                self.join_deadline = Some(turn.now + self.rebalance_timeout());
                return;
            }
        }
        self.generation_id += 1;
        self.protocol = self.select_protocol();
        if self.members.is_empty() {
            self.state = State::Empty;
            return;
        }
        self.state = State::CompletingRebalance;
        self.sync_deadline = Some(turn.now + self.rebalance_timeout());
        for member in self.members.values_mut() {
            member.is_new = false;
            member.synced = false;
            member.touch(turn.now);
            if !turn.rules.plot.has(Planted::OldAssignmentKept) {
                member.assignment.clear();
            }
        }
        let waits: Vec<_> =
            self.members.values_mut().filter_map(|m| Some((m.joining.take()?, m.id.clone()))).collect();
        for (wait, id) in waits {
            let response = self.join_response(&id);
            turn.replies.push((wait.conn, response.into()));
        }
    }

    pub(super) fn assign(&mut self, mut assigned: BTreeMap<String, Vec<u8>>, plot: Plot) {
        for member in self.members.values_mut() {
            if !plot.has(Planted::OldAssignmentKept) || member.assignment.is_empty() {
                member.assignment = assigned.remove(&member.id).unwrap_or_default();
            }
        }
    }

    pub(super) fn tell_assignments(&mut self, turn: &mut Turn<'_>) {
        let mut told = Vec::new();
        for member in self.members.values_mut() {
            if let Some(conn) = member.syncing.take() {
                member.touch(turn.now);
                told.push((conn, member.assignment.clone()));
            }
        }
        for (conn, assignment) in told {
            turn.replies.push((conn, self.sync_response(assignment).into()));
        }
    }

    /// What all support and most prefer.
    pub(in crate::groups) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common =
                member.protocols.iter().find(|(name, _)| self.members.values().all(|m| m.supports(name)));
            if let Some((name, _)) = common {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| (*name).to_owned())
    }

    /// The longest that any member may take to join.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}
