//! The producer: numbers its records, and tells the truth which of them were acknowledged.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{
    ConnId, Machine, Reply, TopicPartition,
    producer::{Outgoing, Producer, Refused, Ticket},
};
use ottla_protocol::records::Header;

use crate::{
    client::Client,
    dice::Dice,
    host::{Awaited, Frame, Host},
    plan::Plan,
    report::LEAST_DELIVERIES,
    stage::{Event, Stage, Who},
    truth::Truth,
};

pub(crate) struct Source {
    pub(crate) host: Host<Producer<Frame>>,
    dice: Dice,
    last_id: u64,
    waiting: BTreeMap<u64, (String, Ticket)>,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    /// What is sent may go unread: more is sent until enough was read for the seed to count.
    goes_unread: bool,
    is_read: bool,
    /// Until when it has nothing to send.
    silent_until: Duration,
}

impl Source {
    pub(crate) fn new(plan: &Plan, mut dice: Dice, stage: &Stage) -> Self {
        let machine = Producer::new(plan.producer.clone(), plan.seeds(), dice.seed(), stage.now());
        let host = Host::new(Who(0), machine);
        Self {
            host,
            dice,
            last_id: 0,
            waiting: BTreeMap::new(),
            acknowledged: 0,
            failed: 0,
            goes_unread: plan.habits.beginnings.checked,
            is_read: false,
            silent_until: Duration::ZERO,
        }
    }

    /// Sends some records, and does so again later.
    pub(crate) fn burst(&mut self, plan: &Plan, stage: &mut Stage, truth: &mut Truth) {
        let (name, partitions) = self.dice.pick(&plan.topics);
        let partition = match self.dice.chance(0.7) {
            true => Some(self.dice.number(0..=partitions as usize - 1) as i32),
            false => None,
        };
        let silent = !stage.quiet && stage.time < self.silent_until;
        for _ in 0..if silent { 0 } else { self.dice.number(plan.burst.clone()) } {
            self.send(&name, partition, plan, stage);
        }
        self.called(stage, truth);
        self.is_read = truth.deliveries >= LEAST_DELIVERIES;
        if !stage.quiet || !self.has_sent_enough() {
            let wait = self.dice.time(plan.burst_every.clone());
            stage.after(wait, Event::Burst);
        }
    }

    fn send(&mut self, topic: &str, partition: Option<i32>, plan: &Plan, stage: &mut Stage) {
        self.last_id += 1;
        let id = self.last_id;
        let mut value = id.to_be_bytes().to_vec();
        value.resize(plan.value_length(&mut self.dice).max(8), 7);
        let key = id.to_be_bytes();
        let record = Outgoing {
            topic,
            partition,
            key: self.dice.chance(0.5).then_some(&key[..]),
            value: Some(&value),
            headers: std::iter::empty::<Header<'_>>(),
            timestamp: None,
        };
        let now = stage.now();
        match self.host.machine.send(&record, now.mono, now) {
            Ok(ticket) => drop(self.waiting.insert(id, (topic.to_owned(), ticket))),
            // Nobody waits here: the record is not sent.
            Err(Refused::Wait) => {}
            Err(Refused::Failed(failure)) => {
                stage.note(|| format!("producer: {failure}"));
                self.failed += 1;
            }
        }
    }

    /// It has nothing to send until then.
    pub(crate) fn hush(&mut self, until: Duration) {
        self.silent_until = until;
    }

    /// Sends many records, to all partitions.
    pub(crate) fn flood(&mut self, records: usize, plan: &Plan, stage: &mut Stage, truth: &mut Truth) {
        for at in plan.partitions().iter().cycle().take(records) {
            self.send(&at.topic, Some(at.partition), plan, stage);
        }
        self.called(stage, truth);
    }

    /// Sends a record to each partition.
    pub(crate) fn probe(&mut self, plan: &Plan, stage: &mut Stage, truth: &mut Truth) {
        for at in plan.partitions() {
            self.send(&at.topic, Some(at.partition), plan, stage);
        }
        self.called(stage, truth);
    }

    /// Whether there is enough to be read for the seed to count.
    fn has_sent_enough(&self) -> bool {
        self.acknowledged >= 300 && (self.is_read || !self.goes_unread)
    }

    /// Whether every record has been decided.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.has_sent_enough()
    }

    /// The user's calls are over: the driver takes a turn only if they have stirred the machine.
    fn called(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.host.is_stirred() {
            self.turn(stage, truth);
        }
    }

    fn take_results(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let (mut acknowledged, mut failed) = (0, 0);
        self.waiting.retain(|id, (topic, ticket)| match ticket.result() {
            None => true,
            Some(Ok(delivered)) => {
                acknowledged += 1;
                if let Some(offset) = delivered.offset {
                    let at = TopicPartition::new(topic.as_str(), delivered.partition);
                    truth.acknowledged(&at, offset, *id, stage);
                }
                false
            }
            Some(Err(failure)) => {
                stage.note(|| format!("producer: {failure}"));
                failed += 1;
                false
            }
        });
        self.acknowledged += acknowledged;
        self.failed += failed;
    }
}

impl Client for Source {
    type Machine = Producer<Frame>;

    fn host(&mut self) -> &mut Host<Producer<Frame>> {
        &mut self.host
    }

    fn turn(&mut self, stage: &mut Stage, truth: &mut Truth) {
        for _ in 0..200 {
            let now = stage.now();
            self.host.begin(stage);
            while let Some(effect) = self.host.machine.poll_send(now) {
                self.host.act(effect, stage);
            }
            // What was stirred by now has been carried out.
            _ = self.host.machine.take_stir();
            if !self.host.machine.take_wake() {
                return self.host.end(stage);
            }
            self.take_results(stage, truth);
        }
        stage.violate("no busy loop", || "the producer wakes its user for ever".to_owned());
    }

    fn hear(&mut self, conn: ConnId, _: Awaited, reply: Reply<Frame>, stage: &mut Stage, _: &mut Truth) {
        self.host.machine.handle_reply(conn, reply, stage.now());
    }
}
