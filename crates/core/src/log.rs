//! The targets of the events for an operator's log, and fields that several of them have.
//!
//! `docs/logs.md` is the table of all events. One is emitted where a state begins or ends: never for a record, a fetch or
//! an attempt that is made again. Its fields are only read where a subscriber wants it, so an event builds no text itself.

use std::fmt;

use ottla_protocol::ErrorCode;

use crate::ids::TopicPartition;

/// Connections to brokers: made, lost, back.
pub const CONNECTION: &str = "ottla::connection";
/// Topics that are asked for.
pub const METADATA: &str = "ottla::metadata";
/// The coordinator, and the membership in its group.
pub const GROUP: &str = "ottla::group";
/// Positions and commits.
pub const OFFSETS: &str = "ottla::offsets";
/// What brokers refuse to let a consumer fetch.
pub const FETCH: &str = "ottla::fetch";
/// What a user's interceptors do wrong.
pub const INTERCEPTOR: &str = "ottla::interceptor";
/// A producer's identity, and the batches that it gives up.
pub const PRODUCER: &str = "ottla::producer";
/// Records that a processor cannot handle.
pub const PROCESSING: &str = "ottla::processing";
/// Metrics that are pushed to brokers.
pub const TELEMETRY: &str = "ottla::telemetry";
/// What an admin client asked for in vain.
pub const ADMIN: &str = "ottla::admin";

/// A broker refuses what it was asked, and is asked again: `info` where the error passes by itself, else `warn`.
macro_rules! refused {
    ($target:expr, $api:expr, $error:expr $(, $($fields:tt)+)?) => {
        match $error.is_retriable() {
            true => tracing::info!(target: $target, api = ?$api, error = %$error, $($($fields)+,)? "refused"),
            false => tracing::warn!(target: $target, api = ?$api, error = %$error, $($($fields)+,)? "refused"),
        }
    };
}
pub(crate) use refused;

/// How many partitions an event names.
const MOST: usize = 100;

/// Partitions as an event's field: the first of them, and how many more there are.
#[derive(Debug)]
pub(crate) struct Listed<I>(pub(crate) I);

impl<'a, I: Iterator<Item = &'a TopicPartition> + Clone> fmt::Display for Listed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, at) in self.0.clone().take(MOST).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{at}")?;
        }
        match self.0.clone().skip(MOST).count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Partitions by the error that a broker answered: an event for each error, not for each partition.
#[derive(Debug)]
pub(crate) struct ByError {
    wanted: bool,
    found: Vec<(ErrorCode, Vec<TopicPartition>)>,
}

impl ByError {
    /// Gathers nothing where no subscriber wants the event.
    pub(crate) const fn new(wanted: bool) -> Self {
        Self { wanted, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, error: ErrorCode, at: &TopicPartition) {
        match self.found.iter_mut().find(|(known, _)| *known == error) {
            _ if !self.wanted => {}
            Some((_, partitions)) => partitions.push(at.clone()),
            None => self.found.push((error, vec![at.clone()])),
        }
    }

    pub(crate) fn tell(&self, event: impl Fn(ErrorCode, Listed<std::slice::Iter<'_, TopicPartition>>)) {
        for (error, partitions) in &self.found {
            event(*error, Listed(partitions.iter()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        fmt::{Debug, Write as _},
        sync::{Arc, Mutex, Once},
    };

    use tracing::{
        Metadata, Subscriber,
        field::{Field, Visit},
        span,
        subscriber::Interest,
    };

    use super::*;

    /// What the log is told in this thread, but for details: an event a line, its level first.
    pub(crate) fn told_while<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
        static AWAKE: Once = Once::new();
        AWAKE.call_once(|| drop(tracing::subscriber::set_global_default(Awake)));
        let ear = Ear::default();
        let result = tracing::subscriber::with_default(ear.clone(), run);
        let told = ear.0.lock().unwrap().clone();
        (result, told)
    }

    /// Hears nothing, and keeps each event's place interested. Otherwise a test that has no subscriber, in another thread, may
    /// have the place noted as one that nobody wants.
    struct Awake;

    impl Subscriber for Awake {
        fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
            Interest::sometimes()
        }

        fn enabled(&self, _: &Metadata<'_>) -> bool {
            false
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {}

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Ear {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("ottla::") && *metadata.level() <= tracing::Level::INFO
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = Line { text: event.metadata().level().to_string() };
            event.record(&mut line);
            self.0.lock().unwrap().push(line.text);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    struct Line {
        text: String,
    }

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            match field.name() {
                "message" => write!(self.text, " {value:?}").unwrap(),
                name => write!(self.text, " {name}={value:?}").unwrap(),
            }
        }
    }

    #[test]
    fn a_long_list_of_partitions_ends_with_how_many_more_there_are() {
        let parts: Vec<_> = (0..103).map(|number| TopicPartition::new("t", number)).collect();
        let text = Listed(parts.iter()).to_string();
        assert!(text.starts_with("t-0, t-1, ") && text.ends_with(", t-99 and 3 more"), "{text}");
        assert_eq!(Listed(parts[..2].iter()).to_string(), "t-0, t-1");
    }

    #[test]
    fn partitions_with_the_same_error_are_in_one_event() {
        let (mut wanted, mut unwanted) = (ByError::new(true), ByError::new(false));
        for errors in [&mut wanted, &mut unwanted] {
            for (number, error) in
                [ErrorCode::RequestTimedOut, ErrorCode::NotCoordinator].repeat(2).iter().enumerate()
            {
                errors.add(*error, &TopicPartition::new("t", number as i32));
            }
        }
        let told = |errors: &ByError| {
            let told = std::cell::RefCell::new(Vec::new());
            errors
                .tell(|error, partitions| told.borrow_mut().push(format!("{}: {partitions}", error.name())));
            told.into_inner()
        };
        assert_eq!(told(&wanted), ["REQUEST_TIMED_OUT: t-0, t-2", "NOT_COORDINATOR: t-1, t-3"]);
        assert!(told(&unwanted).is_empty());
    }
}
