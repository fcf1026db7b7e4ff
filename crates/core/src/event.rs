//! What a consumer tells of its group: a bounded stream, of which the oldest is dropped when nobody listens.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::ids::TopicPartition;

/// How many events are kept for a user who does not look.
const KEPT: usize = 1024;

/// Something that happened to the consumer's membership.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The group is joined, and its generation known.
    Joined {
        /// The classic protocol's generation; the consumer protocol's member epoch.
        generation_id: i32,
        /// The member's id.
        member_id: String,
        /// How long it took from the moment at which the member set out; zero for an epoch that came by itself.
        took: Duration,
    },
    /// Partitions are new: under an eager group all that the member has. Empty where there is nothing new.
    Assigned(Vec<TopicPartition>),
    /// Partitions were given up in good order: what was delivered could be committed.
    Revoked(Vec<TopicPartition>),
    /// Partitions are gone without that.
    Lost(Vec<TopicPartition>),
    /// A rebalance waits: for the user to come back to `recv`, `poll` or `close`, for a commit, or for the listener.
    RevocationWaiting {
        /// Since when.
        since: Instant,
        /// When the partitions are lost instead.
        deadline: Instant,
        /// Whose records the user has in hand; empty where it waits for something else.
        held: Vec<TopicPartition>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: VecDeque<Event>,
    dropped: u64,
    /// For whoever waits to look up.
    fresh: bool,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(event);
        self.fresh = true;
    }

    /// Whether there were any since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.kept.pop_front()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
