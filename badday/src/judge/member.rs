//! A member of a group, by what it tells: what it is assigned, what it is handed, what its handlers begin with.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::Violations;

/// So many ticks before a member is told of partitions, it had not asked for their committed offsets yet.
const MARKS: usize = 3;

/// How long after a handler began the member's events are told: they are another task's.
const EVENTS: Duration = Duration::from_secs(5);

/// As much by the member's own ticks: one that stands still, or was killed, tells nothing.
const EVENT_TICKS: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Member {
    ticks: u64,
    /// What the group was known to have committed at its last ticks, the oldest first.
    marks: VecDeque<Vec<i64>>,
    held: HashMap<i32, Held>,
    /// What its handlers are at, by partition and key, and what they began with last, and when.
    open: HashMap<(i32, u64), i64>,
    last: HashMap<(i32, u64), (i64, Instant)>,
    assigned: HashMap<i32, Instant>,
    suspects: Vec<Suspect>,
}

/// A partition of a member.
#[derive(Debug)]
struct Held {
    /// What was committed when it asked, or more.
    floor: i64,
    last: Option<i64>,
}

/// A handler that began with a record before one that it had begun with earlier: it may have been assigned anew.
#[derive(Debug)]
struct Suspect {
    partition: i32,
    /// When it began with the later one.
    since: Instant,
    /// At which of the member's ticks it must have told of an assignment.
    due: u64,
    text: String,
}

impl Member {
    /// What the group is known to have committed at its start.
    pub(super) fn new(known: Vec<i64>) -> Self {
        Self { marks: VecDeque::from([known]), ..Self::default() }
    }

    pub(super) fn ticked(&mut self, known: Vec<i64>, now: Instant, violations: &mut Violations) {
        self.marks.push_back(known);
        while self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        self.ticks += 1;
        let due = self.suspects.extract_if(.., |suspect| suspect.due <= self.ticks);
        for Suspect { partition, since, text, .. } in due {
            if self.assigned.get(&partition).is_none_or(|at| *at + EVENTS < since) {
                violations.add("reordered", text, now);
            }
        }
    }

    pub(super) fn assigned(&mut self, partitions: &[i32], now: Instant) {
        for &partition in partitions {
            let floor = self.marks.front().and_then(|mark| mark.get(partition as usize));
            self.held.insert(partition, Held { floor: floor.copied().unwrap_or_default(), last: None });
            self.assigned.insert(partition, now);
        }
    }

    pub(super) fn given_up(&mut self, partitions: &[i32]) {
        self.held.retain(|partition, _| !partitions.contains(partition));
    }

    pub(super) fn handed_out(
        &mut self,
        partition: i32,
        offset: i64,
        text: String,
        now: Instant,
        violations: &mut Violations,
    ) {
        let Some(held) = self.held.get_mut(&partition) else {
            return violations.add("not assigned", text, now);
        };
        if let Some(last) = held.last.filter(|last| *last >= offset) {
            violations.add("reordered", format!("{text}: after {last}, and not assigned anew"), now);
        } else if offset < held.floor {
            let text = format!("{text}: {} was committed before it was assigned", held.floor);
            violations.add("repeated", text, now);
        }
        held.last = Some(offset);
    }

    pub(super) fn began(
        &mut self,
        (partition, offset): (i32, i64),
        key: u64,
        attempt: u32,
        text: String,
        now: Instant,
        violations: &mut Violations,
    ) {
        let floor = self.marks.front().and_then(|mark| mark.get(partition as usize)).copied();
        let is_held = self.held.contains_key(&partition);
        if let Some(floor) = floor.filter(|floor| offset < *floor && is_held && attempt == 1) {
            violations.add("repeated", format!("{text}: {floor} was committed before"), now);
        }
        if let Some(other) = self.open.insert((partition, key), offset) {
            violations.add("reordered", format!("{text}: the handler of {other} has not ended"), now);
        }
        if let Some((last, since)) = self.last.insert((partition, key), (offset, now))
            && last > offset
        {
            let text = format!("{text}: after {last}, and not assigned anew");
            self.suspects.push(Suspect { partition, since, due: self.ticks + EVENT_TICKS, text });
        }
    }

    pub(super) fn handled(&mut self, partition: i32, key: u64) {
        self.open.remove(&(partition, key));
    }
}
