//! Transactions (KIP-98, KIP-890): their coordinator, and what partitions and groups know of them.
//!
//! A [`Transaction`] is what the coordinator knows of one transactional id; the APIs and time step it. Its end is decided at
//! once, and takes effect with the markers (`markers.rs`), one a partition, after
//! [`Config::transaction_marker_delay`](crate::Config::transaction_marker_delay). Until then a partition has it open:
//! [`Isolation`].

mod isolation;
mod markers;
mod transaction;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, records::ControlType};

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
    producer_ids: i64,
}

impl Transactions {
    /// A producer id that nobody has.
    pub(crate) fn new_producer_id(&mut self) -> i64 {
        take(&mut self.producer_ids)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// What an id that is not known is answered.
    pub(crate) fn find_mut(&mut self, id: &str) -> Result<&mut Transaction, ErrorCode> {
        self.by_id.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    pub(crate) fn init(
        &mut self,
        id: &str,
        was: Option<Identity>,
        timeout: Duration,
    ) -> Result<Identity, ErrorCode> {
        let Self { by_id, producer_ids } = self;
        if !by_id.contains_key(id) {
            by_id.insert(id.to_owned(), Transaction::new(take(producer_ids)));
        }
        let transaction = by_id.get_mut(id).ok_or(ErrorCode::UnknownServerError)?;
        transaction.init(was, timeout, || take(producer_ids))
    }

    pub(crate) fn end(
        &mut self,
        id: &str,
        asks: Identity,
        outcome: ControlType,
        flow: Flow,
    ) -> Result<Identity, ErrorCode> {
        let Self { by_id, producer_ids } = self;
        let transaction = by_id.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        transaction.end(asks, outcome, flow, || take(producer_ids))
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

fn take(ids: &mut i64) -> i64 {
    *ids += 1;
    *ids - 1
}
