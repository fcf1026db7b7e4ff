//! What time it is: always an argument, never a clock that is read. The state machines of client and broker share it.

use std::time::{Duration, Instant};

/// Milliseconds since 1970, as records and brokers count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// The two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines: never goes back.
    pub mono: Instant,
    /// For timestamps: what people and brokers call the time.
    pub wall: Timestamp,
}

impl Now {
    /// The moment `by` later on both clocks.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self { mono: self.mono + by, wall: Timestamp(self.wall.0 + by.as_millis() as i64) }
    }
}
