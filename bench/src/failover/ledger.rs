//! What a group's members were handed, in the order in which it is read off their pipes. The steady producer has one,
//! too: what it was acknowledged.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A record, handed to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) member: usize,
    pub(super) partition: usize,
    pub(super) number: u64,
    /// In milliseconds, on the clock of all.
    pub(super) at: u64,
}

#[derive(Debug)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    deliveries: Vec<Delivery>,
    /// Of each partition.
    last: Vec<Option<Delivery>>,
    /// When a partition was last seen with another member than before.
    moved: u64,
}

impl Ledger {
    pub(super) fn new(partitions: usize) -> Self {
        Self(Mutex::new(Entries { deliveries: Vec::new(), last: vec![None; partitions], moved: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that a member printed; what is none is left out, as a client may print what it likes.
    pub(super) fn add(&self, member: usize, line: &str) {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let (Some(Ok(partition)), Some(Ok(number)), Some(Ok(at)), None) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            return;
        };
        let delivery = Delivery { member, partition: partition as usize, number, at };
        let mut entries = self.lock();
        let Entries { deliveries, last, moved } = &mut *entries;
        let Some(last) = last.get_mut(delivery.partition) else { return };
        if last.is_none_or(|last| last.member != member) {
            *moved = at;
        }
        *last = Some(delivery);
        deliveries.push(delivery);
    }

    /// Since when each partition has been with the member that has it now, if each flows, and they are shared out
    /// among exactly these members.
    pub(super) fn shared_since(&self, members: &[usize], now: u64) -> Option<u64> {
        const FLOWS: u64 = 1_000;
        let entries = self.lock();
        let last: Vec<Delivery> = entries.last.iter().copied().collect::<Option<_>>()?;
        let flows = last.iter().all(|last| last.at + FLOWS >= now && members.contains(&last.member));
        let all = members.iter().all(|member| last.iter().any(|last| last.member == *member));
        (flows && all).then_some(entries.moved)
    }

    /// Of each partition, who has it, and how many milliseconds ago a record was there.
    pub(super) fn owners(&self, now: u64) -> Vec<Option<(usize, u64)>> {
        let owner = |last: &Delivery| (last.member, now.saturating_sub(last.at));
        self.lock().last.iter().map(|last| last.as_ref().map(owner)).collect()
    }

    /// How many so far.
    pub(super) fn len(&self) -> usize {
        self.lock().deliveries.len()
    }

    /// All of them, by time.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let mut deliveries = self.lock().deliveries.clone();
        deliveries.sort_by_key(|delivery| delivery.at);
        deliveries
    }
}
