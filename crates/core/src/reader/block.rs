//! What records are views of.

use std::sync::Arc;

use super::inflated::Inflated;
use crate::ids::{NodeId, TopicPartition};

/// What holds the bytes of a response.
pub trait HoldsBytes {
    /// All of them.
    fn bytes(&self) -> &[u8];
}

impl<T: HoldsBytes + ?Sized> HoldsBytes for Arc<T> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        (**self).bytes()
    }
}

/// Bytes that records are views of: a fetched frame, or what one batch of it decompressed to.
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
    /// One of the same partition.
    pub(super) fn with(&self, bytes: Bytes<F>) -> Self {
        Self { at: self.at.clone(), broker: self.broker, leader_epoch: self.leader_epoch, bytes }
    }

    /// The memory of a decompressed batch.
    pub(super) fn inflated_size(&self) -> usize {
        match &self.bytes {
            Bytes::Fetched(_) => 0,
            Bytes::Inflated(inflated) => inflated.bytes.capacity(),
        }
    }

    /// What the records' spans are places in.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Fetched(frame) => frame.bytes(),
            Bytes::Inflated(inflated) => &inflated.bytes,
        }
    }
}
