//! What time it is: always an argument, never a clock that is read. The state machines of client and broker share it.

use std::time::{Duration, Instant, SystemTime};

/// Milliseconds since 1970, as records and brokers count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub i64);

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self(millis)
    }
}

impl From<SystemTime> for Timestamp {
    /// To the millisecond before; what is further away than milliseconds can count is as far as they can.
    fn from(time: SystemTime) -> Self {
        let millis = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => {
                let before = before.duration();
                let part = i64::from(before.subsec_nanos() % 1_000_000 > 0);
                Self(millis(before).saturating_add(part).saturating_neg())
            }
        }
    }
}

impl Timestamp {
    /// As records and brokers have it on the wire, where -1 is none.
    pub fn from_wire(millis: i64) -> Option<Self> {
        (millis != -1).then_some(Self(millis))
    }

    /// As a time of the system's; `None` where it counts none as far away.
    pub fn system_time(self) -> Option<SystemTime> {
        let by = Duration::from_millis(self.0.unsigned_abs());
        match self.0 < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(by),
            false => SystemTime::UNIX_EPOCH.checked_add(by),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_time_is_a_timestamp_to_the_millisecond_before() {
        let epoch = SystemTime::UNIX_EPOCH;
        let micros = Duration::from_micros;
        for (time, millis) in
            [(epoch + micros(1_999), 1), (epoch, 0), (epoch - micros(1_000), -1), (epoch - micros(1_001), -2)]
        {
            assert_eq!(Timestamp::from(time), Timestamp(millis), "{time:?}");
        }
        assert_eq!(Timestamp(-2).system_time(), Some(epoch - Duration::from_millis(2)));
    }

    #[test]
    fn minus_one_is_no_time_on_the_wire_and_any_other_is_one() {
        assert_eq!([-1, 0, -2].map(Timestamp::from_wire), [None, Some(Timestamp(0)), Some(Timestamp(-2))]);
    }
}
