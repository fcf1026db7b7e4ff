//! A producer, its transaction in hand, and what it says of that for the record.

use std::time::Duration;

use ottla_check::history::{Decision, Op, Outcome, Position};
use ottla_core::{
    CommittedOffset, GroupMetadata, TopicPartition,
    producer::{
        AbortCause, End, FatalCause, OffsetsTicket, Outgoing, Producer, ProducerConfig, Refused, Ticket,
        TransactionFailure, TransactionNumber,
    },
};
use ottla_protocol::records::Header;

use super::record::{Record, position};
use crate::{
    host::{Frame, Host},
    stage::{Stage, Who},
};

/// The group of the workers.
pub(super) const GROUP: &str = "workers";

pub(super) struct Producing {
    pub(super) host: Host<Producer<Frame>>,
    process: String,
    id: String,
    timeout: Duration,
    /// Whether the time of a transaction that is over looks like another producer with its id.
    explicit: bool,
    begun: usize,
    sent: usize,
    open: Option<Open>,
    /// When the last transaction began.
    last: Duration,
}

#[derive(Debug)]
struct Open {
    of: TransactionNumber,
    name: String,
    since: Duration,
    /// Records that are not decided.
    waiting: Vec<Waiting>,
    offsets: Vec<Position>,
    asked: Option<Decision>,
}

#[derive(Debug)]
struct Waiting {
    topic: String,
    value: String,
    from: Option<Position>,
    ticket: Ticket,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Committed,
    Aborted,
    /// The producer is of no use any more.
    Over,
}

impl Producing {
    pub(super) fn new(
        (who, process): (Who, String),
        config: ProducerConfig,
        (seeds, seed): (Vec<ottla_core::Address>, u64),
        planted: Option<ottla_core::Planted>,
        stage: &Stage,
        record: &mut Record,
    ) -> Self {
        let transactions = config.transactions.clone().expect("it writes in transactions");
        record.begins(&transactions.id);
        let mut machine = Producer::new(config, seeds, seed, stage.now());
        if let Some(bug) = planted {
            machine.plant(bug);
        }
        Self {
            host: Host::new(who, machine),
            process,
            id: transactions.id,
            timeout: transactions.timeout,
            explicit: !record.counts.implicit,
            begun: 0,
            sent: 0,
            open: None,
            last: stage.time,
        }
    }

    /// Begins a transaction: `None` while the one before is ending.
    pub(super) fn begin(&mut self, stage: &mut Stage, record: &mut Record) -> Option<Result<(), Ended>> {
        let now = stage.now();
        match self.host.machine.begin(now.mono, now)? {
            Ok(of) => {
                self.begun += 1;
                self.last = stage.time;
                let name = format!("{}/{}", self.process, self.begun);
                stage.tell(|| format!("{name} begins"));
                record.note(&self.process, Op::Begin { txn: name.clone() }, stage);
                let (waiting, offsets) = (Vec::new(), Vec::new());
                self.open = Some(Open { of, name, since: stage.time, waiting, offsets, asked: None });
                Some(Ok(()))
            }
            Err(failure) => {
                self.fails(&failure, self.last, stage, record);
                Some(Err(Ended::Over))
            }
        }
    }

    /// A value that this producer has not sent.
    pub(super) fn value(&mut self) -> String {
        self.sent += 1;
        format!("{}.{}", self.process, self.sent)
    }

    /// Sends a record: `false` where the transaction can only be aborted, `None` where there is no room.
    pub(super) fn send(
        &mut self,
        at: &TopicPartition,
        value: String,
        from: Option<Position>,
        stage: &mut Stage,
        record: &mut Record,
    ) -> Option<bool> {
        let now = stage.now();
        let Some(open) = &mut self.open else { return Some(false) };
        let outgoing = Outgoing {
            topic: &at.topic,
            partition: Some(at.partition),
            key: None,
            value: Some(value.as_bytes()),
            headers: std::iter::empty::<Header<'_>>(),
            timestamp: None,
        };
        match self.host.machine.send_in(open.of, &outgoing, now.mono, now) {
            Ok(ticket) => {
                let topic = at.topic.clone();
                let waiting = Waiting { topic, value, from, ticket };
                record.note(&self.process, waiting.op(open, Some(at.partition), None), stage);
                open.waiting.push(waiting);
                Some(true)
            }
            Err(Refused::Wait) => None,
            Err(Refused::Failed(failure)) => {
                let process = &self.process;
                stage.note(|| format!("{process}: {failure}"));
                Some(false)
            }
        }
    }

    /// Puts on record what became of records.
    pub(super) fn settle(&mut self, stage: &mut Stage, record: &mut Record) {
        let Some(mut open) = self.open.take() else { return };
        for waiting in std::mem::take(&mut open.waiting) {
            match waiting.ticket.result() {
                None => open.waiting.push(waiting),
                Some(Ok(delivered)) => {
                    let op = waiting.op(&open, Some(delivered.partition), Some(delivered.offset));
                    record.note(&self.process, op, stage);
                }
                // It may be in the log, or come to it.
                Some(Err(failure)) => {
                    let process = &self.process;
                    stage.note(|| format!("{process}: {failure}"));
                }
            }
        }
        self.open = Some(open);
    }

    /// Has the transaction commit these offsets.
    pub(super) fn send_offsets(
        &mut self,
        offsets: Vec<(TopicPartition, i64)>,
        group: GroupMetadata,
        stage: &Stage,
    ) -> Option<OffsetsTicket> {
        let open = self.open.as_mut()?;
        open.offsets = offsets.iter().map(|(at, offset)| position(at, *offset)).collect();
        let offsets = offsets.into_iter().map(|(at, offset)| (at, CommittedOffset::new(offset)));
        self.host.machine.send_offsets(open.of, offsets, group, stage.now()).ok()
    }

    /// What became of them.
    pub(super) fn take_offsets(&mut self, ticket: OffsetsTicket, stage: &mut Stage) -> Option<bool> {
        let taken = self.host.machine.take_offsets(ticket)?;
        let process = &self.process;
        stage.note(|| format!("{process}: offsets {taken:?}"));
        Some(taken.is_ok())
    }

    pub(super) fn end(&mut self, decision: Decision, stage: &mut Stage, record: &mut Record) {
        let Some(open) = &mut self.open else { return };
        open.asked = Some(decision);
        let (name, of) = (open.name.clone(), open.of);
        stage.tell(|| format!("{name} is to end: {decision:?}"));
        record.note(&self.process, open.end(decision, Outcome::Unknown), stage);
        match decision {
            Decision::Commit => {
                let asked = open.offsets.iter();
                let asked = asked.map(|at| (TopicPartition::new(at.topic.as_str(), at.partition), at.offset));
                record.asks_to_commit(asked);
                self.host.machine.commit(of);
            }
            Decision::Abort => self.host.machine.abort(of),
        }
    }

    /// How it ended, once that is known.
    pub(super) fn ended(&mut self, stage: &mut Stage, record: &mut Record) -> Option<Ended> {
        let now = stage.now();
        let Some(Open { of, since, .. }) = self.open else { return Some(Ended::Over) };
        let outcome = self.host.machine.ended(of, now.mono, now)?;
        self.settle(stage, record);
        let open = self.open.take()?;
        let name = open.name.clone();
        stage.tell(|| format!("{name} has ended: {outcome:?}"));
        let ended = match (&outcome, open.asked) {
            (Ok(End::Commit), Some(Decision::Commit)) => Ended::Committed,
            (Ok(End::Abort), _) | (Err(TransactionFailure::Aborted(_)), _) => Ended::Aborted,
            (Err(failure @ TransactionFailure::Fatal(_)), asked) => {
                let failed = match (failure, asked) {
                    (TransactionFailure::Fatal(FatalCause::Fenced { in_doubt: false, .. }), Some(asked)) => {
                        Some(asked)
                    }
                    _ => None,
                };
                if let Some(decision) = failed {
                    let outcome = if decision == Decision::Commit { Outcome::Failed } else { Outcome::Ok };
                    record.note(&self.process, open.end(decision, outcome), stage);
                    record.counts.aborted += 1;
                }
                self.fails(failure, since, stage, record);
                return Some(Ended::Over);
            }
            _ => {
                stage.violate("a transaction ends as was asked for, or is aborted", || {
                    format!("{name}: {outcome:?}")
                });
                return Some(Ended::Over);
            }
        };
        if matches!(outcome, Err(TransactionFailure::Aborted(AbortCause::EndedByCoordinator))) {
            record.counts.timed_out += 1;
            // One that another is about to fence looks the same.
            if stage.time < since + self.timeout && !record.is_shared(&self.id) {
                stage.violate("a transaction times out when its time is over", || name.clone());
            }
        }
        let (decision, outcome) = match (ended, open.asked) {
            (Ended::Committed, _) => (Decision::Commit, Outcome::Ok),
            (_, Some(Decision::Commit)) => (Decision::Commit, Outcome::Failed),
            _ => (Decision::Abort, Outcome::Ok),
        };
        match ended {
            Ended::Committed => record.counts.committed += 1,
            _ => record.counts.aborted += 1,
        }
        record.note(&self.process, open.end(decision, outcome), stage);
        Some(ended)
    }

    /// The producer is of no use any more: for a reason.
    fn fails(&self, failure: &TransactionFailure, since: Duration, stage: &mut Stage, record: &mut Record) {
        let process = &self.process;
        stage.tell(|| format!("{process} is told {failure:?}"));
        match failure {
            TransactionFailure::Fatal(FatalCause::Fenced { .. }) => {
                record.counts.fenced += 1;
                let overdue = self.explicit && stage.time >= since + self.timeout;
                if overdue {
                    record.counts.timed_out += 1;
                }
                if !overdue && !record.is_shared(&self.id) {
                    stage.violate("a producer is fenced by another, or by the time", || {
                        format!("{process}: {failure}")
                    });
                }
            }
            failure => {
                stage.violate("a producer fails for good only where it is fenced", || {
                    format!("{process}: {failure}")
                });
            }
        }
    }
}

impl Open {
    fn end(&self, decision: Decision, outcome: Outcome) -> Op {
        let offsets = if decision == Decision::Commit { self.offsets.clone() } else { Vec::new() };
        let group = (!offsets.is_empty()).then(|| GROUP.to_owned());
        Op::End { txn: self.name.clone(), decision, outcome, group, offsets }
    }
}

impl Waiting {
    /// `offset` is that of a record that was acknowledged, if the broker has told it.
    fn op(&self, open: &Open, partition: Option<i32>, offset: Option<Option<i64>>) -> Op {
        Op::Send {
            topic: self.topic.clone(),
            partition,
            value: self.value.clone(),
            key: None,
            outcome: if offset.is_some() { Outcome::Ok } else { Outcome::Unknown },
            offset: offset.flatten(),
            txn: Some(open.name.clone()),
            from: self.from.clone(),
        }
    }
}
