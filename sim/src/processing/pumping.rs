//! The pump: what `processor/pump.rs` of the client does.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{
    CommittedOffset, Filter, Look, Outcome, ReadFailure, TopicPartition,
    processing::{Arrival, CommitEnd},
};

use super::{
    judge::Judge,
    worker::{Listening, Worker, is_too_large},
    written::SIZE,
};
use crate::{dice::secs, gather::poll, slip::Slip, stage::Stage};

/// The longest wait for records in one call.
const IDLE: Duration = secs(60);

impl Worker {
    /// One turn of the pump. Returns whether that was anything.
    pub(super) fn pump(&mut self, woken: bool, stage: &mut Stage, judge: &mut Judge) -> bool {
        let committed = self.take_committed(stage, judge);
        if !woken && !committed && !self.is_stirred() && stage.time < self.until {
            return false;
        }
        self.host.machine.unpark(self.reader.id(), stage.now());
        self.stirred = false;
        let now = stage.now();
        self.machine.handle_timeout(now);
        let pauses: Vec<_> = std::iter::from_fn(|| self.machine.poll_pause()).collect();
        let commit = if self.keeper.is_some() { None } else { self.machine.poll_commit(now) };
        self.draft(stage, judge);
        let room = self.machine.room();
        let due = self.machine.poll_timeout().map(|due| stage.time_of(due));
        self.settle(stage, judge);
        if self.machine.is_stopping() {
            self.begin_to_close(stage, judge);
            return true;
        }
        judge.turns(self.life);
        for (at, is_paused) in pauses {
            if is_paused || !self.slips(Slip::ResumeIsForgotten) {
                self.host.machine.set_paused(&at, is_paused, now);
            }
        }
        if let Some(offsets) = commit {
            let life = self.life;
            stage.note(|| format!("w{life} commits {offsets:?}"));
            judge.commit(life, &offsets, false, stage);
            let covers = |(at, position): (&TopicPartition, i64)| {
                offsets.get(at).is_some_and(|committed| committed.offset >= position)
            };
            let all = self.reader.positions().all(covers);
            self.reader.sync(&mut self.host.machine, all, now);
            self.commit = Some(self.host.machine.commit(Some(offsets), now));
        }
        self.until = due.map_or(stage.time + IDLE, |due| due.min(stage.time + IDLE));
        let again = self.receive(room, stage, judge)
            || self.until <= stage.time
            || matches!(self.commit, Some(Err(_)));
        // What has come about is looked at before the next call.
        self.stirred |= again;
        again
    }

    /// A call for records. Returns whether there is to be another at once.
    fn receive(&mut self, room: Option<usize>, stage: &mut Stage, judge: &mut Judge) -> bool {
        if !matches!(self.listening, Listening::Not) {
            return false;
        }
        let life = self.life;
        // Where nothing is asked for, rebalances are told all the same.
        let filter = room.map_or_else(|| Filter::Only(Default::default()), |_| Filter::All);
        let room = room.unwrap_or(1);
        match poll(&mut self.reader, &mut self.host.machine, &filter, room, stage.now()) {
            Ok(records) => {
                let mut next: BTreeMap<TopicPartition, CommittedOffset> =
                    records.next_offsets().map(|(at, next)| (at.clone(), next)).collect();
                for (at, records) in records.by_partition() {
                    let records: Vec<_> = records.collect();
                    let offsets: Vec<i64> = records.iter().map(|(_, _, span)| span.offset).collect();
                    stage.note(|| format!("w{life} is handed {at} offsets {offsets:?}"));
                    judge.arrive(life, at, &offsets, room, stage);
                    let (log, now) = (judge.logs.of(at), stage.now());
                    let arrivals = records.into_iter().map(|(block, bytes, span)| Arrival {
                        offset: span.offset,
                        leader_epoch: block.leader_epoch,
                        key: span.key.of(bytes),
                        bytes: SIZE,
                        due: log[&span.offset].due.map(|due| now.mono + due.saturating_sub(stage.time)),
                        patience: None,
                        work: (at.clone(), span.offset),
                    });
                    if let Some(next) = next.remove(at) {
                        self.machine.handle_arrived(at, arrivals, next, stage.now());
                    }
                    self.settle(stage, judge);
                }
                true
            }
            Err(Some(Look::Tell(callback))) => {
                self.tell(callback, stage, judge);
                true
            }
            // Brokers that close connections many times in a row look like a wrong port: the pump calls again.
            Err(Some(Look::Failed(ReadFailure::Connection(refused)))) if !refused.why.is_final() => true,
            Err(Some(look)) => {
                stage.violate("nothing fails for good", || format!("w{life}: {look:?}"));
                false
            }
            Err(None) => false,
        }
    }

    /// The commit that is under way may have ended.
    fn take_committed(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let Some(asked) = self.commit.take() else { return false };
        let ended = match asked {
            Err(failure) => Err(failure),
            Ok(op) => match self.host.machine.take_outcome(op) {
                None => {
                    self.commit = Some(Ok(op));
                    return false;
                }
                Some(ended) => ended.map(|_: Outcome| ()),
            },
        };
        let life = self.life;
        let end = match ended {
            Ok(()) => CommitEnd::Committed,
            Err(failure) => {
                stage.note(|| format!("w{life} has not committed: {failure:?}"));
                match is_too_large(&failure) {
                    true => CommitEnd::MetadataTooLarge,
                    false => CommitEnd::Failed,
                }
            }
        };
        let refused = end == CommitEnd::MetadataTooLarge;
        judge.committed(life, end == CommitEnd::Committed, refused, stage.time);
        let slips = self.slips(Slip::FailedCommitCounts);
        self.machine.handle_committed(if slips { CommitEnd::Committed } else { end }, stage.now());
        self.settle(stage, judge);
        true
    }
}
