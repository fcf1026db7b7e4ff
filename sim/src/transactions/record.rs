//! What happened, as the checker reads it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_check::{
    History,
    history::{Op, Operation, Place, Position, Record as Handed},
};
use ottla_core::TopicPartition;

use crate::{report::Transactions, stage::Stage};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Record {
    noted: Vec<Noted>,
    /// Where logs were cut, and the leader epoch from then on.
    cuts: BTreeMap<TopicPartition, Vec<(i64, i32)>>,
    /// The offsets of transactions whose commit was asked for.
    asked: BTreeSet<(TopicPartition, i64)>,
    /// How many producers there have been with each transactional id.
    producers: BTreeMap<String, usize>,
    pub(super) counts: Transactions,
    pub(super) deliveries: u64,
}

/// A record that was handed out.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
    pub(super) value: String,
    pub(super) leader_epoch: Option<i32>,
}

#[derive(Debug)]
struct Noted {
    process: String,
    at: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Op(Op),
    /// Records, each with the leader epoch in which it was appended.
    Poll(Vec<(Handed, Option<i32>)>),
}

impl Record {
    pub(super) fn note(&mut self, process: &str, op: Op, stage: &Stage) {
        self.add(process, What::Op(op), stage);
    }

    fn add(&mut self, process: &str, what: What, stage: &Stage) {
        let at = stage.time.as_micros() as u64;
        self.noted.push(Noted { process: process.to_owned(), at, what });
    }

    pub(super) fn polled(&mut self, process: &str, records: &[Read], stage: &Stage) {
        self.deliveries += records.len() as u64;
        let handed = records.iter().map(|read| {
            let Position { topic, partition, offset } = position(&read.at, read.offset);
            (Handed { topic, partition, offset, value: read.value.clone() }, read.leader_epoch)
        });
        self.add(process, What::Poll(handed.collect()), stage);
    }

    /// What lies from an offset on is lost to whoever read it in an earlier leader epoch.
    pub(super) fn cut(&mut self, at: TopicPartition, offset: i64, epoch: i32) {
        self.counts.truncations += 1;
        self.cuts.entry(at).or_default().push((offset, epoch));
    }

    /// Whether a partition's log was ever cut.
    pub(super) fn is_cut(&self, at: &TopicPartition) -> bool {
        self.cuts.contains_key(at)
    }

    pub(super) fn asks_to_commit(&mut self, offsets: impl Iterator<Item = (TopicPartition, i64)>) {
        self.asked.extend(offsets);
    }

    /// Whether a transaction with this offset was to be committed.
    pub(super) fn is_asked(&self, at: &TopicPartition, offset: i64) -> bool {
        self.asked.contains(&(at.clone(), offset))
    }

    pub(super) fn begins(&mut self, transactional_id: &str) {
        *self.producers.entry(transactional_id.to_owned()).or_default() += 1;
    }

    /// Whether there has been more than one producer with this id.
    pub(super) fn is_shared(&self, transactional_id: &str) -> bool {
        self.producers.get(transactional_id).is_some_and(|count| *count > 1)
    }

    /// What the checker judges: what a cut log has lost was never there.
    pub(super) fn history(&mut self) -> History {
        let mut history = History::default();
        for Noted { process, at, what } in std::mem::take(&mut self.noted) {
            let op = match what {
                What::Op(op) => op,
                What::Poll(records) => {
                    let stays = |(record, epoch): &(Handed, Option<i32>)| {
                        let at = TopicPartition::new(record.topic.as_str(), record.partition);
                        let mut cuts = self.cuts.get(&at).into_iter().flatten();
                        !cuts.any(|(from, since)| {
                            record.offset >= *from && epoch.is_some_and(|epoch| epoch < *since)
                        })
                    };
                    let records = records.into_iter().filter(stays).map(|(record, _)| record);
                    Op::Poll { records: records.collect() }
                }
            };
            history.push(Operation { process, at, done: None, op });
        }
        history
    }
}

pub(super) fn place(at: &TopicPartition) -> Place {
    Place { topic: at.topic.clone(), partition: at.partition }
}

pub(super) fn position(at: &TopicPartition, offset: i64) -> Position {
    Position { topic: at.topic.clone(), partition: at.partition, offset }
}
