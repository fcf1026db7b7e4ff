//! Blocks: the memory that records are views of.

use std::sync::Arc;

use super::inflated::Inflated;
use crate::ids::{NodeId, TopicPartition};

/// Something that holds the bytes of a response.
pub trait HoldsBytes {
    /// All bytes of the response.
    fn bytes(&self) -> &[u8];
}

impl<T: HoldsBytes + ?Sized> HoldsBytes for Arc<T> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        (**self).bytes()
    }
}

/// Bytes that records are views of: a fetched frame, or one batch of it that was decompressed.
#[derive(Debug)]
pub struct Block<F> {
    /// The partition.
    pub at: TopicPartition,
    /// The broker that it was fetched from.
    pub broker: NodeId,
    /// The epoch of the leader that appended the records, where the log tells it (KIP-320).
    pub leader_epoch: Option<i32>,
    pub(super) bytes: Bytes<F>,
}

#[derive(Debug)]
pub(super) enum Bytes<F> {
    Fetched(F),
    Inflated(Inflated),
}

impl<F: HoldsBytes> Block<F> {
    /// Another block of the same partition.
    pub(super) fn with(&self, bytes: Bytes<F>) -> Self {
        Self { at: self.at.clone(), broker: self.broker, leader_epoch: self.leader_epoch, bytes }
    }

    /// How much memory a decompressed batch takes; 0 for a fetched frame.
    pub(super) fn inflated_size(&self) -> usize {
        match &self.bytes {
            Bytes::Fetched(_) => 0,
            Bytes::Inflated(inflated) => inflated.bytes.capacity(),
        }
    }

    /// The bytes in which the records' spans are places.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Fetched(frame) => frame.bytes(),
            Bytes::Inflated(inflated) => &inflated.bytes,
        }
    }
}
