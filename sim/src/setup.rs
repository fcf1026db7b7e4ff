//! How the machines of a seed are configured.

use std::time::Duration;

use ottla_broker::{Config, VersionSet};
use ottla_core::{Backoff, ConnectionConfig, producer::ProducerConfig};
use ottla_protocol::records::Compression;

use crate::dice::{Dice, ms, secs};

/// What clients have in common.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) request_timeout: Duration,
    pub(crate) auto_commit: Duration,
    /// How many bytes of records a consumer may hold.
    pub(crate) budget: usize,
    pub(crate) partition_max: usize,
    pub(crate) fetch_max: usize,
    pub(crate) min_bytes: i32,
    pub(crate) max_wait: Duration,
    /// Of either protocol.
    pub(crate) session: Duration,
}

/// Of members under the classic protocol.
pub(crate) const HEARTBEAT_INTERVAL: Duration = secs(1);

pub(crate) const RETRY_BACKOFF: Backoff = Backoff { first: ms(100), most: secs(1) };

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
            // What a partition's queue is long for would be another record's place, and each seed another one.
            adaptive: false,
            ..ProducerConfig::default()
        }
    }
}
