//! Groups: how a classic group shares partitions out, and how a member stands.
//!
//! An assignor of one's own is an [`Assignor`], given to [`ConsumerBuilder::assignor`](crate::ConsumerBuilder::assignor). The
//! member that the coordinator makes the leader calls it, with what the others told of themselves:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use ottla::{
//!     TopicPartition,
//!     group::{Assignment, Assignor, Member, PartitionRacks, Subscription},
//! };
//!
//! /// A topic goes to one member as a whole. The others that subscribe to it are there in case that it fails.
//! #[derive(Debug)]
//! struct Whole;
//!
//! impl Assignor for Whole {
//!     fn name(&self) -> &str {
//!         "whole"
//!     }
//!
//!     fn assign(
//!         &self,
//!         topics: &BTreeMap<String, Vec<PartitionRacks>>,
//!         members: &[Member],
//!     ) -> BTreeMap<String, Assignment> {
//!         // A member that is left out of the answer is given nothing, too.
//!         let mut given: BTreeMap<String, Assignment> = BTreeMap::new();
//!         for (topic, partitions) in topics {
//!             let candidates = members.iter().filter(|member| member.subscription.topics.contains(topic));
//!             if let Some(first) = candidates.map(|member| &member.id).min() {
//!                 let all = (0..).zip(partitions).map(|(number, _)| TopicPartition::new(topic, number));
//!                 given.entry(first.clone()).or_default().partitions.extend(all);
//!             }
//!         }
//!         given
//!     }
//! }
//!
//! let topics = BTreeMap::from([("orders".to_owned(), vec![PartitionRacks::new(); 2])]);
//! let members = ["b", "a"].map(|id| Member::new(id, Subscription::new(["orders"])));
//! let given = Whole.assign(&topics, &members);
//! assert_eq!(given["a"], Assignment::new([("orders", 0), ("orders", 1)]));
//! ```

pub use ottla_core::group::{
    Assignment, Assignor, ClassicState, ConsumerState, CooperativeStickyAssignor, GroupFailure,
    GroupMetadata, GroupProtocol, LastAssignment, LeaveGroup, Member, MembershipState, PartitionRacks,
    Pattern, RangeAssignor, RoundRobinAssignor, StickyAssignor, Subscription,
};
