//! What a process commits with in transactions: its books, and the producer that is theirs.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ottla_core::{
    TopicPartition,
    processing::{Books, Entry, Parting},
    producer::{
        AbortCause, OffsetsTicket, Outgoing, Producer, Refused, Ticket, TransactionFailure, TransactionNumber,
    },
};
use ottla_protocol::records::Header;

use super::once::{LETTERS, Once};
use crate::{
    configured,
    host::{Frame, Host},
    stage::{Stage, Who},
};

/// The producers of processes are known by numbers from here on.
pub(super) const PRODUCERS: usize = 1_000_000;

/// What a handler, or who takes records over, has written.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) topic: &'static str,
    pub(super) from: (TopicPartition, i64),
}

/// About how many bytes that takes.
const SIZE: usize = 30;

pub(super) struct Keeper {
    pub(super) host: Host<Producer<Frame>>,
    pub(super) books: Books<Made>,
    /// Its transactional id, by its number.
    pub(super) id: usize,
    outputs: u32,
    pub(super) timeout: Duration,
    /// Whether the time of a transaction that is over looks like another producer with its id.
    pub(super) explicit: bool,
    pub(super) step: Step,
    /// How many transactions it has begun.
    pub(super) begun: u64,
    pub(super) since: Instant,
    /// Those that were given up whose last transaction has ended.
    pub(super) parted: BTreeSet<Parting>,
}

/// How far the transaction in hand is.
pub(super) enum Step {
    Idle,
    Beginning(Entry<Made>),
    Sending(Open),
    Offsets(Open, OffsetsTicket),
    Ending(Open),
    Over,
}

pub(super) struct Open {
    pub(super) entry: Entry<Made>,
    pub(super) of: TransactionNumber,
    pub(super) tickets: Vec<Ticket>,
}

impl Keeper {
    pub(super) fn new(
        life: usize,
        (id, once): (usize, &Once),
        brokers: u32,
        (seed, most): (u64, usize),
        planted: Option<ottla_core::Planted>,
        stage: &Stage,
    ) -> Self {
        let (addresses, config) = (configured::addresses(brokers), once.producer(id));
        let mut machine = Producer::new(config, addresses, seed, stage.now());
        let mut books = Books::new(most);
        if let Some(bug) = planted {
            machine.plant(bug);
            books.plant(bug);
        }
        Self {
            host: Host::new(Who(PRODUCERS + life), machine),
            books,
            id,
            outputs: once.outputs,
            timeout: once.timeout,
            explicit: once.explicit,
            step: Step::Idle,
            begun: 0,
            since: stage.now().mono,
            parted: BTreeSet::new(),
        }
    }

    pub(super) fn write(&mut self, topic: &'static str, at: &TopicPartition, offset: i64) {
        self.books.write(at.clone(), Made { topic, from: (at.clone(), offset) }, SIZE);
    }

    /// Sends one more of what was written; `None` where there is no room.
    pub(super) fn send(
        &mut self,
        life: usize,
        open: &mut Open,
        stage: &Stage,
    ) -> Option<Result<(), TransactionFailure>> {
        let made = open.entry.outputs.get(open.tickets.len())?;
        let (at, offset) = &made.from;
        let value = format!("{}:{offset} {life}.{}", at.partition, self.begun);
        let partition = match made.topic {
            LETTERS => 0,
            _ => (offset % i64::from(self.outputs)) as i32,
        };
        let outgoing = Outgoing {
            topic: made.topic,
            partition: Some(partition),
            key: None,
            value: Some(value.as_bytes()),
            headers: std::iter::empty::<Header<'_>>(),
            timestamp: None,
        };
        let now = stage.now();
        match self.host.machine.send_in(open.of, &outgoing, now.mono, now) {
            Ok(ticket) => {
                open.tickets.push(ticket);
                Some(Ok(()))
            }
            Err(Refused::Wait) => None,
            Err(Refused::Failed(_)) => {
                Some(Err(self.host.machine.doom().unwrap_or(TransactionFailure::Aborted(AbortCause::Asked))))
            }
        }
    }
}
