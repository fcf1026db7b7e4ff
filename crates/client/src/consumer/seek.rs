//! Where a seek goes.

use ottla_core::{SeekTo, TopicPartition};
use ottla_protocol::Timestamp;

use super::Core;
use crate::{
    error::{Details as _, SeekError, SeekErrorKind},
    shared::Shared,
};

/// Where [`Consumer::seek`](super::Consumer::seek) goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekPosition {
    /// To this offset.
    Offset(i64),
    /// To the first record that is no older than this; to the end if there is none.
    Timestamp(Timestamp),
    /// To the start of the log.
    Beginning,
    /// To its end.
    End,
}

impl From<i64> for SeekPosition {
    fn from(offset: i64) -> Self {
        Self::Offset(offset)
    }
}

impl From<Timestamp> for SeekPosition {
    fn from(time: Timestamp) -> Self {
        Self::Timestamp(time)
    }
}

impl From<SeekPosition> for SeekTo {
    fn from(to: SeekPosition) -> Self {
        match to {
            SeekPosition::Offset(offset) => Self::Offset(offset),
            SeekPosition::Timestamp(at) => Self::Timestamp(at),
            SeekPosition::Beginning => Self::Beginning,
            SeekPosition::End => Self::End,
        }
    }
}

pub(super) fn seek(shared: &Shared<Core>, at: TopicPartition, to: SeekPosition) -> Result<(), SeekError> {
    if let SeekPosition::Offset(offset @ ..0) = to {
        return Err(SeekError::new(SeekErrorKind::InvalidOffset).partition(at).offset(offset));
    }
    match shared.with(|core, now| core.seek(&at, to.into(), now)) {
        true => Ok(()),
        false => Err(SeekError::new(SeekErrorKind::NotAssigned).partition(at)),
    }
}
