//! When a reader has read enough: `-c`, `-e` and `-o e@MS`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{Consumer, Event, Happened, Record, Timestamp, TopicPartition, error::OffsetsError};

use super::{
    lookups::{Bounds, Wanted},
    notes::Notes,
};
use crate::{epoch, failure::tell};

/// What is still to be read.
#[derive(Debug)]
pub(super) struct Goal {
    /// How many records more.
    left: Option<u64>,
    /// Up to the ends that partitions had when they were assigned.
    to_end: bool,
    /// Up to the first record that is no older.
    until: Option<i64>,
    /// The partitions assigned, where they matter; `None` before the first assignment and once all were given up.
    partitions: Option<BTreeMap<TopicPartition, Partition>>,
    assigned_at: Instant,
}

/// How long a member without a partition waits for one: others may have to give theirs up first, which the consumer
/// protocol tells them with a heartbeat (every 5 s).
const IDLE: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy, Default)]
struct Partition {
    /// The end is being asked for.
    asked: bool,
    /// It was asked for after the time of `until`: what is written from then on is too late, whatever time it bears.
    in_time: bool,
    /// No record from here on is wanted.
    end: Option<i64>,
    /// It is that of a record, and not of the log.
    by_time: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    /// A record behind the end was handed out: the first such, by which the position is to be put right.
    Passed(i64),
    Done,
}

impl Goal {
    pub(super) fn new(count: Option<u64>, to_end: bool, until: Option<i64>) -> Self {
        Self { left: count, to_end, until, partitions: None, assigned_at: Instant::now() }
    }

    fn has_ends(&self) -> bool {
        self.to_end || self.until.is_some()
    }

    /// How many records may be taken.
    pub(super) fn left(&self) -> Option<usize> {
        self.left.map(|left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// What is to be found out of each partition.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { beginning: false, end: self.has_ends(), time: self.until }
    }

    /// These partitions are to be read from here on. Whether their ends are to be found out.
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition]) -> bool {
        if self.has_ends() {
            let asked = Partition { asked: true, in_time: self.has_come(), ..Partition::default() };
            let open = |at: &TopicPartition| (at.clone(), asked);
            self.partitions.get_or_insert_default().extend(partitions.iter().map(open));
            self.assigned_at = Instant::now();
        }
        self.has_ends()
    }

    /// Whether the time of `until` has.
    fn has_come(&self) -> bool {
        self.until.is_some_and(|until| until <= epoch::now())
    }

    /// Partitions whose logs had no record as young as `until` before its time had come: their ends are to be found out now.
    pub(super) fn due(&mut self) -> Vec<TopicPartition> {
        if self.to_end || !self.has_come() {
            return Vec::new();
        }
        let waiting = self.partitions.iter_mut().flatten().filter(|(_, partition)| {
            partition.state == State::Open
                && partition.end.is_none()
                && !partition.asked
                && !partition.in_time
        });
        waiting
            .map(|(at, partition)| {
                (partition.asked, partition.in_time) = (true, true);
                at.clone()
            })
            .collect()
    }

    /// What was found out of a partition.
    pub(super) fn know(&mut self, at: &TopicPartition, bounds: &Bounds) {
        if let Some(partition) = self.partitions.as_mut().and_then(|partitions| partitions.get_mut(at)) {
            partition.asked = false;
            partition.end = match self.to_end {
                true => bounds.end.map(|end| bounds.time.map_or(end, |time| time.min(end))),
                false => bounds.time.or(bounds.end.filter(|_| partition.in_time)),
            };
            partition.by_time = bounds.time.is_some() && partition.end == bounds.time;
        }
    }

    /// It is read no further. Whether it was to be read to an end.
    pub(super) fn give_up(&mut self, at: &TopicPartition) -> bool {
        let partition = self.partitions.as_mut().and_then(|partitions| partitions.get_mut(at));
        partition.map(|partition| (partition.asked, partition.state) = (false, State::Done)).is_some()
    }

    /// Takes note of what the group gave, and took away; tells which offsets are in no commit. What is new and has ends
    /// to be found out.
    pub(super) fn follow(&mut self, consumer: &mut Consumer, notes: &mut Notes) -> Vec<TopicPartition> {
        let mut new = Vec::new();
        while let Some(Happened { event, .. }) = consumer.next_event() {
            notes.of_group(&event);
            match event {
                Event::Assigned(partitions) if self.assigned(&partitions) => new.extend(partitions),
                Event::Revoked(gone) | Event::Lost(gone) => {
                    let left = self.partitions.iter_mut().flat_map(|partitions| {
                        partitions.retain(|at, _| !gone.contains(at));
                        partitions.keys()
                    });
                    if left.count() == 0 {
                        self.partitions = None;
                    }
                }
                Event::CommitGivenUp(given_up) => tell(given_up),
                _ => {}
            }
        }
        new
    }

    /// Whether a record is to be printed.
    #[inline]
    pub(super) fn wants(&mut self, record: &Record<'_>) -> bool {
        if self.has_ends() && self.is_behind_end(record) {
            return false;
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        true
    }

    fn is_behind_end(&mut self, record: &Record<'_>) -> bool {
        let partitions = self.partitions.as_mut();
        let Some(partition) = partitions.and_then(|partitions| partitions.get_mut(record.topic_partition()))
        else {
            return false;
        };
        let is_late = self.until.is_some_and(|until| record.timestamp() >= Some(Timestamp(until)));
        let behind = partition.state != State::Open
            || partition.end.is_some_and(|end| record.offset() >= end)
            || is_late;
        if behind && partition.state == State::Open {
            partition.state = State::Passed(record.offset());
            partition.by_time |= is_late;
        }
        behind
    }

    /// Reads no further where an end was passed; what was not printed is not read either.
    pub(super) fn rest(&mut self, consumer: &mut Consumer, notes: &mut Notes) {
        for (at, partition) in self.partitions.iter_mut().flatten() {
            if let State::Passed(offset) = partition.state {
                partition.tell(at, offset, notes);
                consumer.pause([at.clone()]);
                // It fails where the partition was lost a moment ago: then its position is another member's matter.
                let _ = consumer.seek(at.clone(), offset);
                partition.state = State::Done;
            }
        }
    }

    /// Whether nothing is left to be read. A partition that is at its end is read no further.
    pub(super) async fn is_reached(&mut self, consumer: &mut Consumer, notes: &mut Notes) -> bool {
        if self.left == Some(0) {
            return true;
        }
        if !self.has_ends() {
            notes.look(consumer).await;
        }
        let Some(partitions) = self.partitions.as_mut() else {
            return false;
        };
        if partitions.is_empty() && self.assigned_at.elapsed() < IDLE {
            return false;
        }
        let mut all = true;
        for (at, partition) in partitions.iter_mut().filter(|(_, partition)| partition.state == State::Open) {
            let position = position(consumer, at).await;
            match position.zip(partition.end) {
                Some((position, end)) if position >= end => {
                    partition.tell(at, end, notes);
                    consumer.pause([at.clone()]);
                    partition.state = State::Done;
                }
                _ => all = false,
            }
        }
        all
    }
}

impl Partition {
    /// That no more of it is wanted.
    fn tell(&self, at: &TopicPartition, offset: i64, notes: &mut Notes) {
        match self.by_time {
            true => notes.at_time(at, offset),
            false => notes.at_end(at, offset),
        }
    }
}

/// Where a partition's reader is, unless that is still being found out.
pub(super) async fn position(consumer: &Consumer, at: &TopicPartition) -> Option<i64> {
    let known: Result<Result<i64, OffsetsError>, _> =
        tokio::time::timeout(Duration::ZERO, consumer.position(at.clone())).await;
    known.ok()?.ok()
}
