//! What a user calls besides what reads: commits, seeks, pauses, questions; and what came of those that are answered.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{CommittedOffset, OpFailure, OpId, Outcome, SeekTo, TopicPartition};
use ottla_protocol::ErrorCode;

use crate::{
    dice::secs,
    holdings::Expect,
    member::Member,
    plan::FLEETING,
    reasons::is_heard,
    stage::Stage,
    truth::Truth,
    user::{Asked, Kept},
};

impl Member {
    pub(super) fn take_outcomes(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let ops = std::mem::take(&mut self.user.ops);
        for (op, asked) in ops {
            let Some(outcome) = self.host.machine.take_outcome(op) else {
                self.user.ops.push((op, asked));
                continue;
            };
            stage.note(|| format!("{who} {asked:?}: {outcome:?}"));
            match (asked, outcome) {
                (Asked::Commit { number, offsets, since, part }, Ok(_)) => {
                    for (at, offset) in offsets.into_iter().filter(|(at, _)| at.topic != FLEETING) {
                        // Without auto commit, nobody but the owner moves it, and he only by a later request.
                        let newest =
                            self.user.last_commit.get(&at) == Some(&number) && self.user.habits.commits > 0.0;
                        let progress = truth.progress(&self.group, &at);
                        let committed = progress.committed();
                        // While the answer was on its way another may have come, and have committed more.
                        let was = progress.was_committed(Some(offset), since);
                        if newest && self.owned.contains(&at) && !was {
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
                    if self.membership.told().is_none() && !self.owned.is_empty() =>
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
        let owned: Vec<_> = self.owned.partitions().cloned().collect();
        self.user.dice.pick(&owned)
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
        let all = self.owned.partitions().chain(offsets.keys());
        let all: Vec<TopicPartition> = all.cloned().collect();
        self.user.commits(op, all.into_iter(), Asked::Commit { number: op.0, offsets, since, part });
    }

    /// Commits some of the records that the user has in hand, and keeps the others.
    pub(super) fn commit_part(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (who, now) = (self.who, stage.now());
        let own = self.own_in_hand().count();
        let count = self.user.dice.number(1..=own - 1);
        let mut offsets: BTreeMap<TopicPartition, CommittedOffset> = BTreeMap::new();
        for Kept { record, serial, .. } in self.own_in_hand().take(count) {
            // What was taken away meanwhile is not his to commit.
            if self.owned.of(&record.at, *serial).is_some() {
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
            Ok(op) if self.user.dice.chance(0.5) => {
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
                let wait = self.user.dice.time(self.user.habits.think.clone());
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
        match self.user.dice.number(0..=9) {
            0 => self.seek_beginning(&at, stage, truth),
            1 if self.user.habits.skips => {
                self.seek_to(&at, SeekTo::End, Expect::EndSince(end), end, stage, truth);
            }
            2 if self.user.habits.skips => {
                let offset = self.user.dice.offset(0..=end);
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
                let offset = self.user.dice.offset((next - 30).max(0)..=next);
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
        self.volume.detour();
        let progress = truth.progress(&self.group, at);
        let serial = self.owned.next_serial();
        progress.sought(who, serial, least);
        let end = truth.end(at);
        let progress = truth.progress(&self.group, at);
        if let Some(holding) = self.owned.get_mut(at) {
            let start = progress.largest_start(holding.since);
            holding.sought(serial, (to, expect), (start, least, end));
        }
    }

    pub(super) fn toggle_pause(&mut self, stage: &mut Stage) {
        let (who, now) = (self.who, stage.now());
        if self.owned.is_empty() {
            return;
        }
        self.volume.detour();
        let at = self.any_owned();
        let pause = !self.user.paused.remove(&at);
        stage.note(|| format!("{who} {}({at})", if pause { "pause" } else { "resume" }));
        if self.host.machine.set_paused(&at, pause, now) && pause {
            self.user.paused.insert(at);
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
        if self.user.dice.chance(0.5) {
            let op = self.host.machine.offsets(vec![(at.clone(), SeekTo::End)], now);
            let least = truth.end(&at);
            self.user.ops.push((op, Asked::End { at, least }));
        } else if let Ok(op) = self.host.machine.committed(vec![at.clone()], now) {
            self.user.ops.push((op, Asked::Committed { at, since: stage.time }));
        }
    }
}

/// What a user who commits some of his records writes beside an offset.
pub(crate) fn written_beside(at: &TopicPartition, offset: i64) -> String {
    format!("{at} is done up to {offset}")
}
