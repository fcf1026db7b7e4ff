//! Who gets which partition: decided by the group's leader, by the assignor that all members share.

mod range;

use std::{collections::BTreeMap, fmt};

use super::consumer_protocol::{Assignment, Subscription};

pub use range::Range;

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

/// A way to share partitions out. Same inputs must give same outputs: nothing but the arguments decides.
pub trait Assignor: fmt::Debug + Send + Sync {
    /// Its name in JoinGroup: members must have one in common.
    fn name(&self) -> &'static str;

    /// One assignment for each member, by member id. `partitions` has the topics that exist, and how many partitions
    /// each has.
    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Member]) -> BTreeMap<String, Assignment>;
}
