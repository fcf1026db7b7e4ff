//! Types for ids and names that would otherwise be bare numbers.

use std::{collections::BTreeMap, fmt};

macro_rules! ids {
    ($( $(#[$doc:meta])* $vis:vis $name:ident($inner:ty); )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        $vis struct $name($vis $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A broker's id, as metadata tells it.
    pub NodeId(i32);
    /// One attempt at a connection: never used twice.
    pub ConnId(u64);
    /// A request, and its correlation id on the wire.
    pub RequestId(i32);
    /// A partition's place in the list of lanes, for as long as the client lives.
    pub(crate) PartIdx(u32);
    /// Moves when records that were fetched or handed out for a lane before no longer count.
    pub(crate) LaneEpoch(u32);
    /// One of a consumer's readers: never used twice.
    pub ReaderId(u32);
    /// An operation that a user waits for.
    pub OpId(u64);
}

/// What is a topic's name, for whoever gave something else.
pub const TOPIC_NAME: &str = "a topic's name: up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";

/// Whether a topic may have this name: up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`, and not `.` or `..` alone.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.chars().all(legal)
}

/// A topic's name and a partition's number. Where one is asked for, a pair of both does as well.
///
/// ```
/// # use ottla_core as ottla;
/// use ottla::TopicPartition;
///
/// let at = TopicPartition::new("orders", 3);
/// assert_eq!(at, ("orders", 3).into());
/// assert_eq!(at.to_string(), "orders-3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// The numbers of these partitions, in the order in which they come, under their topics' names: as most requests name them.
pub(crate) fn numbers_by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for at in partitions {
        topics.entry(&at.topic).or_default().push(at.partition);
    }
    topics
}

impl<T: Into<String>> From<(T, i32)> for TopicPartition {
    fn from((topic, partition): (T, i32)) -> Self {
        Self::new(topic, partition)
    }
}

impl From<&Self> for TopicPartition {
    fn from(partition: &Self) -> Self {
        partition.clone()
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Their names, for a sentence.
pub(crate) fn names(partitions: &[TopicPartition]) -> String {
    match partitions {
        [] => "nothing".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
