//! How the log is asked where reading is to begin.

use ottla_protocol::Timestamp;

use crate::{
    offsets::{OffsetAndTimestamp, ResetTo},
    planted::{Planted, Plot},
};

/// What the log is asked next.
///
/// A time that no record has come to means the end. Records that come between that answer and the one that tells the end must
/// not be skipped; so the log is asked for the time once more behind the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// Where this is.
    For(ResetTo),
    /// Where the log begins: it does not have the position that was to be read from.
    Start {
        /// The position.
        from: i64,
    },
    /// Where the end is: no record had come to this time.
    End { after: Timestamp },
    /// Whether a record has come to this time since `end` was the end.
    Again { after: Timestamp, end: i64 },
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Searched {
    /// Reading begins here; `at_end` where nothing is there yet.
    Found { offset: i64, leader_epoch: Option<i32>, at_end: bool },
    /// The log is to be asked this.
    Next(Search),
}

impl Search {
    /// The question.
    pub(crate) fn asks(self) -> ResetTo {
        match self {
            Self::For(to) => to,
            Self::Start { .. } => ResetTo::Earliest,
            Self::End { .. } => ResetTo::Latest,
            Self::Again { after, .. } => ResetTo::Timestamp(after),
        }
    }

    /// Whether the log has lost the position that was to be read from.
    pub(crate) fn is_for_lost_position(self) -> bool {
        matches!(self, Self::Start { .. })
    }

    /// No record is so late: where the log ends is where to look on.
    fn nothing_so_late(after: Timestamp, plot: Plot) -> Self {
        match plot.has(Planted::NothingSoLateMeansBeginning) {
            true => Self::For(ResetTo::Earliest),
            false => Self::End { after },
        }
    }

    /// The log answered; `None` where it has no such record.
    pub(crate) fn answered(self, found: Option<OffsetAndTimestamp>, plot: Plot) -> Searched {
        let at = |found: OffsetAndTimestamp, at_end| {
            let OffsetAndTimestamp { offset, leader_epoch, .. } = found;
            Searched::Found { offset, leader_epoch, at_end }
        };
        match (self, found) {
            (Self::End { after }, Some(end)) if !plot.has(Planted::NothingSoLateIsAskedOnce) => {
                Searched::Next(Self::Again { after, end: end.offset })
            }
            (Self::For(ResetTo::Latest) | Self::End { .. }, Some(end)) => at(end, true),
            (Self::For(_) | Self::Start { .. } | Self::Again { .. }, Some(record)) => at(record, false),
            (Self::Again { end, .. }, None) => {
                Searched::Found { offset: end, leader_epoch: None, at_end: true }
            }
            (Self::For(ResetTo::Timestamp(after)), None) => {
                Searched::Next(Self::nothing_so_late(after, plot))
            }
            (Self::For(_) | Self::Start { .. } | Self::End { .. }, None) => {
                Searched::Next(Self::For(ResetTo::Latest))
            }
        }
    }
}
