//! The next moment at which something is to be done.

use std::time::{Duration, Instant};

/// A time that somebody else names, or thirty years if it is longer: the end of a clock, where adding to it panics, is further off.
pub const fn bounded(time: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    if time.as_secs() < LONGEST.as_secs() { time } else { LONGEST }
}

/// Collects deadlines and keeps the earliest of those still to come.
///
/// A deadline that has passed is left out. Everything was tried at that moment, and work that could not be done
/// waits for an event and not for the time. Otherwise a machine that waits for a connection would be called again
/// at once, for ever.
#[derive(Debug, Clone, Copy)]
pub struct Earliest {
    after: Instant,
    at: Option<Instant>,
}

impl Earliest {
    /// Of the deadlines after `tried`, the moment at which everything was tried last.
    pub fn after(tried: Instant) -> Self {
        Self { after: tried, at: None }
    }

    /// One deadline.
    pub fn consider(&mut self, deadline: impl Into<Option<Instant>>) {
        if let Some(deadline) = deadline.into().filter(|deadline| *deadline > self.after) {
            self.at = Some(self.at.map_or(deadline, |at| at.min(deadline)));
        }
    }

    /// The moment at which everything was tried last.
    pub(crate) fn tried(&self) -> Instant {
        self.after
    }

    /// The earliest.
    pub fn get(self) -> Option<Instant> {
        self.at
    }
}
