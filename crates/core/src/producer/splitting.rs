//! Batches that a broker refuses as too large, as Java splits them. A topic's `max.message.bytes` is of the compressed batch, and no
//! answer tells it. So what is refused is halved, and the topic's next batches are no larger than such a half: what was refused
//! once need not be refused for each batch.
//!
//! A broker appends nothing of what it refuses, so the pieces have the sequence numbers that the batch had. One hazard remains: a
//! broker that has appended a batch at an earlier attempt, whose answer was lost, knows it again as a whole, but not its pieces.
//! If the topic's limit was lowered meanwhile, it refuses first the batch, and then the pieces, as out of order. They are not sent
//! under another epoch then, which would append them once more, but fail.

use ottla_protocol::{ErrorCode, messages::ProducePartitionResponse, records::BatchHeader};

use super::{
    Batch, Producer, SendFailure,
    accumulator::{Doubt, PieceId},
    sending::Part,
};
use crate::{cause::Cause, log, words};

impl<F> Producer<F> {
    fn batch(&mut self, part: Part) -> Option<&mut Batch> {
        self.queues.get_mut(part.queue)?.batch(part.batch)
    }

    /// Whether there is more than one record, and somebody still waits for them.
    pub(super) fn is_divisible(&mut self, part: Part) -> bool {
        self.batch(part).is_some_and(|batch| batch.count() > 1)
    }

    /// A broker refused a batch as too large. Its halves go in its place, and that attempt does not count.
    pub(super) fn split_refused(&mut self, part: Part) {
        let Some(batch) = self.batch(part) else { return };
        (batch.in_flight, batch.attempts) = (false, batch.attempts.saturating_sub(1));
        let half = batch.size().saturating_add(BatchHeader::SIZE).div_ceil(2);
        let limit = self.learn_limit(part.queue, half);
        self.split(part, limit);
    }

    /// Batches of the queue's topic are to be no larger. Returns the least limit that is known.
    fn learn_limit(&mut self, queue: usize, limit: usize) -> usize {
        let topic = self.queues.get(queue).map(|queue| queue.topic);
        let Some(topic) = topic.and_then(|topic| self.topics.get_mut(topic)) else { return limit };
        match topic.max_batch {
            Some(known) if known <= limit => known,
            _ => {
                topic.max_batch = Some(limit);
                let name = topic.name.as_str();
                tracing::info!(target: log::PRODUCER, topic = name, limit, "smaller batches");
                limit
            }
        }
    }

    /// Splits a batch that is about to be sent, if it is larger than its topic takes. One that a broker may have is sent as it was.
    /// The first piece goes by the same id.
    pub(super) fn fit(&mut self, part: Part) {
        let topic = self.queues.get(part.queue).and_then(|queue| self.topics.get(queue.topic));
        let Some(limit) = topic.and_then(|topic| topic.max_batch) else { return };
        let too_large = |batch: &mut Batch| batch.size() > limit && batch.doubt == Doubt::None;
        if self.is_divisible(part) && self.batch(part).is_some_and(too_large) {
            self.split(part, limit);
        }
    }

    fn split(&mut self, part: Part, limit: usize) {
        let Some(batch) = self.batch(part) else { return };
        let (outcome, before) = (batch.outcome.clone(), batch.size());
        let Some(pieces) = batch.split(limit) else { return };
        let after: usize = pieces.iter().map(Batch::size).sum();
        self.buffered = (self.buffered + after).saturating_sub(before);
        let firsts: Vec<i32> = pieces.iter().map(|piece| piece.records().start).collect();
        self.outcomes.split(&outcome, &firsts);
        if let Some(queue) = self.queues.get_mut(part.queue) {
            queue.replace(part.batch, pieces);
        }
    }

    /// Whether this is a piece of a batch that the broker may have as a whole.
    pub(super) fn may_be_there_in_whole(&mut self, part: Part) -> bool {
        self.is_first(part) && self.batch(part).is_some_and(|batch| batch.doubt == Doubt::Whole)
    }

    /// Fails a piece, and those behind it of the same batch.
    pub(super) fn fail_pieces(&mut self, part: Part, answer: &ProducePartitionResponse) {
        let Some(batch) = self.batch(part).map(|batch| batch.id) else { return };
        let Some(queue) = self.queues.get(part.queue) else { return };
        let pieces: Vec<PieceId> =
            queue.batches.iter().filter(|piece| piece.id == batch).map(Batch::piece).collect();
        for piece in pieces {
            let Some(at) = self.name_of(part.queue) else { return };
            let (error, message) = (answer.error_code, answer.error_message.clone().map(words::heard));
            let failure = SendFailure::Refused { at, error, message };
            self.finish(Part { queue: part.queue, batch: piece }, Err(failure));
        }
    }
}

/// Whether a batch that was answered in this way is not in the log for it.
pub(super) const fn appends_nothing(cause: &Cause) -> bool {
    use ErrorCode as Code;
    matches!(
        cause,
        Cause::Broker {
            address: Some(_),
            error: Code::OutOfOrderSequenceNumber
                | Code::UnknownProducerId
                | Code::NotEnoughReplicas
                | Code::ConcurrentTransactions
        }
    )
}
