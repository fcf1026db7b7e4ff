//! A `tower::Service` as a handler.

use std::{
    fmt,
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use tower_service::Service;

use super::{Batch, BatchHandler, Handler, HandlerError, Handling, Message};

/// A `tower::Service` that handles records, so that layers that exist are of use: time-outs, limits, tracing. It goes to
/// [`Processor::each_message_by`](super::Processor::each_message_by) as a service of [`Message`]s, to
/// [`Processor::each_batch_by`](super::Processor::each_batch_by) as one of [`Batch`]es. What it responds is dropped. Needs the feature
/// `tower`.
///
/// ```no_run
/// # async fn charge(_: ottla::processor::Message) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn run(consumer: ottla::ConsumerBuilder) -> Result<(), ottla::ProcessError> {
/// use std::time::Duration;
///
/// use ottla::{Processor, processor::ServiceHandler};
/// use tower::ServiceBuilder;
///
/// let service = ServiceBuilder::new()
///     .concurrency_limit(8)
///     .timeout(Duration::from_secs(5))
///     .service_fn(charge);
/// Processor::new(consumer).concurrency(64).each_message_by(ServiceHandler::new(service)).run().await
/// # }
/// ```
///
/// **Readiness.** Each record has a clone of the service, is called once that clone is ready, and keeps the clone until it ends. So
/// a layer must share among its clones what it limits, as `ConcurrencyLimit` does; one that has no clones, as `RateLimit`, goes behind a
/// `Buffer`. A record that waits for readiness is with its handler: it keeps its place, so that order holds; it takes a place of
/// [`concurrency`](super::Processor::concurrency); and its [`handler_timeout`](super::Processor::handler_timeout) runs. Receiving,
/// commits and rebalances go on meanwhile. No record waits before it was received: what is ready is not kept from others that share it.
///
/// **Failures.** An error of a call fails the record as that of any handler does, so it is tried again unless it is
/// [`fatal`](HandlerError::fatal). Layers such as `Timeout` make a boxed error of their service's:
/// [`HandlerError::into_error`] is one that says through all of them what it means for the record.
///
/// An error of `poll_ready` says, by tower's contract, that the service takes no calls any more, as a `Buffer` whose worker has panicked.
/// That is no record's fault: the processor drains, commits and stops with
/// [`ProcessErrorKind::Service`](crate::error::ProcessErrorKind::Service).
pub struct ServiceHandler<S>(Mutex<S>);

impl<S: Clone> ServiceHandler<S> {
    /// Has this service handle each record.
    pub fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    /// One for a record. The lock is for services that only one thread may look at, as those that are boxed.
    fn one(&self) -> S {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Calls a service once it is ready.
async fn called<S, R>(mut service: S, request: R) -> Result<(), HandlerError>
where
    S: Service<R>,
    S::Error: Into<HandlerError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| HandlerError::broken(error.into()))?;
    service.call(request).await.map(drop).map_err(Into::into)
}

impl<S> Handler for ServiceHandler<S>
where
    S: Service<Message> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<HandlerError>,
{
    fn handle(&self, message: Message) -> Handling<'_> {
        Box::pin(called(self.one(), message))
    }
}

impl<S> BatchHandler for ServiceHandler<S>
where
    S: Service<Batch> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<HandlerError>,
{
    fn handle(&self, batch: Batch) -> Handling<'_> {
        Box::pin(called(self.one(), batch))
    }
}

impl<S> fmt::Debug for ServiceHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceHandler").finish_non_exhaustive()
    }
}
