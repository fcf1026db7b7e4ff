//! What a reader tells beside the records, on stderr: which partitions the group gave and took, and where it is at an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla::{Consumer, Event, TopicPartition};

use super::goal::position;
use crate::failure::tell;

/// How often it is looked whether an end is reached that nothing waits for.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Notes {
    /// Whose member this is, if any's.
    group: Option<String>,
    quiet: bool,
    assigned: BTreeSet<TopicPartition>,
    /// Whose ends were told, which is done once: where little is written every record is at the end.
    told: BTreeSet<TopicPartition>,
    looked: Instant,
}

impl Notes {
    pub(super) fn new(group: Option<String>, quiet: bool) -> Self {
        let (assigned, told) = (BTreeSet::new(), BTreeSet::new());
        Self { group, quiet, assigned, told, looked: Instant::now() }
    }

    fn say(&self, what: &str) {
        if !self.quiet {
            tell(what);
        }
    }

    /// Of the group, where there is one.
    pub(super) fn of_group(&mut self, event: &Event) {
        let Some(group) = &self.group else { return };
        let (what, partitions) = match event {
            Event::Assigned(partitions) => ("assigned", partitions),
            Event::Revoked(partitions) => ("revoked", partitions),
            Event::Lost(partitions) => ("lost", partitions),
            _ => return,
        };
        let is_new = matches!(event, Event::Assigned(_));
        let note = match partitions.as_slice() {
            // A rebalance that gave nothing to who has something is no news.
            [] if !is_new || !self.assigned.is_empty() => return,
            [] => format!("group `{group}`: assigned no partition"),
            partitions => format!("group `{group}`: {what} {}", by_topic(partitions)),
        };
        self.say(&note);
        for at in partitions {
            self.told.remove(at);
            match is_new {
                true => _ = self.assigned.insert(at.clone()),
                false => _ = self.assigned.remove(at),
            }
        }
    }

    /// The end of a log.
    pub(super) fn at_end(&mut self, at: &TopicPartition, offset: i64) {
        if self.told.insert(at.clone()) {
            self.say(&format!("reached the end of {at} at offset {offset}"));
        }
    }

    /// The time of `-o e@MS`.
    pub(super) fn at_time(&mut self, at: &TopicPartition, offset: i64) {
        if self.told.insert(at.clone()) {
            self.say(&format!("reached the time of -o e@MS in {at} at offset {offset}"));
        }
    }

    /// Tells of ends that are reached while reading goes on behind them.
    pub(super) async fn look(&mut self, consumer: &Consumer) {
        if self.quiet || self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        for (at, lag) in consumer.lag() {
            if lag == Some(0)
                && !self.told.contains(&at)
                && let Some(offset) = position(consumer, &at).await
            {
                self.at_end(&at, offset);
            }
        }
    }
}

/// As flags name them: `orders:0,2 refunds:1`.
fn by_topic(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for at in partitions {
        topics.entry(&at.topic).or_default().insert(at.partition);
    }
    let named = topics.iter().map(|(topic, numbers)| {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("{topic}:{}", numbers.join(","))
    });
    named.collect::<Vec<_>>().join(" ")
}
