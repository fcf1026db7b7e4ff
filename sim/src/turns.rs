//! How often partitions were passed over in fetches, and which leader epochs were told there.

use std::collections::BTreeMap;

use ottla_core::{Metadata, NodeId, TopicPartition};
use ottla_protocol::TopicId;

use crate::{
    holdings::Holdings,
    stage::{Stage, Who},
};

/// A partition of a topic that is named in whichever way.
pub(super) type Named = (TopicId, String, i32);

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Answers with records of others of the same broker since the last of its own.
    passed: BTreeMap<TopicPartition, usize>,
    /// The newest, and who led in it.
    epochs: BTreeMap<Named, (i32, Option<NodeId>)>,
}

impl Turns {
    /// Other topics are wanted: what was known of those that are not, for a while, may be forgotten.
    pub(super) fn wants_others(&mut self) {
        self.epochs.clear();
    }

    /// What was once known of a leader is not forgotten for what a broker says that lags behind, as long as that one is a broker: one
    /// that was told beside metadata, and that is none in them for long, is waited for no more.
    pub(super) fn asks_in(
        &mut self,
        who: Who,
        key: Named,
        epoch: i32,
        metadata: &Metadata,
        stage: &mut Stage,
    ) {
        let leader = metadata.partition(&TopicPartition::new(key.1.clone(), key.2)).and_then(|p| p.leader);
        let (newest, led) = self.epochs.insert(key, (epoch, leader)).unwrap_or((epoch, leader));
        if epoch < newest && led.is_some_and(|led| metadata.nodes().contains_key(&led)) {
            stage.violate("a leader epoch does not fall", || {
                format!("{who} fetches in leader epoch {epoch}, and knew {newest}")
            });
        }
    }

    /// Who loses a partition, and has it again, begins anew with all that is assigned.
    pub(super) fn forget_others_than(&mut self, owned: &Holdings) {
        self.passed.retain(|at, _| owned.contains(at));
    }

    /// A partition had its turn, or is not to have one.
    pub(super) fn had(&mut self, at: &TopicPartition) {
        self.passed.remove(at);
    }

    /// Others had theirs. Returns how often that was so.
    pub(super) fn passes(&mut self, at: TopicPartition) -> usize {
        let passed = self.passed.entry(at).or_default();
        *passed += 1;
        *passed
    }
}
