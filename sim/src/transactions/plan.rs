//! What a seed contains, and how that is drawn.

use std::{fmt, time::Duration};

use ottla_broker::{Config, Fault, VersionSet};
use ottla_core::{
    Address, ConsumerConfig, FetchConfig, IsolationLevel, TopicPartition,
    producer::{ProducerConfig, TransactionConfig},
};
use ottla_protocol::ApiKey;

use super::producing::GROUP;
use crate::{
    case::Case,
    configured,
    dice::{Dice, ms, secs},
    mode::{Mode, Protocol},
    setup::Setup,
    stage::{Stage, Weather},
    trouble::{OF_TRANSACTIONS, Trouble},
};

pub(super) const INPUT: &str = "input";
pub(super) const OUTPUT: &str = "output";

/// How far a seed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Trouble,
    /// Writers come to an end, and workers read what is left.
    Draining,
    /// Workers come to an end, and transactions; those who watch have read all.
    Ending,
    /// All is read from the start to the end.
    Reading,
    Over,
}

/// What happens at some time.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Begin(Role),
    /// A process crashes; another begins in its place.
    Crash {
        again_after: Duration,
    },
    /// A process goes on although another begins with its transactional id.
    Zombie,
    Trouble(Trouble),
    /// The coordinator of a transactional id moves.
    MoveTransactions {
        node: i32,
    },
    /// A leader changes before a batch has reached its followers, and before its producer is told of it.
    Cut,
    /// `transaction.version` is 2 from now on, and every broker has started again for it.
    Upgrade,
}

/// What a process is there for. Those with a place share their transactional id with all who had it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Worker(usize),
    Writer(usize),
    Watcher(IsolationLevel),
}

/// How those who write go about it.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// How many records there are in a transaction at most.
    pub(super) records: usize,
    /// How often one is aborted.
    pub(super) aborts: f64,
    pub(super) rest: Duration,
    /// Between two records.
    pub(super) pause: Duration,
    /// How often a pause is longer than a transaction may be open.
    pub(super) dawdles: f64,
    pub(super) timeout: Duration,
}

impl Habits {
    pub(super) fn pause(&self, d: &mut Dice, stage: &Stage) -> Duration {
        match !stage.quiet && d.chance(self.dawdles) {
            true => self.timeout + d.time(ms(100)..=secs(2)),
            false => d.time(Duration::ZERO..=self.pause),
        }
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) broker: Config,
    pub(super) weather: Weather,
    pub(super) trouble: Duration,
    pub(super) setup: Setup,
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) items: Vec<(Duration, Item)>,
    pub(super) habits: Habits,
    /// The brokers begin at `transaction.version` 1.
    pub(super) is_upgraded: bool,
    producer: ProducerConfig,
    protocol: Protocol,
}

impl Plan {
    pub(super) fn draw(case: &Case) -> Self {
        let mut dice = Dice::new(case.seed ^ case.mode.salt());
        let d = &mut dice;
        let brokers = d.pick(&[1, 2, 3, 3]);
        let setup = Setup::draw(d, brokers);
        let protocols = Protocol::menu(Mode::Transactions, d);
        let protocol = d.pick(&protocols);
        let new_protocol = matches!(protocol, Protocol::Consumer(_));
        let broker = Config {
            transaction_marker_delay: d.pick(&[Duration::ZERO, ms(5), ms(60), ms(400)]),
            ..setup.broker(d, brokers, new_protocol)
        };
        let mut plan = Self {
            broker,
            weather: Weather {
                latency: d.time(Duration::from_micros(200)..=ms(8)),
                jitter: d.time(Duration::ZERO..=ms(10)),
                spikes: d.pick(&[0.0, 0.002, 0.01]),
                spike: d.time(ms(200)..=secs(4)),
            },
            trouble: d.time(secs(7)..=secs(14)),
            producer: setup.producer(d),
            input: d.number(1..=4) as u32,
            output: d.number(1..=4) as u32,
            items: Vec::new(),
            habits: Habits {
                records: d.number(3..=12),
                aborts: d.pick(&[0.1, 0.2, 0.4]),
                rest: d.time(ms(50)..=ms(600)),
                pause: d.time(ms(1)..=ms(40)),
                dawdles: d.pick(&[0.0, 0.002, 0.01]),
                timeout: d.time(secs(2)..=secs(5)),
            },
            is_upgraded: false,
            setup,
            protocol,
        };
        plan.draw_items(d);
        plan.draw_upgrade(&mut case.dice(1));
        plan
    }

    fn draw_upgrade(&mut self, d: &mut Dice) {
        self.is_upgraded = self.is_implicit() && d.chance(0.2);
        if self.is_upgraded {
            self.items.push((d.time(secs(1)..=self.trouble), Item::Upgrade));
        }
    }

    fn draw_items(&mut self, d: &mut Dice) {
        for slot in 0..d.number(1..=2) {
            self.items.push((d.time(Duration::ZERO..=secs(1)), Item::Begin(Role::Worker(slot))));
        }
        for slot in 0..d.number(1..=2) {
            self.items.push((d.time(Duration::ZERO..=ms(300)), Item::Begin(Role::Writer(slot))));
        }
        for isolation in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
            self.items.push((d.time(Duration::ZERO..=secs(2)), Item::Begin(Role::Watcher(isolation))));
        }
        // Each seed has a fault that meets somebody.
        let sure = Trouble::Requests {
            api: ApiKey::Produce,
            fault: d.pick(&[Fault::ApplyThenDisconnect, Fault::Disconnect]),
            times: 1,
            after: d.pick(&[0, 3, 10]),
            node: None,
        };
        self.items.push((d.time(Duration::ZERO..=secs(2)), Item::Trouble(sure)));
        for _ in 0..d.number(8..=20) {
            let item = self.deed(d);
            self.items.push((d.time(ms(500)..=self.trouble), item));
        }
    }

    fn deed(&self, d: &mut Dice) -> Item {
        let brokers = self.broker.brokers;
        let node = Trouble::node(d, brokers);
        match d.number(0..=19) {
            0..=2 => Item::Crash { again_after: d.pick(&[ms(1), ms(100), secs(2)]) },
            3..=5 => Item::Zombie,
            6 | 7 => Item::MoveTransactions { node },
            8 => Item::Trouble(Trouble::MoveCoordinator { node }),
            9 | 10 => Item::Trouble(Trouble::MoveLeader { node }),
            11 | 12 => Item::Cut,
            13 => Item::Trouble(Trouble::Cut),
            14 => Item::Trouble(Trouble::Stop { node, lasts: d.time(ms(200)..=secs(4)) }),
            _ => Item::Trouble(Self::of_a_request(d, brokers)),
        }
    }

    fn of_a_request(d: &mut Dice, brokers: u32) -> Trouble {
        let node = d.chance(0.3).then(|| Trouble::node(d, brokers));
        let (api, errors) = d.pick(OF_TRANSACTIONS);
        let fault = match d.number(0..=9) {
            0..=2 => Fault::Error(d.pick(errors)),
            3 => Fault::Disconnect,
            4..=6 => Fault::ApplyThenDisconnect,
            7 => Fault::Delay(d.time(ms(50)..=secs(3))),
            8 => Fault::Silence,
            _ => Fault::Throttle(d.time(ms(50)..=secs(1))),
        };
        Trouble::Requests { api, fault, times: d.pick(&[1, 1, 2, 3]), after: d.pick(&[0, 0, 2]), node }
    }

    pub(super) fn seeds(&self) -> Vec<Address> {
        configured::addresses(self.broker.brokers)
    }

    pub(super) fn partitions(&self, topic: &str) -> Vec<TopicPartition> {
        let count = if topic == INPUT { self.input } else { self.output };
        (0..count as i32).map(|partition| TopicPartition::new(topic, partition)).collect()
    }

    pub(super) fn producer(&self, transactional_id: String) -> ProducerConfig {
        ProducerConfig {
            max_block: secs(600),
            transactions: Some(TransactionConfig { id: transactional_id, timeout: self.habits.timeout }),
            ..self.producer.clone()
        }
    }

    /// Of a worker, where it is in the group; else of a watcher.
    pub(super) fn consumer(&self, in_group: bool, isolation: IsolationLevel, d: &mut Dice) -> ConsumerConfig {
        let plain = configured::plain(&self.setup, self.broker.brokers, d);
        ConsumerConfig {
            fetch: FetchConfig { isolation, ..plain.fetch },
            api_timeout: secs(15),
            group: in_group.then(|| configured::member(&self.setup, &self.protocol, GROUP)),
            ..plain
        }
    }

    /// Whether brokers have `transaction.version` 2 from the beginning.
    pub(super) fn is_implicit(&self) -> bool {
        self.broker.versions == VersionSet::Kafka4_3 && !self.is_upgraded
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, input, output, habits, protocol, trouble, .. } = self;
        write!(
            f,
            "{} brokers as {:?}, {input} partitions to {output}, {protocol:?}; {habits:?}; trouble until {trouble:.1?}",
            broker.brokers, broker.versions
        )?;
        for (index, (at, item)) in self.items.iter().enumerate() {
            write!(f, "\n           {index:2} at {:9.6} {item:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
