//! What a test of the suite runs against.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ottla_broker::{Config, Server};

use crate::kafka::{self, Cluster, Missing, Tools, Unavailable};

/// A broker to test against.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The embedded broker.
    Embedded(&'static Embedded),
    /// A real cluster: the shared one of three nodes, a node of an older release, or a case's own.
    Kafka(&'static Cluster),
}

/// The embedded broker, on a thread of its own and free ports.
#[derive(Debug)]
pub struct Embedded(Server);

impl Embedded {
    /// So many logical brokers. As on the shared cluster, no topic comes into being by itself, and sessions may be
    /// short for the sake of tests.
    pub fn start(brokers: u32) -> Result<Self, Unavailable> {
        let config = Config {
            brokers,
            group_min_session_timeout: Duration::from_secs(1),
            group_consumer_session_timeout: Duration::from_secs(6),
            group_consumer_heartbeat_interval: Duration::from_millis(500),
            ..Config::default()
        };
        let started = Server::start_on_thread(config, ([127, 0, 0, 1], 0));
        started.map(Self).map_err(|error| Unavailable::Failed(format!("the embedded broker: {error}")))
    }

    /// Three logical brokers for all tests, started by the first that asks. They end with the process.
    fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<Embedded, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(3)).as_ref().map_err(Clone::clone)
    }

    /// Its addresses, as `bootstrap.servers` has them.
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap()
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.0
    }
}

impl Target {
    /// The embedded broker.
    pub fn embedded() -> Result<Self, Unavailable> {
        Embedded::shared().map(Self::Embedded)
    }

    /// The shared cluster, started by the first call.
    pub fn kafka() -> Result<Self, Unavailable> {
        kafka::shared().map(Self::Kafka)
    }

    /// The three nodes of Kafka 4.3, started by the first call.
    pub fn kafka_4_3() -> Result<Self, Unavailable> {
        kafka::shared_4_3().map(Self::Kafka)
    }

    /// The node of Kafka 3.9, started by the first call.
    pub fn kafka_3_9() -> Result<Self, Unavailable> {
        kafka::shared_3_9().map(Self::Kafka)
    }

    /// Its addresses, as `bootstrap.servers` has them.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap(),
            Self::Kafka(cluster) => cluster.bootstrap(),
        }
    }

    /// The tools of the newest Kafka, pointed at it.
    pub fn tools(&self) -> Result<Tools, Missing> {
        Tools::new(self.bootstrap())
    }
}

/// A name for a topic or a group that no other test has: the target is shared.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
