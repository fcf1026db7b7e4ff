//! What follows when a handler fails: another attempt, later, or the end of the record.

use std::{
    fmt,
    num::NonZeroU32,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use crate::{backoff::Backoff, deadline::bounded};

/// Which records wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// Each partition's records one after the other, different partitions in parallel.
    #[default]
    Partition,
    /// The records of one key of a partition one after the other, different keys in parallel. Records without a key wait for
    /// none, and none waits for them.
    Key,
    /// No record waits for another.
    Unordered,
}

/// How a handler that fails is called again for the same record, while the record keeps its place: those that are to come
/// after it wait. Default 5 attempts, the second 100 ms after the first has failed, then after twice as long each time, up to
/// 10 s, each wait moved by up to a fifth either way.
///
/// ```
/// # use ottla_core::processing as ottla;
/// # use std::time::Duration;
/// use ottla::RetryPolicy;
///
/// let patient = RetryPolicy::exponential(Duration::from_millis(100)..=Duration::from_secs(60))
///     .attempts(20)
///     .total(Duration::from_secs(600));
/// # assert_ne!(patient, RetryPolicy::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    backoff: Backoff,
    attempts: NonZeroU32,
    total: Option<Duration>,
}

impl RetryPolicy {
    /// Waits from the first to the last of these, twice as long each time. 5 attempts.
    pub const fn exponential(waits: RangeInclusive<Duration>) -> Self {
        let backoff = Backoff { first: bounded(*waits.start()), most: bounded(*waits.end()) };
        Self { backoff, attempts: NonZeroU32::MIN.saturating_add(4), total: None }
    }

    /// No record is tried twice.
    pub const fn none() -> Self {
        Self::exponential(Duration::ZERO..=Duration::ZERO).attempts(1)
    }

    /// How often a record is tried, the first time included. At least once. Default 5.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = match NonZeroU32::new(attempts) {
            Some(attempts) => attempts,
            None => NonZeroU32::MIN,
        };
        self
    }

    /// No attempt begins later than this after the first one did. Default no such bound.
    #[must_use]
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = Some(bounded(total));
        self
    }

    /// What follows a failure of `class`, the `attempts`-th of a record whose first attempt began at `first`.
    pub(super) fn verdict(
        &self,
        class: FailureClass,
        attempts: u32,
        first: Instant,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Verdict {
        if class == FailureClass::Fatal {
            return Verdict::Hopeless(WhyHopeless::Fatal);
        }
        if attempts >= self.attempts.get() {
            return Verdict::Hopeless(WhyHopeless::Attempts);
        }
        let next = now + self.backoff.after(attempts, rng);
        match self.total {
            Some(total) if next > first + total => Verdict::Hopeless(WhyHopeless::Time),
            _ => Verdict::Again(next),
        }
    }

    /// When a record is handed out again with which nothing came about so many times: it could not be given away, or a batch
    /// resolved nothing.
    pub(super) fn after_nothing(&self, times: u32, rng: &mut fastrand::Rng, now: Instant) -> Instant {
        // Also without retries it must not be a busy loop.
        let first = self.backoff.first.max(Duration::from_millis(100));
        now + Backoff { first, most: self.backoff.most.max(Duration::from_secs(10)) }.after(times, rng)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100)..=Duration::from_secs(10))
    }
}

/// Whether a failure may pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureClass {
    /// Another attempt may succeed.
    Retriable,
    /// No attempt can.
    Fatal,
}

/// What becomes of a record that is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnHopeless {
    /// The processor stops, with the record in its error. The record is not committed.
    #[default]
    Stop,
    /// It is logged and counts as done.
    Skip,
    /// It is given away, and counts as done once whoever took it says so; until then it keeps its place. If that fails it is
    /// handed out again.
    GiveAway,
}

/// Why a record is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyHopeless {
    /// Its failure is of the class [`FailureClass::Fatal`].
    Fatal,
    /// It was tried as often as [`RetryPolicy::attempts`] says.
    Attempts,
    /// The next attempt would begin later than [`RetryPolicy::total`] lets it.
    Time,
}

impl fmt::Display for WhyHopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fatal => "no attempt can succeed",
            Self::Attempts => "it has had all its attempts",
            Self::Time => "its time for attempts is over",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is tried again at this time.
    Again(Instant),
    Hopeless(WhyHopeless),
}
