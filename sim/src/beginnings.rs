//! Where a consumer begins to read a partition, and goes on when the log begins behind it: at what is committed, where its
//! user seeks, or where its reset policy says.

use std::time::Duration;

use ottla_core::{LaneFailure, ResetPolicy, SeekTo, TopicPartition};
use ottla_protocol::Timestamp;

use crate::{
    dice::{Dice, ms, secs},
    holdings::Expect,
    logs::{Wanted, wall_at},
    member::{Member, names},
    plan::FLEETING,
    role::Role,
    stage::Stage,
    truth::Truth,
    user::{Asked, Kept},
};

impl Member {
    /// What stays keeps its position; what comes begins anew, whether or not it was there before.
    pub(super) fn assign_anew(&mut self, chosen: Vec<TopicPartition>, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        stage.tell(|| format!("{who} takes {} instead", names(&chosen)));
        self.host.machine.assign(chosen.clone(), now).expect("it is in no group");
        self.turns.wants_others();
        let group = &self.group;
        self.owned.let_go(&chosen, |at, since| truth.progress(group, at).largest_start(since));
        self.user.paused.retain(|at| chosen.contains(at));
        self.volume.detour();
        for at in &chosen {
            if !self.owned.contains(at) {
                self.owned.begin(at.clone(), stage.time);
            }
        }
        if let Role::Alone { partitions, .. } = &mut self.role {
            *partitions = chosen;
        }
        self.called(stage, truth);
    }

    /// Holds the positions that it has against what they may be, as soon as they are known.
    pub(super) fn look_at_positions(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if !self.user.habits.beginnings.checked || self.user.closed {
            return;
        }
        let moved = |at: &&TopicPartition| {
            let position = self.host.machine.position(at);
            let moved = position.is_some_and(|position| match self.owned[*at].expect {
                Expect::At(expected) => position > expected,
                _ => true,
            });
            moved && at.topic != FLEETING
        };
        let moved: Vec<TopicPartition> = self.owned.partitions().filter(moved).cloned().collect();
        for at in moved {
            let serial = self.owned[&at].serial;
            let in_hand = self.in_hand.iter().find(|kept| kept.record.at == at && kept.serial == serial);
            if let Some(Kept { record, .. }) = in_hand {
                let (who, offset) = (self.who, record.offset);
                stage.violate("a position does not move while its user has what was there before", || {
                    format!("{who}, {at}: he has offset {offset}")
                });
            }
            if let Some(position) = self.host.machine.position(&at) {
                let invariant = "a position is where the group, the log or the user says";
                self.begins(&at, position, invariant, stage, truth);
            }
        }
    }

    /// It goes on at an offset, which is not behind the last one that it handed out.
    pub(super) fn begins(
        &mut self,
        at: &TopicPartition,
        offset: i64,
        invariant: &'static str,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        let who = self.who;
        let begun =
            self.may_begin(at, offset, stage, truth).or_else(|| self.may_reset(at, offset, stage, truth));
        let Some(skips) = begun else {
            let (expect, committed) = (self.owned[at].expect, truth.progress(&self.group, at).committed());
            let (start, end) = (truth.start(at), truth.end(at));
            return stage.violate(invariant, || {
                format!(
                    "{who} is at {at} offset {offset} where {expect:?} is next (committed: {committed:?}, the log \
                     goes from {start} to {end})"
                )
            });
        };
        stage.note(|| {
            format!("{who} goes on with {at} at {offset}{}", if skips { ", others skipped" } else { "" })
        });
        if skips {
            truth.progress(&self.group, at).excuse_below(offset);
        }
        if let Some(holding) = self.owned.get_mut(at) {
            holding.begins(offset);
        }
    }

    /// Whether it may begin there without a reset. Tells whether what lies before may go unread.
    fn may_begin(&self, at: &TopicPartition, offset: i64, stage: &Stage, truth: &mut Truth) -> Option<bool> {
        let holding = &self.owned[at];
        let answers = |truth: &Truth, wanted, since| {
            truth.logs.get(at).map_or(offset == 0, |log| log.may_answer(wanted, since, offset))
        };
        match holding.expect {
            Expect::At(expected) => (offset == expected).then_some(false),
            Expect::EndSince(least) => (least..=truth.end(at)).contains(&offset).then_some(true),
            Expect::Found { wanted, since, skips } => answers(truth, wanted, since).then_some(skips),
            Expect::Start => {
                let progress = truth.progress(&self.group, at);
                if progress.was_committed(Some(offset), holding.since) {
                    return Some(false);
                }
                let none = progress.was_committed(None, holding.since);
                let wanted = self.reset_since(holding.since, stage).filter(|_| none)?;
                answers(truth, wanted, holding.since).then_some(wanted != Wanted::Start)
            }
        }
    }

    /// Whether it may have been reset to an offset, as where it was is in the log no more.
    fn may_reset(&self, at: &TopicPartition, offset: i64, stage: &Stage, truth: &mut Truth) -> Option<bool> {
        let lost = self.lost_since(at, truth)?;
        let wanted = self.reset_since(lost, stage)?;
        truth.logs[at].may_answer(wanted, lost, offset).then_some(wanted != Wanted::Start)
    }

    /// Since when the offset at which it is has not been in the log, if that may be so.
    fn lost_since(&self, at: &TopicPartition, truth: &mut Truth) -> Option<Duration> {
        let holding = &self.owned[at];
        let starts: Vec<i64> = truth.progress(&self.group, at).starts(holding.since).flatten().collect();
        let log = truth.logs.get(at)?;
        let lost = match holding.expect {
            Expect::At(offset) | Expect::EndSince(offset) => log.lost_since(offset),
            Expect::Found { wanted, since, .. } => log.lost_since(log.least_answer(wanted, since)),
            Expect::Start => starts.into_iter().filter_map(|offset| log.lost_since(offset)).min(),
        };
        Some(lost?.max(holding.since))
    }

    /// What the reset policy asks the log for, if anything, at some time since then.
    fn reset_since(&self, since: Duration, stage: &Stage) -> Option<Wanted> {
        match self.user.habits.beginnings.reset() {
            ResetPolicy::Earliest => Some(Wanted::Start),
            ResetPolicy::Latest => Some(Wanted::End),
            ResetPolicy::ByDuration(ago) => {
                let ago = ago.as_millis() as i64;
                Some(Wanted::Time { least: wall_at(since, stage) - ago, most: stage.now().wall.0 - ago })
            }
            _ => None,
        }
    }

    /// The user is told that there is no offset to begin at, or none that is in the log, and says where to.
    pub(super) fn is_told_of_no_offset(
        &mut self,
        at: &TopicPartition,
        failure: &LaneFailure,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        let who = self.who;
        if at.topic == FLEETING {
            self.host.machine.seek(at, SeekTo::Beginning, stage.now());
            return;
        }
        let so = self.user.habits.beginnings.reset() == ResetPolicy::None
            && self.owned.get(at).is_some_and(|holding| match failure {
                LaneFailure::OutOfRange { offset, .. } => {
                    truth.start(at) > *offset && self.may_begin(at, *offset, stage, truth).is_some()
                }
                _ => {
                    let progress = truth.progress(&self.group, at);
                    holding.expect == Expect::Start && progress.was_committed(None, holding.since)
                }
            });
        if !so {
            stage.violate(
                "a user is told of a missing offset where there is none, and no reset policy",
                || format!("{who}: {at}, {failure:?}"),
            );
        }
        // He is told again.
        if stage.quiet || self.user.dice.chance(0.5) {
            self.seek_beginning(at, stage, truth);
        }
    }

    pub(super) fn seek_beginning(&mut self, at: &TopicPartition, stage: &mut Stage, truth: &mut Truth) {
        let start = truth.start(at);
        let expect = match self.user.habits.beginnings.checked {
            true => Expect::Found { wanted: Wanted::Start, since: stage.time, skips: false },
            // Nothing moves it.
            false => Expect::At(start),
        };
        self.seek_to(at, SeekTo::Beginning, expect, start, stage, truth);
    }

    /// The user looks for a time from time to time.
    pub(super) fn look_for_a_time(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let often = self.user.habits.beginnings.times;
        if often == 0.0 || self.owned.is_empty() || !self.user.dice.chance(often) {
            return;
        }
        let at = self.any_owned();
        let Some(log) = truth.logs.get(&at).filter(|_| at.topic != FLEETING) else { return };
        let Expect::At(next) = self.owned[&at].expect else { return };
        let (start, end, since, now) = (log.start(), log.end(), stage.time, stage.now());
        let any = |dice: &mut Dice, from: i64, to: i64| log.timestamp(dice.offset(from..=to.max(from)));
        // So soon that the next record may come to it while the log is asked, or late.
        let soon = if self.user.dice.chance(0.7) { ms(60) } else { secs(60) };
        let soon = now.wall.0 + self.user.dice.time(Duration::ZERO..=soon).as_millis() as i64;
        let earlier = self.user.dice.time(Duration::ZERO..=ms(5)).as_millis() as i64;
        // What is behind him he has read: nothing is skipped.
        let behind = any(&mut self.user.dice, (next - 30).max(start), next - 1).filter(|_| next > start);
        let (time, skips) = match self.user.dice.number(0..=3) {
            0 => (Some(soon), true),
            1 => (any(&mut self.user.dice, start, end - 1).filter(|_| end > start), true),
            _ => (behind, false),
        };
        let Some(time) = time.map(|time| time - earlier) else { return };
        if self.user.dice.chance(0.5) {
            let op = self.host.machine.offsets(vec![(at.clone(), SeekTo::Timestamp(Timestamp(time)))], now);
            return self.user.ops.push((op, Asked::Time { at, time, since }));
        }
        let wanted = Wanted::Time { least: time, most: time };
        let least = log.least_answer(wanted, since);
        let expect = Expect::Found { wanted, since, skips };
        self.seek_to(&at, SeekTo::Timestamp(Timestamp(time)), expect, least, stage, truth);
    }

    /// What the log answered to a look for a time.
    pub(super) fn check_time(
        &mut self,
        (at, time, since): (&TopicPartition, i64, Duration),
        found: Option<i64>,
        stage: &mut Stage,
        truth: &Truth,
    ) {
        let who = self.who;
        if !truth.logs.get(at).is_some_and(|log| log.may_find(time, since, found)) {
            stage.violate("offsets_for_times() tells the first record that is no older", || {
                format!("{who} is told {found:?} for {at} at {time}")
            });
        }
    }
}
