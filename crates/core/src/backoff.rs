//! How long to wait before the next attempt: twice as long each time, up to a limit, with jitter (KIP-580).

use std::time::Duration;

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
