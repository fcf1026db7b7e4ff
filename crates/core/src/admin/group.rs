//! A group as it is told, whatever its kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::ids::{NodeId, TopicPartition};

/// Which protocol a group follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupKind {
    /// The classic one: members assign partitions to each other.
    Classic,
    /// The consumer protocol (KIP-848): the coordinator assigns them.
    Consumer,
    /// A share group (KIP-932): members share the records of a partition.
    Share,
    /// A group of Kafka Streams (KIP-1071).
    Streams,
}

impl GroupKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Classic, Self::Consumer, Self::Share, Self::Streams];

    /// By Kafka's name of it, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Kafka's name of it, in small letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        }
    }

    /// The one that is asked for where a group is none of this kind.
    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::Classic => Some(Self::Consumer),
            Self::Consumer => Some(Self::Share),
            Self::Share => Some(Self::Streams),
            Self::Streams => None,
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Which protocol it follows.
    pub kind: GroupKind,
    /// Its state, by Kafka's name: `Empty`, `Stable` and so on.
    pub state: String,
    /// What kind of members it has: `consumer`, `share` and `streams`, or what a classic group's members call themselves. Empty
    /// for a classic group that never had any.
    pub protocol_type: String,
    /// The assignor in use; empty where there is none, or it is not told.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
    /// How often what is to be assigned has changed; a classic group has none.
    pub group_epoch: Option<i32>,
    /// The group's epoch of which the target assignment is; a classic group has none.
    pub assignment_epoch: Option<i32>,
    /// The topics that a streams group's topology reads; empty for other kinds, and where it has none yet.
    pub source_topics: BTreeSet<String>,
    /// The members.
    pub members: Vec<MemberDescription>,
}

impl GroupDescription {
    /// Whether it has no members, so that its offsets may be changed.
    ///
    /// Brokers before 4.0 say of a group that does not exist that it is `Dead`.
    pub fn is_inactive(&self) -> bool {
        matches!(self.state.as_str(), "Empty" | "Dead")
    }

    /// Whether its partitions are changing hands now.
    pub fn is_rebalancing(&self) -> bool {
        matches!(
            self.state.as_str(),
            "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling"
        )
    }
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
    /// `client.rack`, where it is told.
    pub rack: Option<String>,
    /// The epoch that it is in; a classic member has none.
    pub epoch: Option<i32>,
    /// The topics that it wants, by their names, whether they are there or not; without those that match a pattern of its own. Empty in
    /// a streams group, whose topology has them.
    pub subscription: BTreeSet<String>,
    /// Its partitions, in order; empty where the group is not one of consumers. Those of a streams group are what its active
    /// tasks read.
    pub assignment: Vec<TopicPartition>,
    /// The partitions that it is to have, in order, where the coordinator tells them: in consumer and streams groups.
    pub target: Option<Vec<TopicPartition>>,
    /// Whether it speaks the consumer protocol, in a group of that protocol, which classic members may be in, too (KIP-848); `None`
    /// where its broker does not tell (before 4.0), and in groups of other kinds. As Java's `upgraded`.
    pub upgraded: Option<bool>,
    /// What it is beside, in a streams group.
    pub streams: Option<StreamsMember>,
}

/// What a member of a streams group is beside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamsMember {
    /// Its process, which may have several members.
    pub process_id: String,
    /// The epoch of its topology.
    pub topology_epoch: i32,
    /// Its tasks.
    pub tasks: StreamsTasks,
    /// The tasks that it is to have.
    pub target_tasks: StreamsTasks,
}

/// Tasks of a streams group: of each subtopology the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamsTasks {
    /// Those that process.
    pub active: BTreeMap<String, Vec<i32>>,
    /// Those that follow, to take over quickly.
    pub standby: BTreeMap<String, Vec<i32>>,
    /// Those that follow before they are moved.
    pub warmup: BTreeMap<String, Vec<i32>>,
}
