//! When a reader has read enough: `-c`, `-e` and `-o e@MS`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{Consumer, Event, Happened, Record, Timestamp, TopicPartition, error::OffsetsError};

use super::lookups::{Bounds, Wanted};
use crate::failure::tell;

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
    /// No record from here on is wanted.
    end: Option<i64>,
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
        Wanted { beginning: false, end: self.to_end, time: self.until }
    }

    /// These partitions are to be read from here on. Whether their ends are to be found out.
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition]) -> bool {
        if self.has_ends() {
            let open = |at: &TopicPartition| (at.clone(), Partition { asked: true, ..Partition::default() });
            self.partitions.get_or_insert_default().extend(partitions.iter().map(open));
            self.assigned_at = Instant::now();
        }
        self.has_ends()
    }

    /// What was found out of a partition.
    pub(super) fn know(&mut self, at: &TopicPartition, bounds: &Bounds) {
        if let Some(partition) = self.partitions.as_mut().and_then(|partitions| partitions.get_mut(at)) {
            partition.asked = false;
            partition.end = match self.to_end {
                true => bounds.end.map(|end| bounds.time.map_or(end, |time| time.min(end))),
                false => bounds.time,
            };
        }
    }

    /// It is read no further. Whether it was to be read to an end.
    pub(super) fn give_up(&mut self, at: &TopicPartition) -> bool {
        let partition = self.partitions.as_mut().and_then(|partitions| partitions.get_mut(at));
        partition.map(|partition| (partition.asked, partition.state) = (false, State::Done)).is_some()
    }

    /// Takes note of what the group gave, and took away; tells which offsets are in no commit. What is new and has ends
    /// to be found out.
    pub(super) fn follow(&mut self, consumer: &mut Consumer) -> Vec<TopicPartition> {
        let mut new = Vec::new();
        while let Some(Happened { event, .. }) = consumer.next_event() {
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
        let behind = partition.state != State::Open
            || partition.end.is_some_and(|end| record.offset() >= end)
            || self.until.is_some_and(|until| record.timestamp() >= Some(Timestamp(until)));
        if behind && partition.state == State::Open {
            partition.state = State::Passed(record.offset());
        }
        behind
    }

    /// Reads no further where an end was passed; what was not printed is not read either.
    pub(super) fn rest(&mut self, consumer: &mut Consumer) {
        for (at, partition) in self.partitions.iter_mut().flatten() {
            if let State::Passed(offset) = partition.state {
                consumer.pause([at.clone()]);
                // It fails where the partition was lost a moment ago: then its position is another member's matter.
                let _ = consumer.seek(at.clone(), offset);
                partition.state = State::Done;
            }
        }
    }

    /// Whether nothing is left to be read. A partition that is at its end is read no further.
    pub(super) async fn is_reached(&mut self, consumer: &mut Consumer) -> bool {
        if self.left == Some(0) {
            return true;
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
                    consumer.pause([at.clone()]);
                    partition.state = State::Done;
                }
                _ => all = false,
            }
        }
        all
    }
}

/// Where a partition's reader is, unless that is still being found out.
async fn position(consumer: &Consumer, at: &TopicPartition) -> Option<i64> {
    let known: Result<Result<i64, OffsetsError>, _> =
        tokio::time::timeout(Duration::ZERO, consumer.position(at.clone())).await;
    known.ok()?.ok()
}
