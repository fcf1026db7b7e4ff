//! The operations of an admin client, and their outcomes.

use std::{collections::BTreeMap, fmt, time::Duration};

use ottla_protocol::{ApiKey, ErrorCode, Timestamp};

use crate::{
    cause::Cause,
    connections::Address,
    ids::{NodeId, TopicPartition},
    metadata::{Node, Topic},
    offsets::{CommittedOffset, OffsetAndTimestamp},
};

/// A question to a cluster, or a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The brokers. Answered by [`Outcome::Cluster`].
    DescribeCluster,
    /// Every topic. Answered by [`Outcome::Topics`].
    ListTopics,
    /// These topics; none is created by being asked for. Answered by [`Outcome::Topics`].
    DescribeTopics(Vec<String>),
    /// New topics. Answered by [`Outcome::Changes`].
    CreateTopics {
        /// The topics.
        topics: Vec<NewTopic>,
        /// Whether only to tell if the topics could be created.
        validate_only: bool,
    },
    /// Topics to be deleted, with all records. Answered by [`Outcome::Changes`].
    DeleteTopics(Vec<String>),
    /// Topics that get more partitions, and how many they are to have then. Answered by [`Outcome::Changes`].
    CreatePartitions(BTreeMap<String, i32>),
    /// Every group, asked of every broker. Answered by [`Outcome::Groups`].
    ListGroups,
    /// These groups, with their members. Answered by [`Outcome::GroupDescriptions`].
    DescribeGroups(Vec<String>),
    /// All offsets that a group has committed. Answered by [`Outcome::Committed`].
    CommittedOffsets {
        /// The group's id.
        group: String,
        /// Whether to wait for transactions that are about to commit offsets (KIP-447).
        require_stable: bool,
    },
    /// Offsets in the logs of partitions. Answered by [`Outcome::Offsets`].
    ListOffsets {
        /// What is asked of each partition.
        partitions: BTreeMap<TopicPartition, OffsetSpec>,
        /// Whether the latest offset is the last stable offset, up to which `read_committed` consumers read, and
        /// not the high watermark.
        read_committed: bool,
    },
    /// The broker that coordinates a group. Answered by [`Outcome::Coordinator`].
    FindCoordinator(String),
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default where none is given.
    pub partitions: Option<i32>,
    /// On how many brokers each is kept; the broker's default where none is given.
    pub replication_factor: Option<i16>,
    /// Its configuration, where it is not the broker's default.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of this name; everything else as the broker has it by default, which Kafka 2.4 and later say (KIP-464).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With so many partitions, 1 or more. Default the broker's `num.partitions`.
    #[must_use]
    pub const fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Each partition on so many brokers, 1 or more. Default the broker's `default.replication.factor`.
    #[must_use]
    pub const fn replication_factor(mut self, brokers: i16) -> Self {
        self.replication_factor = Some(brokers);
        self
    }

    /// With a property of topics by Kafka's key, such as `cleanup.policy`. Default the broker's.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first offset in the log.
    Earliest,
    /// The one that the next record will get.
    Latest,
    /// The offset of the first record with this timestamp or a later one.
    Timestamp(Timestamp),
}

impl OffsetSpec {
    pub(super) const fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(timestamp) => timestamp.0,
        }
    }
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The brokers.
    Cluster(Cluster),
    /// Topics by name; one that does not exist is there with its error.
    Topics(BTreeMap<String, Topic>),
    /// The result for each topic.
    Changes(BTreeMap<String, Result<(), Refusal>>),
    /// Groups by id.
    Groups(BTreeMap<String, GroupListing>),
    /// Groups by id, each with its description or its failure.
    GroupDescriptions(BTreeMap<String, Result<GroupDescription, Failure>>),
    /// The group's offsets. A partition without one is left out.
    Committed(BTreeMap<TopicPartition, CommittedOffset>),
    /// The offset of each partition, or its failure; `None` where no record is that late.
    Offsets(BTreeMap<TopicPartition, Result<Option<OffsetAndTimestamp>, Failure>>),
    /// The broker.
    Coordinator(Coordinator),
}

/// The brokers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cluster {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The broker that takes changes to topics.
    pub controller: Option<NodeId>,
    /// The brokers.
    pub nodes: BTreeMap<NodeId, Node>,
}

/// A broker's refusal, and its own words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error.
    pub error: ErrorCode,
    /// What the broker says about it.
    pub message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.error),
            None => self.error.fmt(f),
        }
    }
}

/// A group, as brokers list it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// What kind of members it has: `consumer` for consumers, empty for offsets without members.
    pub protocol_type: String,
    /// Its state, where the broker tells it (from ListGroups 4 on).
    pub state: Option<String>,
    /// `classic` or `consumer`, where the broker tells it (from ListGroups 5 on).
    pub group_type: Option<String>,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its state.
    pub state: String,
    /// What kind of members it has.
    pub protocol_type: String,
    /// The assignor in use.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Its id in the group.
    pub member_id: String,
    /// Its name as a static member.
    pub group_instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Its partitions; empty where the group is not one of consumers.
    pub assignment: Vec<TopicPartition>,
}

/// The broker that coordinates a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coordinator {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached.
    pub address: Address,
}

/// Why an operation failed, as a whole or for one group or partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// `default.api.timeout.ms` passed. A change may have been made all the same.
    TimedOut {
        /// How long the operation waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
    /// A broker refused.
    Refused(Refusal),
    /// The broker does not speak the API, or in no version that does what is asked.
    Unsupported(ApiKey),
    /// The client was closed.
    Closed,
}

impl Failure {
    /// Whether a broker refused with this error.
    pub(super) fn is(&self, error: ErrorCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.error == error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { waited, cause: None } => write!(f, "not done in {waited:?}"),
            Self::TimedOut { waited, cause: Some(cause) } => {
                write!(f, "not done in {waited:?}; the last obstacle: {cause}")
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unsupported(key) => {
                write!(f, "the broker does not support {key:?}, or not what is asked of it")
            }
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl std::error::Error for Failure {}
