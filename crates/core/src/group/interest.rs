//! What a member has in common under both protocols: where it stands, what it wants, what it has, and in whose name it commits.

use std::collections::BTreeSet;

use super::Pattern;
use crate::ids::TopicPartition;

/// A member's state under either protocol, as far as the rest of the consumer tells states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Out,
    /// On its way into the group, for the first time or again.
    Joining,
    /// In the group, its assignment known.
    Member,
    Leaving,
    Failed,
}

/// The topics that a member wants to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    /// The topics subscribed to. With a pattern: the topics that match it, as far as they are known.
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

    /// This interest in place of `before`. If the pattern is the same, the topics that were found to match it stay;
    /// otherwise a repeated subscription would count as another one, and the member would join again.
    pub(super) fn after(self, before: &Self) -> Self {
        match self.pattern.is_some() && self.pattern == before.pattern {
            true => before.clone(),
            false => self,
        }
    }
}

/// Tells the partitions that the member owns now.
pub(crate) type Owned<'a> = &'a dyn Fn() -> Vec<TopicPartition>;

/// The member in whose name a commit is made, or nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    /// The generation, or the member epoch; -1 for nobody.
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}
