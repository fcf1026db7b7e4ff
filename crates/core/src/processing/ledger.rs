//! What handlers have written, until it is committed with the offsets of the records that they wrote it for.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::TopicPartition;

/// What was written for records that are done, and is not committed yet: outputs and offsets are to be committed as one.
///
/// A *round* is one attempt at that: [`take`](Self::take) begins it, and [`handle_ended`](Self::handle_ended) ends it. What a round did
/// not commit is in the next. Who drives this takes a round's offsets in the same moment
/// ([`commit_now`](super::Processing::commit_now)), and writes what a record's handler has written when, and only if, the record is
/// done: then each round has whole records, and none is in two that are committed.
#[derive(Debug)]
pub struct Ledger<O> {
    written: VecDeque<Entry<O>>,
    /// Those that have not ended.
    rounds: BTreeMap<Round, VecDeque<Entry<O>>>,
    last: Round,
    bytes: usize,
}

/// An attempt to commit what was written. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(u64);

#[derive(Debug)]
struct Entry<O> {
    at: TopicPartition,
    bytes: usize,
    output: O,
}

impl<O> Default for Ledger<O> {
    fn default() -> Self {
        Self { written: VecDeque::new(), rounds: BTreeMap::new(), last: Round(0), bytes: 0 }
    }
}

impl<O: Clone> Ledger<O> {
    /// A record of this partition is done, and this was written for it.
    pub fn write(&mut self, at: TopicPartition, output: O, bytes: usize) {
        self.bytes += bytes;
        self.written.push_back(Entry { at, bytes, output });
    }

    /// How many bytes there are, those of rounds that have not ended included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is a round that has not ended.
    pub(super) fn is_under_way(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// Begins a round of all that was written, in order.
    pub fn take(&mut self) -> (Round, Vec<O>) {
        self.last.0 += 1;
        let taken = std::mem::take(&mut self.written);
        let outputs = taken.iter().map(|entry| entry.output.clone()).collect();
        self.rounds.insert(self.last, taken);
        (self.last, outputs)
    }

    /// Takes out what was written for these partitions: they are given up, and whoever asks commits it, or nobody does. What of them is
    /// in a round that has not ended is that round's.
    pub fn take_of(&mut self, partitions: &[TopicPartition]) -> Vec<O> {
        let (theirs, others) =
            std::mem::take(&mut self.written).into_iter().partition(|entry| partitions.contains(&entry.at));
        self.written = others;
        let theirs: VecDeque<Entry<O>> = theirs;
        self.bytes -= sum(&theirs);
        theirs.into_iter().map(|entry| entry.output).collect()
    }

    /// A round has ended. What it did not commit stands before what was written since.
    pub fn handle_ended(&mut self, round: Round, is_committed: bool) {
        let Some(mut taken) = self.rounds.remove(&round) else { return };
        if is_committed {
            self.bytes -= sum(&taken);
        } else {
            taken.append(&mut self.written);
            self.written = taken;
        }
    }

    /// These partitions are another's: what was written for them is not to be committed any more. A round that has not ended may commit
    /// it all the same.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        let mut bytes = 0;
        for entries in self.rounds.values_mut().chain([&mut self.written]) {
            entries.retain(|entry| !partitions.contains(&entry.at));
            bytes += sum(entries);
        }
        self.bytes = bytes;
    }
}

fn sum<O>(entries: &VecDeque<Entry<O>>) -> usize {
    entries.iter().map(|entry| entry.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn written(entries: impl IntoIterator<Item = (i32, char)>) -> Ledger<char> {
        let mut ledger = Ledger::default();
        entries.into_iter().for_each(|(partition, output)| ledger.write(at(partition), output, 10));
        ledger
    }

    #[test]
    fn what_a_round_did_not_commit_is_in_the_next_before_what_was_written_since() {
        let mut ledger = written([(0, 'a'), (1, 'b')]);
        let (round, outputs) = ledger.take();
        assert_eq!(outputs, ['a', 'b']);
        ledger.write(at(0), 'c', 10);
        ledger.handle_ended(round, false);
        assert_eq!(ledger.bytes(), 30);
        let (round, outputs) = ledger.take();
        assert_eq!(outputs, ['a', 'b', 'c']);
        ledger.handle_ended(round, true);
        assert_eq!((ledger.bytes(), ledger.take().1), (0, vec![]));
    }

    #[test]
    fn what_was_written_for_a_partition_that_is_lost_does_not_come_back() {
        let mut ledger = written([(0, 'a'), (1, 'b')]);
        let (round, _) = ledger.take();
        ledger.write(at(1), 'c', 10);
        ledger.forget(&[at(1)]);
        assert_eq!(ledger.bytes(), 10);
        ledger.handle_ended(round, false);
        assert_eq!(ledger.take().1, ['a']);
    }

    #[test]
    fn what_is_taken_out_for_partitions_that_are_given_up_is_in_no_round() {
        let mut ledger = written([(0, 'a'), (1, 'b'), (0, 'c')]);
        assert_eq!(ledger.take_of(&[at(0)]), ['a', 'c']);
        assert_eq!((ledger.bytes(), ledger.take().1), (10, vec!['b']));
    }

    #[test]
    fn a_round_ends_once() {
        let mut ledger = written([(0, 'a')]);
        let (round, _) = ledger.take();
        ledger.handle_ended(round, true);
        ledger.handle_ended(round, false);
        assert_eq!((ledger.bytes(), ledger.take().1), (0, vec![]));
    }
}
