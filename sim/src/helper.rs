//! More readers of a member's, each with a user of his own who does nothing but read. They share the member's partitions
//! with its first reader, as threads of one program would.

use std::time::Duration;

use ottla_core::Reader;

use crate::{host::Frame, user::Told};

/// One of them.
pub(super) struct Helper {
    pub(super) reader: Reader<Frame>,
    /// `poll` with so many records; `None` for `recv`.
    pub(super) most: Option<usize>,
    pub(super) doing: Doing,
    pub(super) stamp: u64,
    /// Since when he has been out of every call.
    pub(super) away_since: Duration,
}

pub(super) enum Doing {
    /// Busy with what he has.
    Away,
    /// In a call.
    Reading,
    /// In the member's listener.
    Listening(Told),
    /// He was told that this is the end, or is gone with the member.
    Gone,
}

impl Helper {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.doing, Doing::Reading)
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.doing, Doing::Away)
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.doing, Doing::Listening(_))
    }
}
