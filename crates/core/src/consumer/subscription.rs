//! Which partitions a consumer reads, by a subscription or by an assignment of the user's.

use std::{collections::BTreeSet, fmt};

use crate::{
    group::{Interest, Pattern},
    ids::{TOPIC_NAME, TopicPartition, is_topic_name},
};

/// Which partitions a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subscription {
    /// None.
    None,
    /// Those that the group assigns to it, of these topics.
    Topics(BTreeSet<String>),
    /// Those that the group assigns to it, of the topics whose names match.
    Pattern(Pattern),
    /// Those that the user named.
    Manual(BTreeSet<TopicPartition>),
}

impl Subscription {
    /// The topics that the member wants from its group; `None` where no group assigns the partitions.
    pub(super) fn interest(&self) -> Option<Interest> {
        match self {
            Self::Topics(topics) => Some(Interest { topics: topics.clone(), pattern: None }),
            Self::Pattern(pattern) => {
                Some(Interest { topics: BTreeSet::new(), pattern: Some(pattern.clone()) })
            }
            Self::None | Self::Manual(_) => None,
        }
    }

    /// Whether topics may have the names that it subscribes to.
    pub(super) fn check_names(&self) -> Result<(), SubscriptionError> {
        let wrong = match self {
            Self::Topics(topics) => topics.iter().find(|name| !is_topic_name(name)),
            Self::None | Self::Pattern(_) | Self::Manual(_) => None,
        };
        wrong.map_or(Ok(()), |name| Err(SubscriptionError::InvalidTopic(name.clone())))
    }

    /// Whether the group assigns the partitions.
    pub(super) fn is_by_group(&self) -> bool {
        matches!(self, Self::Topics(_) | Self::Pattern(_))
    }
}

/// Why a subscription, an assignment or a rebalance was refused. A subscription and a manual assignment exclude
/// each other, and a subscription needs a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// Subscribed already: unsubscribe first.
    Subscribed,
    /// Assigned already: unsubscribe first.
    Assigned,
    /// `group.id` is not set.
    NoGroup,
    /// No topic can have this name.
    InvalidTopic(String),
    /// Not a regular expression; the text says why.
    InvalidPattern(String),
    /// The consumer is not a member, so there is nothing to rebalance.
    NotMember,
    /// Under the consumer protocol the coordinator alone decides when to assign anew.
    ServerSide,
    /// The consumer is closed.
    Closed,
}

impl SubscriptionError {
    /// Whether the same call may succeed later although nobody changes anything: none of these passes by itself.
    pub const fn is_retriable(&self) -> bool {
        false
    }

    /// Whether every later call fails, too: the consumer is closed.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl fmt::Display for SubscriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribed => "subscribed to topics already; unsubscribe first",
            Self::Assigned => "partitions are assigned already; unsubscribe first",
            Self::NoGroup => "no group to subscribe in; set group.id, or assign partitions",
            Self::InvalidPattern(why) => why,
            Self::InvalidTopic(name) => return write!(f, "`{name}`: expected {TOPIC_NAME}"),
            Self::NotMember => "not a member of the group; subscribe first",
            Self::ServerSide => "the coordinator decides when to share out (group.protocol=consumer)",
            Self::Closed => "the consumer is closed; build another",
        })
    }
}

impl std::error::Error for SubscriptionError {}
