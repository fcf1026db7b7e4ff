//! What a member has in common under both protocols: where it stands, what it wants, what it has, and in whose name it commits.

use std::collections::BTreeSet;

use super::Pattern;
use crate::ids::TopicPartition;

/// Where a member stands, as far as the rest of the consumer is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Out,
    /// On the way in, or in again.
    Joining,
    /// In the group, its assignment known.
    Member,
    Leaving,
    Failed,
}

/// What a member wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    /// With a pattern: the topics that match it, as far as they are known.
    pub(crate) topics: BTreeSet<String>,
    pub(crate) pattern: Option<Pattern>,
}

impl Interest {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.pattern.is_none()
    }

    pub(super) fn wants(&self, topic: &str) -> bool {
        self.topics.contains(topic) || self.pattern.as_ref().is_some_and(|pattern| pattern.matches(topic))
    }

    /// The same pattern asked for again still has the topics that were found to match.
    pub(super) fn after(self, before: &Self) -> Self {
        match self.pattern.is_some() && self.pattern == before.pattern {
            true => before.clone(),
            false => self,
        }
    }
}

/// The partitions that a member has now.
pub(crate) type Owned<'a> = &'a dyn Fn() -> Vec<TopicPartition>;

/// On whose behalf a commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    /// The generation, or the member epoch; -1 for nobody.
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}
