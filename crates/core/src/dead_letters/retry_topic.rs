//! Retry topics: records wait there until they are due.

use std::{fmt, time::Duration};

use ottla_protocol::Timestamp;

/// A topic whose records are handled again once they have been there for a while: `<topic>-retry-<milliseconds>`.
///
/// ```
/// # use ottla_core::dead_letters;
/// # use std::time::Duration;
/// use dead_letters::RetryTopic;
///
/// let minute = RetryTopic::new("orders", Duration::from_secs(60));
/// assert_eq!(minute.to_string(), "orders-retry-60000");
/// assert_eq!(RetryTopic::parse("orders-retry-60000"), Some(minute));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryTopic<'a> {
    topic: &'a str,
    millis: u64,
}

const BETWEEN: &str = "-retry-";

impl<'a> RetryTopic<'a> {
    /// The one of this topic and delay, which counts in whole milliseconds.
    pub fn new(topic: &'a str, delay: Duration) -> Self {
        Self { topic, millis: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) }
    }

    /// By its name; `None` for any other name, such as one whose number has a sign or begins with 0: each retry topic has one name.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (topic, digits) = name.rsplit_once(BETWEEN)?;
        let canonical = digits == "0" || !digits.starts_with(['0', '+']);
        let millis = digits.parse().ok().filter(|_| canonical && !topic.is_empty())?;
        Some(Self { topic, millis })
    }

    /// The topic that its records come from.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// How long a record waits.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// When a record with this timestamp, the time at which it was written, is due. A time that cannot be counted is the last
    /// that can.
    pub fn due(&self, written: Timestamp) -> Timestamp {
        Timestamp(written.0.saturating_add_unsigned(self.millis))
    }
}

impl fmt::Display for RetryTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{BETWEEN}{}", self.topic, self.millis)
    }
}
