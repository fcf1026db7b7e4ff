//! What something took since it was last told: how often, together, and the longest.

use std::time::Duration;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Took {
    times: u32,
    together: Duration,
    longest: Duration,
}

impl Took {
    /// It took so long once more.
    pub(crate) fn add(&mut self, took: Duration) {
        self.join(Self { times: 1, together: took, longest: took });
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.times = self.times.saturating_add(other.times);
        self.together = self.together.saturating_add(other.together);
        self.longest = self.longest.max(other.longest);
    }

    /// What has gathered. Another window begins.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// In milliseconds; `None` where there was nothing.
    pub(super) fn average(self) -> Option<f64> {
        (self.times > 0).then(|| millis(self.together) / f64::from(self.times))
    }

    /// In milliseconds; `None` where there was nothing.
    pub(super) fn longest(self) -> Option<f64> {
        (self.times > 0).then(|| millis(self.longest))
    }
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
