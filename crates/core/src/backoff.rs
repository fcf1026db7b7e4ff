//! How long to wait before the next attempt: twice as long each time, up to a limit, with jitter (KIP-580).

use std::{
    fmt,
    sync::Arc,
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

/// Attempts at one thing: how often in a row it failed, why the last time, and when it is tried again. What has no trouble takes two words:
/// each of very many partitions has attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    start: Arc<Start>,
    trouble: Option<Box<Trouble>>,
}

/// What attempts begin with. Those that share it, and fail together, are tried again together.
#[derive(Debug)]
struct Start {
    backoff: Backoff,
    rng: fastrand::Rng,
}

/// What there is to tell of attempts that did not all go well.
#[derive(Debug)]
struct Trouble {
    failures: u32,
    error: Option<ErrorCode>,
    next: Option<Instant>,
    rng: fastrand::Rng,
}

impl Attempts {
    pub(crate) fn new(backoff: Backoff, rng: fastrand::Rng) -> Self {
        Self { start: Arc::new(Start { backoff, rng }), trouble: None }
    }

    /// Attempts at something of the same kind, which begin with the same.
    pub(crate) fn anew(&self) -> Self {
        Self { start: Arc::clone(&self.start), trouble: None }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.start.backoff
    }

    fn trouble(&mut self) -> &mut Trouble {
        let rng = &self.start.rng;
        let none = || Box::new(Trouble { failures: 0, error: None, next: None, rng: rng.clone() });
        self.trouble.get_or_insert_with(none)
    }

    /// An attempt failed with this error, or without an answer.
    pub(crate) fn failed(&mut self, error: impl Into<Option<ErrorCode>>, now: Now) {
        let backoff = self.backoff();
        let trouble = self.trouble();
        trouble.failures += 1;
        trouble.error = error.into();
        trouble.next = Some(now.mono + backoff.after(trouble.failures, &mut trouble.rng));
    }

    /// The next attempt waits a little, for a reason that has a back-off of its own, such as a lost connection.
    pub(crate) fn put_off(&mut self, now: Now) {
        self.put_off_by(self.backoff().first, now);
    }

    /// The next attempt waits for so long, though nothing failed.
    pub(crate) fn put_off_by(&mut self, wait: Duration, now: Now) {
        self.trouble().next = Some(now.mono + wait);
    }

    /// Notes an answer, an error or success (`None`), that does not put off the next attempt.
    pub(crate) fn note(&mut self, error: impl Into<Option<ErrorCode>>) {
        let error = error.into();
        if error.is_some() || self.trouble.is_some() {
            self.trouble().error = error;
        }
    }

    /// The next attempt need not wait.
    pub(crate) fn hurry(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.next = None;
        }
    }

    /// The thing is done, or given up.
    pub(crate) fn reset(&mut self) {
        self.trouble = None;
    }

    /// Whether nothing has failed yet.
    pub(crate) fn is_first(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.failures == 0)
    }

    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.next().is_none_or(|at| at <= now.mono)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.trouble.as_ref()?.next
    }

    pub(crate) fn error(&self) -> Option<ErrorCode> {
        self.trouble.as_ref()?.error
    }

    /// Whether this answer is another than the last: the log is told once of what is refused again and again.
    pub(crate) fn is_news(&self, error: ErrorCode) -> bool {
        self.error() != Some(error)
    }

    /// The failure and the next attempt, to be told where anything has gone wrong.
    pub(crate) fn retry(&self, now: Now) -> Option<Retry> {
        let Trouble { failures, error, next, .. } = **self.trouble.as_ref()?;
        let rest = next.map_or(Duration::ZERO, |at| at.saturating_duration_since(now.mono));
        (failures > 0 || error.is_some()).then_some(Retry { error, attempt: failures + 1, rest })
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
