//! How long to wait before the next attempt: twice as long each time, up to a limit, with jitter (KIP-580).

use std::{
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now};

/// The first wait and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer, jitter apart.
    pub most: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row: within 20 % of twice the one before.
    pub fn after(self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.most.max(self.first)).mul_f64(0.8 + 0.4 * rng.f64())
    }
}

/// Attempts at one thing: how often in a row it failed, why the last time, and when it is tried again.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) backoff: Backoff,
    failures: u32,
    error: Option<ErrorCode>,
    next: Option<Instant>,
    /// As it was before the first failure. Things that begin with the same and fail together are tried again together.
    fresh: fastrand::Rng,
    rng: fastrand::Rng,
}

impl Attempts {
    pub(crate) fn new(backoff: Backoff, rng: fastrand::Rng) -> Self {
        Self { backoff, failures: 0, error: None, next: None, fresh: rng.clone(), rng }
    }

    /// An attempt failed with this error, or without an answer.
    pub(crate) fn failed(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        self.failures += 1;
        self.error = error.into();
        self.next = Some(now.mono + self.backoff.after(self.failures, &mut self.rng));
    }

    /// The next attempt waits a little, for a reason that has a back-off of its own, such as a lost connection.
    pub(crate) fn put_off(&mut self, now: Now) {
        self.put_off_by(self.backoff.first, now);
    }

    /// The next attempt waits for so long, though nothing failed.
    pub(crate) fn put_off_by(&mut self, wait: Duration, now: Now) {
        self.next = Some(now.mono + wait);
    }

    /// Notes an answer, an error or success (`None`), that does not put off the next attempt.
    pub(crate) fn note(&mut self, error: impl Into<Option<ErrorCode>>) {
        self.error = error.into();
    }

    /// The next attempt need not wait.
    pub(crate) fn hurry(&mut self) {
        self.next = None;
    }

    /// The thing is done, or given up.
    pub(crate) fn reset(&mut self) {
        (self.failures, self.error, self.next) = (0, None, None);
        self.rng.clone_from(&self.fresh);
    }

    /// Whether nothing has failed yet.
    pub(crate) fn is_first(&self) -> bool {
        self.failures == 0
    }

    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.next.is_none_or(|at| at <= now.mono)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn error(&self) -> Option<ErrorCode> {
        self.error
    }

    /// Whether this answer is another than the last: the log is told once of what is refused again and again.
    pub(crate) fn is_news(&self, error: ErrorCode) -> bool {
        self.error != Some(error)
    }

    /// The failure and the next attempt, to be told where anything has gone wrong.
    pub(crate) fn retry(&self, now: Now) -> Option<Retry> {
        let rest = self.next.map_or(Duration::ZERO, |at| at.saturating_duration_since(now.mono));
        let troubled = self.failures > 0 || self.error.is_some();
        troubled.then_some(Retry { error: self.error, attempt: self.failures + 1, rest })
    }
}

/// Something went wrong, and is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Retry {
    /// The error that was answered; `None` where no answer came.
    pub error: Option<ErrorCode>,
    /// Which attempt is next, or under way: the first is 1.
    pub attempt: u32,
    /// How long it is until that attempt. Zero where it is under way or due, and where it waits for something other than
    /// the time: a connection, or an answer.
    pub rest: Duration,
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Some(error) => error.fmt(f)?,
            None => f.write_str("no answer")?,
        }
        match self.rest {
            Duration::ZERO => write!(f, "; attempt {} is due, or under way", self.attempt),
            rest => write!(f, "; attempt {} in {rest:.1?}", self.attempt),
        }
    }
}
