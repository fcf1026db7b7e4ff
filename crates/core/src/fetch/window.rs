//! How far ahead of its readers a consumer fetches from a broker: as far as keeps them busy, and no further, whatever the
//! budget allows.
//!
//! A reader that has to wait for full responses may show that this is too little: over a long way, more bytes in a response
//! come faster. Or it is faster than the broker, and more ahead of it would take memory for nothing. So twice as much is
//! tried, and kept only where bytes do come faster.

use std::time::{Duration, Instant};

use ottla_protocol::Now;

/// How many responses of one size are compared with as many of another, the fastest with the fastest: the first ones of a
/// connection are slow, and on a busy machine most.
const SAMPLES: u32 = 8;
/// In bytes a second: a response that comes so fast keeps any reader busy. To try whether twice as much comes faster still would
/// take the memory of it.
const FAST_ENOUGH: u64 = 512 << 20;
/// What was no faster is tried again after so long, as ways change.
const TRIED_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Window {
    doublings: u32,
    /// How many full responses readers have waited for since the size changed.
    samples: u32,
    /// The fastest of those, in bytes a second.
    rate: u64,
    /// The fastest at half the size; zero where that was not measured.
    rate_before: u64,
    /// When twice as much was tried, and was no faster.
    no_faster: Option<Instant>,
}

impl Window {
    /// In bytes; `first` is what it begins with.
    pub(super) fn size(&self, first: usize) -> usize {
        first.saturating_mul(1 << self.doublings)
    }

    /// A response of `size` bytes came, after `took`, while a reader waited. It was allowed to be as large as the window.
    pub(super) fn was_awaited(&mut self, size: usize, first: usize, took: Duration, now: Now) {
        let window = self.size(first);
        if size < window - window / 4 {
            // This is all that there was.
            return;
        }
        let micros = took.as_micros().clamp(1, u64::MAX.into()) as u64;
        self.rate = self.rate.max((size as u64).saturating_mul(1_000_000) / micros);
        self.samples += 1;
        if self.samples < SAMPLES {
            return;
        }
        let rate = std::mem::take(&mut self.rate);
        self.samples = 0;
        if rate < self.rate_before + self.rate_before / 3 {
            self.doublings -= 1;
            self.rate_before = 0;
            self.no_faster = Some(now.mono);
        } else if rate < FAST_ENOUGH
            && self.no_faster.is_none_or(|tried| now.mono >= tried + TRIED_AGAIN)
            && self.doublings < 16
        {
            self.doublings += 1;
            self.rate_before = rate;
        }
    }
}
