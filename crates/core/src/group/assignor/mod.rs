//! Who gets which partition: decided by the group's leader, by the assignor that all members share.

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

use super::consumer_protocol::{Assignment, Subscription};
use crate::ids::TopicPartition;

pub use cooperative_sticky::CooperativeSticky;
pub use range::Range;
pub use round_robin::RoundRobin;
pub use sticky::Sticky;
pub(crate) use withhold::withhold_moving;

/// What the leader knows of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Its wishes.
    pub subscription: Subscription,
}

/// What a member was assigned last, as it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAssignment {
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// In which generation; -1 if in none.
    pub generation_id: i32,
}

/// The racks on which a partition has replicas; none where the brokers tell no racks (KIP-881).
pub type PartitionRacks = BTreeSet<String>;

/// A way to share partitions out. Same inputs must give same outputs: nothing but the arguments decides.
pub trait Assignor: fmt::Debug + Send + Sync {
    /// Its name in JoinGroup: members must have one in common.
    fn name(&self) -> &str;

    /// Whether members may keep what they own while the group rebalances (KIP-429). A group is cooperative when all
    /// the assignors that its members offer are. Default false.
    fn is_cooperative(&self) -> bool {
        false
    }

    /// What a member tells the leader's assignor, as its subscription's user data. Default nothing.
    fn user_data(&self, _last: &LastAssignment) -> Option<Vec<u8>> {
        None
    }

    /// One assignment for each member, by member id. `topics` has the topics that exist, and each one's partitions in
    /// order.
    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment>;
}
