//! What a reader does not see in records: a topic that is gone, and brokers that are.

use std::time::{Duration, Instant};

use ottla::Consumer;

use crate::failure::{Failure, tell};

/// How often to look.
const EVERY: Duration = Duration::from_millis(500);
/// How long a topic may be missing: brokers do not learn at the same moment that it was created.
const MISSING: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(super) struct Watch {
    looked: Instant,
    missing_since: Option<Instant>,
    last_record: Instant,
    told: bool,
    patience: Duration,
}

impl Watch {
    /// `patience`: how long nothing may come from brokers that cannot be reached, before that is told.
    pub(super) fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self { looked: now, missing_since: None, last_record: now, told: false, patience }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// An error where a topic is gone.
    pub(super) fn look(&mut self, consumer: &Consumer, records: bool) -> Result<(), Failure> {
        let now = Instant::now();
        if records {
            (self.last_record, self.told) = (now, false);
        }
        if now - self.looked < EVERY {
            return Ok(());
        }
        self.looked = now;
        let explanation = consumer.explain();
        let Some((topic, error)) = explanation.missing_topics.first() else {
            self.missing_since = None;
            if let Some((address, why)) = explanation.unreachable
                && !self.told
                && now - self.last_record >= self.patience
            {
                let waited = now - self.last_record;
                tell(format!("broker {address}: {why}; no record for {waited:.0?}; still trying"));
                self.told = true;
            }
            return Ok(());
        };
        if now - *self.missing_since.get_or_insert(now) < MISSING {
            return Ok(());
        }
        let why = format!("it is not there any more ({error}); create it again, or stop reading it");
        Err(Failure::failed(format!("topic `{topic}`: {why}")))
    }
}
