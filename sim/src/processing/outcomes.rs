//! What became of transactions, as far as their producers know.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Transactions;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// How many producers there have been with each transactional id.
    producers: BTreeMap<usize, usize>,
    /// Of each transaction whose end its producer knows, whether it is committed.
    ended: BTreeMap<(usize, u64), bool>,
    /// Processes that commit nothing any more.
    pub(super) closed: BTreeSet<usize>,
    pub(super) counts: Transactions,
}

impl Outcomes {
    pub(super) fn begins(&mut self, id: usize) {
        *self.producers.entry(id).or_default() += 1;
    }

    /// Whether there has been more than one producer with this id.
    pub(super) fn is_shared(&self, id: usize) -> bool {
        self.producers.get(&id).is_some_and(|count| *count > 1)
    }

    pub(super) fn ended(&mut self, life: usize, transaction: u64, is_committed: bool) {
        match is_committed {
            true => self.counts.committed += 1,
            false => self.counts.aborted += 1,
        }
        self.ended.insert((life, transaction), is_committed);
    }

    /// Whether a transaction is committed, as far as its producer knows.
    pub(super) fn is_committed(&self, life: usize, transaction: u64) -> Option<bool> {
        self.ended.get(&(life, transaction)).copied()
    }
}
