//! What handles records, and what it fails with.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    time::{Duration, SystemTime},
};

use ottla_core::{bounded, processing::FailureClass};

use super::{Outputs, spans::TraceContext, worker::Fell};
use crate::consumer::OwnedRecord;

pub(super) type Source = Box<dyn StdError + Send + Sync>;

/// A record to be handled, and which attempt at it this is. It has all that an [`OwnedRecord`] has.
#[derive(Debug, Clone)]
pub struct Message {
    record: OwnedRecord,
    attempt: u32,
    outputs: Option<Outputs>,
}

impl Message {
    pub(super) fn new(record: OwnedRecord, attempt: u32, outputs: Option<Outputs>) -> Self {
        Self { record, attempt, outputs }
    }

    /// What its handler writes to, where there are transactions.
    pub(super) fn outputs(&self) -> Outputs {
        let nowhere = || Outputs::new(self.record.topic_partition().clone(), 0);
        self.outputs.clone().unwrap_or_else(nowhere)
    }

    /// Which attempt at the record this is in this process: the first is 1. What an earlier process, or another member, has
    /// tried is not counted.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Which trace the record belongs to, where its headers tell.
    pub fn trace_context(&self) -> Option<TraceContext<'_>> {
        TraceContext::of(&self.record)
    }

    /// The record.
    pub fn record(&self) -> &OwnedRecord {
        &self.record
    }

    /// The record alone.
    pub fn into_record(self) -> OwnedRecord {
        self.record
    }
}

impl Deref for Message {
    type Target = OwnedRecord;

    fn deref(&self) -> &OwnedRecord {
        &self.record
    }
}

/// What a [`Handler`] returns.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + 'a>>;

/// Handles records: what [`Processor::each_message_by`](super::Processor::each_message_by) takes, also as a trait object. A
/// closure goes to [`Processor::each_message`](super::Processor::each_message).
///
/// ```no_run
/// use ottla::processor::{Handler, Handling, Message};
///
/// struct Prints;
///
/// impl Handler for Prints {
///     fn handle(&self, message: Message) -> Handling<'_> {
///         Box::pin(async move {
///             println!("{:?}", message.value());
///             Ok(())
///         })
///     }
/// }
///
/// let handler: std::sync::Arc<dyn Handler> = std::sync::Arc::new(Prints);
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles a record. What is returned is dropped before its end where it takes too long, or its partition is gone; a panic
    /// is caught, and counts as a failure. A handler that does not yield can be reported, and not ended: it belongs on a thread
    /// of its own, as by `tokio::task::spawn_blocking`.
    fn handle(&self, message: Message) -> Handling<'_>;
}

impl<H: Handler + ?Sized> Handler for std::sync::Arc<H> {
    fn handle(&self, message: Message) -> Handling<'_> {
        (**self).handle(message)
    }
}

/// A closure.
pub(super) struct Closure<F>(pub(super) F);

impl<F, Fut, E> Handler for Closure<F>
where
    F: Fn(Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<HandlerError>,
{
    fn handle(&self, message: Message) -> Handling<'_> {
        let handling = (self.0)(message);
        Box::pin(async move { handling.await.map_err(Into::into) })
    }
}

/// What a handler fails with. Any error becomes one by `?`, and counts as one that may pass; [`fatal`](Self::fatal) says that it
/// cannot.
#[derive(Debug)]
pub struct HandlerError {
    meaning: Meaning,
    source: Source,
}

/// What it means for the record, and for the processor.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Failed(FailureClass),
    DeferredUntil(SystemTime),
    /// No record can be handled any more.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only a service is ever broken"))]
    Broken,
}

impl HandlerError {
    /// Another attempt may succeed.
    pub fn retriable(error: impl Into<Source>) -> Self {
        Self { meaning: Meaning::Failed(FailureClass::Retriable), source: error.into() }
    }

    /// No attempt can succeed: there is no other.
    pub fn fatal(error: impl Into<Source>) -> Self {
        Self { meaning: Meaning::Failed(FailureClass::Fatal), source: error.into() }
    }

    /// The record's time has not come: it is handled again from this time on, by this machine's clock. This is no failure, and
    /// counts as no attempt. The record keeps its place meanwhile: those behind it in its line wait, all others go on, and it takes no
    /// place of the [`concurrency`](super::Processor::concurrency). It stays among what is
    /// [in flight](super::Processor::in_flight), and what is committed does not pass it.
    pub fn defer_until(time: SystemTime) -> Self {
        Self { meaning: Meaning::DeferredUntil(time), source: "its time has not come".into() }
    }

    /// It is no record's fault: nothing can be handled any more.
    #[cfg(feature = "tower")]
    pub(super) fn broken(self) -> Self {
        Self { meaning: Meaning::Broken, ..self }
    }

    /// As an error, for where one is asked for: this type is none, so that every error becomes one by `?`. What it says of the record is
    /// kept: `?` finds it again, also where another error has it as its source.
    pub fn into_error(self) -> Box<dyn StdError + Send + Sync> {
        Box::new(Meant(self))
    }

    /// What follows.
    pub(super) fn fell(self) -> Fell {
        match self.meaning {
            Meaning::Failed(class) => Fell::Failed(HandlerFailure::Error(class, self.source)),
            Meaning::DeferredUntil(time) => {
                Fell::Deferred(bounded(time.duration_since(SystemTime::now()).unwrap_or_default()))
            }
            Meaning::Broken => Fell::Broken(self.source),
        }
    }
}

impl<E: Into<Source>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let source: Source = error.into();
        match source.downcast::<Meant>() {
            Ok(meant) => meant.0,
            Err(source) => Self { meaning: Meant::within(&*source), source },
        }
    }
}

/// An error that says what it means. In a chain it is its source, and no link of its own.
#[derive(Debug)]
struct Meant(HandlerError);

impl Meant {
    /// What an error means that has one of these somewhere among its sources.
    fn within(error: &(dyn StdError + 'static)) -> Meaning {
        let mut sources = std::iter::successors(error.source(), |error| (*error).source());
        let meant = sources.find_map(|source| source.downcast_ref::<Self>());
        meant.map_or(Meaning::Failed(FailureClass::Retriable), |meant| meant.0.meaning)
    }
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}

impl StdError for Meant {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.source()
    }
}

/// How an attempt failed. Its text leaves out that of its `source()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerFailure {
    /// The handler returned an error.
    Error(FailureClass, Source),
    /// It panicked, with this text.
    Panicked(String),
    /// It took longer than [`Processor::handler_timeout`](super::Processor::handler_timeout).
    TimedOut(Duration),
}

impl HandlerFailure {
    /// Whether another attempt may succeed, where the program does not classify failures itself.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Error(class, _) => *class,
            Self::Panicked(_) | Self::TimedOut(_) => FailureClass::Retriable,
        }
    }
}

impl HandlerFailure {
    /// The handler's own error, where it has one.
    pub(super) fn told(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Error(_, source) => &**source,
            Self::Panicked(_) | Self::TimedOut(_) => self,
        }
    }
}

impl From<HandlerError> for HandlerFailure {
    fn from(error: HandlerError) -> Self {
        let class = match error.meaning {
            Meaning::Failed(class) => class,
            Meaning::DeferredUntil(_) | Meaning::Broken => FailureClass::Retriable,
        };
        Self::Error(class, error.source)
    }
}

impl fmt::Display for HandlerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(..) => f.write_str("the handler failed"),
            Self::Panicked(text) => write!(f, "the handler panicked: {text}"),
            Self::TimedOut(after) => write!(f, "the handler had not ended after {after:.1?}"),
        }
    }
}

impl StdError for HandlerFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Error(_, source) => Some(&**source),
            Self::Panicked(_) | Self::TimedOut(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Around(Source);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an order")
        }
    }

    impl StdError for Around {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn what_an_error_means_for_its_record_is_found_again_also_behind_another() {
        let is_fatal = |error: HandlerError| matches!(error.meaning, Meaning::Failed(FailureClass::Fatal));
        let fatal = || HandlerError::fatal("unreadable").into_error();
        assert!(is_fatal(fatal().into()) && is_fatal(Around(fatal()).into()));
        assert!(!is_fatal(Around(HandlerError::retriable("down").into_error()).into()));
        assert!(!is_fatal(Around("down".into()).into()));
        assert_eq!(HandlerError::from(Around(fatal())).source.to_string(), "an order");
        let later = HandlerError::defer_until(SystemTime::now()).into_error();
        assert!(matches!(HandlerError::from(later).meaning, Meaning::DeferredUntil(_)));
    }
}
