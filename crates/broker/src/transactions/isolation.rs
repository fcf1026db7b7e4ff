//! What a partition knows of transactions: which are open, and which were aborted (KIP-98).

use std::collections::BTreeMap;

use ottla_protocol::messages::FetchAbortedTransaction;

use crate::storage::kept;

#[derive(Debug, Clone, Default)]
pub(crate) struct Isolation {
    /// The first offset of each open transaction, by its producer.
    open: BTreeMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

#[derive(Debug, Clone, Copy)]
struct Aborted {
    producer_id: i64,
    first_offset: i64,
    marker: i64,
}

impl Isolation {
    pub(crate) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// The offset of the first record of a producer's open transaction.
    pub(crate) fn opened_at(&self, producer_id: i64) -> Option<i64> {
        self.open.get(&producer_id).copied()
    }

    /// The offset of the first record of the earliest transaction that is open.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.values().min().copied()
    }

    /// A record of a transaction was written.
    pub(crate) fn begin(&mut self, producer_id: i64, offset: i64) {
        self.open.entry(producer_id).or_insert(offset);
    }

    /// The marker of a transaction was written. An aborted one that wrote nothing here is not listed.
    pub(crate) fn end(&mut self, producer_id: i64, marker: i64, listed: bool) {
        if let Some(first_offset) = self.open.remove(&producer_id)
            && listed
        {
            self.aborted.push(Aborted { producer_id, first_offset, marker });
        }
    }

    /// The aborted transactions that a reader from `offset` on may meet records of, in the order of their markers.
    pub(crate) fn aborted_since(&self, offset: i64) -> Vec<FetchAbortedTransaction> {
        let from = self.aborted.partition_point(|aborted| aborted.marker < offset);
        let rest = self.aborted.get(from..).unwrap_or_default().iter();
        rest.map(|&Aborted { producer_id, first_offset, .. }| FetchAbortedTransaction {
            producer_id,
            first_offset,
        })
        .collect()
    }

    /// The log begins at `start` now.
    pub(crate) fn delete_before(&mut self, start: i64) {
        self.aborted.retain(|aborted| aborted.marker >= start);
    }
}

kept!(Aborted { producer_id, first_offset, marker });
kept!(Isolation { open, aborted });
