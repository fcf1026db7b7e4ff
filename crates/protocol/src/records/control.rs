//! Control records: what the log says to those who read it, in batches with the control bit. Users never see them.
//!
//! A consumer looks only for the end of transactions (KIP-98): [`EndTxnMarker`].

use super::{BatchBuilder, Compression, Compressor};
use crate::codec::{DecodeError, Reader};

/// What a control record is about; its key says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// A transaction ended and its records do not count.
    Abort,
    /// A transaction ended and its records count.
    Commit,
    /// Anything else, such as the records of Kafka's own Raft log.
    Other(i16),
}

impl ControlType {
    /// Reads the key of a control record: a version, the type, and in later versions perhaps more.
    pub fn decode(key: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(key);
        let _version = r.array::<2>().map_err(|error| error.in_field("control_version"))?;
        let id = r.array().map(i16::from_be_bytes).map_err(|error| error.in_field("control_type"))?;
        Ok(match id {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        })
    }

    /// The type's number.
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }
}

/// The end of a producer's transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// How it ended.
    pub control_type: ControlType,
    /// Whose transaction it was.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator that ended it.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The marker as a batch of its own, to be appended at `base_offset`.
    pub fn batch(&self, base_offset: i64, timestamp: i64) -> Vec<u8> {
        let mut key = [0; 4];
        let mut value = [0; 6];
        // Both begin with version 0.
        key[2..].copy_from_slice(&self.control_type.id().to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(Compression::None, 0).base_offset(base_offset);
        builder.set_producer(self.producer_id, self.producer_epoch, -1);
        builder.set_transactional();
        builder.set_control();
        builder.append(timestamp, Some(&key), Some(&value), []);
        builder.finish(&mut Compressor::new())
    }

    /// Reads the coordinator's epoch out of a marker's value.
    pub fn coordinator_epoch(value: &[u8]) -> Result<i32, DecodeError> {
        let mut r = Reader::new(value);
        let _version = r.array::<2>()?;
        r.array().map(i32::from_be_bytes).map_err(|error| error.in_field("coordinator_epoch"))
    }
}
