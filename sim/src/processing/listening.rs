//! What a process does when partitions come and go: what `processor/rebalance.rs` of the client does.

use ottla_core::{Callback, OpFailure, Outcome, SeekTo, TopicPartition, processing::GivenUp};

use super::{
    judge::Judge,
    worker::{GRACE, Listening, Worker, is_too_large},
};
use crate::{dice::secs, slip::Slip, stage::Stage};

/// How long the last transaction of what is given up is awaited.
const CLOSE: std::time::Duration = secs(30);

impl Worker {
    /// The listener is called.
    pub(super) fn tell(&mut self, callback: Callback, stage: &mut Stage, judge: &mut Judge) {
        let (life, now) = (self.life, stage.now());
        stage.tell(|| format!("w{life} is told {callback:?}"));
        match callback {
            Callback::Assigned(partitions) => {
                judge.counts.assignments += u64::from(!partitions.is_empty());
                self.seek_first(&partitions, judge, stage);
                let asked = self.host.machine.committed(partitions.clone(), now).ok();
                self.listening = Listening::Assigned { partitions, asked };
            }
            Callback::Revoked(partitions) => {
                let deadline = stage.time + self.rules.drain;
                judge.revoke(life, &partitions, deadline);
                self.machine.handle_revoked(&partitions, now.mono + self.rules.drain);
                self.settle(stage, judge);
                self.listening = Listening::Draining { partitions, deadline, end: deadline + GRACE };
            }
            Callback::Lost(partitions) => {
                judge.counts.lost += partitions.len() as u64;
                judge.lose(life, &partitions);
                if !self.slips(Slip::LossIsNotTold) {
                    self.forget(&partitions);
                    self.machine.handle_lost(&partitions);
                }
                self.settle(stage, judge);
                self.host.machine.callback_done(self.reader.id(), now);
            }
        }
    }

    /// The program's own listener may move a position back.
    fn seek_first(&mut self, partitions: &[TopicPartition], judge: &Judge, stage: &mut Stage) {
        if stage.quiet || partitions.is_empty() || !self.dice.chance(self.habits.listener_seeks) {
            return;
        }
        let at = self.dice.pick(partitions);
        self.seek_back(&at, judge.committed_at(&at), stage);
    }

    /// The program moves a position back, to before what is committed or to between that and the position.
    pub(super) fn seek_back(&mut self, at: &TopicPartition, committed: i64, stage: &mut Stage) -> bool {
        let beyond = self.host.machine.position(at).map_or(0, |position| (position - committed).max(0));
        let to = (committed + beyond - self.dice.offset(0..=40 + beyond)).max(0);
        let life = self.life;
        stage.tell(|| format!("w{life} seeks {at} to {to}"));
        self.host.machine.seek(at, SeekTo::Offset(to), stage.now())
    }

    /// The listener goes on. Returns whether it did anything.
    pub(super) fn listen(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let now = stage.now();
        match std::mem::replace(&mut self.listening, Listening::Not) {
            Listening::Not => return false,
            Listening::Assigned { partitions, asked } => {
                let outcome = asked.map(|asked| self.host.machine.take_outcome(asked));
                if let Some(None) = outcome {
                    self.listening = Listening::Assigned { partitions, asked };
                    return false;
                }
                // What is done beyond an offset has its outputs already.
                if let Some(Some(Err(OpFailure::TimedOut(_)))) = &outcome
                    && self.keeper.is_some()
                {
                    let asked = self.host.machine.committed(partitions.clone(), now).ok();
                    self.listening = Listening::Assigned { partitions, asked };
                    return true;
                }
                let committed = match outcome.flatten() {
                    Some(Ok(Outcome::Committed(committed))) => committed,
                    _ => Default::default(),
                };
                for at in &partitions {
                    let told = committed.get(at).and_then(Option::as_ref);
                    judge.assigned(self.life, at, told, stage);
                    let told = told.filter(|_| !self.slips(Slip::AssignedWithoutItsText));
                    self.forget(std::slice::from_ref(at));
                    self.machine.handle_assigned(at.clone(), told);
                    self.settle(stage, judge);
                    // It may have been paused when it was here before.
                    self.host.machine.set_paused(at, false, now);
                }
            }
            Listening::Draining { partitions, deadline, end } => {
                self.machine.handle_timeout(now);
                self.settle(stage, judge);
                let is_late = stage.time >= end;
                let slips = self.slips(Slip::DrainIsNotAwaited);
                let is_drained = self.machine.is_drained(&partitions) && self.are_books_settled();
                if !is_late && !is_drained && !slips {
                    self.listening = Listening::Draining { partitions, deadline, end };
                    return false;
                }
                if self.keeper.is_some() {
                    return self.give_up(&partitions, is_late, stage, judge);
                }
                let done = self.machine.release(&partitions);
                judge.release(self.life, &partitions, &done, is_late, stage);
                self.settle(stage, judge);
                if !done.is_empty() && !self.slips(Slip::NothingIsCommittedOnRevocation) {
                    judge.commit(self.life, &done, true, stage);
                    let asked = self.host.machine.commit(Some(done.clone()), now);
                    self.listening = Listening::Committing { done, asked };
                    return true;
                }
                judge.revoked(self.life, stage);
            }
            Listening::Parting { parting, end } => {
                let keeper = self.keeper.as_mut();
                let has_ended = keeper.is_none_or(|keeper| keeper.parted.remove(&parting));
                if !has_ended && stage.time < end {
                    self.listening = Listening::Parting { parting, end };
                    return false;
                }
                judge.revoked(self.life, stage);
            }
            Listening::Committing { mut done, asked } => {
                let refused = match asked {
                    Err(failure) => is_too_large(&failure),
                    Ok(op) => match self.host.machine.take_outcome(op) {
                        None => {
                            self.listening = Listening::Committing { done, asked };
                            return false;
                        }
                        Some(Ok(_)) => false,
                        Some(Err(failure)) => self.has_failed(&failure, stage),
                    },
                };
                if refused && done.values().any(|commit| !commit.metadata.is_empty()) {
                    done.values_mut().for_each(|commit| commit.metadata.clear());
                    let asked = self.host.machine.commit(Some(done.clone()), now);
                    self.listening = Listening::Committing { done, asked };
                    return true;
                }
                judge.revoked(self.life, stage);
            }
        }
        self.host.machine.callback_done(self.reader.id(), now);
        true
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        if let Some(keeper) = &mut self.keeper {
            keeper.books.forget(partitions);
        }
    }

    fn are_books_settled(&mut self) -> bool {
        self.keeper.as_mut().is_none_or(|keeper| keeper.books.hold(&self.machine))
    }

    /// What is done of partitions is committed in a transaction, and they are given up. Returns whether it did anything.
    fn give_up(
        &mut self,
        partitions: &[TopicPartition],
        is_late: bool,
        stage: &mut Stage,
        judge: &mut Judge,
    ) -> bool {
        let (life, is_committing) = (self.life, self.machine.is_committing());
        let Some(keeper) = &mut self.keeper else { return false };
        // Asked before they are given up: in a later generation others may have had them.
        let member = self.host.machine.member_for(partitions);
        let is_member = member.is_some();
        let GivenUp { offsets, parting } = keeper.books.give_up(partitions, member, &mut self.machine);
        judge.release(life, partitions, &offsets, is_late, stage);
        self.settle(stage, judge);
        stage.note(|| format!("w{life} gives up {partitions:?} with {offsets:?}: {parting:?}"));
        if let Some(parting) = parting {
            judge.commit(life, &offsets, true, stage);
            self.listening = Listening::Parting { parting, end: stage.time + CLOSE };
            return true;
        }
        // Another transaction may have some of what was written for them.
        if is_committing && is_late || !is_member || judge.once.closed.contains(&life) {
            judge.commit(life, &offsets, true, stage);
        }
        judge.revoked(life, stage);
        self.host.machine.callback_done(self.reader.id(), stage.now());
        true
    }

    fn has_failed(&self, failure: &OpFailure, stage: &mut Stage) -> bool {
        let life = self.life;
        stage.note(|| format!("w{life} has not committed what it gives up: {failure:?}"));
        is_too_large(failure)
    }
}
