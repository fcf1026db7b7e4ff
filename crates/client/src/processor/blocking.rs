//! Handlers that block: each runs on a thread, and cannot be ended.

use std::sync::Arc;

use ottla_core::caught;
use tracing::Span;

use super::{
    EachMessage, HandlerError, HandlerFailure, Message, Processor,
    worker::{Fell, Work},
};

/// A handler that blocks.
pub(super) type Blocking = Arc<dyn Fn(Message) -> Result<(), HandlerError> + Send + Sync>;

impl Processor {
    /// Handles each record by a closure that blocks, or computes, on a thread of the runtime's pool for such work
    /// (`tokio::task::spawn_blocking`), at most [`concurrency`](Self::concurrency) at once: for what computes, as many as there are
    /// processors. The pool has room for 512, and the whole program shares it.
    ///
    /// Nothing can end such a handler:
    /// - One that takes longer than [`handler_timeout`](Self::handler_timeout) is logged with its record and keeps its place. What it
    ///   returns at last counts, as no other attempt has begun.
    /// - One that has not ended when its partition goes, after the time to [`drain`](Self::drain), goes on while another member may
    ///   handle the same record. What it returns then counts for nothing.
    /// - One that has not ended when the processor does goes on, and holds up the end of the runtime.
    ///
    /// ```no_run
    /// # fn thumbnail(_: &[u8]) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn run(consumer: ottla::ConsumerBuilder) -> Result<(), ottla::ProcessError> {
    /// ottla::Processor::new(consumer)
    ///     .concurrency(4)
    ///     .each_message_blocking(|message| thumbnail(message.value().unwrap_or_default()))
    ///     .run()
    ///     .await
    /// # }
    /// ```
    pub fn each_message_blocking<E>(
        self,
        handler: impl Fn(Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> EachMessage
    where
        E: Into<HandlerError>,
    {
        let handler = move |message| handler(message).map_err(Into::into);
        EachMessage { processor: self, work: Work::Blocking(Arc::new(handler)) }
    }
}

/// Runs a handler on a thread, to its end; `None` where the runtime ends first. Dropped, the handler goes on.
pub(super) async fn on_a_thread(
    handler: &Blocking,
    message: Message,
    span: Span,
) -> Option<Result<(), Fell>> {
    let handler = handler.clone();
    let handled =
        tokio::task::spawn_blocking(move || span.in_scope(|| caught(|| handler(message)))).await.ok()?;
    Some(match handled {
        Ok(outcome) => outcome.map_err(HandlerError::fell),
        Err(panic) => Err(Fell::Failed(HandlerFailure::Panicked(panic))),
    })
}
