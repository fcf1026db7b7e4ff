//! Workers: each takes one job after the other.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use ottla_core::{
    TopicPartition, caught,
    processing::{CancelReason, Ended, FailureClass, JobId},
};
use tracing::Span;

use super::{
    Batch, BatchHandler, Classify, Handler, HandlerError, HandlerFailure, Handling, Message, Outcome,
    ProcessorEvent,
    blocking::{Blocking, on_a_thread},
    engine::{Cancel, Engine, Taken, WorkEnded},
    events::Watchers,
    handler::Source,
    spans,
};
use crate::net::clock;

/// What there is to do with what is taken.
#[derive(Clone)]
pub(super) enum Work {
    Message(Arc<dyn Handler>),
    Blocking(Blocking),
    Batch { handler: Arc<dyn BatchHandler>, most: usize, auto_resolve: bool },
}

impl Work {
    /// How many records a batch has at the most, where there are batches.
    pub(super) fn batches(&self) -> Option<usize> {
        match self {
            Self::Message(_) | Self::Blocking(_) => None,
            Self::Batch { most, .. } => Some(*most),
        }
    }
}

/// Why a record is not done though its handler has ended.
pub(super) enum Fell {
    Failed(HandlerFailure),
    /// Its time has not come, for so long.
    Deferred(Duration),
    /// No record can be handled any more.
    Broken(Source),
}

/// What all workers have in common.
#[derive(Clone)]
pub(super) struct Trade {
    pub(super) engine: Arc<Engine>,
    pub(super) work: Work,
    pub(super) classify: Option<Classify>,
    pub(super) timeout: Duration,
    pub(super) group: Arc<str>,
}

/// Works until there is nothing more to do.
pub(super) async fn work(trade: Trade) {
    let (seat, cancel) = trade.engine.seat();
    let mut ended = None;
    while let Some(taken) = trade.engine.next(ended.take(), seat).await {
        let mut attempt = pin!(trade.attempt(taken, &cancel));
        let mut is_first = true;
        let attempted = poll_fn(|cx| {
            let polled = attempt.as_mut().poll(cx);
            if polled.is_pending() && std::mem::take(&mut is_first) {
                trade.engine.waits(seat);
            }
            polled
        });
        ended = attempted.await;
    }
}

impl Trade {
    async fn attempt(&self, taken: Taken, cancel: &Cancel) -> Option<WorkEnded> {
        let watched = Watched::new(&self.engine.watchers, &taken);
        let mut outputs = self.engine.outputs(taken.partition());
        // The service failed, and not the record: that is told, and counts for nothing.
        let mut is_broken = false;
        let (id, ended) = match (taken, &self.work) {
            (Taken::Message(job), Work::Message(handler)) => {
                let message = Message::new(job.work, job.attempt, outputs.clone());
                let span = spans::of_message(&self.group, &message);
                let begin = || handler.handle(message);
                (job.id, self.handled(job.id, cancel, &span, &mut is_broken, begin).await)
            }
            (Taken::Message(job), Work::Blocking(handler)) => {
                let message = Message::new(job.work, job.attempt, outputs.clone());
                let span = spans::of_message(&self.group, &message);
                // It cannot be told to end: what it comes to is what counts.
                let ended = match on_a_thread(handler, message, span.clone()).await {
                    Some(Ok(())) => Ended::Done,
                    Some(Err(fell)) => self.fell(fell, &span, &mut is_broken),
                    None => Ended::Cancelled,
                };
                (job.id, ended)
            }
            (Taken::Batch(batch, high_watermark), Work::Batch { handler, auto_resolve, .. }) => {
                let (id, engine) = (batch.id, self.engine.clone());
                let outputs = outputs.take();
                let batch = Batch {
                    records: batch.works,
                    id,
                    attempt: batch.attempt,
                    high_watermark,
                    engine,
                    outputs: outputs.clone(),
                };
                let span = spans::of_batch(&self.group, &batch);
                let begin = || handler.handle(batch);
                let ended = self.handled(id, cancel, &span, &mut is_broken, begin).await;
                if matches!(ended, Ended::Done) && *auto_resolve {
                    self.engine.resolve(id, i64::MAX, outputs.as_ref());
                }
                (id, ended)
            }
            // The engine takes what there is work for.
            (Taken::Message(_), Work::Batch { .. })
            | (Taken::Batch(..), Work::Message(_) | Work::Blocking(_)) => return None,
        };
        if let Some(watched) = watched {
            watched.ended(&self.engine.watchers, &ended, is_broken);
        }
        Some(WorkEnded { job: id, ended, outputs })
    }

    /// Runs a handler to its end, or until it is told to end.
    async fn handled<'a>(
        &self,
        id: JobId,
        cancel: &Cancel,
        span: &Span,
        is_broken: &mut bool,
        begin: impl FnOnce() -> Handling<'a>,
    ) -> Ended<HandlerFailure> {
        let mut handling = match span.in_scope(|| caught(begin)) {
            Ok(handling) => handling,
            Err(panic) => return self.failed(HandlerFailure::Panicked(panic), span),
        };
        let mut cancelled = pin!(cancel.cancelled(id));
        let mut is_first = true;
        let outcome = poll_fn(|cx| {
            // Most handlers never need to be told: of those that are ready at once nobody listens.
            if !is_first && let Poll::Ready(reason) = cancelled.as_mut().poll(cx) {
                return Poll::Ready(Err(reason));
            }
            match span.in_scope(|| caught(|| handling.as_mut().poll(cx))) {
                Ok(Poll::Pending) if std::mem::take(&mut is_first) => cancelled.as_mut().poll(cx).map(Err),
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome.map_err(HandlerError::fell))),
                Err(panic) => Poll::Ready(Ok(Err(Fell::Failed(HandlerFailure::Panicked(panic))))),
            }
        });
        let outcome = outcome.await;
        // What it drops may panic, too, and is to be gone before the record counts as ended.
        let dropped = span.in_scope(|| caught(|| drop(handling)));
        let dropped = dropped.map_err(|panic| Fell::Failed(HandlerFailure::Panicked(panic)));
        match outcome.map(|outcome| outcome.and(dropped)) {
            Ok(Ok(())) => Ended::Done,
            Ok(Err(fell)) => self.fell(fell, span, is_broken),
            Err(CancelReason::TimedOut) => self.failed(HandlerFailure::TimedOut(self.timeout), span),
            Err(CancelReason::Gone) => Ended::Cancelled,
        }
    }

    fn fell(&self, fell: Fell, span: &Span, is_broken: &mut bool) -> Ended<HandlerFailure> {
        match fell {
            Fell::Failed(failure) => self.failed(failure, span),
            Fell::Deferred(time) => Ended::Deferred(time),
            Fell::Broken(source) => {
                *is_broken = true;
                let failure = HandlerFailure::Error(FailureClass::Retriable, source);
                self.class(&failure, span);
                if let HandlerFailure::Error(_, source) = failure {
                    self.engine.breaks(source);
                }
                Ended::Cancelled
            }
        }
    }

    fn failed(&self, failure: HandlerFailure, span: &Span) -> Ended<HandlerFailure> {
        Ended::Failed(self.class(&failure, span), failure)
    }

    fn class(&self, failure: &HandlerFailure, span: &Span) -> FailureClass {
        spans::failed(span, failure);
        match &self.classify {
            Some(classify) => caught(|| classify(failure)).unwrap_or(FailureClass::Fatal),
            None => failure.class(),
        }
    }
}

/// An attempt that is told of.
struct Watched {
    at: TopicPartition,
    offset: i64,
    records: usize,
    attempt: u32,
    since: Instant,
}

impl Watched {
    /// Tells that it begins, where anybody watches.
    fn new(watchers: &Watchers, taken: &Taken) -> Option<Self> {
        if !watchers.are_any() {
            return None;
        }
        let (records, attempt) = match taken {
            Taken::Message(job) => (std::slice::from_ref(&job.work), job.attempt),
            Taken::Batch(batch, _) => (&batch.works[..], batch.attempt),
        };
        let first = records.first()?;
        let (at, offset, records) = (first.topic_partition().clone(), first.offset(), records.len());
        watchers.tell(|| ProcessorEvent::Began { at: at.clone(), offset, records, attempt });
        Some(Self { at, offset, records, attempt, since: clock::now().mono })
    }

    fn ended<E>(self, watchers: &Watchers, ended: &Ended<E>, is_broken: bool) {
        let Self { at, offset, records, attempt, since } = self;
        let took = clock::now().mono.saturating_duration_since(since);
        let outcome = match ended {
            Ended::Done => Outcome::Done,
            Ended::Failed(..) => Outcome::Failed,
            Ended::Cancelled if is_broken => Outcome::Failed,
            Ended::Deferred(_) => Outcome::Deferred,
            Ended::Cancelled => Outcome::Cancelled,
        };
        watchers.tell(|| ProcessorEvent::Ended { at, offset, records, attempt, took, outcome });
    }
}
