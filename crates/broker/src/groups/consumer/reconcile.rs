//! Takes a member from what it has towards its target, one safe step a heartbeat: nobody is given a partition before
//! whoever had it has said that it gave it up.

use std::collections::BTreeSet;

use ottla_protocol::TopicId;

use super::{
    ConsumerGroup,
    member::{Member, MemberState, Owned, Partition},
};
use crate::{groups::Turn, planted::Planted};

impl ConsumerGroup {
    /// Takes one step. `owned` is what the member says that it has, where it says so.
    pub(super) fn reconcile(
        &mut self,
        id: &str,
        resubscribed: bool,
        owned: Option<&BTreeSet<Partition>>,
        turn: &Turn<'_>,
    ) {
        let settled = |member: &Member| member.is_reconciled(self.target_epoch) && !resubscribed;
        if self.members.get(id).is_some_and(settled) {
            return;
        }
        let Some(mut member) = self.members.remove(id) else { return };
        let step = Step {
            target: self.target.get(id).cloned().unwrap_or_default(),
            target_epoch: self.target_epoch,
            subscribed: self.topic_ids(&member, turn.topics),
            held: if turn.rules.plot.has(Planted::GivenBeforeRevoked) {
                BTreeSet::new()
            } else {
                self.members.values().flat_map(Member::holds).copied().collect()
            },
            owned,
        };
        if step.take(&mut member, resubscribed) {
            member.revoke_deadline = (member.state == MemberState::Unrevoked && member.classic.is_none())
                .then(|| turn.now + member.rebalance_timeout);
        }
        self.members.insert(member.id.clone(), member);
    }
}

/// What decides where a member goes.
struct Step<'a> {
    target: BTreeSet<Partition>,
    target_epoch: i32,
    subscribed: BTreeSet<TopicId>,
    /// What others hold.
    held: BTreeSet<Partition>,
    owned: Option<&'a BTreeSet<Partition>>,
}

impl Step<'_> {
    /// Returns whether the member was changed.
    fn take(&self, member: &mut Member, resubscribed: bool) -> bool {
        match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => self.advance(member),
            MemberState::Unrevoked if !self.still_owns(&member.revoking) => self.advance(member),
            MemberState::Unreleased => self.advance(member),
            MemberState::Stable | MemberState::Unrevoked => resubscribed && self.drop_unsubscribed(member),
        }
    }

    /// One that does not say what it owns is believed to own everything.
    fn still_owns(&self, revoking: &Owned) -> bool {
        self.owned.is_none_or(|owned| revoking.keys().any(|partition| owned.contains(partition)))
    }

    /// What it is not subscribed to any more is taken away at once, whatever the target says.
    fn drop_unsubscribed(&self, member: &mut Member) -> bool {
        let (kept, dropped): (Owned, Owned) = member
            .assigned
            .iter()
            .map(|(at, epoch)| (*at, *epoch))
            .partition(|((topic, _), _)| self.subscribed.contains(topic));
        if dropped.is_empty() {
            return false;
        }
        let mut revoking = member.revoking.clone();
        revoking.extend(dropped);
        if self.still_owns(&revoking) {
            (member.state, member.revoking) = (MemberState::Unrevoked, revoking);
        }
        (member.previous_epoch, member.assigned) = (member.epoch, kept);
        true
    }

    fn advance(&self, member: &mut Member) -> bool {
        let wanted: BTreeSet<Partition> =
            self.target.iter().filter(|(topic, _)| self.subscribed.contains(topic)).copied().collect();
        let (mut assigned, revoking): (Owned, Owned) =
            member.assigned.iter().map(|(at, epoch)| (*at, *epoch)).partition(|(at, _)| wanted.contains(at));
        let before = (member.state, member.epoch, member.assigned.clone(), member.revoking.clone());
        member.previous_epoch = member.epoch;
        if !revoking.is_empty() && self.still_owns(&revoking) {
            (member.state, member.assigned, member.revoking) = (MemberState::Unrevoked, assigned, revoking);
        } else {
            let new = || wanted.iter().filter(|at| !member.assigned.contains_key(at));
            let waits = new().any(|at| self.held.contains(at));
            let free: Vec<Partition> = new().filter(|at| !self.held.contains(at)).copied().collect();
            assigned.extend(free.into_iter().map(|at| (at, self.target_epoch)));
            member.state = if waits { MemberState::Unreleased } else { MemberState::Stable };
            member.epoch = self.target_epoch;
            (member.assigned, member.revoking) = (assigned, Owned::new());
        }
        before != (member.state, member.epoch, member.assigned.clone(), member.revoking.clone())
    }
}
