//! What members say of why records are, or are not, flowing, held against what is so: a place that waits without a
//! reason, or for one that is not true, is a stall that nobody can find.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::GroupView;
use ottla_core::{GroupReason, Reason, TopicPartition};

use crate::{
    dice::{ms, secs},
    member::{Member, names},
    plan::{FLEETING, Plan},
    stage::{Stage, Who},
    truth::Truth,
};

/// What is not as a member says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Doubt {
    what: String,
    /// For how long it may be so, and where nothing but the plan's gentlest faults is in the way.
    most: Duration,
    calm: Duration,
}

/// Whose doubts, of which partition (`None`: of the group), and since when.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<(Who, Option<TopicPartition>), (Doubt, Duration)>);

impl Doubts {
    /// Whoever waits can say what for, and it is so.
    pub(super) fn look(
        &mut self,
        members: &[Member],
        group: Option<&GroupView>,
        (plan, truth): (&Plan, &Truth),
        phase_since: Duration,
        stage: &mut Stage,
    ) {
        let (now, time) = (stage.now(), stage.time);
        let before = std::mem::take(&mut self.0);
        let mut broken = None;
        for member in members.iter().filter(|member| member.is_live()) {
            let explained = member.host.machine.explain(now);
            let of_group = explained.group.as_ref().and_then(|reason| {
                let known = group.filter(|_| member.in_group());
                Some((None, member.doubt_group(reason, known, plan, time)?))
            });
            let of_partitions = explained.partitions.iter().filter_map(|(at, reason)| {
                let doubt = member.doubt(at, reason, explained.group.as_ref(), truth, plan)?;
                Some((Some(at.clone()), doubt))
            });
            let calm = plan.brisk && stage.quiet && is_heard(member.who, stage);
            for (at, doubt) in of_group.into_iter().chain(of_partitions) {
                let key = (member.who, at);
                let since = before.get(&key).filter(|(known, _)| known.what == doubt.what);
                let since = since.map_or(time, |(_, since)| *since);
                let most = if calm { doubt.calm } else { doubt.most };
                // What calm allows counts from its beginning.
                let from = if calm { since.max(phase_since) } else { since };
                if time - from > most && broken.is_none() {
                    let of = key.1.as_ref().map_or_else(|| "the group".to_owned(), ToString::to_string);
                    broken = Some(format!("{}, of {of}, for {:?}: {}", member.who, time - from, doubt.what));
                }
                self.0.insert(key, (doubt, since));
            }
        }
        if let Some(broken) = broken {
            stage.violate("whoever waits has a reason, and it is true", || broken);
        }
    }
}

/// Whether no connection of a client's swallows anything.
pub(super) fn is_heard(who: Who, stage: &Stage) -> bool {
    let silent = |link: &crate::stage::Link| link.who == who && link.state.is_silent();
    !stage.net.links.values().any(silent)
}

impl Member {
    /// What is wrong with its reason for one partition.
    fn doubt(
        &self,
        at: &TopicPartition,
        reason: &Reason,
        group: Option<&GroupReason>,
        truth: &Truth,
        plan: &Plan,
    ) -> Option<Doubt> {
        if at.topic == FLEETING {
            return None;
        }
        let (answer, given_up) = (plan.setup.max_wait() + secs(2), plan.setup.given_up());
        let told = given_up + plan.setup.session * 2;
        let position = self.host.machine.position(at);
        let is_behind = position.is_some_and(|position| position < truth.end(at));
        let doubt = |what: &str, most, calm| Some(Doubt { what: format!("{what} ({reason:?})"), most, calm });
        // The same words each time, whatever they measure.
        let timed = |what: &str, most, calm| Some(Doubt { what: what.to_owned(), most, calm });
        match reason {
            Reason::Waiting => timed("about to be fetched, and is not", secs(3), secs(1)),
            // As long as every user is busy, no more is fetched than keeps them so.
            Reason::NextFetch if is_behind && self.somebody_waits() => {
                timed(&format!("no fetch takes it along from {position:?}"), given_up, answer * 2)
            }
            Reason::Fetching { lag: Some(0) } if is_behind && !self.holds(at) => {
                timed(&format!("said to be at the end, at {position:?}"), given_up, answer)
            }
            Reason::BufferFull { .. } if self.host.memory.records.get() == 0 && is_behind => {
                timed(&format!("no room, and nothing is held, at {position:?}"), given_up, answer * 2)
            }
            // Who waits for anything is given all that may be read: what is left is paused, or in flight.
            Reason::BufferFull { .. } if self.waits_for_any() && is_behind && !self.is_paused(at) => {
                timed(&format!("what is paused keeps the room, at {position:?}"), given_up, answer * 2)
            }
            Reason::Buffered { .. } if self.waits_for_any() => {
                doubt("the user waits for it", secs(1), secs(1))
            }
            Reason::Paused if !self.is_paused(at) => doubt("nobody paused it", ms(500), ms(500)),
            Reason::Closing => doubt("nobody closes it", ms(500), ms(500)),
            Reason::Throttled { rest } if *rest > secs(10) => {
                doubt("no broker asks for as long", secs(1), secs(1))
            }
            Reason::BeingRevoked
                if matches!(group, Some(GroupReason::Member { .. } | GroupReason::Idle { .. })) =>
            {
                doubt("nothing changes hands", secs(1), secs(1))
            }
            Reason::AwaitingListener if self.waits_for_any() => {
                doubt("the user is in a call, and the listener not called", secs(1), secs(1))
            }
            Reason::NoLeader { .. } | Reason::AwaitingMetadata | Reason::TopicUnknown(_) => {
                timed("the cluster knows the topic, and who leads", given_up * 3, secs(8))
            }
            Reason::ValidatingPosition { .. } => timed("the leader knows its log", given_up * 3, secs(4)),
            Reason::LookingUpOffset { .. } => timed("the offset is looked up", given_up * 3, secs(4)),
            // Where nobody tells who the coordinator is, nobody answers.
            Reason::AwaitingHeartbeat { .. }
                if !matches!(group, Some(GroupReason::CoordinatorUnknown { .. })) =>
            {
                timed("a heartbeat is answered", told, secs(4))
            }
            _ => None,
        }
    }

    /// What is wrong with its reason for the group.
    fn doubt_group(
        &self,
        reason: &GroupReason,
        group: Option<&GroupView>,
        plan: &Plan,
        time: Duration,
    ) -> Option<Doubt> {
        let told = plan.setup.given_up() + plan.setup.session * 2;
        let doubt = |what: String, most, calm| Some(Doubt { what, most, calm });
        let view =
            group.and_then(|g| g.members.iter().find(|known| known.member_id == self.membership.member_id()));
        match reason {
            GroupReason::Member { .. } | GroupReason::Idle { .. } | GroupReason::RevocationWaiting { .. }
                if self.is_overdue(plan, time) =>
            {
                doubt("a member beats in every interval".to_owned(), told, ms(500))
            }
            GroupReason::Idle { .. } => {
                let owned = view.filter(|view| view.revoking.len() < view.owned.len());
                let owned =
                    owned.filter(|view| view.epoch == self.membership.joined_generation_id())?.owned.len();
                doubt(format!("the coordinator has given it {owned} partitions"), told, secs(4))
            }
            GroupReason::Member { .. } if view.is_none() => {
                doubt("the coordinator does not know it".to_owned(), told, secs(6))
            }
            GroupReason::RevocationWaiting { held, .. } if held.is_empty() && self.commits.are_done() => {
                doubt("nothing is held, and no commit under way".to_owned(), told, secs(3))
            }
            GroupReason::RevocationWaiting { held, .. } if self.waits_for_any() && !held.is_empty() => {
                doubt(format!("the user is back from {}", names(held)), secs(1), secs(1))
            }
            GroupReason::AwaitingListener { .. } if self.waits_for_any() => {
                doubt("the user is in a call, and the listener not called".to_owned(), secs(1), secs(1))
            }
            GroupReason::Out | GroupReason::Failed(_) if self.waits_for_any() => {
                doubt(format!("the user is in a call, and told nothing ({reason:?})"), secs(1), secs(1))
            }
            GroupReason::AwaitingHeartbeat { .. } => {
                doubt("no heartbeat takes as long".to_owned(), told, secs(4))
            }
            GroupReason::AwaitingNames { .. } => {
                doubt("the cluster knows the topics' names".to_owned(), told * 2, secs(8))
            }
            GroupReason::Leaving => doubt("the user has subscribed".to_owned(), told, secs(4)),
            GroupReason::CoordinatorUnknown { .. } | GroupReason::CoordinatorNotReady { .. } => {
                doubt("there is a coordinator".to_owned(), plan.bound(), secs(6))
            }
            GroupReason::Joining { .. } => {
                doubt("it is long on its way in".to_owned(), plan.bound(), plan.bound())
            }
            _ => None,
        }
    }
}
