//! Chance, from a seed.

use std::{ops::RangeInclusive, time::Duration};

/// The only source of what is left to chance.
#[derive(Debug, Clone)]
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Dice for one of many things in a seed, whatever becomes of the others.
    pub(crate) fn of(seed: u64, index: usize) -> Self {
        Self::new(seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Dice of their own for a part of the world, so that a change in one part does not change the others.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    pub(crate) fn offset(&mut self, range: RangeInclusive<i64>) -> i64 {
        self.0.i64(range)
    }

    pub(crate) fn time(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let (least, most) = (range.start().as_nanos() as u64, range.end().as_nanos() as u64);
        Duration::from_nanos(self.0.u64(least..=most))
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())].clone()
    }
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
