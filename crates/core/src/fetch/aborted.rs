//! Which batches of a Fetch response belong to transactions that were aborted.

use std::sync::Arc;

use ottla_protocol::{messages::FetchAbortedTransaction, records::BatchHeader};

/// The aborted transactions that a response tells of in one partition: the producer of each, its first offset, and the
/// offset of its marker.
///
/// A broker tells the first offsets alone, in the order of the markers, and of transactions too whose records or marker
/// are not in the response. So the ends are looked up once, in the walk over the batch headers; after that it can be
/// asked of any batch, whichever were read before it.
#[derive(Debug, Clone)]
pub(crate) struct Aborted(Arc<[Transaction]>);

#[derive(Debug)]
struct Transaction {
    producer: i64,
    first: i64,
    /// `i64::MAX` where the marker is not in the response.
    marker: i64,
}

/// Finds the markers while the headers are walked.
#[derive(Debug)]
pub(super) struct Markers(Vec<Transaction>);

impl Markers {
    /// Of these transactions; `None` where there are none.
    pub(super) fn of(told: Option<&[FetchAbortedTransaction]>) -> Option<Self> {
        let told = told.filter(|told| !told.is_empty())?;
        let transaction = |told: &FetchAbortedTransaction| Transaction {
            producer: told.producer_id,
            first: told.first_offset,
            marker: i64::MAX,
        };
        let mut transactions: Vec<_> = told.iter().map(transaction).collect();
        transactions.sort_unstable_by_key(Transaction::begin);
        Some(Self(transactions))
    }

    /// The next batch. The first marker of a producer behind the beginning of its transaction ends that one, whatever it
    /// says: a producer has one transaction after the other.
    pub(super) fn see(&mut self, header: &BatchHeader) {
        if !header.is_control() {
            return;
        }
        let marker = header.base_offset;
        let behind = self.0.partition_point(|one| one.begin() <= (header.producer_id, marker));
        let before = self.0.get_mut(..behind).unwrap_or_default().iter_mut().rev();
        let open = |one: &&mut Transaction| one.producer == header.producer_id && one.marker == i64::MAX;
        before.take_while(open).for_each(|one| one.marker = marker);
    }

    pub(super) fn found(self) -> Aborted {
        Aborted(self.0.into())
    }
}

impl Transaction {
    fn begin(&self) -> (i64, i64) {
        (self.producer, self.first)
    }
}

impl Aborted {
    /// Whether the records of this batch were aborted.
    pub(crate) fn has(&self, header: &BatchHeader) -> bool {
        let at = (header.producer_id, header.base_offset);
        let last = self.0.partition_point(|one| one.begin() <= at).checked_sub(1);
        let last = last.and_then(|last| self.0.get(last)).filter(|one| one.producer == header.producer_id);
        header.is_transactional() && last.is_some_and(|one| header.base_offset < one.marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;

    fn header(producer_id: i64, base_offset: i64, attributes: i16) -> BatchHeader {
        BatchHeader {
            base_offset,
            batch_length: 100,
            partition_leader_epoch: 0,
            crc: 0,
            attributes,
            last_offset_delta: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id,
            producer_epoch: 0,
            base_sequence: 0,
            record_count: 1,
        }
    }

    /// Of what is told, and what the response has: each batch's producer and offset, `!` for a marker.
    fn aborted(told: &[(i64, i64)], batches: &[(i64, i64, char)]) -> Vec<i64> {
        let told: Vec<_> = told
            .iter()
            .map(|(producer_id, first_offset)| FetchAbortedTransaction {
                producer_id: *producer_id,
                first_offset: *first_offset,
            })
            .collect();
        let batches = batches.iter().map(|(producer, offset, kind)| {
            header(
                *producer,
                *offset,
                match kind {
                    '!' => TRANSACTIONAL | CONTROL,
                    't' => TRANSACTIONAL,
                    _ => 0,
                },
            )
        });
        let mut markers = Markers::of(Some(&told)).unwrap();
        let batches: Vec<_> = batches.collect();
        batches.iter().for_each(|header| markers.see(header));
        let aborted = markers.found();
        let gone = batches.iter().filter(|header| !header.is_control() && aborted.has(header));
        gone.map(|header| header.base_offset).collect()
    }

    #[test]
    fn what_a_producer_writes_after_its_abort_is_its_next_transactions() {
        let batches = [(1, 0, 't'), (1, 5, 't'), (1, 9, '!'), (1, 10, 't'), (1, 11, '!')];
        assert_eq!(aborted(&[(1, 0)], &batches), [0, 5]);
        assert_eq!(aborted(&[(1, 10)], &batches), [10], "and what it wrote before was committed");
    }

    #[test]
    fn transactions_of_several_producers_lie_within_each_other_and_end_in_any_order() {
        let batches =
            [(1, 0, 't'), (2, 1, 't'), (3, 2, 'n'), (1, 3, 't'), (2, 4, '!'), (1, 5, 't'), (1, 6, '!')];
        // In the order of their markers, as brokers tell them.
        assert_eq!(aborted(&[(2, 1), (1, 0)], &batches), [0, 1, 3, 5]);
        assert_eq!(aborted(&[(2, 1)], &batches), [1]);
    }

    #[test]
    fn a_response_may_begin_in_the_middle_of_a_transaction_and_end_before_its_marker() {
        let middle = [(1, 5, 't'), (2, 6, 't'), (1, 7, 't')];
        assert_eq!(aborted(&[(1, 0), (1, 40)], &middle), [5, 7]);
        let marker_first = [(1, 5, '!'), (1, 6, 't'), (1, 7, '!')];
        assert_eq!(aborted(&[(1, 0)], &marker_first), [0_i64; 0]);
    }

    #[test]
    fn a_transaction_of_which_no_record_is_left_concerns_no_other() {
        let compacted = [(1, 3, '!'), (1, 4, 't'), (1, 6, '!'), (2, 7, 't')];
        assert_eq!(aborted(&[(1, 0), (9, 2)], &compacted), [0_i64; 0]);
    }

    #[test]
    fn records_outside_transactions_are_nobodys_to_abort() {
        assert_eq!(aborted(&[(1, 0)], &[(1, 0, 'n'), (1, 1, 't')]), [1]);
    }
}
