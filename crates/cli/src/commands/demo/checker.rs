//! Counts what was delivered, record by record: a bitmap a partition, which no consumer sees.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{sync::mpsc, task::JoinHandle};

/// A record, by what its value says: its partition, and its place among those sent there.
pub(super) type Seen = (u32, u32);

/// How many reports may wait.
const REPORTS: usize = 64;

/// What came of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Records that were acknowledged.
    pub(super) produced: u64,
    /// Records that were delivered, repeats included.
    pub(super) consumed: u64,
    /// Acknowledged, and never delivered.
    pub(super) lost: u64,
    /// Delivered again.
    pub(super) duplicates: u64,
}

/// The task that counts.
#[derive(Debug)]
pub(super) struct Checker {
    task: JoinHandle<Bitmaps>,
    consumed: Arc<AtomicU64>,
}

impl Checker {
    /// Starts it. It ends when nobody is left to report. `hidden` is a record that it does not see.
    pub(super) fn spawn(partitions: u32, hidden: Option<Seen>) -> (Self, mpsc::Sender<Vec<Seen>>) {
        let (reports, mut reported) = mpsc::channel::<Vec<Seen>>(REPORTS);
        let consumed = Arc::new(AtomicU64::new(0));
        let count = consumed.clone();
        let task = tokio::spawn(async move {
            let mut bitmaps = Bitmaps::new(partitions);
            while let Some(report) = reported.recv().await {
                report.into_iter().filter(|seen| Some(*seen) != hidden).for_each(|seen| bitmaps.see(seen));
                count.store(bitmaps.consumed, Ordering::Relaxed);
            }
            bitmaps
        });
        (Self { task, consumed }, reports)
    }

    /// How many records were delivered so far.
    pub(super) fn consumed(&self) -> Arc<AtomicU64> {
        self.consumed.clone()
    }

    /// Compares with how many records each partition acknowledged.
    pub(super) async fn verdict(self, acknowledged: &[u32]) -> Option<Verdict> {
        Some(self.task.await.ok()?.verdict(acknowledged))
    }
}

#[derive(Debug)]
struct Bitmaps {
    words: Vec<Vec<u64>>,
    consumed: u64,
    duplicates: u64,
}

impl Bitmaps {
    fn new(partitions: u32) -> Self {
        Self { words: vec![Vec::new(); partitions as usize], consumed: 0, duplicates: 0 }
    }

    fn see(&mut self, (partition, sequence): Seen) {
        self.consumed += 1;
        let Some(words) = self.words.get_mut(partition as usize) else { return };
        let (index, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if words.len() <= index {
            words.resize(index + 1, 0);
        }
        let Some(word) = words.get_mut(index) else { return };
        self.duplicates += u64::from(*word & bit != 0);
        *word |= bit;
    }

    fn verdict(&self, acknowledged: &[u32]) -> Verdict {
        let produced = acknowledged.iter().map(|count| u64::from(*count)).sum();
        let seen = |(words, count): (&Vec<u64>, &u32)| -> u64 {
            let has = |sequence: &u32| {
                words.get(*sequence as usize / 64).is_some_and(|word| word & (1 << (sequence % 64)) != 0)
            };
            (0..*count).filter(has).count() as u64
        };
        let seen: u64 = self.words.iter().zip(acknowledged).map(seen).sum();
        Verdict { produced, consumed: self.consumed, lost: produced - seen, duplicates: self.duplicates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_and_not_seen_is_lost() {
        let mut bitmaps = Bitmaps::new(2);
        for seen in [(0, 0), (0, 64), (1, 1), (0, 64), (1, 0)] {
            bitmaps.see(seen);
        }
        let verdict = bitmaps.verdict(&[65, 2]);
        assert_eq!(verdict, Verdict { produced: 67, consumed: 5, lost: 63, duplicates: 1 });
    }

    #[tokio::test]
    async fn a_hidden_record_is_missed() {
        let (checker, reports) = Checker::spawn(1, Some((0, 1)));
        reports.send(vec![(0, 0), (0, 1)]).await.unwrap();
        drop(reports);
        assert_eq!(checker.verdict(&[2]).await.map(|verdict| verdict.lost), Some(1));
    }
}
