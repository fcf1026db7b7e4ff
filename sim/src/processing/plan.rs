//! What a seed contains, and how that is drawn.

use std::{fmt, time::Duration};

use ottla_broker::{Config, Fault};
use ottla_core::{
    ConsumerConfig, FetchConfig, IsolationLevel, TopicPartition,
    processing::{OnHopeless, Order, ProcessingConfig, RetryPolicy, Room},
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{
    once::Once,
    rules::{Retries, Rules},
};
use crate::{
    case::Case,
    configured,
    dice::{Dice, ms, secs},
    mode::{Mode, Protocol},
    setup::Setup,
    stage::Weather,
    trouble::{Menu, Trouble},
};

pub(super) const TOPIC: &str = "work";
pub(super) const GROUP: &str = "processors";

/// How far a seed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Trouble,
    /// All that was written is handled and committed.
    Draining,
    /// One more record of each partition is, and a member has joined meanwhile.
    Probing,
    /// Everybody stops.
    Closing,
    Over,
}

/// What happens at some time.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Begin,
    /// A process dies; another begins in its place.
    Crash {
        again_after: Duration,
    },
    /// A processor is stopped; another begins in its place.
    Stop {
        again_after: Duration,
    },
    /// The program moves a position back.
    Seek,
    /// A process begins with the transactional id of one that goes on.
    Zombie,
    /// The coordinator of a transactional id moves.
    MoveTransactions {
        node: i32,
    },
    /// A log loses what the group has committed.
    Trim,
    /// A process reaches nobody for so long.
    CutOff {
        lasts: Duration,
    },
    Trouble(Trouble),
}

/// What records are like, and their handlers.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    pub(super) keys: usize,
    /// How many records are written at once, and how long after the last ones.
    pub(super) burst: usize,
    pub(super) every: Duration,
    /// How many are written at least.
    pub(super) records: usize,
    /// How often offsets are missing in a log, and how many at most.
    pub(super) gaps: f64,
    pub(super) gap: usize,
    pub(super) takes: Duration,
    /// How long the handlers of one of the keys take, where it is a slow one.
    pub(super) slow: Option<Duration>,
    /// How often a record's handler does not succeed at first.
    pub(super) fails: f64,
    /// How often a record is not to be handled at once.
    pub(super) defers: f64,
    /// How often a handler hears late that it is to end.
    pub(super) stubborn: f64,
    /// How often a program's listener moves a position back.
    pub(super) listener_seeks: f64,
    /// How often somebody fails to take over a record.
    pub(super) refuses: f64,
    /// The first record of one of the keys that a process handles takes so long: what is done is far beyond it, and far apart.
    pub(super) stuck: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) broker: Config,
    pub(super) weather: Weather,
    pub(super) trouble: Duration,
    pub(super) setup: Setup,
    pub(super) partitions: u32,
    pub(super) items: Vec<(Duration, Item)>,
    pub(super) habits: Habits,
    pub(super) rules: Rules,
    /// Where they commit in transactions.
    pub(super) once: Option<Once>,
    protocol: Protocol,
}

use ErrorCode::{
    CoordinatorLoadInProgress, IllegalGeneration, KafkaStorageError, NotCoordinator, NotLeaderOrFollower,
    OffsetMetadataTooLarge, RebalanceInProgress, UnknownMemberId, UnstableOffsetCommit,
};

/// Errors with which a broker may answer.
const MENU: Menu = &[
    (
        ApiKey::OffsetCommit,
        &[NotCoordinator, CoordinatorLoadInProgress, RebalanceInProgress, UnknownMemberId, IllegalGeneration],
    ),
    (ApiKey::OffsetCommit, &[OffsetMetadataTooLarge, CoordinatorLoadInProgress]),
    (ApiKey::OffsetFetch, &[CoordinatorLoadInProgress, UnstableOffsetCommit]),
    (ApiKey::Fetch, &[NotLeaderOrFollower, KafkaStorageError]),
    (ApiKey::Heartbeat, &[RebalanceInProgress, UnknownMemberId, IllegalGeneration]),
    (ApiKey::ConsumerGroupHeartbeat, &[NotCoordinator, UnknownMemberId]),
];

impl Plan {
    pub(super) fn draw(case: &Case) -> Self {
        let mut dice = Dice::new(case.seed ^ case.mode.salt());
        let d = &mut dice;
        let brokers = d.pick(&[1, 2, 3]);
        let setup = Setup::draw(d, brokers);
        let protocols = Protocol::menu(Mode::Processing, d);
        let protocol = d.pick(&protocols);
        let new_protocol = matches!(protocol, Protocol::Consumer(_));
        // So much is in hand, and so far apart, that not all that is done fits beside an offset.
        let wide = d.chance(0.12);
        let rules = Self::rules(wide, d);
        let broker = Config {
            offset_metadata_max_bytes: d.pick(&[4096, 4096, 4096, 4096, 40, 0]),
            ..setup.broker(d, brokers, new_protocol)
        };
        let mut plan = Self {
            broker,
            weather: Weather {
                latency: d.time(Duration::from_micros(200)..=ms(8)),
                jitter: d.time(Duration::ZERO..=ms(10)),
                spikes: d.pick(&[0.0, 0.002, 0.01]),
                spike: d.time(ms(200)..=secs(3)),
            },
            trouble: d.time(secs(6)..=secs(12)),
            partitions: if wide { 1 } else { d.number(1..=5) as u32 },
            items: Vec::new(),
            habits: Self::habits(wide, d),
            rules,
            once: None,
            setup,
            protocol,
        };
        plan.draw_items(d);
        plan.draw_once(case);
        plan
    }

    fn rules(wide: bool, d: &mut Dice) -> Rules {
        let order = match wide {
            true => Order::Key,
            false => d.pick(&[Order::Partition, Order::Key, Order::Key, Order::Unordered]),
        };
        Rules {
            order,
            concurrency: if wide { 64 } else { d.pick(&[1, 2, 4, 16, 64]) },
            retries: Retries {
                first: d.time(ms(5)..=ms(40)),
                most: d.time(ms(40)..=ms(400)),
                attempts: d.number(1..=4) as u32,
            },
            on_hopeless: d.pick(&[
                OnHopeless::Skip,
                OnHopeless::GiveAway,
                OnHopeless::GiveAway,
                OnHopeless::Stop,
            ]),
            handler_timeout: (!wide && d.chance(0.7)).then(|| d.time(ms(150)..=secs(2))),
            room: match wide {
                true => Room { records: 3000, bytes: 1 << 20 },
                false => {
                    Room { records: d.pick(&[1, 3, 10, 50, 300]), bytes: d.pick(&[100, 2_000, 1 << 20]) }
                }
            },
            commit_interval: d.time(ms(20)..=secs(1)),
            drain: d.time(ms(50)..=secs(2)),
        }
    }

    fn habits(wide: bool, d: &mut Dice) -> Habits {
        Habits {
            keys: if wide { 2 } else { d.number(1..=12) },
            burst: if wide { 300 } else { d.number(5..=25) },
            every: if wide { ms(100) } else { d.time(ms(100)..=ms(700)) },
            records: if wide { 1000 } else { d.number(150..=250) },
            gaps: if wide { 1.0 } else { d.pick(&[0.0, 0.1, 0.5]) },
            gap: if wide { 600 } else { d.pick(&[1, 20, 40_000]) },
            takes: d.time(ms(1)..=ms(if wide { 10 } else { 60 })),
            slow: (!wide && d.chance(0.3)).then(|| d.time(ms(100)..=ms(600))),
            fails: d.pick(&[0.05, 0.15, 0.3]),
            defers: if wide { 0.0 } else { d.pick(&[0.0, 0.0, 0.05]) },
            stubborn: d.pick(&[0.0, 0.2, 0.6]),
            listener_seeks: d.pick(&[0.0, 0.0, 0.1]),
            refuses: d.pick(&[0.1, 0.4]),
            stuck: wide.then(|| d.time(secs(2)..=secs(4))),
        }
    }

    fn draw_items(&mut self, d: &mut Dice) {
        for _ in 0..d.number(1..=3) {
            self.items.push((d.time(Duration::ZERO..=secs(1)), Item::Begin));
        }
        // Each seed has a fault that meets somebody.
        let (api, fault) = (ApiKey::Fetch, d.pick(&[Fault::Disconnect, Fault::Delay(ms(300))]));
        let sure = Trouble::Requests { api, fault, times: 1, after: d.pick(&[0, 1, 3]), node: None };
        self.items.push((d.time(Duration::ZERO..=secs(2)), Item::Trouble(sure)));
        for _ in 0..d.number(6..=16) {
            let item = self.deed(d);
            self.items.push((d.time(ms(800)..=self.trouble), item));
        }
        // One joins, so that there is a rebalance with work in hand.
        self.items.push((d.time(secs(2)..=self.trouble), Item::Begin));
    }

    fn deed(&self, d: &mut Dice) -> Item {
        let brokers = self.broker.brokers;
        let node = Trouble::node(d, brokers);
        match d.number(0..=19) {
            0..=2 => Item::Crash { again_after: d.pick(&[ms(1), ms(300), secs(2)]) },
            3 | 4 => Item::Stop { again_after: d.pick(&[ms(1), ms(300), secs(2)]) },
            5 | 6 => Item::Seek,
            7 => Item::Trim,
            8 => Item::CutOff { lasts: d.time(secs(2)..=secs(12)) },
            9 => Item::Trouble(Trouble::MoveCoordinator { node }),
            10 | 11 => Item::Trouble(Trouble::MoveLeader { node }),
            12 => Item::Trouble(Trouble::Cut),
            13 => Item::Trouble(Trouble::Stop { node, lasts: d.time(ms(200)..=secs(3)) }),
            14 => Item::Begin,
            _ => Item::Trouble(Self::of_a_request(MENU, d, brokers)),
        }
    }

    pub(super) fn of_a_request(menu: Menu, d: &mut Dice, brokers: u32) -> Trouble {
        let node = d.chance(0.3).then(|| Trouble::node(d, brokers));
        let (api, errors) = d.pick(menu);
        let fault = match d.number(0..=9) {
            0..=3 => Fault::Error(d.pick(errors)),
            4 => Fault::Disconnect,
            5 | 6 => Fault::ApplyThenDisconnect,
            7 => Fault::Delay(d.time(ms(50)..=secs(3))),
            8 => Fault::Silence,
            _ => Fault::Throttle(d.time(ms(50)..=secs(1))),
        };
        Trouble::Requests { api, fault, times: d.pick(&[1, 1, 2, 3]), after: d.pick(&[0, 0, 2]), node }
    }

    pub(super) const fn is_of_the_consumer_protocol(&self) -> bool {
        matches!(self.protocol, Protocol::Consumer(_))
    }

    pub(super) fn all_partitions(&self) -> Vec<TopicPartition> {
        (0..self.partitions as i32).map(|partition| TopicPartition::new(TOPIC, partition)).collect()
    }

    pub(super) fn consumer(&self, d: &mut Dice) -> ConsumerConfig {
        let plain = configured::plain(&self.setup, self.broker.brokers, d);
        let isolation =
            if self.once.is_some() { IsolationLevel::ReadCommitted } else { plain.fetch.isolation };
        ConsumerConfig {
            api_timeout: secs(8),
            group: Some(configured::member(&self.setup, &self.protocol, GROUP)),
            listener: true,
            fetch: FetchConfig { isolation, ..plain.fetch },
            ..plain
        }
    }

    pub(super) fn machine(&self, d: &mut Dice) -> ProcessingConfig {
        let Rules {
            order, concurrency, retries, on_hopeless, handler_timeout, room, commit_interval, ..
        } = self.rules;
        ProcessingConfig {
            order,
            concurrency,
            retries: RetryPolicy::exponential(retries.first..=retries.most).attempts(retries.attempts),
            on_hopeless,
            handler_timeout,
            room,
            commit_interval,
            seed: d.seed(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, partitions, habits, rules, protocol, trouble, once, .. } = self;
        let (brokers, versions, text) = (broker.brokers, broker.versions, broker.offset_metadata_max_bytes);
        write!(
            f,
            "{brokers} brokers as {versions:?} that take texts of {text}, {partitions} partitions, {protocol:?}; \
             {rules:?}; {habits:?}; trouble until {trouble:.1?}"
        )?;
        if let Some(once) = once {
            write!(f, "; {once:?}")?;
        }
        for (index, (at, item)) in self.items.iter().enumerate() {
            write!(f, "\n           {index:2} at {:9.6} {item:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
