//! Exactly once: what handlers write, what is given up, and how far was read, in one transaction.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ottla_core::TopicPartition;

use super::{Batch, EachBatch, EachMessage, HandlerError, Message, Processor};
use crate::{
    config::ProducerBuilder,
    error::{Details as _, SendError, SendErrorKind},
    producer::ProducerRecord,
};

/// What a record takes in memory beside its bytes, about.
const OVERHEAD: usize = 200;

/// What the producer adds to a record's bytes before it compares them with `max.request.size`.
const ENVELOPE: usize = 82;

/// What a handler writes to, in place of a producer: the records are a part of the transaction that commits the offset of the record
/// that they were made from.
///
/// They count only if the attempt succeeds, and then all of them: what an attempt wrote that failed, took too long or was dropped is
/// forgotten. So is what is written once the handler has ended. A clone writes to the same.
#[derive(Clone)]
pub struct Outputs(Arc<Shared>);

struct Shared {
    /// The partition whose records they are made from.
    at: TopicPartition,
    /// The most bytes that a record may have.
    most: usize,
    written: Mutex<Written>,
}

/// What was written, and about how many bytes that takes.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) records: Vec<ProducerRecord<'static>>,
    pub(super) bytes: usize,
}

impl Written {
    pub(super) fn push(&mut self, record: ProducerRecord<'static>) {
        self.bytes += OVERHEAD + size_of(&record);
        self.records.push(record);
    }
}

fn size_of(record: &ProducerRecord<'_>) -> usize {
    let parts = record.parts();
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = parts.headers.iter().map(|header| 10 + header.key.len() + length(header.value));
    length(parts.key) + length(parts.value) + headers.sum::<usize>()
}

impl Outputs {
    pub(super) fn new(at: TopicPartition, most: usize) -> Self {
        Self(Arc::new(Shared { at, most, written: Mutex::default() }))
    }

    /// Adds a record, which is sent, with all that the handler writes, once it has succeeded. It waits for nothing: what waits to be
    /// committed is [bounded](Processor::in_flight), and what one handler writes is not.
    ///
    /// # Errors
    ///
    /// [`SendErrorKind::TooLarge`]: it is larger than `max.request.size` of the producer, and is not added. What a broker refuses later is
    /// told by [`run`](EachMessage::run).
    pub fn push(&self, record: ProducerRecord<'_>) -> Result<(), SendError> {
        let size = ENVELOPE + size_of(&record);
        if size > self.0.most {
            let detail = format!("{size} bytes, of {} at the most", self.0.most);
            return Err(SendError::new(SendErrorKind::TooLarge).topic(record.topic()).detail(detail));
        }
        self.written().push(record.into_owned());
        Ok(())
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.0.at
    }

    /// What was written since this was last asked.
    pub(super) fn take(&self) -> Option<Written> {
        let written = std::mem::take(&mut *self.written());
        (!written.records.is_empty()).then_some(written)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.written().records.len();
        f.debug_struct("Outputs").field("at", &self.0.at).field("records", &count).finish()
    }
}

/// A processor of transactions: what [`Processor::transactional`] makes.
#[derive(Debug)]
#[must_use = "nothing is handled until it runs"]
pub struct TransactionalProcessor(Processor);

impl Processor {
    /// Exactly once: what handlers write to their [`Outputs`], dead letters, records for retry topics, and how far was read are
    /// committed in one transaction of this producer (KIP-447). Whoever reads by `read_committed` finds what was made of each record once,
    /// whatever is killed.
    ///
    /// The producer is built when the processor runs. It needs a
    /// [`transactional_id`](ProducerBuilder::transactional_id) of its own, which no other process has at the same time: a newer producer
    /// with the same id ends this processor. The consumer reads by
    /// [`read_committed`](crate::IsolationLevel::ReadCommitted), whatever it was told.
    ///
    /// ```no_run
    /// use ottla::{Consumer, HandlerError, Processor, Producer, ProducerRecord};
    ///
    /// # async fn run(ctrl_c: impl Future) -> Result<(), Box<dyn std::error::Error>> {
    /// let orders = Consumer::builder().bootstrap_servers("localhost:9092").group_id("billing").subscribe("orders");
    /// let producer = Producer::builder().bootstrap_servers("localhost:9092").transactional_id("billing-1");
    /// Processor::new(orders)
    ///     .transactional(producer)
    ///     .each_message(async |message, out| {
    ///         let bill = message.value().unwrap_or_default().to_ascii_uppercase();
    ///         out.push(ProducerRecord::to("bills").key(message.key()).value(bill))?;
    ///         Ok::<_, HandlerError>(())
    ///     })
    ///     .run_until(ctrl_c)
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// - **One transaction each [`commit_interval`](Self::commit_interval)**, with all records that are done by then. It is begun when it is
    ///   to be committed, so it is open no longer than that takes. Once what was written takes half as many bytes as may be
    ///   [in flight](Self::in_flight) it is committed at once; at as many, nothing is handed out until it is.
    /// - **Aborted** where a broker or the group is in the way, it is made anew with what was written, after a while: handlers are not
    ///   called again. Partitions that were lost meanwhile are left out, as their next owner handles those records.
    /// - **Killed**, or dropped, the processor leaves nothing behind that is read by `read_committed`: its records are handled again.
    ///   What a handler does besides is done again, too.
    /// - **A partition that is revoked** is committed first, when its handlers have ended.
    /// - Where a record is refused for good, as by a topic that is missing or takes no record so large, [`run`](EachMessage::run) ends
    ///   with [`ProcessErrorKind::Transaction`](crate::error::ProcessErrorKind::Transaction), and what it was made from is not committed.
    ///
    /// Of the other settings, [`deduplicate`](Self::deduplicate) is refused when it runs: what a store knows is in no transaction. A dead
    /// letter is not bounded by the producer's `max.request.size`.
    pub fn transactional(mut self, producer: ProducerBuilder) -> TransactionalProcessor {
        self.transactional = Some(producer);
        TransactionalProcessor(self)
    }
}

impl TransactionalProcessor {
    /// Handles each record by a closure, which writes to its [`Outputs`]. As [`Processor::each_message`].
    pub fn each_message<F, Fut, E>(self, handler: F) -> EachMessage
    where
        F: Fn(Message, Outputs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError> + 'static,
    {
        self.0.each_message(move |message| {
            let outputs = message.outputs();
            handler(message, outputs)
        })
    }

    /// Handles each record by a closure that blocks, or computes. As [`Processor::each_message_blocking`].
    pub fn each_message_blocking<E>(
        self,
        handler: impl Fn(Message, Outputs) -> Result<(), E> + Send + Sync + 'static,
    ) -> EachMessage
    where
        E: Into<HandlerError>,
    {
        self.0.each_message_blocking(move |message| {
            let outputs = message.outputs();
            handler(message, outputs)
        })
    }

    /// Handles the records that are in hand of a partition together, by a closure. As [`Processor::each_batch`].
    ///
    /// What is written belongs to the records that are resolved next, by [`Batch::resolve_offset`] or the handler's end. What was
    /// written and is not followed by any that are resolved is forgotten, as those records are handled again.
    pub fn each_batch<F, Fut, E>(self, handler: F) -> EachBatch
    where
        F: Fn(Batch, Outputs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<HandlerError> + 'static,
    {
        self.0.each_batch(move |batch| {
            let outputs = batch.outputs();
            handler(batch, outputs)
        })
    }
}
