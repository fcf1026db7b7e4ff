//! How the machines of a seed are configured.

use std::time::Duration;

use ottla_broker::{Config, VersionSet};
use ottla_core::{
    Address, Assignor, Backoff, ConnectionConfig, ConsumerConfig, FetchConfig, GroupConfig, GroupProtocol,
    MetadataConfig, RangeAssignor,
    group::{CooperativeStickyAssignor, RoundRobinAssignor, StickyAssignor},
    producer::ProducerConfig,
};
use ottla_protocol::records::Compression;

use crate::{
    dice::{Dice, ms, secs},
    habits::Habits,
    mode::{Protocol, Sharing},
    plan::Plan,
    role::Role,
};

/// What clients have in common.
#[derive(Debug)]
pub(crate) struct Setup {
    request_timeout: Duration,
    auto_commit: Duration,
    /// How many bytes of records a consumer may hold.
    pub(crate) budget: usize,
    partition_max: usize,
    fetch_max: usize,
    min_bytes: i32,
    max_wait: Duration,
    /// Of either protocol.
    pub(crate) session: Duration,
}

/// Of members under the classic protocol.
pub(crate) const HEARTBEAT_INTERVAL: Duration = secs(1);

const RETRY_BACKOFF: Backoff = Backoff { first: ms(100), most: secs(1) };

impl Setup {
    pub(crate) fn draw(d: &mut Dice, brokers: u32) -> Self {
        let partition_max = d.pick(&[600, 2048, 8192, 65_536]);
        Self {
            request_timeout: d.pick(&[secs(3), secs(5), secs(10)]),
            auto_commit: d.time(ms(200)..=secs(2)),
            // With less, fetches that wait at the end of a log keep the room that others need.
            budget: partition_max * d.number(brokers as usize + 1..=12),
            partition_max,
            fetch_max: d.pick(&[2_000, 20_000, 1 << 20]),
            min_bytes: d.pick(&[1, 1, 500]),
            max_wait: d.time(ms(50)..=ms(500)),
            session: d.pick(&[secs(6), secs(6), secs(6), secs(6), secs(6), secs(9)]),
        }
    }

    /// Leaves hardly room for anything.
    pub(crate) fn tighten(&mut self, brokers: u32) {
        self.partition_max = 600;
        self.budget = self.partition_max * (brokers as usize + 1);
    }

    /// Answers have room for little at once.
    pub(crate) fn cut_fetches(&mut self) {
        self.fetch_max = 1500;
    }

    /// How long a broker may hold a fetch.
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Within this time a request that is not answered is given up, its connection with it, and another is there.
    pub(crate) fn given_up(&self) -> Duration {
        self.request_timeout + self.max_wait + secs(8)
    }

    /// Topics are created later, so that their ids are known.
    pub(crate) fn broker(&self, d: &mut Dice, brokers: u32, new_protocol: bool) -> Config {
        Config {
            brokers,
            versions: d.pick(&[VersionSet::Kafka4_3, VersionSet::Kafka3_9]),
            consumer_protocol: new_protocol.then_some(true),
            group_initial_rebalance_delay: d.pick(&[Duration::ZERO, ms(500), secs(3)]),
            group_consumer_session_timeout: self.session,
            group_consumer_heartbeat_interval: d.pick(&[ms(500), secs(1), secs(2)]),
            max_fetch_sessions: d.pick(&[0, 1, 3, 1000, 1000]),
            seed: d.seed(),
            ..Config::default()
        }
    }

    pub(crate) fn producer(&self, d: &mut Dice) -> ProducerConfig {
        let codecs =
            [Compression::None, Compression::None, Compression::Lz4, Compression::Zstd, Compression::Gzip];
        ProducerConfig {
            connections: ConnectionConfig {
                request_timeout: self.request_timeout,
                ..ConnectionConfig::default()
            },
            batch_size: d.pick(&[200, 1000, 4000]),
            linger: d.time(Duration::ZERO..=ms(50)),
            compression: d.pick(&codecs),
            delivery_timeout: secs(40),
            retry_backoff: RETRY_BACKOFF,
            ..ProducerConfig::default()
        }
    }
}

fn assignor(sharing: Sharing) -> Box<dyn Assignor> {
    match sharing {
        Sharing::Range => Box::new(RangeAssignor),
        Sharing::RoundRobin => Box::new(RoundRobinAssignor),
        Sharing::Sticky => Box::new(StickyAssignor),
        Sharing::CooperativeSticky => Box::new(CooperativeStickyAssignor),
    }
}

impl Plan {
    pub(crate) fn seeds(&self) -> Vec<Address> {
        let address = |node| Address { host: format!("broker-{node}"), port: 9092 };
        (1..=self.broker.brokers).map(address).collect()
    }

    pub(crate) fn consumer(&self, role: &Role, habits: &Habits, d: &mut Dice) -> ConsumerConfig {
        let Setup { request_timeout, .. } = self.setup;
        let group = match role {
            Role::Group(_) => Some("group".to_owned()),
            Role::Alone { group, .. } => group.clone(),
        };
        ConsumerConfig {
            connections: ConnectionConfig {
                request_timeout,
                max_idle: d.pick(&[secs(8), secs(540)]),
                setup_timeout: secs(4),
                ..ConnectionConfig::default()
            },
            metadata: MetadataConfig {
                max_age: self.variety.max_age,
                retry_backoff: RETRY_BACKOFF,
                allow_auto_create: false,
            },
            fetch: FetchConfig {
                min_bytes: self.setup.min_bytes,
                max_bytes: self.setup.fetch_max,
                partition_max_bytes: self.setup.partition_max,
                max_wait: self.setup.max_wait,
                read_ahead: self.variety.read_ahead,
                budget: self.setup.budget,
                request_timeout,
            },
            auto_commit: (group.is_some() && habits.commits == 0.0).then_some(self.setup.auto_commit),
            listener: habits.listener.is_some(),
            reset: habits.beginnings.reset(),
            api_timeout: secs(15),
            retry_backoff: RETRY_BACKOFF,
            seed: d.seed(),
            group: group.map(|id| self.group(id, role, d)),
            ..ConsumerConfig::new(self.seeds())
        }
    }

    fn group(&self, id: String, role: &Role, d: &mut Dice) -> GroupConfig {
        let config = GroupConfig {
            rack: self.variety.racks.then(|| format!("rack-{}", d.number(1..=3))),
            rebalance_timeout: self.variety.rebalance_timeout,
            session_timeout: self.setup.session,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            max_poll_interval: self.max_poll,
            ..GroupConfig::new(id)
        };
        let Some(role) = role.in_group() else { return config };
        let config = GroupConfig { instance_id: role.instance.clone(), ..config };
        match &role.protocol {
            Protocol::Classic(sharing) => GroupConfig {
                assignors: sharing.iter().map(|sharing| assignor(*sharing)).collect(),
                ..config
            },
            Protocol::Consumer(preferred) => GroupConfig {
                protocol: GroupProtocol::Consumer,
                server_assignor: preferred.map(str::to_owned),
                ..config
            },
        }
    }
}
