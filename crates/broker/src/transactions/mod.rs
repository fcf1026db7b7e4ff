//! Transactions (KIP-98, KIP-890): their coordinator, and what partitions and groups know of them.
//!
//! A [`Transaction`] is what the coordinator knows of one transactional id; the APIs and time step it. Its end is decided at
//! once, and takes effect with the markers (`markers.rs`), one a partition, after
//! [`Config::transaction_marker_delay`](crate::Config::transaction_marker_delay). Until then a partition has it open:
//! [`Isolation`].

mod isolation;
mod markers;
mod steps;
mod transaction;

use std::{collections::BTreeMap, time::Instant};

use crate::coordinators::partition_of;

pub(crate) use isolation::Isolation;
pub(crate) use transaction::{Flow, Identity, Place, State, Transaction};

/// The topic that keeps groups' offsets. It is not there, but for the names of its partitions.
pub(crate) const OFFSETS: &str = "__consumer_offsets";

/// The partition that keeps a group's offsets.
pub(crate) fn offsets_of(group: &str) -> Place {
    (OFFSETS.to_owned(), i32::try_from(partition_of(group)).unwrap_or(0))
}

/// Every transactional id.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    /// The next producer id that nobody has.
    pub(crate) producer_ids: i64,
    /// The finalized level of `transaction.version`, where somebody has set another than the brokers' own.
    pub(crate) version: Option<i16>,
}

impl Transactions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Transaction> {
        self.by_id.get_mut(id)
    }

    /// Puts what became of a transactional id in the place of what was known.
    pub(crate) fn put(&mut self, id: String, transaction: Transaction) {
        self.by_id.insert(id, transaction);
    }

    /// The ids for which something is due.
    fn due(&self, now: Instant) -> Vec<String> {
        let is_due = |transaction: &Transaction| transaction.next_timeout().is_some_and(|due| due <= now);
        self.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| id.to_owned()).collect()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.by_id.values().filter_map(Transaction::next_timeout).min()
    }
}
