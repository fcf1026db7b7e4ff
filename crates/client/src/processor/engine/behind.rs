//! Partitions of retry topics that stand behind those of the topics themselves, where later records of a line follow it there: the
//! *chains*. The group assigns the first partition of each; whoever owns that reads the others by himself.
//!
//! Who reads them runs beside the listener, which is told of partitions that come and go. So each life of a chain has a number, and
//! what was found out in one counts for nothing in another.

use std::collections::BTreeMap;

use ottla_core::{
    CommittedOffset, TopicPartition,
    processing::{Following, JobId},
};

use super::{Engine, Inner};
use crate::consumer::OwnedRecord;

/// Which life of a chain it is.
pub(in crate::processor) type Life = u64;

/// The chains that are ours, and what whoever reads them is to do.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// By the first partition of each.
    lives: BTreeMap<TopicPartition, Life>,
    last: Life,
    /// Partitions behind that are to be paused (`true`) or resumed.
    pauses: Vec<(TopicPartition, bool)>,
}

/// A partition of a chain, told by who reads it.
#[derive(Debug, Clone)]
pub(in crate::processor) struct Link {
    /// The first of its chain, and the life that it is of.
    pub(in crate::processor) first: TopicPartition,
    pub(in crate::processor) life: Life,
}

impl Chains {
    fn is_current(&self, link: &Link) -> bool {
        self.lives.get(&link.first) == Some(&link.life)
    }
}

impl Inner {
    pub(super) fn is_current(&self, link: &Link) -> bool {
        self.chains.is_current(link)
    }

    /// Those that are to be paused or resumed, but for those behind, which are kept for who reads them, and whether there are any.
    pub(super) fn pauses(
        &mut self,
        is_behind: impl Fn(&TopicPartition) -> bool,
    ) -> (Vec<(TopicPartition, bool)>, bool) {
        let machine = &mut self.machine;
        let (behind, pauses): (Vec<_>, Vec<_>) =
            std::iter::from_fn(|| machine.poll_pause()).partition(|(at, _)| is_behind(at));
        let reads = !behind.is_empty();
        self.chains.pauses.extend(behind);
        (pauses, reads)
    }

    /// These are not ours any more.
    pub(super) fn break_chains(&mut self, partitions: &[TopicPartition]) {
        for at in partitions {
            self.chains.lives.remove(at);
        }
    }
}

impl Engine {
    /// These partitions, and those that stand behind them.
    pub(in crate::processor) fn with_behind(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let behind = |at: &TopicPartition| {
            let behind = self.plan.as_ref().map(|plan| plan.behind(at)).unwrap_or_default();
            std::iter::once(at.clone()).chain(behind)
        };
        partitions.iter().flat_map(behind).collect()
    }

    /// Whether this partition stands behind one that the group assigns.
    pub(super) fn reads_behind(&self, at: &TopicPartition) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.is_held && plan.retry_topic(&at.topic).is_some())
    }

    /// A partition is assigned, and nothing is handed out of it before it is known what is left behind it.
    pub(super) fn chain_assigned(&self, at: &TopicPartition, committed: Option<&CommittedOffset>) {
        let behind = self.with_behind(std::slice::from_ref(at)).into_iter().skip(1);
        self.with(|inner, _| {
            inner.forget(std::slice::from_ref(at));
            let chain: Vec<_> = std::iter::once((at.clone(), committed.cloned()))
                .chain(behind.map(|at| (at, None)))
                .collect();
            // Of those before nothing counts any more.
            inner.chains.pauses.retain(|(paused, _)| chain.iter().all(|(at, _)| at != paused));
            inner.machine.handle_chain_assigned(chain);
            inner.chains.last += 1;
            inner.chains.lives.insert(at.clone(), inner.chains.last);
        });
        self.behind.notify_one();
    }

    /// The chains that are ours, by their first partitions, and what of those behind is to be paused or resumed.
    pub(in crate::processor) fn chains(
        &self,
    ) -> (BTreeMap<TopicPartition, Life>, Vec<(TopicPartition, bool)>) {
        self.with(|inner, _| (inner.chains.lives.clone(), std::mem::take(&mut inner.chains.pauses)))
    }

    /// Returns when there is something for who reads partitions behind.
    pub(in crate::processor) async fn chains_changed(&self) {
        self.behind.notified().await;
    }

    /// Returns when it is over.
    pub(in crate::processor) async fn over(&self) {
        let mut notified = std::pin::pin!(self.over.notified());
        loop {
            notified.as_mut().enable();
            if self.is_ended() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.over.notified());
        }
    }

    /// What is committed of a partition behind, and where it is read from: that is committed again, so that the broker does not forget
    /// it.
    pub(in crate::processor) fn behind_begins(
        &self,
        link: &Link,
        at: &TopicPartition,
        committed: Option<&CommittedOffset>,
        from: CommittedOffset,
    ) {
        self.with(|inner, now| {
            if inner.is_current(link) {
                inner.machine.handle_behind_assigned(at.clone(), committed);
                inner.machine.handle_arrived(at, std::iter::empty(), from, now);
            }
        });
    }

    /// These records, by key and offset, were in a partition behind when it began.
    pub(in crate::processor) fn left<'a>(
        &self,
        link: &Link,
        at: &TopicPartition,
        records: impl Iterator<Item = (Option<&'a [u8]>, i64)>,
    ) {
        self.with(|inner, _| {
            if inner.is_current(link) {
                inner.machine.handle_left(at, records);
            }
        });
    }

    /// All that was left behind has been told.
    pub(in crate::processor) fn known(&self, link: &Link) {
        self.with(|inner, _| {
            if inner.is_current(link) {
                inner.machine.handle_known(&link.first);
            }
        });
    }

    /// What is committed of a partition behind grows old.
    pub(in crate::processor) fn commit_ages(&self, link: &Link, at: &TopicPartition) {
        self.with(|inner, now| {
            if inner.is_current(link) {
                inner.machine.handle_commit_ages(at, now);
            }
        });
    }

    /// The records that are to be written behind their own partitions.
    pub(in crate::processor) fn following(&self) -> Vec<Following<OwnedRecord>> {
        self.with_machine(|machine, _| std::iter::from_fn(|| machine.poll_following()).collect())
    }

    /// A record is written behind its own partition, there at this offset.
    pub(in crate::processor) fn given_behind(&self, id: JobId, offset: i64) {
        self.with_machine(|machine, now| machine.handle_behind(id, offset, now));
    }

    /// Whether a record that was given away is still ours to write.
    pub(in crate::processor) fn is_given(&self, id: JobId) -> bool {
        self.with_machine(|machine, _| machine.is_given_away(id))
    }
}
