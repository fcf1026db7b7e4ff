//! What a topic holds, as its audit reads it, and who has had it.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Shades, Violations,
    follower::{Follower, Kind},
    part::{AUDIT, Part},
};
use crate::line::{Id, Told, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Orders,
    Ledger,
}

pub(crate) struct Log {
    pub(crate) name: &'static str,
    /// Written in transactions: its writers' numbers have gaps, and are judged elsewhere.
    transactional: bool,
    parts: Vec<Part>,
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
        let early: usize = self.followers.iter().map(|follower| follower.early.len()).sum();
        early + self.parts.iter().map(|part| part.entries.len()).sum::<usize>()
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
            let text =
                format!("{}-{}: {} was acknowledged and is not there", self.name, value.partition, value.id);
            violations.add("lost", text, now);
        };
        if part.written.get(&(writer, life)).is_some_and(|written| written.missing.contains(&number)) {
            return lost(violations);
        }
        let Some(offset) = offset else { return };
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
            let written = part.written.entry((value.id.writer, value.id.life)).or_default();
            let number = value.id.number;
            if number >= written.next {
                // What is written after a life of hours without an answer is bounded by what was in its hands.
                written.missing.extend(written.next..number);
                written.next = number + 1;
            } else if written.missing.remove(&number) {
                violations.add("reordered", format!("{place}: behind later ones of its writer"), now);
            } else {
                violations.add("doubled", format!("{place}: twice in the log"), now);
            }
        }
        if !part.known(offset, value.id, now) {
            violations.add("another record", format!("{place}: others were told of another there"), now);
        }
        part.mark(offset, AUDIT);
        for (bit, follower) in (0..).zip(&mut self.followers) {
            if follower.early.remove(&(partition, value.id)).is_some() {
                part.mark(offset, 1 << bit);
                follower.moved(partition, now);
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

    pub(super) fn started(&mut self, follower: usize, actor: &str, now: Instant) {
        if let Some(follower) = self.followers.get_mut(follower) {
            follower.started(actor, now);
        }
    }

    /// What a member of a follower tells.
    pub(super) fn member(
        &mut self,
        follower: usize,
        actor: &str,
        told: &Told,
        now: Instant,
        violations: &mut Violations,
    ) {
        let bit = 1 << follower;
        let Some(follower) = self.followers.get_mut(follower) else { return };
        let parts = &mut self.parts;
        match told {
            Told::Tick { .. } => follower.ticked(actor),
            Told::Assigned(partitions) => follower.assigned(actor, partitions, now),
            Told::Revoked(partitions) | Told::Lost(partitions) => follower.given_up(actor, partitions),
            Told::Got { partition, offset, value } => {
                let Some(part) = parts.get_mut(*partition as usize) else { return };
                if !part.known(*offset, value.id, now) {
                    let text = format!("{}-{partition} {offset}: {} was told {}", self.name, actor, value.id);
                    violations.add("another record", text, now);
                }
                let had = part.mark(*offset, bit);
                follower.handed_out(actor, *partition, *offset, had, now, violations);
            }
            Told::Began { partition, offset, key, attempt } => {
                follower.began(actor, (*partition, *offset), *key, *attempt, now, violations);
            }
            Told::Handled { partition, offset, key, done } => {
                follower.handled(actor, *partition, *key);
                if let Some(part) = parts.get_mut(*partition as usize)
                    && *done
                {
                    let had = part.mark(*offset, bit);
                    // It is told of before the audit has read it.
                    if !had && *offset >= part.base && !part.entries.contains_key(offset) {
                        follower.early_offsets.insert((*partition, *offset));
                    }
                    follower.repeated += u64::from(had);
                    follower.moved(*partition, now);
                }
            }
            _ => {}
        }
    }

    /// A reader of what a follower has made of its records has read one.
    pub(super) fn outcome(
        &mut self,
        follower: usize,
        actor: &str,
        at: (i32, i64),
        value: &Value,
        now: Instant,
        violations: &mut Violations,
    ) {
        let bit = 1 << follower;
        let Some(follower) = self.followers.get_mut(follower) else { return };
        let Some(part) = self.parts.get_mut(value.partition as usize) else { return };
        let text = format!(
            "{}: {} of {}-{}, at {at:?} of {actor}",
            follower.name, value.id, self.name, value.partition
        );
        if !follower.read_outcome(actor, at) {
            return violations.add("repeated", format!("{text}: read again"), now);
        }
        follower.read += 1;
        let Some(offset) = part.places.get(&value.id).copied() else {
            if follower.kind.is_exact() && follower.early.insert((value.partition, value.id), now).is_some() {
                violations.add("doubled", text, now);
            }
            return;
        };
        let had = part.mark(offset, bit);
        follower.moved(value.partition, now);
        if follower.kind.is_exact() && had {
            violations.add("doubled", text, now);
        } else if !follower.in_order(value.partition, offset) {
            violations.add("reordered", format!("{text}: before one that it has followed"), now);
        }
    }

    pub(super) fn committed(
        &mut self,
        follower: usize,
        offsets: &[(i32, i64)],
        now: Instant,
        violations: &mut Violations,
    ) {
        let name = self.name;
        if let Some(follower) = self.followers.get_mut(follower) {
            follower.committed(name, offsets, now, violations);
        }
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
        for follower in &self.followers {
            for (partition, id) in follower.early.keys() {
                let text = format!(
                    "{}: {id} of {}-{partition}, which was never read there",
                    follower.name, self.name
                );
                violations.add("of nothing", text, now);
            }
        }
    }
}
