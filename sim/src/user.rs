//! The user of a consumer: what he calls, and how long he takes.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{
    CloseKind, CommittedOffset, Filter, GroupFailure, LaneFailure, LeaveGroup, OpFailure, OpId, Outcome,
    ReadFailure, SeekTo, TopicPartition,
};
use ottla_protocol::ErrorCode;

use crate::{
    dice::{ms, secs},
    listener::Listening,
    member::{Expect, Member},
    plan::FLEETING,
    reader::{Gathered, Handed, Step},
    reasons::is_heard,
    stage::{Event, Stage},
    truth::Truth,
};

/// Where the user is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Doing {
    /// Out of every call, busy with what he has.
    Away,
    /// In `recv` or `poll`.
    Reading(Call),
    /// In `commit`.
    Committing(OpId),
    /// In his rebalance listener.
    Listening(Listening),
    Closing {
        until: Duration,
    },
    Gone,
}

/// A call that reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    filter: Filter,
    /// At most so many records; `None` for `recv`.
    most: Option<usize>,
}

/// An operation, and what was true when it was asked for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// `part`: of some records, with something written beside each offset.
    Commit {
        number: u64,
        offsets: BTreeMap<TopicPartition, i64>,
        since: Duration,
        part: bool,
    },
    Committed {
        at: TopicPartition,
        since: Duration,
    },
    End {
        at: TopicPartition,
        least: i64,
    },
    Time {
        at: TopicPartition,
        time: i64,
        since: Duration,
    },
}

impl Member {
    /// Whether he is in a call, and would take any record.
    pub(super) fn waits_for_any(&self) -> bool {
        matches!(&self.doing, Doing::Reading(Call { filter: Filter::All, .. }))
    }

    /// The user is busy for so long.
    pub(super) fn think(&mut self, wait: Duration, stage: &mut Stage) {
        self.stamp += 1;
        self.doing = Doing::Away;
        self.away_since = stage.time;
        stage.after(wait, Event::User(self.who, self.stamp));
    }

    /// The user's time has come.
    pub(crate) fn handle_user(&mut self, stamp: u64, stage: &mut Stage, truth: &mut Truth) {
        if stamp != self.stamp {
            return;
        }
        match &self.doing {
            Doing::Away => self.next_call(stage, truth),
            Doing::Listening(_) => {
                self.listened(stage);
                self.woken(stage, truth);
            }
            Doing::Reading(_) => {
                self.host.machine.unpark(stage.now());
                self.think(ms(1), stage);
            }
            _ => return,
        }
        self.turn(stage, truth);
    }

    fn next_call(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        self.check_absence(stage);
        if stage.quiet {
            let resting = self.resting.clone().filter(|at| self.paused.remove(at));
            for at in std::mem::replace(&mut self.paused, resting.into_iter().collect()) {
                self.host.machine.set_paused(&at, false, now);
            }
        } else {
            if self.dice.chance(self.habits.seeks) {
                self.seek_somewhere(stage, truth);
            }
            self.look_for_a_time(stage, truth);
            if self.dice.chance(self.habits.pauses) {
                self.toggle_pause(stage);
            }
            if self.dice.chance(self.habits.queries) {
                self.ask(stage, truth);
            }
            if self.dice.chance(self.habits.partial_commits) && self.in_hand.len() > 1 {
                return self.commit_part(stage, truth);
            }
        }
        let often = self.habits.commits.max(if stage.quiet { 0.5 } else { 0.0 });
        let again = std::mem::replace(&mut self.just_committed, false);
        if self.habits.commits > 0.0 && !again && self.dice.chance(often) {
            self.just_committed = true;
            let waits = self.dice.chance(self.habits.waits_for_commit);
            if let Some(op) = self.commit_all(stage, truth)
                && waits
            {
                self.stamp += 1;
                self.away_since = stage.time;
                self.doing = Doing::Committing(op);
                return;
            }
        }
        self.read(stage, truth);
    }

    /// Who stays away too long has lost what he had.
    fn check_absence(&mut self, stage: &mut Stage) {
        let (who, absence) = (self.who, stage.time - self.away_since);
        self.longest_absence = self.longest_absence.max(absence);
        let had = self.owned.iter().find(|(_, holding)| holding.since < self.away_since);
        if let Some((at, _)) = had.filter(|_| self.in_group() && absence > self.max_poll + ms(100)) {
            stage.violate("who stays away too long gives up his partitions", || {
                format!("{who} was away for {absence:?}, and has {at}")
            });
        }
    }

    fn read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let mut filter = Filter::All;
        if !stage.quiet && self.dice.chance(self.habits.narrows) && !self.owned.is_empty() {
            filter = Filter::Only(vec![self.any_owned()]);
        }
        let most = self.habits.poll;
        if most.is_none()
            && let Some(record) = self.reader.at_hand(&filter, &self.host.machine)
        {
            self.all_done(truth);
            return self.hand_out(vec![record], stage, truth);
        }
        self.stamp += 1;
        self.doing = Doing::Reading(Call { filter, most });
        self.be_patient(stage);
        self.try_read(stage, truth);
    }

    /// `recv` waits for ever, but this user looks at something else from time to time, as by `select!`.
    pub(super) fn be_patient(&mut self, stage: &mut Stage) {
        // In the end all look up soon, to commit.
        let longest = if stage.quiet { ms(1500) } else { self.habits.patience };
        let patience = self.dice.time(ms(100)..=longest);
        stage.after(patience, Event::User(self.who, self.stamp));
    }

    /// The user looks up soon, however patient he is.
    pub(crate) fn hurry(&self, stage: &mut Stage) {
        if let Doing::Reading(_) = self.doing {
            stage.after(secs(1), Event::User(self.who, self.stamp));
        }
    }

    /// Goes on with the call that the user is in.
    fn try_read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let Doing::Reading(call) = self.doing.clone() else { return };
        let now = stage.now();
        // A call begins with the user's return from all that he had.
        self.all_done(truth);
        self.reader.sync(&mut self.host.machine, true, now);
        if self.listen(stage, truth) {
            return;
        }
        let machine = &mut self.host.machine;
        let gathered = match call.most {
            Some(most) => self.reader.gather(machine, &call.filter, most, now),
            None => loop {
                match self.reader.look(machine, &call.filter, now) {
                    None => break Gathered::Parked,
                    Some(Step::Failed(failure)) => break Gathered::Failed(failure),
                    Some(Step::NotSubscribed) => break Gathered::NotSubscribed,
                    Some(Step::Closed) => break Gathered::Closed,
                    Some(Step::Read) => {
                        if let Some(record) = self.reader.advance() {
                            break Gathered::Records(vec![record]);
                        }
                    }
                }
            },
        };
        self.drain_events(stage);
        match gathered {
            Gathered::Parked => self.doing = Doing::Reading(call),
            Gathered::Records(records) if records.is_empty() => self.think(ms(1), stage),
            Gathered::Records(records) => self.hand_out(records, stage, truth),
            Gathered::Failed(failure) => self.fail(failure, stage, truth),
            Gathered::NotSubscribed | Gathered::Closed => {
                let wait = self.dice.time(ms(50)..=ms(1000));
                self.think(wait, stage);
                if matches!(gathered, Gathered::NotSubscribed) && self.dice.chance(0.5) {
                    self.subscribe(stage);
                }
            }
        }
    }

    fn hand_out(&mut self, records: Vec<Handed>, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let (first, count) = (records[0].clone(), records.len());
        stage.note(|| format!("{who} reads {count} from {} offset {}", first.at, first.offset));
        let mut busy = Duration::ZERO;
        for record in records {
            self.check_handed(&record, stage, truth);
            busy += self.dice.time(self.habits.think.clone());
        }
        if !stage.quiet && self.dice.chance(self.habits.absent) {
            busy += self.dice.time(self.habits.absence.clone());
        }
        self.think(busy, stage);
    }

    fn fail(&mut self, failure: ReadFailure, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        stage.tell(|| format!("{who} is told {failure:?}"));
        self.think(ms(10), stage);
        match failure {
            ReadFailure::Group(GroupFailure::MaxPollExceeded(_)) => {
                self.counts.expelled += 1;
                let absence = std::mem::take(&mut self.longest_absence);
                // The core sees the user return when his position moves, a little before the call that returns.
                if absence + ms(10) < self.max_poll {
                    stage.violate("who waits in a call is not away", || {
                        format!("{who} was away for {absence:?} at most, and is told so")
                    });
                }
            }
            ReadFailure::Lane(at, LaneFailure::Corrupt { offset, .. }) => {
                self.counts.corrupt += 1;
                self.detours += 1;
                self.seek(&at, offset, stage, truth);
            }
            ReadFailure::Lane(at, failure @ (LaneFailure::NoOffset | LaneFailure::OutOfRange { .. })) => {
                self.is_told_of_no_offset(&at, &failure, stage, truth);
            }
            // Another has come under the same id, or was there before.
            ReadFailure::Group(GroupFailure::Refused(
                ErrorCode::FencedInstanceId | ErrorCode::UnreleasedInstanceId,
            )) if self.is_static() => {
                self.counts.refused += 1;
                truth.refused.push(self.role.clone());
                self.end(CloseKind::Closed, LeaveGroup::Default, stage, truth);
            }
            failure => {
                stage.violate("nothing fails for good", || format!("{who}: {failure:?}"));
            }
        }
    }

    /// Something came about that the user may be waiting for. Returns whether he was.
    pub(super) fn woken(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        self.take_outcomes(stage, truth);
        match &self.doing {
            Doing::Reading(_) => {
                self.try_read(stage, truth);
                true
            }
            Doing::Closing { .. } => self.listen(stage, truth),
            Doing::Committing(op) if !self.ops.iter().any(|(open, _)| open == op) => {
                // He has been in a call, however long it took; but it was not one that reads.
                self.longest_absence = self.longest_absence.max(stage.time - self.away_since);
                self.host.machine.returned(stage.now());
                self.think(ms(1), stage);
                true
            }
            _ => false,
        }
    }

    fn take_outcomes(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let ops = std::mem::take(&mut self.ops);
        for (op, asked) in ops {
            let Some(outcome) = self.host.machine.take_outcome(op) else {
                self.ops.push((op, asked));
                continue;
            };
            stage.note(|| format!("{who} {asked:?}: {outcome:?}"));
            match (asked, outcome) {
                (Asked::Commit { number, offsets, since, part }, Ok(_)) => {
                    for (at, offset) in offsets.into_iter().filter(|(at, _)| at.topic != FLEETING) {
                        // Without auto commit, nobody but the owner moves it, and he only by a later request.
                        let newest = self.last_commit.get(&at) == Some(&number) && self.habits.commits > 0.0;
                        let progress = truth.progress(&self.group, &at);
                        let committed = progress.committed();
                        // While the answer was on its way another may have come, and have committed more.
                        let was = progress.was_committed(Some(offset), since);
                        if newest && self.owned.contains_key(&at) && !was {
                            stage.violate("what commit() reports done is committed", || {
                                format!("{who} committed {at} = {offset}, and it is {committed:?}")
                            });
                        }
                        let beside = progress.written_beside(offset);
                        if part
                            && newest
                            && committed == Some(offset)
                            && beside != written_beside(&at, offset)
                        {
                            stage.violate("what is written beside an offset is committed with it", || {
                                format!("{who} committed {at} = {offset}, and finds {beside:?} beside it")
                            });
                        }
                    }
                }
                (Asked::Committed { at, since }, Ok(Outcome::Committed(found))) => {
                    let offset = found.get(&at).cloned().flatten().map(|committed| committed.offset);
                    if !truth.progress(&self.group, &at).was_committed(offset, since) {
                        stage.violate("committed() tells what is committed", || {
                            format!("{who} is told {offset:?} for {at}")
                        });
                    }
                }
                (Asked::End { at, least }, Ok(Outcome::Offsets(found))) => {
                    let offset = found.get(&at).copied().flatten().map(|found| found.offset);
                    if !offset.is_some_and(|offset| (least..=truth.end(&at)).contains(&offset)) {
                        stage.violate("end_offsets() tells the log's end", || {
                            format!("{who} is told {offset:?} for {at}")
                        });
                    }
                }
                (Asked::Time { at, time, since }, Ok(Outcome::Offsets(found))) => {
                    let found = found.get(&at).copied().flatten().map(|found| found.offset);
                    self.check_time((&at, time, since), found, stage, truth);
                }
                (Asked::Commit { since, .. }, Err(OpFailure::TimedOut(what)))
                    if stage.quiet && since > stage.quiet_since + secs(20) && is_heard(self.who, stage) =>
                {
                    stage.violate("commit() is answered while the coordinator can be reached", || {
                        format!("{who} is told that time is out: {what}")
                    });
                }
                (Asked::Commit { .. }, Err(OpFailure::NotMember(ErrorCode::StaleMemberEpoch)))
                    if self.told.is_none() && !self.owned.is_empty() =>
                {
                    stage.violate("a commit that a new epoch overtook is made again", || {
                        format!("{who} is told that it failed, and is a member")
                    });
                }
                _ => {}
            }
        }
    }

    // The other calls.

    pub(super) fn any_owned(&mut self) -> TopicPartition {
        let owned: Vec<_> = self.owned.keys().cloned().collect();
        self.dice.pick(&owned)
    }

    pub(super) fn commit_all(&mut self, stage: &mut Stage, truth: &mut Truth) -> Option<OpId> {
        let (who, now) = (self.who, stage.now());
        self.all_done(truth);
        self.reader.sync(&mut self.host.machine, true, now);
        let op = self.host.machine.commit(None, now).ok()?;
        stage.note(|| format!("{who} commit()"));
        let known = self.owned.iter().filter(|(_, holding)| holding.known);
        let known = known.filter_map(|(at, holding)| match holding.expect {
            // What is in the log no more may be found out to be so before it is committed.
            Expect::At(offset) if offset >= truth.start(at) => Some((at.clone(), offset)),
            _ => None,
        });
        self.asked_to_commit(op, known.collect(), false, stage.time);
        Some(op)
    }

    fn asked_to_commit(
        &mut self,
        op: OpId,
        offsets: BTreeMap<TopicPartition, i64>,
        part: bool,
        since: Duration,
    ) {
        // Of those that are not known here, the core may know the position.
        let all = self.owned.keys().chain(offsets.keys());
        self.last_commit.extend(all.map(|at| (at.clone(), op.0)));
        self.ops.push((op, Asked::Commit { number: op.0, offsets, since, part }));
    }

    /// Commits some of the records that the user has in hand, and keeps the others.
    fn commit_part(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        let count = self.dice.number(1..=self.in_hand.len() - 1);
        let mut offsets: BTreeMap<TopicPartition, CommittedOffset> = BTreeMap::new();
        for (record, serial) in &self.in_hand[..count] {
            // What was taken away meanwhile is not his to commit.
            if self.owned.get(&record.at).is_some_and(|holding| holding.serial == *serial) {
                let offset = record.offset + 1;
                let metadata = written_beside(&record.at, offset);
                offsets.insert(record.at.clone(), CommittedOffset { offset, metadata });
            }
        }
        self.done(count, truth);
        let covers = |(at, position): (&TopicPartition, i64)| {
            offsets.get(at).is_some_and(|committed| committed.offset >= position)
        };
        let all = self.reader.positions().all(covers);
        if all {
            self.all_done(truth);
        }
        stage.note(|| format!("{who} commit_offsets({offsets:?}), {} in hand", self.in_hand.len()));
        self.reader.sync(&mut self.host.machine, all, now);
        let asked = offsets.iter().map(|(at, committed)| (at.clone(), committed.offset)).collect();
        match self.host.machine.commit(Some(offsets), now) {
            Ok(op) if self.dice.chance(0.5) => {
                self.stamp += 1;
                self.asked_to_commit(op, asked, true, stage.time);
                if all {
                    self.away_since = stage.time;
                }
                self.doing = Doing::Committing(op);
                // The outcome may be there already.
                self.woken(stage, truth);
            }
            done => {
                // Nobody waits for it; but it is newer than others.
                if let Ok(op) = done {
                    self.asked_to_commit(op, asked, true, stage.time);
                }
                let wait = self.dice.time(self.habits.think.clone());
                self.think(wait * 10, stage);
            }
        }
    }

    fn seek_somewhere(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.owned.is_empty() {
            return;
        }
        let at = self.any_owned();
        if at.topic == FLEETING {
            return;
        }
        let end = truth.end(&at);
        match self.dice.number(0..=9) {
            0 => self.seek_beginning(&at, stage, truth),
            1 if self.habits.skips => {
                self.seek_to(&at, SeekTo::End, Expect::EndSince(end), end, stage, truth);
            }
            2 if self.habits.skips => {
                let offset = self.dice.offset(0..=end);
                truth.progress(&self.group, &at).excuse_below(offset);
                self.seek(&at, offset, stage, truth);
            }
            _ => {
                // Back, so that nothing is skipped: from where the user is, which is not known before he has read.
                let Expect::At(next) = self.owned[&at].expect else { return };
                let offset = self.dice.offset((next - 30).max(0)..=next);
                self.seek(&at, offset, stage, truth);
            }
        }
    }

    pub(super) fn seek(&mut self, at: &TopicPartition, offset: i64, stage: &mut Stage, truth: &mut Truth) {
        self.seek_to(at, SeekTo::Offset(offset), Expect::At(offset), offset, stage, truth);
    }

    pub(super) fn seek_to(
        &mut self,
        at: &TopicPartition,
        to: SeekTo,
        expect: Expect,
        least: i64,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        let (who, now) = (self.who, stage.now());
        stage.tell(|| format!("{who} seek({at}, {to:?})"));
        if !self.host.machine.seek(at, to, now) {
            return;
        }
        self.counts.seeks += 1;
        self.detours += 1;
        let progress = truth.progress(&self.group, at);
        self.serial += 1;
        progress.sought(who, self.serial, least);
        let end = truth.end(at);
        let progress = truth.progress(&self.group, at);
        if let Some(holding) = self.owned.get_mut(at) {
            // What the user still has of it counts no more.
            holding.serial = self.serial;
            let start = progress.largest_start(holding.since);
            // Where the end was sought before, and not known yet, that may have been it.
            let before = if let Expect::EndSince(_) = holding.expect { end } else { least };
            holding.limit = Some(holding.limit.unwrap_or(start).max(before).max(least));
            holding.expect = expect;
            holding.known = matches!(to, SeekTo::Offset(_));
            let is_known = matches!(to, SeekTo::Offset(_) | SeekTo::Beginning);
            holding.reached = Some(if is_known { least } else { i64::MIN });
        }
    }

    fn toggle_pause(&mut self, stage: &mut Stage) {
        let (who, now) = (self.who, stage.now());
        if self.owned.is_empty() {
            return;
        }
        self.detours += 1;
        let at = self.any_owned();
        let pause = !self.paused.remove(&at);
        stage.note(|| format!("{who} {}({at})", if pause { "pause" } else { "resume" }));
        if self.host.machine.set_paused(&at, pause, now) && pause {
            self.paused.insert(at);
        }
    }

    fn ask(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.owned.is_empty() {
            return;
        }
        let now = stage.now();
        let at = self.any_owned();
        if at.topic == FLEETING {
            return;
        }
        if self.dice.chance(0.5) {
            let op = self.host.machine.offsets(vec![(at.clone(), SeekTo::End)], now);
            let least = truth.end(&at);
            self.ops.push((op, Asked::End { at, least }));
        } else if let Ok(op) = self.host.machine.committed(vec![at.clone()], now) {
            self.ops.push((op, Asked::Committed { at, since: stage.time }));
        }
    }

    /// Stops reading for a while, and leaves the group meanwhile.
    pub(crate) fn unsubscribe(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        stage.tell(|| format!("{who} unsubscribe()"));
        if self.doing == Doing::Away {
            self.longest_absence = self.longest_absence.max(stage.time - self.away_since);
        }
        self.listened(stage);
        self.host.machine.unsubscribe(now);
        self.unsubscribing = true;
        self.drain_events(stage);
        self.unsubscribing = false;
        self.owned.clear();
        self.paused.clear();
        let wait = self.dice.time(ms(100)..=secs(3));
        self.think(wait, stage);
        self.turn(stage, truth);
    }
}

/// What a user who commits some of his records writes beside an offset.
pub(crate) fn written_beside(at: &TopicPartition, offset: i64) -> String {
    format!("{at} is done up to {offset}")
}
