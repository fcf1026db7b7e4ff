//! Idempotent producers, as one partition knows them (KIP-98): their epochs and last batches.

use std::collections::{BTreeMap, VecDeque};

use ottla_protocol::{
    DecodeError, ErrorCode, Now,
    codec::Reader,
    records::{BatchHeader, EndTxnMarker},
};

use crate::{
    Refusal,
    planted::{Planted, Plot},
    storage::{Kept, kept},
};

/// How many batches of a producer are remembered: as many as Kafka lets be in flight.
const REMEMBERED: usize = 5;

/// The producers that wrote to a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Producers(BTreeMap<i64, Producer>);

#[derive(Debug, Clone)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    last: VecDeque<Sequences>,
    /// The largest timestamp of its last batch, or the time of its last marker.
    pub(crate) last_timestamp: i64,
    /// Of the coordinator that wrote its last marker; -1 before the first.
    pub(crate) coordinator_epoch: i32,
}

#[derive(Debug, Clone)]
struct Sequences {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// What is to be done with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already, at this offset.
    Duplicate(i64),
}

impl Producers {
    /// Judges a batch before it is appended.
    pub(crate) fn check(&self, header: &BatchHeader, plot: Plot) -> Result<Verdict, Refusal> {
        if header.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.0.get(&header.producer_id) else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch < producer.epoch {
            if header.is_transactional() && plot.has(Planted::ZombieNotFenced) {
                return Ok(Verdict::Append);
            }
            let message = format!("the producer's epoch is {} by now", producer.epoch);
            return Err(Refusal::new(ErrorCode::InvalidProducerEpoch, &message));
        }
        let (first, last) = (header.base_sequence, last_sequence(header));
        if header.producer_epoch > producer.epoch {
            return if first == 0 { Ok(Verdict::Append) } else { Err(out_of_order(first, 0)) };
        }
        if let Some(same) = producer.last.iter().find(|known| (known.first, known.last) == (first, last)) {
            return Ok(Verdict::Duplicate(same.base_offset));
        }
        let expected = producer.last.back().map_or(0, |known| following(known.last, 1));
        if first == expected { Ok(Verdict::Append) } else { Err(out_of_order(first, expected)) }
    }

    /// Judges a marker that is to be written. Its epoch is that of what it ends, or is `raised` by the end.
    pub(crate) fn check_marker(&self, marker: &EndTxnMarker, raised: bool) -> Result<(), ErrorCode> {
        let Some(producer) = self.0.get(&marker.producer_id) else { return Ok(()) };
        if marker.producer_epoch < producer.epoch || (raised && marker.producer_epoch == producer.epoch) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        match marker.coordinator_epoch < producer.coordinator_epoch {
            true => Err(ErrorCode::TransactionCoordinatorFenced),
            false => Ok(()),
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, header: &BatchHeader, base_offset: i64) {
        if header.producer_id < 0 {
            return;
        }
        let producer = self.enter(header.producer_id, header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        if producer.last.len() == REMEMBERED {
            producer.last.pop_front();
        }
        let last = last_sequence(header);
        producer.last.push_back(Sequences { first: header.base_sequence, last, base_offset });
    }

    /// The marker of a producer's transaction was written. Where it is of a new epoch, sequences begin anew.
    pub(crate) fn ended(&mut self, marker: &EndTxnMarker, timestamp: i64) {
        let producer = self.enter(marker.producer_id, marker.producer_epoch);
        producer.last_timestamp = timestamp;
        producer.coordinator_epoch = marker.coordinator_epoch;
    }

    pub(crate) fn epoch_of(&self, producer_id: i64) -> Option<i16> {
        self.0.get(&producer_id).map(|producer| producer.epoch)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.0.iter().map(|(&id, producer)| (id, producer))
    }

    /// A producer, in this epoch.
    fn enter(&mut self, id: i64, epoch: i16) -> &mut Producer {
        let fresh = || Producer { epoch, last: VecDeque::new(), last_timestamp: -1, coordinator_epoch: -1 };
        let producer = self.0.entry(id).or_insert_with(fresh);
        if producer.epoch != epoch {
            (producer.epoch, producer.last) = (epoch, VecDeque::new());
        }
        producer
    }
}

impl Producer {
    /// The sequence number of its last record; -1 for none in this epoch.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.last.back().map_or(-1, |known| known.last)
    }
}

kept!(Sequences { first, last, base_offset });
kept!(Producer { epoch, last, last_timestamp, coordinator_epoch });

impl Kept for Producers {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        Kept::read(r, now).map(Self)
    }
}

fn out_of_order(found: i32, expected: i32) -> Refusal {
    let message = format!("sequence {found} where {expected} is next");
    Refusal::new(ErrorCode::OutOfOrderSequenceNumber, &message)
}

fn last_sequence(header: &BatchHeader) -> i32 {
    following(header.base_sequence, header.last_offset_delta)
}

/// The sequence number `by` after another; they wrap to 0.
fn following(sequence: i32, by: i32) -> i32 {
    sequence.checked_add(by).unwrap_or_else(|| sequence - (i32::MAX - by) - 1)
}
