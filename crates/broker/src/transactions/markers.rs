//! The ends of transactions: a marker into each partition, by which what was written there counts or does not.

use std::time::Duration;

use ottla_protocol::{
    Now,
    records::{ControlType, EndTxnMarker},
};

use super::{OFFSETS, Place, offsets_of};
use crate::{Cluster, planted::Planted};

/// How long until a marker is tried again for which there is no leader to write it.
const RETRY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Aborts transactions whose time is up, and writes the markers that are due.
    pub(crate) fn handle_transactions_timeout(&mut self, now: Now) {
        for id in self.transactions.due(now.mono) {
            let Ok(transaction) = self.transactions.find_mut(&id) else { continue };
            if transaction.is_overdue(now.mono) {
                tracing::debug!(transactional_id = id, "aborted: its time is up");
                transaction.fence();
                self.schedule_markers(&id, now);
            } else {
                self.write_markers(&id, now);
            }
        }
    }

    /// A transaction is to end as it was decided: its markers are written now, or by and by.
    pub(crate) fn schedule_markers(&mut self, id: &str, now: Now) {
        let Self { transactions, rng, config, .. } = self;
        let Ok(transaction) = transactions.find_mut(id) else { return };
        let longest = u64::try_from(config.transaction_marker_delay.as_nanos()).unwrap_or(u64::MAX);
        transaction.schedule(|| match longest {
            0 => now.mono,
            _ => now.mono + Duration::from_nanos(rng.u64(1..=longest)),
        });
        self.write_markers(id, now);
    }

    fn write_markers(&mut self, id: &str, now: Now) {
        let coordinator_epoch = self.nodes.transactions.epoch_of(id);
        let Ok(transaction) = self.transactions.find_mut(id) else { return };
        let Some(control_type) = transaction.prepared() else { return };
        let (producer_id, producer_epoch) = (transaction.identity.id, transaction.identity.epoch);
        let marker = EndTxnMarker { control_type, producer_id, producer_epoch, coordinator_epoch };
        let mut left = Vec::new();
        for place in transaction.take_due(now.mono) {
            if !self.write_marker(&place, marker, now) {
                left.push(place);
            }
        }
        let Ok(transaction) = self.transactions.find_mut(id) else { return };
        left.into_iter().for_each(|place| transaction.postpone(place, now.mono + RETRY));
        transaction.complete();
    }

    /// Returns whether it is written, or there is nothing any more to write it to.
    fn write_marker(&mut self, place: &Place, mut marker: EndTxnMarker, now: Now) -> bool {
        let (topic, index) = place;
        if topic == OFFSETS {
            let commit = marker.control_type == ControlType::Commit;
            self.groups.end_transaction(marker.producer_id, commit, |group| offsets_of(group) == *place);
            return true;
        }
        let found = self.topics.find_mut(topic).and_then(|topic| topic.partition_mut(*index));
        let Some(partition) = found else { return true };
        if partition.leader < 0 {
            return false;
        }
        if index % 2 == 1 && self.plot.has(Planted::PartlyCommitted) {
            marker.control_type = ControlType::Abort;
        }
        partition.end_transaction(&marker, self.plot, now);
        self.logs_changed = true;
        true
    }
}
