//! The user's interceptors: asked about each record that is sent, and told what became of it.

use std::{fmt, sync::Arc};

use ottla_core::producer::{Decided, Delivered};

use super::{ProducerRecord, RecordParts};
use crate::{error::SendError, interceptors::Guarded};

/// Sees each record before it is sent, and may send another in its place; and is told what became of it: for traces, audits and
/// headers that each record is to have. Java's `ProducerInterceptor`.
///
/// It is called without any lock of the producer's. Where none is set, a record costs nothing for it; where one is, each record is
/// copied before it is shown, as far as it is owned, and each that is decided is read once more.
///
/// **Panics** are caught, and the producer goes on, as Java's does, with the record as it was before. The first one of each
/// interceptor is logged.
///
/// ```no_run
/// use ottla::{Delivered, Producer, ProducerInterceptor, ProducerRecord, SendError, producer::RecordParts};
///
/// struct Trace;
///
/// impl ProducerInterceptor for Trace {
///     fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
///         record.header("trace", "af01")
///     }
///
///     fn on_acknowledgement(&self, record: &RecordParts<'_>, outcome: Result<&Delivered, &SendError>) {
///         if let Err(error) = outcome {
///             eprintln!("a record for {} is lost: {error}", record.topic);
///         }
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let producer = Producer::builder().bootstrap_servers("localhost:9092").interceptor(Trace).build().await?;
/// # Ok(())
/// # }
/// ```
pub trait ProducerInterceptor: Send + Sync + 'static {
    /// The record is about to be sent; what is returned is sent in its place, and shown to the next interceptor. Called in the task
    /// that sends, once for each `send`, and for each `try_send`: one that gives the record back gives it back as it was, and to
    /// send it later is to show it again.
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record
    }

    /// The record is delivered, or is not, and why: each record that was shown once, unless `try_send` gave it back, its `send` was
    /// dropped, or the producer's thread panicked. Records of a partition are told in their order.
    ///
    /// Called on the producer's thread, whose requests wait meanwhile: it should only note what it is told, and must not wait for
    /// the producer. Of a record that was not taken at all it is told in the task that sends. What [`close`](super::Producer::close)
    /// decides is told before that returns.
    fn on_acknowledgement(&self, _record: &RecordParts<'_>, _outcome: Result<&Delivered, &SendError>) {}
}

/// All interceptors, in the order in which they are asked.
#[derive(Clone, Default)]
pub(crate) struct Interceptors(Arc<Vec<Guarded<dyn ProducerInterceptor>>>);

impl Interceptors {
    pub(crate) fn add(&mut self, interceptor: impl ProducerInterceptor) {
        Arc::make_mut(&mut self.0).push(Guarded::new(Arc::new(interceptor)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn on_send<'a>(&self, mut record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        for interceptor in &*self.0 {
            let shown = record.clone();
            if let Some(returned) = interceptor.tell("on_send", |told| told.on_send(shown)) {
                record = returned;
            }
        }
        record
    }

    pub(super) fn on_refused(&self, record: &ProducerRecord<'_>, error: &SendError) {
        self.tell(&record.parts(), Err(error));
    }

    /// All records of a batch.
    pub(super) fn on_decided(&self, batch: &Decided) {
        let error = batch.failure().map(|failure| SendError::from(failure.clone()));
        for (record, delivered) in batch.records() {
            let parts = RecordParts {
                topic: &batch.at.topic,
                partition: Some(batch.at.partition),
                key: record.key,
                value: record.value,
                headers: record.headers().filter_map(Result::ok).collect(),
                timestamp: ottla_protocol::Timestamp::from_wire(record.timestamp),
            };
            match (&delivered, &error) {
                (Some(delivered), _) => self.tell(&parts, Ok(delivered)),
                (None, Some(error)) => self.tell(&parts, Err(error)),
                (None, None) => {}
            }
        }
    }

    fn tell(&self, record: &RecordParts<'_>, outcome: Result<&Delivered, &SendError>) {
        for interceptor in &*self.0 {
            interceptor.tell("on_acknowledgement", |told| told.on_acknowledgement(record, outcome));
        }
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}
