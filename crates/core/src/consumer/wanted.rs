//! The topics that metadata must cover, gathered anew only when they may be others: a group may have thousands.

use std::{collections::BTreeSet, time::Instant};

use super::group_side::GroupSide;
use crate::{group::MembershipState, hub::Hub, metadata::Wanted, offsets::Lookups};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct WantedTopics {
    topics: Wanted,
    /// How it stood when the topics were gathered; `None` where something has happened since by which they may be others.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Of the metadata: a pattern is matched in each.
    revision: u64,
    member: Option<(MembershipState, Instant)>,
}

impl WantedTopics {
    pub(super) fn new() -> Self {
        Self { topics: Wanted::Topics(BTreeSet::new()), seen: None }
    }

    /// Something happened by which the topics may be others.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// Gathers the topics where they may be others: those of look-ups, those assigned by the user (`manual`), and those
    /// of the group.
    pub(super) fn gather<P>(
        &mut self,
        hub: &mut Hub<P>,
        manual: &BTreeSet<String>,
        lookups: &Lookups,
        group: Option<&GroupSide>,
    ) -> &Wanted {
        let member = group.map(|group| (group.membership.state(), group.membership.since()));
        let seen = Seen { revision: hub.metadata.revision(), member };
        if self.seen != Some(seen) {
            let topics = gather(manual, lookups, group);
            if topics != self.topics {
                self.topics = topics;
                hub.metadata.wants_others();
            }
            // Look-ups come and go, and so do topics while the member joins and while partitions change hands.
            let is_settled = |group: &GroupSide| group.handover.is_idle() && group.membership.is_settled();
            let settled = lookups.topics().next().is_none() && group.is_none_or(is_settled);
            self.seen = settled.then_some(seen);
        }
        debug_assert_eq!(self.topics, gather(manual, lookups, group), "wanted topics have changed unseen");
        &self.topics
    }
}

fn gather(manual: &BTreeSet<String>, lookups: &Lookups, group: Option<&GroupSide>) -> Wanted {
    let more = match group.map(|group| group.membership.wanted()) {
        Some(Wanted::All) => return Wanted::All,
        Some(Wanted::Topics(more)) => more,
        None => BTreeSet::new(),
    };
    // Ten thousand look-ups may be of one topic.
    let topics: BTreeSet<&String> = lookups.topics().chain(manual).collect();
    Wanted::Topics(topics.into_iter().cloned().chain(more).collect())
}
