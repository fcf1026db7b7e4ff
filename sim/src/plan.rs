//! What a seed contains: drawn before it begins.

use std::{ops::RangeInclusive, time::Duration};

use ottla_broker::{Config, TopicSpec, VersionSet};
use ottla_core::{
    Address, Backoff, ConnectionConfig, ConsumerConfig, FetchConfig, GroupConfig, MetadataConfig,
    ResetPolicy, TopicPartition, producer::ProducerConfig,
};
use ottla_protocol::records::Compression;

use crate::{
    dice::{Dice, ms, secs},
    member::Role,
    stage::Weather,
};

/// A bug to switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// In the consumer.
    Core(ottla_core::Planted),
    /// In the broker.
    Broker(ottla_broker::Planted),
}

impl Bug {
    /// Every bug there is.
    pub fn all() -> Vec<Self> {
        let core = ottla_core::Planted::ALL.iter().map(|bug| Self::Core(*bug));
        core.chain(ottla_broker::Planted::ALL.iter().map(|bug| Self::Broker(*bug))).collect()
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|bug| bug.to_string() == name)
    }
}

impl std::fmt::Display for Bug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core(bug) => write!(f, "{bug:?}"),
            Self::Broker(bug) => write!(f, "Broker{bug:?}"),
        }
    }
}

/// How a user behaves.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// `poll` with so many records; `None` for `recv`.
    pub(crate) poll: Option<usize>,
    /// How long a record keeps him.
    pub(crate) think: RangeInclusive<Duration>,
    /// How often he stays away for longer, and for how long.
    pub(crate) absent: f64,
    pub(crate) absence: RangeInclusive<Duration>,
    /// How often he commits before he reads on; 0 for auto commit.
    pub(crate) commits: f64,
    pub(crate) waits_for_commit: f64,
    pub(crate) partial_commits: f64,
    pub(crate) seeks: f64,
    /// Whether his seeks may skip records.
    pub(crate) skips: bool,
    pub(crate) pauses: f64,
    /// How often he wants records of one partition only.
    pub(crate) narrows: f64,
    pub(crate) queries: f64,
}

/// What happens at some time.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Join(Role),
    Close,
    Drop,
    Crash {
        again_after: Option<Duration>,
    },
    Unsubscribe,
    /// A member subscribes to other topics.
    Change(Vec<String>),
    /// A commit that was sent in an earlier generation arrives late, on a connection that its sender has given up.
    Ghost,
    /// The broker's fault; which, is drawn then.
    Fault,
    Cut,
    Darken,
    Outage {
        lasts: Duration,
        swallows: bool,
    },
    MoveLeader,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) broker: Config,
    pub(crate) topics: Vec<(String, u32)>,
    pub(crate) weather: Weather,
    /// How long the trouble lasts.
    pub(crate) trouble: Duration,
    /// Nobody crashes, nothing fails, and everybody commits: then nothing is read twice.
    pub(crate) orderly: bool,
    pub(crate) items: Vec<(Duration, Item)>,
    pub(crate) producer: ProducerConfig,
    /// How often the producer sends, how many records at once, and how large.
    pub(crate) burst_every: RangeInclusive<Duration>,
    pub(crate) burst: RangeInclusive<usize>,
    pub(crate) value: RangeInclusive<usize>,
    pub(crate) large: f64,
    pub(crate) max_poll: Duration,
    seeks: bool,
    skips: bool,
    auto_commit: Duration,
    request_timeout: Duration,
    budget: usize,
    partition_max: usize,
    fetch_max: usize,
    min_bytes: i32,
    max_wait: Duration,
}

const LARGE: usize = 3000;

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let d = &mut dice;
        let orderly = d.chance(0.12);
        let brokers = d.number(1..=3) as u32;
        let topic = |d: &mut Dice, n: usize| (format!("topic{n}"), d.number(1..=8) as u32);
        let topics: Vec<(String, u32)> = (0..d.number(1..=3)).map(|n| topic(d, n)).collect();
        let trouble = d.time(secs(18)..=secs(35));
        let partition_max = d.pick(&[600, 2048, 8192, 65_536]);
        // With less, fetches that wait at the end of a log keep the room that others need.
        let budget = partition_max * d.number(brokers as usize + 1..=12);
        let batch_size = d.pick(&[200, 1000, 4000]);
        let codecs =
            [Compression::None, Compression::None, Compression::Lz4, Compression::Zstd, Compression::Gzip];
        let broker = Config {
            brokers,
            topics: topics.iter().map(|(name, count)| TopicSpec::new(name.as_str(), *count)).collect(),
            versions: d.pick(&[VersionSet::Kafka4_3, VersionSet::Kafka3_9]),
            group_initial_rebalance_delay: d.pick(&[Duration::ZERO, ms(500), secs(3)]),
            max_fetch_sessions: d.pick(&[0, 1, 3, 1000, 1000]),
            seed: d.seed(),
            ..Config::default()
        };
        let weather = Weather {
            latency: d.time(Duration::from_micros(200)..=ms(15)),
            jitter: d.time(Duration::ZERO..=ms(20)),
            spikes: if orderly { 0.0 } else { d.pick(&[0.0, 0.002, 0.01]) },
            spike: d.time(ms(200)..=secs(6)),
        };
        let retry_backoff = Backoff { first: ms(100), most: secs(1) };
        let request_timeout = d.pick(&[secs(3), secs(5), secs(10)]);
        let producer = ProducerConfig {
            connections: ConnectionConfig { request_timeout, ..ConnectionConfig::default() },
            batch_size,
            linger: d.time(Duration::ZERO..=ms(50)),
            compression: d.pick(&codecs),
            delivery_timeout: secs(40),
            retry_backoff,
            ..ProducerConfig::default()
        };
        let mut plan = Self {
            broker,
            topics,
            weather,
            trouble,
            orderly,
            items: Vec::new(),
            producer,
            burst_every: ms(20)..=d.time(ms(100)..=ms(500)),
            burst: 1..=d.number(8..=25),
            value: 8..=d.number(16..=300),
            large: d.pick(&[0.0, 0.01]),
            max_poll: d.time(secs(6)..=secs(40)),
            seeks: !orderly && d.chance(0.4),
            skips: !orderly && d.chance(0.15),
            auto_commit: d.time(ms(200)..=secs(2)),
            request_timeout,
            budget,
            partition_max,
            fetch_max: d.pick(&[2_000, 20_000, 1 << 20]),
            min_bytes: d.pick(&[1, 1, 500]),
            max_wait: d.time(ms(50)..=ms(500)),
        };
        plan.draw_items(d);
        plan
    }

    fn draw_items(&mut self, d: &mut Dice) {
        let mut items = Vec::new();
        for _ in 0..d.number(1..=3) {
            items.push((d.time(Duration::ZERO..=secs(2)), Item::Join(self.in_group(d))));
        }
        if d.chance(0.35) {
            items.push((d.time(Duration::ZERO..=secs(5)), Item::Join(self.alone(d))));
        }
        let late = |d: &mut Dice| d.time(secs(3)..=self.trouble);
        items.push((late(d), Item::Join(self.in_group(d))));
        items.push((late(d), Item::Ghost));
        for _ in 0..d.number(1..=5) {
            let item = match d.number(0..=10) {
                0..=3 => Item::Join(self.in_group(d)),
                4 | 5 => Item::Close,
                6 | 7 if !self.orderly => {
                    Item::Crash { again_after: d.chance(0.7).then(|| d.time(ms(100)..=secs(8))) }
                }
                8 if !self.orderly => Item::Drop,
                9 if !self.orderly => Item::Unsubscribe,
                10 if !self.orderly => Item::Change(self.some_topics(d)),
                _ => Item::Join(self.in_group(d)),
            };
            items.push((late(d), item));
        }
        if !self.orderly {
            for _ in 0..d.number(1..=8) {
                items.push((late(d), Item::Fault));
            }
            for _ in 0..d.number(0..=5) {
                let item = match d.number(0..=7) {
                    0..=3 => Item::Cut,
                    4 | 5 => Item::Darken,
                    _ => Item::Outage { lasts: d.time(ms(500)..=secs(8)), swallows: d.chance(0.5) },
                };
                items.push((late(d), item));
            }
        }
        if self.broker.brokers > 1 {
            for _ in 0..d.number(0..=3) {
                items.push((late(d), Item::MoveLeader));
            }
        }
        self.items = items;
    }

    /// Every member reads everything: then whoever is left at the end reads all that there is.
    pub(crate) fn in_group(&self, _: &mut Dice) -> Role {
        Role::Group(self.topics.iter().map(|(name, _)| name.clone()).collect())
    }

    fn some_topics(&self, d: &mut Dice) -> Vec<String> {
        let chosen: Vec<String> =
            self.topics.iter().filter(|_| d.chance(0.6)).map(|(name, _)| name.clone()).collect();
        if chosen.is_empty() { vec![self.topics[0].0.clone()] } else { chosen }
    }

    fn alone(&self, d: &mut Dice) -> Role {
        let mut partitions = self.partitions();
        let kept = d.number(1..=partitions.len());
        while partitions.len() > kept {
            let index = d.number(0..=partitions.len() - 1);
            partitions.swap_remove(index);
        }
        partitions.sort();
        Role::Alone { partitions, group: d.chance(0.5).then(|| "by hand".to_owned()) }
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let of = |(name, count): &(String, u32)| {
            let name = name.clone();
            (0..*count as i32).map(move |number| TopicPartition::new(name.clone(), number))
        };
        self.topics.iter().flat_map(of).collect()
    }

    pub(crate) fn habits(&self, d: &mut Dice, role: &Role) -> Habits {
        let has_group = !matches!(role, Role::Alone { group: None, .. });
        let by_hand = has_group && !self.orderly && d.chance(0.4);
        let slowest = d.pick(&[Duration::from_micros(100), ms(1), ms(4)]);
        let calm = self.orderly;
        Habits {
            poll: d.chance(0.5).then(|| d.pick(&[1, 5, 50, 500])),
            think: Duration::from_micros(10)..=slowest,
            absent: if calm { 0.002 } else { d.pick(&[0.0, 0.005, 0.03]) },
            absence: ms(200)..=if calm || d.chance(0.6) { secs(4) } else { self.max_poll * 5 / 4 },
            commits: if by_hand { d.pick(&[0.02, 0.2, 0.8]) } else { 0.0 },
            waits_for_commit: d.pick(&[0.0, 0.5, 1.0]),
            partial_commits: if !calm && has_group { d.pick(&[0.0, 0.1]) } else { 0.0 },
            seeks: if self.seeks { 0.01 } else { 0.0 },
            skips: self.skips,
            pauses: d.pick(&[0.0, 0.0, 0.02]),
            narrows: d.pick(&[0.0, 0.0, 0.1]),
            queries: if has_group { d.pick(&[0.0, 0.02]) } else { 0.0 },
        }
    }

    pub(crate) fn seeds(&self) -> Vec<Address> {
        let address = |node| Address { host: format!("broker-{node}"), port: 9092 };
        (1..=self.broker.brokers).map(address).collect()
    }

    pub(crate) fn consumer(&self, role: &Role, habits: &Habits, d: &mut Dice) -> ConsumerConfig {
        let retry_backoff = Backoff { first: ms(100), most: secs(1) };
        let group = match role {
            Role::Group(_) => Some("group".to_owned()),
            Role::Alone { group, .. } => group.clone(),
        };
        ConsumerConfig {
            connections: ConnectionConfig {
                request_timeout: self.request_timeout,
                max_idle: d.pick(&[secs(8), secs(540)]),
                setup_timeout: secs(4),
                ..ConnectionConfig::default()
            },
            metadata: MetadataConfig {
                max_age: d.pick(&[secs(5), secs(300)]),
                retry_backoff,
                allow_auto_create: false,
            },
            fetch: FetchConfig {
                min_bytes: self.min_bytes,
                max_bytes: self.fetch_max,
                partition_max_bytes: self.partition_max,
                max_wait: self.max_wait,
                budget: self.budget,
                retry_backoff,
                request_timeout: self.request_timeout,
            },
            auto_commit: (group.is_some() && habits.commits == 0.0).then_some(self.auto_commit),
            group: group.map(|id| GroupConfig {
                session_timeout: secs(6),
                heartbeat_interval: secs(1),
                max_poll_interval: self.max_poll,
                ..GroupConfig::new(id)
            }),
            reset: ResetPolicy::Earliest,
            api_timeout: secs(15),
            retry_backoff,
            seed: d.seed(),
            ..ConsumerConfig::new(self.seeds())
        }
    }

    /// How many bytes of records a consumer may hold: the budget, and of each broker one batch beyond it.
    pub(crate) fn most_held(&self) -> usize {
        let batch = self.producer.batch_size.max(LARGE + 200);
        self.budget + self.broker.brokers as usize * batch
    }

    /// The length of the next value.
    pub(crate) fn value_length(&self, d: &mut Dice) -> usize {
        if d.chance(self.large) { LARGE } else { d.number(self.value.clone()) }
    }

    /// Within this time after the trouble all must be done: a request to join may be lost and is awaited for
    /// [`Self::join_timeout`], a user may be away for long, sessions expire.
    pub(crate) fn bound(&self) -> Duration {
        self.join_timeout() * 2 + self.max_poll * 2 + secs(40)
    }

    fn join_timeout(&self) -> Duration {
        (self.max_poll + secs(5)).max(secs(30))
    }
}
