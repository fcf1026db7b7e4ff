//! What producers ask of a transactional id. Each step is taken on a copy, which takes the place of the original once it is
//! kept; so what cannot be kept did not happen.

use std::time::Duration;

use ottla_protocol::{ErrorCode, Now, records::ControlType};

use super::{Flow, Identity, Place, Transaction};
use crate::{
    Cluster,
    storage::{Entry, Unkept},
};

/// What an id that is not known is answered.
const UNKNOWN: ErrorCode = ErrorCode::InvalidProducerIdMapping;

impl Cluster {
    /// A producer id that nobody has, for a producer without transactions.
    pub(crate) fn new_producer_id(&mut self) -> Result<i64, ErrorCode> {
        let id = self.transactions.producer_ids;
        self.keep(Entry::ProducerIds { next: id + 1 }).map_err(|_| ErrorCode::KafkaStorageError)?;
        Ok(id)
    }

    pub(crate) fn init_transactions(
        &mut self,
        id: &str,
        was: Option<Identity>,
        timeout: Duration,
        now: Now,
    ) -> Result<Identity, ErrorCode> {
        let mut producer_ids = self.transactions.producer_ids;
        let known = self.transactions.find(id).cloned();
        let known = known.unwrap_or_else(|| Transaction::new(take(&mut producer_ids)));
        let plot = self.plot;
        self.step(id, known, producer_ids, now, |transaction, producer_ids| {
            transaction.init(was, timeout, plot, || take(producer_ids))
        })
    }

    pub(crate) fn add_to_transaction(
        &mut self,
        id: &str,
        asks: Identity,
        places: impl IntoIterator<Item = Place>,
        flow: Flow,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let known = self.transactions.find(id).cloned().ok_or(UNKNOWN)?;
        let (plot, producer_ids) = (self.plot, self.transactions.producer_ids);
        self.step(id, known, producer_ids, now, |transaction, _| {
            transaction.add(asks, places, flow, plot, now)
        })
    }

    pub(crate) fn verify_in_transaction(
        &self,
        id: &str,
        asks: Identity,
        place: &Place,
    ) -> Result<(), ErrorCode> {
        self.transactions.find(id).ok_or(UNKNOWN)?.verify(asks, place, self.plot)
    }

    pub(crate) fn end_transaction(
        &mut self,
        id: &str,
        asks: Identity,
        outcome: ControlType,
        flow: Flow,
        now: Now,
    ) -> Result<Identity, ErrorCode> {
        let known = self.transactions.find(id).cloned().ok_or(UNKNOWN)?;
        let producer_ids = self.transactions.producer_ids;
        self.step(id, known, producer_ids, now, |transaction, producer_ids| {
            transaction.end(asks, outcome, flow, || take(producer_ids))
        })
    }

    /// Steps what is known of a transactional id. Where that decides its end, the markers follow.
    fn step<T>(
        &mut self,
        id: &str,
        known: Transaction,
        mut producer_ids: i64,
        now: Now,
        step: impl FnOnce(&mut Transaction, &mut i64) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let was_open = known.prepared().is_none();
        let mut transaction = known;
        let result = step(&mut transaction, &mut producer_ids);
        // A producer that begins anew is refused until its open transaction has been aborted.
        let ends = was_open && transaction.prepared().is_some();
        if ends {
            self.schedule_markers(&mut transaction, now);
        }
        if ends || result.is_ok() {
            self.keep(Entry::Transaction { id: id.to_owned(), transaction, producer_ids })
                .map_err(Unkept::of_coordinator)?;
        }
        if ends {
            self.write_markers(id, now);
        }
        result
    }
}

fn take(ids: &mut i64) -> i64 {
    *ids += 1;
    *ids - 1
}
