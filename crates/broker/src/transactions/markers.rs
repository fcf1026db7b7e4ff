//! The ends of transactions: a marker into each partition, by which what was written there counts or does not.

use std::time::Duration;

use ottla_protocol::{
    Now,
    records::{ControlType, EndTxnMarker},
};

use super::{OFFSETS, Place, Transaction};
use crate::{Cluster, planted::Planted, storage::Entry};

/// How long until a marker is tried again for which there is no leader to write it.
const RETRY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Aborts transactions whose time is up, and writes the markers that are due.
    pub(crate) fn handle_transactions_timeout(&mut self, now: Now) {
        for id in self.transactions.due(now.mono) {
            let overdue = self.transactions.find(&id).filter(|transaction| transaction.is_overdue(now.mono));
            if let Some(mut transaction) = overdue.cloned() {
                tracing::debug!(transactional_id = id, "aborted: its time is up");
                transaction.fence();
                self.schedule_markers(&mut transaction, now);
                let producer_ids = self.transactions.producer_ids;
                self.keep_late(Entry::Transaction { id: id.clone(), transaction, producer_ids });
            }
            self.write_markers(&id, now);
        }
    }

    /// A transaction is to end as it was decided: its markers are due now, or by and by.
    pub(super) fn schedule_markers(&mut self, transaction: &mut Transaction, now: Now) {
        let Self { rng, config, .. } = self;
        let longest = u64::try_from(config.transaction_marker_delay.as_nanos()).unwrap_or(u64::MAX);
        transaction.schedule(|| match longest {
            0 => now.mono,
            _ => now.mono + Duration::from_nanos(rng.u64(1..=longest)),
        });
    }

    /// Writes the markers that are due. What cannot be written is tried again.
    pub(super) fn write_markers(&mut self, id: &str, now: Now) {
        let coordinator_epoch = self.nodes.transactions.epoch_of(id);
        let Some(transaction) = self.transactions.find(id) else { return };
        let Some(control_type) = transaction.prepared() else { return };
        let (producer_id, producer_epoch) = (transaction.identity.id, transaction.identity.epoch);
        let marker = EndTxnMarker { control_type, producer_id, producer_epoch, coordinator_epoch };
        for place in transaction.due(now.mono) {
            let is_lost = place.0 != OFFSETS && place.1 % 2 == 1 && self.plot.has(Planted::MarkerLost);
            let settled = is_lost || self.write_marker(id, &place, marker, now);
            let Some(transaction) = self.transactions.find_mut(id) else { return };
            if settled {
                transaction.written(&place);
            } else {
                transaction.postpone(&place, now.mono + RETRY);
            }
        }
        self.transactions.find_mut(id).into_iter().for_each(Transaction::complete);
    }

    /// Returns whether it is written, or there is nothing any more to write it to.
    fn write_marker(&mut self, id: &str, place: &Place, mut marker: EndTxnMarker, now: Now) -> bool {
        let (topic, index) = place;
        if topic != OFFSETS {
            let Some(partition) = self.topics.partition(topic, *index) else { return true };
            if partition.leader < 0 {
                return false;
            }
            if index % 2 == 1 && self.plot.has(Planted::PartlyCommitted) {
                marker.control_type = ControlType::Abort;
            }
        }
        let (id, place, timestamp) = (id.to_owned(), place.clone(), now.wall.0);
        self.keep(Entry::Marker { id, place, marker, timestamp }).is_ok()
    }
}
