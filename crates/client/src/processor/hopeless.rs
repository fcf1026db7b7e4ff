//! Records that are not tried any more.

use std::{error::Error as StdError, fmt};

use ottla_core::processing::{self, WhyHopeless};

use super::HandlerFailure;
use crate::{
    consumer::OwnedRecord,
    error::{Details as _, ProcessError, ProcessErrorKind},
};

/// What becomes of a record that is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnHopeless {
    /// The processor stops, with the record in its error. The record is not committed: it is read again.
    #[default]
    Stop,
    /// It is logged, counts as done, and is committed as such: nobody handles it.
    Skip,
}

impl OnHopeless {
    pub(super) fn machine(self) -> processing::OnHopeless {
        match self {
            Self::Stop => processing::OnHopeless::Stop,
            Self::Skip => processing::OnHopeless::Skip,
        }
    }
}

/// A record that is not tried any more: the source of a [`ProcessError`]. The failure of its last attempt is its own.
#[derive(Debug)]
pub struct HopelessRecord {
    record: OwnedRecord,
    attempts: u32,
    why: WhyHopeless,
    failure: HandlerFailure,
}

impl HopelessRecord {
    /// The record.
    pub fn record(&self) -> &OwnedRecord {
        &self.record
    }

    /// How often it was tried in this process.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why it is not tried any more.
    pub fn why(&self) -> WhyHopeless {
        self.why
    }

    /// How its last attempt failed.
    pub fn failure(&self) -> &HandlerFailure {
        &self.failure
    }
}

impl fmt::Display for HopelessRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} failed, and {}", self.attempts, self.why)
    }
}

impl StdError for HopelessRecord {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.failure)
    }
}

impl ProcessError {
    /// The record that the processor stopped for, where it is one.
    pub fn hopeless(&self) -> Option<&HopelessRecord> {
        self.source()?.downcast_ref()
    }

    pub(super) fn stopped_for(stopped: processing::Hopeless<OwnedRecord, HandlerFailure>) -> Self {
        let processing::Hopeless { at, offset, work, attempts, why, error, .. } = stopped;
        let record = HopelessRecord { record: work, attempts, why, failure: error };
        Self::new(ProcessErrorKind::Record).partition(at).offset(offset).because(record)
    }
}
