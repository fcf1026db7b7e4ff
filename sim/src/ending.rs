//! The end: once the trouble is over all must be delivered, committed and closed, each within a bound; then the logs are
//! compared with what was seen.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{GroupReason, TopicPartition};

use crate::{
    deeds::last_dice,
    dice::{Dice, ms, secs},
    logs::{Written, records},
    member::Member,
    mode::Mode,
    phase::Phase,
    plan::Goodbye,
    reasons::is_heard,
    report::{LEAST_FAULTS, LEAST_REBALANCES},
    role::{GROUP, Role},
    stage::Event,
    world::World,
};

/// How often the trouble goes on for want of effect. After the last member is called there is time for the slowest group
/// to settle.
const MOST_MADE_UP: usize = 63;
/// What is scripted, and may keep the group from its rest, goes on for so much of that.
const SCRIPTED_FOR: usize = 16;

impl World {
    /// The time of trouble is over, unless too little of it came about.
    pub(super) fn quiet(&mut self) {
        if self.make_up() {
            return self.stage.after(secs(4), Event::Quiet);
        }
        self.stage.tell(|| "the trouble is over".to_owned());
        (self.stage.quiet, self.stage.quiet_since) = (true, self.stage.time);
        self.faults = self.faults_so_far();
        self.cluster.faults().clear();
        self.stage.net.cut_off = None;
        self.follow_all();
        self.unlock(true);
        if let Some(security) = &mut self.stage.security {
            security.calm();
        }
        for node in 1..=self.plan.broker.brokers as i32 {
            self.restore(node);
        }
        self.dice = last_dice(self.case.seed);
        self.members.iter().for_each(|member| member.hurry(&mut self.stage));
        for member in self.members.iter_mut().filter(|member| member.is_live() && member.in_group()) {
            member.change(self.plan.everything(), &mut self.stage, &mut self.truth);
        }
        self.end_fleeting();
        self.enter(Phase::Draining);
    }

    /// Where faults met nobody, or the group has hardly rebalanced, there is more trouble. Returns whether there is.
    fn make_up(&mut self) -> bool {
        let (calm, still) = (self.faults_so_far() < LEAST_FAULTS, self.rebalances < LEAST_REBALANCES);
        if self.made_up == MOST_MADE_UP || !(calm || still) {
            return false;
        }
        self.made_up += 1;
        self.dice = Dice::of(self.case.seed, usize::MAX - 1 - self.made_up);
        if self.made_up == SCRIPTED_FOR {
            self.cluster.faults().clear();
        }
        // Where nobody is, nobody is met.
        self.see_to_members();
        if calm {
            let trouble = self.plan.trouble_of_a_request(&mut self.dice);
            self.plan.brisk &= trouble.is_brisk();
            self.make(trouble);
        }
        // Less and less often: while members come, a group whose members take their time does not settle.
        if still && self.made_up.is_power_of_two() {
            self.call();
        }
        true
    }

    fn faults_so_far(&mut self) -> u64 {
        self.faults + self.cluster.faults().happened()
    }

    /// Somebody is there to read what there is.
    fn see_to_members(&mut self) {
        if !self.members.iter().any(|member| member.is_live() && member.in_group()) {
            self.call();
        }
    }

    pub(super) fn call(&mut self) {
        let mut role = self.plan.in_group(&mut self.dice);
        if let Role::Group(role) = &mut role {
            // Nobody is in the way of who has no id.
            role.instance = None;
        }
        self.join(role);
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.stage.tell(|| format!("{phase:?}"));
        (self.phase, self.phase_since) = (phase, self.stage.time);
    }

    pub(super) fn look(&mut self) {
        self.stage.after(ms(100), Event::Look);
        self.look_at_reasons();
        self.look_at_waits();
        self.look_at_expulsions();
        let waited = self.stage.time - self.phase_since;
        // The last may have read all and committed less, as another took his static id.
        if matches!(self.phase, Phase::Draining | Phase::Probing | Phase::Settling) {
            self.see_to_members();
        }
        match self.phase {
            Phase::Draining | Phase::Probing => match self.missing() {
                None if self.phase == Phase::Draining => {
                    self.recovery = waited;
                    self.enter(Phase::Probing);
                    self.progress = (0, Duration::ZERO);
                    self.source.probe(&self.plan, &mut self.stage, &mut self.truth);
                }
                None => self.enter(Phase::Settling),
                Some(missing) if self.is_stuck(waited) => {
                    let explained = self.explain();
                    self.stage
                        .violate("everything acknowledged is delivered once the trouble is over", || {
                            format!("{missing} after {waited:?}\n{explained}")
                        });
                }
                Some(_) => {}
            },
            Phase::Resting => self.look_at_rests(waited),
            Phase::Sharing => self.look_at_share(waited),
            Phase::Settling | Phase::Resuming => match self.uncommitted().or_else(|| self.unsettled()) {
                None => self.settled(),
                Some(late) if waited > self.plan.bound() => {
                    let explained = self.explain();
                    self.stage
                        .violate("once the trouble is over all is committed, and the group whole", || {
                            format!("{late} after {waited:?}\n{explained}")
                        });
                }
                Some(_) => {}
            },
            Phase::Closing => {
                let open = self.members.iter().find(|member| !member.is_gone()).map(|member| member.who);
                let left = self.cluster.group(GROUP).map_or(0, |group| group.members.len());
                match open {
                    Some(who) if waited > secs(6) => {
                        self.stage.violate("close ends in time", || format!("{who} after {waited:?}"));
                    }
                    None if left == 0 => self.enter(Phase::Over),
                    // A static member's place is kept for its session.
                    None if self.case.mode != Mode::Static && self.lingers() => {
                        self.stage.violate("who closes has left the group when the close ends", || {
                            format!("{left} are members")
                        });
                    }
                    // Who stays in the group may be waited for by a rebalance first.
                    None if waited > self.plan.bound() => {
                        self.stage.violate("closed consumers have left the group", || {
                            format!("{left} are members")
                        });
                    }
                    _ => {}
                }
            }
            Phase::Trouble | Phase::Over => {}
        }
    }

    pub(super) fn close_all(&mut self) {
        self.look_at_health();
        self.enter(Phase::Closing);
        for member in self.members.iter_mut().filter(|member| member.is_live()) {
            self.hushed |= !is_heard(member.who, &self.stage);
            member.close(Goodbye::Default, &mut self.stage, &mut self.truth);
        }
    }

    /// Whether nothing has been handed out for as long as anything may take, or it takes far too long.
    fn is_stuck(&mut self, waited: Duration) -> bool {
        if self.progress.0 != self.truth.deliveries {
            self.progress = (self.truth.deliveries, waited);
        }
        waited > self.plan.bound() * 4 || waited - self.progress.1 > self.plan.bound()
    }

    /// What somebody has yet to do.
    fn missing(&self) -> Option<String> {
        if !self.source.is_done() {
            return Some("the producer waits for acknowledgements".to_owned());
        }
        let partitions = self.plan.partitions();
        let in_group = partitions.iter().map(|at| (GROUP, at));
        let alone = self.members.iter().filter(|member| member.is_live() && !member.in_group());
        let alone = alone.flat_map(|member| member.owes().map(|at| (member.group.as_str(), at)));
        in_group.chain(alone).find_map(|(group, at)| {
            let offset = self.truth.missing(group, at)?;
            Some(format!("{group} lacks {at} offset {offset}"))
        })
    }

    /// Each partition flows again soon, without the help of a time-out other than the session's, where nobody is away
    /// and nothing swallows requests.
    fn look_at_waits(&mut self) {
        if !matches!(self.phase, Phase::Draining | Phase::Probing) {
            return self.waits.clear();
        }
        let time = self.stage.time;
        let before = std::mem::take(&mut self.waits);
        for at in self.plan.partitions() {
            let Some(offset) = self.truth.missing(GROUP, &at) else { continue };
            let since =
                before.get(&at).filter(|(known, _)| *known == offset).map_or(time, |(_, since)| *since);
            // What comes once more, before what is missing, flows too.
            let since = since.max(self.truth.progress(GROUP, &at).flowed);
            self.longest_wait = self.longest_wait.max(time - since);
            self.waits.insert(at, (offset, since));
        }
        let live = |member: &&Member| member.is_live() && member.in_group();
        let silent = self.stage.net.links.values().any(|link| link.state.is_silent());
        let brisk = self.plan.brisk && !silent && !self.members.iter().filter(live).any(Member::may_be_away);
        let bound = self.plan.brisk_bound();
        // What is with its reader waits for its user.
        let is_taken =
            |at| self.members.iter().filter(live).any(|member| member.has_records(at, self.stage.now()));
        let late = self.waits.iter().find(|(at, (_, since))| brisk && time - *since > bound && !is_taken(at));
        if let Some((at, (offset, since))) = late {
            let detail = format!("{at} offset {offset} after {:?}\n{}", time - *since, self.explain());
            self.stage.violate("a partition flows again soon where nobody is away", || detail);
        }
    }

    fn uncommitted(&mut self) -> Option<String> {
        self.plan.partitions().into_iter().find_map(|at| {
            let end = self.truth.end(&at);
            let committed = self.truth.progress(GROUP, &at).committed();
            (end > 0 && committed != Some(end)).then(|| format!("{at}: {committed:?} of {end} are committed"))
        })
    }

    /// Whether all have been closed for a while.
    fn lingers(&mut self) -> bool {
        let since = *self.closed_since.get_or_insert(self.stage.time);
        self.stage.time > since + secs(2) && !self.hushed
    }

    /// Who is not in the group, as he or the coordinator sees it, and is there; or the other way round.
    pub(super) fn unsettled(&self) -> Option<String> {
        let group = self.cluster.group(GROUP)?;
        if group.pending > 0 {
            return Some(format!(
                "the coordinator waits for {} to join with the id that they got",
                group.pending
            ));
        }
        let subscribed =
            |member: &&Member| member.is_live() && member.in_group() && !member.host.machine.reads_nothing();
        let there: Vec<&Member> = self.members.iter().filter(subscribed).collect();
        for member in &there {
            let reason = member.host.machine.explain(self.stage.now()).group;
            if !matches!(reason, Some(GroupReason::Member { .. } | GroupReason::Idle { .. })) {
                return Some(format!("{} is not settled: {reason:?}", member.who));
            }
            if !group.members.iter().any(|known| known.member_id == member.membership.member_id()) {
                return Some(format!("{} is no member for the coordinator", member.who));
            }
        }
        let unknown = group
            .members
            .iter()
            .find(|known| there.iter().all(|m| m.membership.member_id() != known.member_id));
        unknown.map(|known| format!("the coordinator has {} for a member", known.member_id))
    }

    pub(super) fn explain(&self) -> String {
        let now = self.stage.now();
        let live = self.members.iter().filter(|member| member.is_live());
        live.map(|member| format!("{}:\n{}", member.who, member.host.machine.explain(now))).collect()
    }

    /// The logs hold what the producer was told, once, and in the order in which it was sent.
    pub(super) fn check_logs(&mut self) {
        let mut seen: BTreeMap<u64, (TopicPartition, i64)> = BTreeMap::new();
        for at in self.plan.partitions() {
            let log = self.cluster.log(&at.topic, at.partition).unwrap_or_default();
            let mut last = 0;
            for Written { offset, id, .. } in records(&log) {
                // Ids rise with each record that is sent.
                let before = std::mem::replace(&mut last, id);
                if id < before {
                    self.stage.violate(
                        "what one producer sent to one partition is in the log in that order",
                        || format!("{at} offset {offset}: record {id} is behind record {before}"),
                    );
                }
                self.truth.see(&at, offset, id, &mut self.stage);
                if let Some((other, before)) = seen.insert(id, (at.clone(), offset)) {
                    self.stage.violate("an idempotent producer's record is in the log once", || {
                        format!("record {id} is {other} offset {before} and {at} offset {offset}")
                    });
                }
            }
        }
        for (at, acknowledged) in &self.truth.acknowledged {
            for (offset, id) in acknowledged.range(self.truth.start(at)..) {
                if seen.get(id) != Some(&(at.clone(), *offset)) {
                    self.stage
                        .violate("what was acknowledged is in the log", || format!("{at} offset {offset}"));
                }
            }
        }
        let repeated = self.truth.repeated(GROUP);
        // A group that turns classic again is in its next generation at once: who was slower to follow is out of his.
        let lost: u64 = self.members.iter().map(|member| member.counts.lost).sum();
        let turned = self.plan.mode == Mode::Mixed && lost > 0;
        if self.plan.orderly && repeated > 0 && !turned {
            self.stage.violate("without crashes and faults nothing is delivered twice", || {
                format!("{repeated} repeats")
            });
        }
        for member in self.members.iter().filter(|member| member.closed_in_order()) {
            let (who, held) = (member.who, member.host.memory.records.get());
            if held > 0 {
                self.stage
                    .violate("a closed consumer leaves nothing behind", || format!("{who}: {held} bytes"));
            }
        }
    }
}
