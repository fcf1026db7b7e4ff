//! Conditions with deadlines, instead of sleeps that hope.

use std::fmt;
use std::time::{Duration, Instant};

const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A condition did not come true in time.
#[derive(Debug, Clone)]
pub struct TimedOut {
    what: String,
    within: Duration,
}

impl TimedOut {
    pub(crate) fn new(what: impl Into<String>, within: Duration) -> Self {
        Self { what: what.into(), within }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not within {:?}: {}", self.within, self.what)
    }
}

impl std::error::Error for TimedOut {}

/// Waits until `condition` holds; `what` names it in the error.
pub fn until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), TimedOut> {
    until_some(within, what, || condition().then_some(()))
}

/// Waits until `find` finds something; `what` names it in the error.
pub fn until_some<T>(
    within: Duration,
    what: &str,
    mut find: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        // Read before the try: a try that begins before the deadline counts, however long it takes.
        let expired = start.elapsed() >= within;
        match find() {
            Some(found) => return Ok(found),
            None if expired => return Err(TimedOut::new(what, within)),
            None => std::thread::sleep(BETWEEN_TRIES),
        }
    }
}
