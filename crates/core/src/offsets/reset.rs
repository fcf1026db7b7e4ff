//! Where reading begins when no offset says so.

use std::time::Duration;

use ottla_protocol::{Now, Timestamp};

use crate::planted::{Planted, Plot};

/// `auto.offset.reset`: where reading begins if there is no committed offset, or none that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResetPolicy {
    /// Read from the start of the log.
    Earliest,
    /// Read from the end of the log: the records that come from now on.
    #[default]
    Latest,
    /// Read from the first record that is no older than this (KIP-1106). The time is taken once, where Java takes
    /// it anew at each retry.
    ByDuration(Duration),
    /// Read nothing, and tell the user.
    None,
}

/// Where reading is to begin when the log has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// The log's start.
    Earliest,
    /// The log's end.
    Latest,
    /// The first record at or after this time; the end if there is none.
    Timestamp(Timestamp),
}

impl ResetPolicy {
    /// Where reading begins; `None` where the user is to be told. The time is taken here once; otherwise each retry
    /// would move it.
    pub(crate) fn at(self, plot: Plot, now: Now) -> Option<ResetTo> {
        match self {
            Self::Latest | Self::ByDuration(_) if plot.has(Planted::ResetGoesToTheBeginning) => {
                Some(ResetTo::Earliest)
            }
            Self::Earliest => Some(ResetTo::Earliest),
            Self::Latest => Some(ResetTo::Latest),
            Self::ByDuration(ago) => {
                let since = now.wall.0.saturating_sub(ago.as_millis() as i64);
                Some(ResetTo::Timestamp(Timestamp(since)))
            }
            Self::None => unset(plot),
        }
    }
}

/// Nowhere: the user is to be told.
fn unset(plot: Plot) -> Option<ResetTo> {
    plot.has(Planted::NoneResets).then_some(ResetTo::Earliest)
}

impl ResetTo {
    /// As ListOffsets asks for it.
    pub(super) fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(at) => at.0.max(0),
        }
    }
}
