//! A record in a user's hands.

use std::sync::Arc;

use ottla_core::{Block, TopicPartition};
use ottla_protocol::records::RecordSpan;

use crate::host::Frame;

/// Kept as a user keeps it: it shares the memory that it lies in.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) at: TopicPartition,
    pub(crate) offset: i64,
    /// What the producer wrote.
    pub(crate) id: u64,
    /// About how many bytes of a batch it is.
    pub(crate) size: usize,
    block: Arc<Block<Frame>>,
    span: RecordSpan,
}

/// What a batch adds to a record's value, in a batch of several.
const BESIDE: usize = 24;

impl Handed {
    pub(crate) fn new(block: &Arc<Block<Frame>>, span: &RecordSpan) -> Self {
        let value = span.value.of(block.bytes()).unwrap_or_default();
        Self {
            at: block.at.clone(),
            offset: span.offset,
            id: id(value),
            size: value.len() + BESIDE,
            block: block.clone(),
            span: *span,
        }
    }

    /// What the producer wrote, as text.
    pub(crate) fn text(&self) -> String {
        let value = self.span.value.of(self.block.bytes()).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }

    /// Of the leader that appended it.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        self.block.leader_epoch
    }

    /// Whether it is still what it was when it was handed out.
    pub(crate) fn is_intact(&self) -> bool {
        id(self.span.value.of(self.block.bytes()).unwrap_or_default()) == self.id
    }
}

fn id(value: &[u8]) -> u64 {
    value.first_chunk().map_or(u64::MAX, |id| u64::from_be_bytes(*id))
}
