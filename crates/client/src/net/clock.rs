//! The one place where the client reads its clocks. Everything below takes the time as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_protocol::{Now, Timestamp};

const MILLISECOND: Duration = Duration::from_millis(1);

/// What the wall's clock says until its millisecond is over by the other clock: one of them is read for each call, not both.
#[derive(Debug)]
pub(crate) struct Reading {
    wall: Timestamp,
    until: Instant,
}

impl Reading {
    /// Both clocks at this moment.
    pub(crate) fn new() -> Self {
        Self::at(Instant::now())
    }

    /// This moment.
    pub(crate) fn now(&mut self) -> Now {
        let mono = Instant::now();
        if mono >= self.until {
            *self = Self::at(mono);
        }
        Now { mono, wall: self.wall }
    }

    fn at(mono: Instant) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        let passed = Duration::from_nanos(u64::from(since_1970.subsec_nanos()) % 1_000_000);
        Self { wall: Timestamp(millis), until: mono + (MILLISECOND - passed) }
    }
}

/// Both clocks at this moment.
pub(crate) fn now() -> Now {
    let mono = Instant::now();
    Now { mono, wall: Reading::at(mono).wall }
}
