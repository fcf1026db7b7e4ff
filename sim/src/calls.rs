//! What a user calls besides what reads: commits, seeks, pauses, questions; and what came of those that are answered.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{CommittedOffset, OpFailure, OpId, Outcome, SeekTo, TopicPartition};
use ottla_protocol::ErrorCode;

use crate::{
    dice::{ms, secs},
    member::{Expect, Kept, Member},
    plan::FLEETING,
    reasons::is_heard,
    stage::Stage,
    truth::Truth,
    user::Doing,
};

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
    pub(super) fn take_outcomes(&mut self, stage: &mut Stage, truth: &mut Truth) {
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

    pub(super) fn any_owned(&mut self) -> TopicPartition {
        let owned: Vec<_> = self.owned.keys().cloned().collect();
        self.dice.pick(&owned)
    }

    pub(super) fn commit_all(&mut self, stage: &mut Stage, truth: &mut Truth) -> Option<OpId> {
        let (who, now) = (self.who, stage.now());
        self.all_done(stage, truth);
        self.reader.sync(&mut self.host.machine, true, now);
        let op = self.host.machine.commit(None, now).ok()?;
        stage.note(|| format!("{who} commit()"));
        let known = self.owned.iter().filter(|(_, holding)| holding.known);
        let known = known.filter_map(|(at, holding)| match holding.expect {
            // What another reader has is left out.
            _ if self.in_hand.iter().any(|kept| kept.record.at == *at) => None,
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
    pub(super) fn commit_part(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        let own = self.own_in_hand().count();
        let count = self.dice.number(1..=own - 1);
        let mut offsets: BTreeMap<TopicPartition, CommittedOffset> = BTreeMap::new();
        for Kept { record, serial, .. } in self.own_in_hand().take(count) {
            // What was taken away meanwhile is not his to commit.
            if self.owned.get(&record.at).is_some_and(|holding| holding.serial == *serial) {
                let offset = record.offset + 1;
                let metadata = written_beside(&record.at, offset);
                offsets.insert(record.at.clone(), CommittedOffset::new(offset).with_metadata(metadata));
            }
        }
        self.done(self.reader.id(), count, stage, truth);
        let covers = |(at, position): (&TopicPartition, i64)| {
            offsets.get(at).is_some_and(|committed| committed.offset >= position)
        };
        let all = self.reader.positions().all(covers);
        if all {
            self.all_done(stage, truth);
        }
        stage.note(|| format!("{who} commit_offsets({offsets:?}), {} in hand", self.in_hand.len()));
        self.reader.sync(&mut self.host.machine, all, now);
        let asked = offsets.iter().map(|(at, committed)| (at.clone(), committed.offset)).collect();
        match self.host.machine.commit(Some(offsets), now) {
            Ok(op) if self.dice.chance(0.5) => {
                self.stamp += 1;
                self.asked_to_commit(op, asked, true, stage.time);
                self.await_commit(op);
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

    pub(super) fn seek_somewhere(&mut self, stage: &mut Stage, truth: &mut Truth) {
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
                // What another reader has may come again, when that is dropped.
                let kept =
                    self.in_hand.iter().filter(|kept| kept.by != self.reader.id() && kept.record.at == at);
                let next = kept.map(|kept| kept.record.offset).min().unwrap_or(next).min(next);
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

    pub(super) fn toggle_pause(&mut self, stage: &mut Stage) {
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

    pub(super) fn ask(&mut self, stage: &mut Stage, truth: &mut Truth) {
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
            self.note_absence(stage);
        }
        self.listened(stage);
        self.host.machine.unsubscribe(now);
        self.turns.wants_others();
        self.unsubscribing = true;
        self.drain_events(stage);
        self.unsubscribing = false;
        self.owned.clear();
        self.paused.clear();
        let wait = self.dice.time(ms(100)..=secs(3));
        self.think(wait, stage);
        self.called(stage, truth);
    }
}

/// What a user who commits some of his records writes beside an offset.
pub(crate) fn written_beside(at: &TopicPartition, offset: i64) -> String {
    format!("{at} is done up to {offset}")
}
