//! A partition: who leads it, what it holds, and what of that is stable.

use std::collections::BTreeMap;

use ottla_protocol::{
    ErrorCode, Now,
    records::{self, BatchHeader, ControlType, EndTxnMarker, RecordWalk},
};

use crate::{
    Refusal,
    leader_epochs::LeaderEpochs,
    log::{Log, validate, whole},
    planted::{Planted, Plot},
    producers::{Producers, Verdict},
    transactions::Isolation,
};

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) leader_epochs: LeaderEpochs,
    pub(crate) replicas: Vec<i32>,
    /// The followers that have stopped to follow, and where the log of each ends.
    behind: BTreeMap<i32, i64>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
    pub(crate) isolation: Isolation,
}

/// What holds for an append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) log_append_time: bool,
    pub(crate) max_bytes: usize,
    pub(crate) plot: Plot,
}

/// What becomes of a batch.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// It is there already, at this offset.
    Duplicate(i64),
    /// It is to be appended, with the time of the append, where the topic keeps that; else -1.
    New { bytes: Vec<u8>, append_time: i64 },
}

impl Partition {
    pub(crate) fn new(replicas: Vec<i32>) -> Self {
        Self {
            leader: replicas.first().copied().unwrap_or(-1),
            leader_epoch: 0,
            leader_epochs: LeaderEpochs::default(),
            replicas,
            behind: BTreeMap::new(),
            log: Log::default(),
            producers: Producers::default(),
            isolation: Isolation::default(),
        }
    }

    /// What becomes of a batch that a producer sent. Whether a transactional one belongs to a transaction is the coordinator's
    /// to say.
    pub(crate) fn admit(&self, bytes: &[u8], rules: Rules, now: Now) -> Result<Admitted, Refusal> {
        let header = validate(bytes)?;
        if bytes.len() > rules.max_bytes {
            let message = format!("a batch of {} bytes, at most {} are taken", bytes.len(), rules.max_bytes);
            return Err(Refusal { code: ErrorCode::MessageTooLarge, message });
        }
        let verdict = self.producers.check(&header, rules.plot)?;
        if !header.is_transactional() && self.isolation.is_open(header.producer_id) {
            let message = "the producer has a transaction open here, and this batch is not of it";
            return Err(Refusal::new(ErrorCode::InvalidTxnState, message));
        }
        match verdict {
            Verdict::Duplicate(base_offset) if !rules.plot.has(Planted::DuplicateSequenceAppended) => {
                return Ok(Admitted::Duplicate(base_offset));
            }
            _ => {}
        }
        let mut bytes = bytes.to_vec();
        let mut append_time = -1;
        if rules.log_append_time {
            append_time = now.wall.0;
            // A validated batch has a whole header, so its fields can be set.
            let _ = records::set_log_append_time(&mut bytes, append_time);
        }
        Ok(Admitted::New { bytes, append_time })
    }

    /// Appends a batch that was admitted. None for one that cannot have been.
    pub(crate) fn append(&mut self, bytes: Vec<u8>) -> Option<()> {
        let header = whole(&bytes)?;
        let base_offset = self.log.append(bytes, &header, self.leader_epoch);
        self.producers.appended(&header, base_offset);
        // A marker begins nothing, whoever wrote it.
        if header.is_transactional() && !header.is_control() {
            self.isolation.begin(header.producer_id, base_offset);
        }
        Some(())
    }

    /// Writes the marker that ends a producer's transaction here, whether or not there is anything of it.
    pub(crate) fn end_transaction(&mut self, marker: &EndTxnMarker, plot: Plot, timestamp: i64) {
        let bytes = marker.batch(self.log.end_offset(), timestamp);
        let Ok(header) = BatchHeader::decode(&bytes) else { return };
        let offset = self.log.append(bytes, &header, self.leader_epoch);
        self.producers.ended(marker, timestamp);
        let listed = marker.control_type == ControlType::Abort && !plot.has(Planted::AbortedNotListed);
        self.isolation.end(marker.producer_id, offset, listed);
    }

    /// Whether the producer has a transaction open here, in this epoch.
    pub(crate) fn is_in_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        self.isolation.is_open(producer_id) && self.producers.epoch_of(producer_id) == Some(epoch)
    }

    /// The offset that what is committed or aborted ends at: that of the first record of the earliest transaction that is
    /// open, or the high watermark.
    pub(crate) fn last_stable_offset(&self, plot: Plot) -> i64 {
        match self.isolation.first_open() {
            Some(offset) if !plot.has(Planted::OpenTransactionsAreStable) => {
                offset.max(self.log.start_offset())
            }
            _ => self.log.end_offset(),
        }
    }

    /// Where what a client may read ends: with `committed`, at the last stable offset.
    pub(crate) fn readable_end(&self, committed: bool, plot: Plot) -> i64 {
        if committed { self.last_stable_offset(plot) } else { self.log.end_offset() }
    }

    /// Moves the log's start up to `offset`, as far as there is anything.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.log.delete_before(offset.min(self.log.end_offset()));
        self.isolation.delete_before(self.log.start_offset());
        self.leader_epochs.delete_before(self.log.start_offset());
    }

    /// Cuts the log at the batch that ends behind `offset`: what producers and transactions did from there on is forgotten. Returns
    /// where the log ends then.
    pub(crate) fn truncate(&mut self, offset: i64) -> i64 {
        let end = self.log.truncate(offset);
        self.leader_epochs.truncate(end);
        (self.producers, self.isolation) = (Producers::default(), Isolation::default());
        for bytes in self.log.batches() {
            let Ok(header) = BatchHeader::decode(bytes) else { continue };
            match marker(&header, bytes) {
                Some(marker) => {
                    self.producers.ended(&marker, header.max_timestamp);
                    let aborts = marker.control_type == ControlType::Abort;
                    self.isolation.end(marker.producer_id, header.base_offset, aborts);
                }
                None => {
                    self.producers.appended(&header, header.base_offset);
                    if header.is_transactional() {
                        self.isolation.begin(header.producer_id, header.base_offset);
                    }
                }
            }
        }
        end
    }

    /// Makes a broker its leader, -1 for none, in a new leader epoch.
    pub(crate) fn lead(&mut self, node: i32, plot: Plot) {
        self.leader = node;
        // There is one log, which each leader has to its end.
        self.behind.remove(&node);
        if !plot.has(Planted::LeaderEpochNotRaised) {
            self.leader_epoch += 1;
            self.leader_epochs.begin(self.leader_epoch, self.log.end_offset());
        }
        if node >= 0 && !self.replicas.contains(&node) {
            self.replicas.push(node);
        }
    }

    /// A follower stops to follow, or catches up.
    pub(crate) fn set_behind(&mut self, node: i32, behind: bool) {
        if !behind {
            self.behind.remove(&node);
        } else if self.leader != node && self.replicas.contains(&node) {
            self.behind.entry(node).or_insert(self.log.end_offset());
        }
    }

    /// Whether a follower has stopped to follow.
    pub(crate) fn is_behind(&self, node: i32) -> bool {
        self.behind.contains_key(&node)
    }

    /// Where the log of a replica ends: its high watermark, too, as followers that have stopped are not in sync.
    pub(crate) fn end_of(&self, node: i32) -> i64 {
        let end = self.log.end_offset();
        self.behind.get(&node).map_or(end, |behind| end.min(*behind))
    }

    /// The follower, of these nodes, that a client in their rack is to read `offset` from, if the leader is not there itself.
    pub(crate) fn nearest(&self, near: &[i32], offset: i64) -> Option<i32> {
        let serves = |node: &&i32| {
            let in_sync = self.replicas.contains(node) && !self.is_behind(**node);
            in_sync && (self.log.start_offset()..=self.end_of(**node)).contains(&offset)
        };
        if near.contains(&self.leader) { None } else { near.iter().find(serves).copied() }
    }

    /// As [`check_leader`](Self::check_leader), where followers serve, too.
    pub(crate) fn check_replica(&self, node: i32, believed_epoch: i32) -> Result<(), ErrorCode> {
        let follows = self.leader >= 0 && self.replicas.contains(&node);
        self.check_leader(if follows { self.leader } else { node }, believed_epoch)
    }

    /// Whether `node` leads this partition, in the epoch that a client believes in (-1: in any).
    pub(crate) fn check_leader(&self, node: i32, believed_epoch: i32) -> Result<(), ErrorCode> {
        if self.leader != node {
            Err(ErrorCode::NotLeaderOrFollower)
        } else if believed_epoch < 0 || believed_epoch == self.leader_epoch {
            Ok(())
        } else if believed_epoch < self.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }
}

/// The marker that a batch of the log is, if it is one.
fn marker(header: &BatchHeader, batch: &[u8]) -> Option<EndTxnMarker> {
    let records = batch.get(header.records_range(0)).filter(|_| header.is_control())?;
    let record = RecordWalk::new(header, records).next()?.ok()?;
    Some(EndTxnMarker {
        control_type: ControlType::decode(record.key?).ok()?,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        coordinator_epoch: EndTxnMarker::coordinator_epoch(record.value?).ok()?,
    })
}
