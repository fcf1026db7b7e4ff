//! A consumer, and what it says of itself for the record.

use ottla_check::history::{Isolation, Op, Reset};
use ottla_core::{
    Consumer, ConsumerConfig, Event, Filter, Happened, Look, ReadFailure, Reader, TopicPartition,
};

use super::record::{Read, Record, place};
use crate::{
    gather::{Gathered, READING, gather},
    host::{Frame, Host},
    stage::{Stage, Who},
};

pub(super) struct Consuming {
    pub(super) host: Host<Consumer<Frame>>,
    pub(super) reader: Reader<Frame>,
    pub(super) process: String,
}

impl Consuming {
    pub(super) fn new(
        (who, process): (Who, String),
        config: ConsumerConfig,
        planted: Option<ottla_core::Planted>,
        stage: &Stage,
        record: &mut Record,
    ) -> Self {
        let isolation = match config.fetch.isolation {
            ottla_core::IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        };
        let group = config.group.as_ref().map(|group| group.id.clone());
        let reset = group.is_some().then_some(Reset::Earliest);
        record.note(&process, Op::Start { group, isolation, reset, idempotent: true }, stage);
        let mut machine = Consumer::new(config, stage.now());
        if let Some(bug) = planted {
            machine.plant(bug);
        }
        let reader = Reader::new(&mut machine, READING, stage.now());
        Self { host: Host::new(who, machine), reader, process }
    }

    /// Reads these, which no group assigns.
    pub(super) fn assign(&mut self, all: &[TopicPartition], stage: &mut Stage, record: &mut Record) {
        self.host.machine.assign(all.iter().cloned(), stage.now()).expect("it is in no group");
        let partitions = all.iter().map(place).collect();
        record.note(&self.process, Op::Assign { partitions, generation: None }, stage);
    }

    /// Puts on record what happened to it.
    pub(super) fn drain(&mut self, stage: &mut Stage, record: &mut Record) {
        while let Some(Happened { event, .. }) = self.host.machine.poll_event() {
            let process = &self.process;
            stage.tell(|| format!("{process} {event:?}"));
            let op = match event {
                Event::Assigned(at) if !at.is_empty() => {
                    Op::Assign { partitions: at.iter().map(place).collect(), generation: None }
                }
                Event::Revoked(at) => Op::Revoke { partitions: at.iter().map(place).collect(), lost: false },
                Event::Lost(at) => Op::Revoke { partitions: at.iter().map(place).collect(), lost: true },
                Event::Truncated(cut) => {
                    if !record.is_cut(&cut.at) {
                        stage.violate("only what was cut is told as cut", || format!("{process}: {cut}"));
                    }
                    continue;
                }
                _ => continue,
            };
            record.note(&self.process, op, stage);
        }
    }

    /// Records, if there are any.
    pub(super) fn poll(&mut self, most: usize, stage: &mut Stage, record: &mut Record) -> Vec<Read> {
        let now = stage.now();
        let gathered = gather(&mut self.reader, &mut self.host.machine, &Filter::All, Some(most), now);
        self.drain(stage, record);
        match gathered {
            Gathered::Records(records) => {
                let read = |handed: &crate::handed::Handed| Read {
                    at: handed.at.clone(),
                    offset: handed.offset,
                    value: handed.text(),
                    leader_epoch: handed.leader_epoch(),
                };
                let records: Vec<Read> = records.iter().map(read).collect();
                if let Some(first) = records.first() {
                    let (process, count) = (&self.process, records.len());
                    stage.note(|| {
                        format!("{process} reads {count} from {} offset {}", first.at, first.offset)
                    });
                    record.polled(&self.process, &records, stage);
                }
                records
            }
            // Brokers that close connections many times in a row look like a wrong port: the user calls again.
            Gathered::Look(Some(Look::Failed(ReadFailure::Connection(refused))))
                if !refused.why.is_final() =>
            {
                Vec::new()
            }
            Gathered::Look(Some(look)) => {
                let process = &self.process;
                stage.violate("nothing fails for good", || format!("{process}: {look:?}"));
                Vec::new()
            }
            Gathered::Look(None) => Vec::new(),
        }
    }

    /// The user has given up a call for records.
    pub(super) fn gives_up(&mut self, stage: &Stage) {
        self.host.machine.unpark(self.reader.id(), stage.now());
    }
}
