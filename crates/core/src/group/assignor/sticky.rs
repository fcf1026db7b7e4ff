//! Java's `StickyAssignor`: even loads, and as few moves as even loads allow, in groups whose members give up
//! everything before they join again.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, LastAssignment, Member, PartitionRacks, stick::stick, user_data};

/// Members' loads differ by at most one where their subscriptions allow it. Partitions stay with their members as
/// far as even loads allow. Each member tells the leader its last assignment, and the generation of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn user_data(&self, last: &LastAssignment) -> Option<Vec<u8>> {
        let had_none = last.generation_id < 0 && last.partitions.is_empty();
        (!had_none).then(|| user_data::encode_last(last))
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        stick(topics, members, |member| {
            let last = member.subscription.user_data.as_deref().map(user_data::decode_last);
            // A member whose user data cannot be read claims nothing, as in Java.
            last.and_then(Result::ok).unwrap_or(LastAssignment { partitions: Vec::new(), generation_id: -1 })
        })
    }
}
