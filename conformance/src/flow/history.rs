//! What was written, committed and handed out, and what must be true of the three.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::{Acked, Committed, Fed};

/// A record that a member was handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// When.
    pub at: u64,
    /// Of which partition.
    pub partition: i32,
    /// Where in its log.
    pub offset: i64,
    /// Its value: its place among its partition's records.
    pub number: i64,
}

/// All that is known once a run is over.
#[derive(Debug)]
pub struct History {
    written: BTreeMap<i32, Vec<Acked>>,
    /// By partition, in the order of time; offsets below are not handed out again.
    committed: BTreeMap<i32, Vec<(u64, i64)>>,
    /// In the order of time, with the member's place.
    delivered: Vec<(Delivery, usize)>,
}

impl History {
    /// Of what was written and committed, and what each member was handed.
    pub fn new(fed: Fed, members: impl IntoIterator<Item = Vec<Delivery>>) -> Self {
        let mut committed: BTreeMap<i32, Vec<(u64, i64)>> = BTreeMap::new();
        for Committed { at, partition, offset } in fed.committed {
            committed.entry(partition).or_default().push((at, offset));
        }
        let with_member = |(member, delivered): (usize, Vec<Delivery>)| {
            delivered.into_iter().map(move |delivery| (delivery, member))
        };
        let mut delivered: Vec<_> = members.into_iter().enumerate().flat_map(with_member).collect();
        // Stable: what one member was handed at one time stays in order.
        delivered.sort_by_key(|(delivery, _)| delivery.at);
        Self { written: fed.acked, committed, delivered }
    }

    /// How many records were acknowledged.
    pub fn written(&self) -> usize {
        self.written.values().map(Vec::len).sum()
    }

    /// Acknowledged, and handed to nobody: partition and number.
    pub fn lost(&self) -> Vec<(i32, i64)> {
        let delivered: BTreeSet<(i32, i64)> =
            self.delivered.iter().map(|(delivery, _)| (delivery.partition, delivery.number)).collect();
        let places = self.written.iter();
        let places =
            places.flat_map(|(partition, acked)| acked.iter().map(|acked| (*partition, acked.number)));
        places.filter(|place| !delivered.contains(place)).collect()
    }

    /// Handed out in that time although handed out before.
    pub fn repeats(&self, during: Range<u64>) -> Vec<Delivery> {
        let mut seen = BTreeSet::new();
        let mut repeats = Vec::new();
        for (delivery, _) in &self.delivered {
            if !seen.insert((delivery.partition, delivery.offset)) && during.contains(&delivery.at) {
                repeats.push(*delivery);
            }
        }
        repeats
    }

    /// Handed out although a higher offset was seen to be committed before.
    pub fn repeats_below_committed(&self) -> Vec<Delivery> {
        let below = |delivery: &Delivery| {
            let committed = self.committed.get(&delivery.partition).map(Vec::as_slice).unwrap_or_default();
            committed.iter().any(|(at, offset)| *at < delivery.at && *offset > delivery.offset)
        };
        self.repeats(0..u64::MAX).into_iter().filter(below).collect()
    }

    /// Committed before it was handed out: partition and offset.
    pub fn committed_unseen(&self) -> Vec<(i32, i64)> {
        let mut highest: BTreeMap<i32, i64> = BTreeMap::new();
        for (delivery, _) in &self.delivered {
            let end = highest.entry(delivery.partition).or_default();
            *end = (*end).max(delivery.offset + 1);
        }
        let last = |(partition, commits): (&i32, &Vec<(u64, i64)>)| {
            let offset = commits.iter().map(|(_, offset)| *offset).max()?;
            (offset > highest.get(partition).copied().unwrap_or_default()).then_some((*partition, offset))
        };
        self.committed.iter().filter_map(last).collect()
    }

    /// For each record handed out in that time: how long its partition stood still although it was there, in
    /// milliseconds. So what a producer or a broker held back does not count.
    pub fn waits(&self, during: Range<u64>, partitions: &BTreeSet<i32>) -> Vec<u64> {
        let times = |acked: &Vec<Acked>| acked.iter().map(|acked| (acked.number, acked.at)).collect();
        let acked: BTreeMap<i32, HashMap<i64, u64>> =
            self.written.iter().map(|(partition, acked)| (*partition, times(acked))).collect();
        let mut last: BTreeMap<i32, u64> = BTreeMap::new();
        let mut waits = Vec::new();
        for (delivery, _) in &self.delivered {
            let there = acked.get(&delivery.partition).and_then(|acked| acked.get(&delivery.number));
            let before = last.insert(delivery.partition, delivery.at);
            if let (Some(there), Some(before)) = (there, before)
                && during.contains(&delivery.at)
                && partitions.contains(&delivery.partition)
            {
                waits.push(delivery.at.saturating_sub(before.max(*there)));
            }
        }
        waits.sort_unstable();
        waits
    }
}

/// The value at this share of a sorted list, the last one for 1.0.
pub fn quantile(sorted: &[u64], share: f64) -> u64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
