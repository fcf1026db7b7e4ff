//! Assignors: the ways in which the leader of a classic group decides which member gets which partition.

mod balance;
mod cooperative_sticky;
mod range;
mod roster;
mod round_robin;
mod stick;
mod sticky;
#[cfg(test)]
mod tests;
mod user_data;
mod withhold;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::embedded::{Assignment, Subscription};
use crate::ids::TopicPartition;

pub use cooperative_sticky::CooperativeStickyAssignor;
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::StickyAssignor;
pub(crate) use withhold::withhold_moving;

/// A member, as the leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The id that the coordinator gave.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The topics that it wants, and the partitions that it owns.
    pub subscription: Subscription,
}

impl Member {
    /// A dynamic member.
    pub fn new(id: impl Into<String>, subscription: Subscription) -> Self {
        Self { id: id.into(), instance_id: None, subscription }
    }
}

/// A member's last assignment, as the member remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastAssignment {
    /// The partitions that were assigned.
    pub partitions: Vec<TopicPartition>,
    /// The generation of that assignment; -1 if there was none.
    pub generation_id: i32,
}

impl LastAssignment {
    /// These partitions, assigned in this generation.
    pub fn new<P: Into<TopicPartition>>(partitions: impl IntoIterator<Item = P>, generation_id: i32) -> Self {
        Self { partitions: partitions.into_iter().map(Into::into).collect(), generation_id }
    }
}

/// The racks on which a partition has replicas; none where the brokers tell no racks (KIP-881).
pub type PartitionRacks = BTreeSet<String>;

/// A way to assign partitions to members. The same arguments must give the same result: nothing else may decide.
pub trait Assignor: fmt::Debug + Send + Sync {
    /// The assignor's name in JoinGroup. The members of a group must have one in common.
    fn name(&self) -> &str;

    /// Whether members may keep their partitions while the group rebalances (KIP-429). A member does so only if all
    /// the assignors that it offers are cooperative. Default: false.
    fn is_cooperative(&self) -> bool {
        false
    }

    /// The user data of a member's subscription, which the leader's assignor reads. Default: none.
    fn user_data(&self, _last: &LastAssignment) -> Option<Vec<u8>> {
        None
    }

    /// Returns one assignment for each member, by member id. `topics` has the topics that exist, and for each the
    /// racks of its partitions in order.
    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment>;
}
