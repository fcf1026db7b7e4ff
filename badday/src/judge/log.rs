//! What a topic holds, as its audit reads it, and who has had it.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Shades, Violations,
    follower::{Follower, Kind},
    numbers::Came,
    part::{AUDIT, Part},
};
use crate::line::{Id, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Orders,
    Ledger,
}

/// That a record is not there, for all that its writer was told.
fn not_there(log: &str, partition: usize, id: Id) -> String {
    format!("{log}-{partition}: {id} was acknowledged and is not there")
}

pub(crate) struct Log {
    pub(crate) name: &'static str,
    /// Written in transactions: its writers' numbers have gaps, and are judged elsewhere.
    transactional: bool,
    pub(super) parts: Vec<Part>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) records: u64,
    /// The most that were held at once.
    pub(crate) most: usize,
}

impl Log {
    pub(crate) fn new(
        name: &'static str,
        transactional: bool,
        partitions: usize,
        followers: &[(&'static str, Kind)],
    ) -> Self {
        let followers = followers.iter().map(|(follower, kind)| Follower::new(follower, *kind)).collect();
        let mut log = Self { name, transactional, parts: Vec::new(), followers, records: 0, most: 0 };
        log.grow(partitions);
        log
    }

    /// There are more partitions.
    pub(crate) fn grow(&mut self, partitions: usize) {
        self.parts.resize_with(partitions.max(self.parts.len()), Part::default);
        for follower in &mut self.followers {
            follower.grow(partitions);
        }
    }

    pub(crate) fn partitions(&self) -> usize {
        self.parts.len()
    }

    /// Where the audit goes on, partition by partition.
    pub(crate) fn audit_from(&self) -> Vec<i64> {
        self.parts.iter().map(|part| part.audited).collect()
    }

    /// What nobody needs any more: of each partition all before.
    pub(crate) fn done_with(&self) -> Vec<i64> {
        self.parts.iter().map(|part| part.base).collect()
    }

    pub(super) fn open(&self) -> usize {
        let early: usize = self.followers.iter().map(|follower| follower.early.waiting().count()).sum();
        early + self.parts.iter().map(|part| part.entries.len()).sum::<usize>() + self.unread().count()
    }

    /// What was acknowledged, by partition, without an offset, and the audit has not come to.
    fn unread(&self) -> impl Iterator<Item = (usize, Id)> {
        self.parts.iter().enumerate().flat_map(|(partition, part)| {
            part.written.iter().flat_map(move |(&(writer, life), written)| {
                written.acknowledged.iter().map(move |&number| (partition, Id { writer, life, number }))
            })
        })
    }

    /// What each partition has that is not done with, for who asks why.
    pub(crate) fn behind(&self) -> String {
        let of = |(partition, part): (usize, &Part)| {
            let (first, entry) = part.entries.first_key_value()?;
            let lacks: Vec<&str> = (0..)
                .zip(&self.followers)
                .filter(|(bit, follower)| {
                    entry.seen & (1 << bit) == 0 || !follower.is_committed(partition, *first)
                })
                .map(|(_, follower)| follower.name)
                .chain((entry.seen & AUDIT == 0).then_some("audit"))
                .collect();
            Some(format!(
                "{}-{partition} from {first} ({} records): {}",
                self.name,
                part.entries.len(),
                lacks.join(", ")
            ))
        };
        self.parts.iter().enumerate().filter_map(of).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn acknowledged(
        &mut self,
        value: Value,
        offset: Option<i64>,
        now: Instant,
        violations: &mut Violations,
    ) {
        let Some(part) = self.parts.get_mut(value.partition as usize) else { return };
        let Id { writer, life, number } = value.id;
        let lost = |violations: &mut Violations| {
            violations.add("lost", not_there(self.name, value.partition as usize, value.id), now);
        };
        let written = part.written.entry((writer, life)).or_default();
        if written.read.is_missing(number) {
            return lost(violations);
        }
        let has_come = written.read.has(number);
        let Some(offset) = offset else {
            if !has_come {
                written.acknowledged.insert(number);
            }
            return;
        };
        let is_read = offset < part.audited;
        if offset >= part.base {
            if is_read && !part.entries.contains_key(&offset) {
                lost(violations);
            } else if !part.known(offset, value.id, now) {
                let text = format!(
                    "{}-{} {offset}: not {}, which was acknowledged there",
                    self.name, value.partition, value.id
                );
                violations.add("another record", text, now);
            }
        } else if !has_come {
            lost(violations);
        }
    }

    /// The audit has read a record.
    pub(super) fn audited(
        &mut self,
        partition: i32,
        offset: i64,
        value: &Value,
        now: Instant,
        violations: &mut Violations,
    ) {
        let Some(part) = self.parts.get_mut(partition as usize) else { return };
        self.records += 1;
        let place = format!("{}-{partition} {offset} ({})", self.name, value.id);
        if offset < part.audited {
            return violations.add("repeated", format!("{place}: read again by the audit"), now);
        }
        if !self.transactional {
            let Id { writer, life, number } = value.id;
            let (came, lost) = part.written.entry((writer, life)).or_default().came(number);
            for number in lost {
                let id = Id { number, ..value.id };
                violations.add("lost", not_there(self.name, partition as usize, id), now);
            }
            match came {
                Came::Last => {}
                Came::Late => {
                    violations.add("reordered", format!("{place}: behind later ones of its writer"), now);
                }
                Came::Again => violations.add("doubled", format!("{place}: twice in the log"), now),
            }
        }
        if !part.known(offset, value.id, now) {
            violations.add("another record", format!("{place}: others were told of another there"), now);
        }
        part.mark(offset, AUDIT);
        for (bit, follower) in (0..).zip(&mut self.followers) {
            if follower.early.found(partition, value.id, offset) {
                if !part.mark(offset, 1 << bit) {
                    follower.moved(partition, now);
                }
                follower.judge_order(partition, now, violations);
            }
        }
        self.passed(partition, offset + 1, now, violations);
        let held = self.parts.iter().map(|part| part.entries.len()).sum();
        self.most = self.most.max(held);
    }

    /// The audit has read all before this offset.
    pub(super) fn passed(&mut self, partition: i32, offset: i64, now: Instant, violations: &mut Violations) {
        let Some(part) = self.parts.get_mut(partition as usize) else { return };
        if offset <= part.audited {
            return;
        }
        for (at, entry) in part.entries.range_mut(part.audited..offset) {
            if entry.seen & AUDIT == 0 {
                entry.seen |= AUDIT;
                let text = format!(
                    "{}-{partition} {at} ({}): was told to be there, and is not",
                    self.name, entry.id
                );
                violations.add("lost", text, now);
            }
        }
        part.audited = offset;
    }

    pub(super) fn look(
        &mut self,
        now: Instant,
        shades: &Shades,
        whys: &BTreeMap<String, (Instant, String)>,
        violations: &mut Violations,
    ) {
        for (partition, part) in self.parts.iter_mut().enumerate() {
            for (bit, follower) in (0..).zip(&mut self.followers) {
                let has_had: Vec<i64> = follower
                    .early_offsets
                    .iter()
                    .filter(|(of, offset)| *of as usize == partition && part.entries.contains_key(offset))
                    .map(|(_, offset)| *offset)
                    .collect();
                for offset in has_had {
                    part.mark(offset, 1 << bit);
                    follower.early_offsets.remove(&(partition as i32, offset));
                }
                let settled = follower.settled(partition, now);
                for (offset, entry) in part.entries.range_mut(..settled) {
                    if entry.seen & (1 << bit) == 0 {
                        entry.seen |= 1 << bit;
                        let text = format!(
                            "{}: {}-{partition} {offset} ({}) is committed and was never handed out",
                            follower.name, self.name, entry.id
                        );
                        violations.add("lost", text, now);
                    }
                }
                let waiting = part.entries.iter().find(|(_, entry)| entry.seen & (1 << bit) == 0);
                let waiting = waiting.map(|(offset, entry)| (*offset, entry.known));
                follower.waits(self.name, partition, waiting, now, shades, whys, violations);
            }
            let all = self.followers.iter().enumerate().fold(AUDIT, |all, (bit, _)| all | 1 << bit);
            while let Some(first) = part.entries.first_entry() {
                let offset = *first.key();
                let is_committed =
                    self.followers.iter().all(|follower| follower.is_committed(partition, offset));
                if first.get().seen & all != all || !is_committed {
                    break;
                }
                part.places.remove(&first.remove().id);
                part.base = offset + 1;
            }
        }
        for follower in &mut self.followers {
            follower.look(now, shades, violations);
        }
    }

    pub(super) fn close(&self, now: Instant, violations: &mut Violations) {
        let behind = self.behind();
        if !behind.is_empty() {
            violations.add("lost", format!("not had, or not committed, at the end: {behind}"), now);
        }
        for (partition, id) in self.unread() {
            violations.add("lost", not_there(self.name, partition, id), now);
        }
        for follower in &self.followers {
            for (partition, id) in follower.early.waiting() {
                let text = format!(
                    "{}: {id} of {}-{partition}, which was never read there",
                    follower.name, self.name
                );
                violations.add("of nothing", text, now);
            }
        }
    }
}
