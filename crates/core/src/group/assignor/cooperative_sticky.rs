//! Java's `CooperativeStickyAssignor`: as sticky, in groups whose members keep their partitions while the group
//! rebalances (KIP-429).

use std::collections::BTreeMap;

use super::{Assignment, Assignor, LastAssignment, Member, PartitionRacks, stick::stick, user_data};

/// [`StickyAssignor`](super::StickyAssignor), for cooperative groups: partitions that do not move go on being read. The leader
/// withholds those that do move from their new owners until the old ones have let go of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn is_cooperative(&self) -> bool {
        true
    }

    fn user_data(&self, last: &LastAssignment) -> Option<Vec<u8>> {
        Some(user_data::encode_generation(last.generation_id))
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        stick(topics, members, |member| {
            let subscription = &member.subscription;
            // Before version 2 of the subscription the generation was in the user data alone.
            let told = || user_data::decode_generation(subscription.user_data.as_deref()?).ok();
            let generation_id = match subscription.generation_id {
                unknown @ ..0 => told().unwrap_or(unknown),
                known => known,
            };
            LastAssignment { partitions: subscription.owned.clone(), generation_id }
        })
    }
}
