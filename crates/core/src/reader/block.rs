//! Blocks: the memory that records are views of.

use std::sync::Arc;

use ottla_protocol::TopicId;

use super::inflated::Inflated;
use crate::{
    ids::{NodeId, TopicPartition},
    offsets::CommittedOffset,
};

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

/// Bytes that records are views of: a fetched frame, one batch of it that was decompressed, or a record's own.
#[derive(Debug)]
pub struct Block<F> {
    /// The partition.
    pub at: TopicPartition,
    /// The broker that it was fetched from.
    pub broker: NodeId,
    /// The topic's id; zero where brokers tell none.
    pub topic_id: TopicId,
    /// The epoch of the leader that appended the records, where the log tells it (KIP-320).
    pub leader_epoch: Option<i32>,
    pub(super) bytes: Bytes<F>,
}

#[derive(Debug)]
pub(super) enum Bytes<F> {
    Fetched(F),
    Inflated(Inflated),
    /// Of one record, copied.
    Own(Box<[u8]>),
}

impl<F> Block<F> {
    /// What to commit where the next offset to read is this one, behind records of the block.
    pub fn to_commit(&self, offset: i64) -> CommittedOffset {
        CommittedOffset::new(offset).with_leader_epoch(self.leader_epoch).of_topic(self.topic_id)
    }
}

#[cfg(ottla_fuzzing)]
impl<F> Block<F> {
    /// One of these bytes.
    pub(crate) fn fuzzed(at: TopicPartition, bytes: Vec<u8>) -> Self {
        let (broker, topic_id) = (NodeId(1), TopicId::default());
        Self { at, broker, topic_id, leader_epoch: None, bytes: Bytes::Own(bytes.into()) }
    }
}

impl<F: HoldsBytes> Block<F> {
    /// Another block of the same partition.
    pub(super) fn with(&self, bytes: Bytes<F>) -> Self {
        let Self { broker, topic_id, leader_epoch, .. } = *self;
        Self { at: self.at.clone(), broker, topic_id, leader_epoch, bytes }
    }

    /// How much memory a decompressed batch takes; 0 for anything else.
    pub(super) fn inflated_size(&self) -> usize {
        match &self.bytes {
            Bytes::Fetched(_) | Bytes::Own(_) => 0,
            Bytes::Inflated(inflated) => inflated.bytes.capacity(),
        }
    }

    /// The bytes in which the records' spans are places.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Fetched(frame) => frame.bytes(),
            Bytes::Inflated(inflated) => &inflated.bytes,
            Bytes::Own(bytes) => bytes,
        }
    }
}
