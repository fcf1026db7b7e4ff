//! What a member's commit that is not answered yet says.

use ottla_core::TopicPartition;
use ottla_protocol::messages::{OffsetCommitResponse, OffsetCommitResponseTopic};

use crate::{stage::Who, truth::Truth};

/// An offset that was sent to be committed.
#[derive(Debug)]
struct Sent {
    at: TopicPartition,
    offset: i64,
    /// Once it is committed, what came of the seeks up to this one is.
    settles: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Commits {
    who: Who,
    /// Whose progress the member's is.
    group: String,
    under_way: Vec<Sent>,
}

impl Commits {
    pub(super) fn new(who: Who, group: &str) -> Self {
        Self { who, group: group.to_owned(), under_way: Vec::new() }
    }

    pub(super) fn are_done(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn sends(&mut self, at: TopicPartition, offset: i64, settles: Option<u64>) {
        self.under_way.push(Sent { at, offset, settles });
    }

    /// Nobody awaits what was sent any more, and it may yet be committed.
    pub(super) fn may_come_late(&mut self, truth: &mut Truth) {
        for Sent { at, offset, .. } in self.under_way.drain(..) {
            truth.progress(&self.group, &at).may_come_late(offset);
        }
    }

    /// What was sent is committed now, or never will be.
    pub(super) fn settle(&mut self, commit: &OffsetCommitResponse, truth: &mut Truth) {
        for Sent { at, settles, .. } in self.under_way.drain(..) {
            let is_it = |topic: &&OffsetCommitResponseTopic| {
                *topic.name == *at.topic || truth.topic_ids.get(&topic.topic_id) == Some(&at.topic)
            };
            let topic = commit.topics.iter().find(is_it);
            let partition =
                topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == at.partition));
            if let Some(serial) = settles.filter(|_| partition.is_some_and(|p| p.error_code.is_ok())) {
                truth.progress(&self.group, &at).settle(self.who, serial);
            }
        }
    }
}
