//! Idempotent producers, as one partition knows them (KIP-98): their epochs and last batches.

use std::collections::{BTreeMap, VecDeque};

use ottla_protocol::{ErrorCode, records::BatchHeader};

use crate::Refusal;

/// How many batches of a producer are remembered: as many as Kafka lets be in flight.
const REMEMBERED: usize = 5;

/// The producers that wrote to a partition.
#[derive(Debug, Default)]
pub(crate) struct Producers(BTreeMap<i64, Producer>);

#[derive(Debug)]
struct Producer {
    epoch: i16,
    last: VecDeque<Sequences>,
}

#[derive(Debug)]
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
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Verdict, Refusal> {
        if header.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.0.get(&header.producer_id) else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch < producer.epoch {
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

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, header: &BatchHeader, base_offset: i64) {
        if header.producer_id < 0 {
            return;
        }
        let fresh = || Producer { epoch: header.producer_epoch, last: VecDeque::new() };
        let producer = self.0.entry(header.producer_id).or_insert_with(fresh);
        if producer.epoch != header.producer_epoch {
            *producer = fresh();
        }
        if producer.last.len() == REMEMBERED {
            producer.last.pop_front();
        }
        let last = last_sequence(header);
        producer.last.push_back(Sequences { first: header.base_sequence, last, base_offset });
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
