//! What a log's followers tell of its records, and what they have made of them.

use std::time::Instant;

use super::{Log, Violations};
use crate::line::{Told, Value};

impl Log {
    pub(super) fn started(&mut self, follower: usize, actor: &str) {
        if let Some(follower) = self.followers.get_mut(follower) {
            follower.started(actor);
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
            Told::Tick { .. } => follower.ticked(actor, now, violations),
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
                    let mut had = part.mark(*offset, bit);
                    // It is told of before the audit has read it.
                    if !had && *offset >= part.base && !part.entries.contains_key(offset) {
                        had = !follower.early_offsets.insert((*partition, *offset));
                    }
                    follower.repeated += u64::from(had);
                    if !had {
                        follower.moved(*partition, now);
                    }
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
        let offset = part.places.get(&value.id).copied();
        let had = match offset {
            Some(offset) => part.mark(offset, bit),
            None => follower.early.is_waiting(value.partition, value.id) || part.has_read(value.id),
        };
        if had {
            // Of what is handled at least once it may be there again.
            if follower.kind.is_exact() {
                violations.add("doubled", text, now);
            }
            return;
        }
        if offset.is_some() {
            follower.moved(value.partition, now);
        }
        follower.early.push(value.partition, value.id, offset, text, now);
        follower.judge_order(value.partition, now, violations);
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
}
