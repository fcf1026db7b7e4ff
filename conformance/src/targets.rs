//! What a test of the suite runs against.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::kafka::{self, Cluster, Missing, Tools, Unavailable};

/// A broker to test against.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The embedded broker.
    Embedded(&'static Embedded),
    /// The shared cluster of three real nodes.
    Kafka(&'static Cluster),
}

/// The embedded broker, as the suite starts it.
#[derive(Debug)]
pub struct Embedded {
    bootstrap: String,
}

impl Embedded {
    fn shared() -> Result<&'static Self, Unavailable> {
        Err(Missing { what: "embedded broker", why: "not built yet".to_owned() }.into())
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

    /// Its addresses, as `bootstrap.servers` has them.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap.clone(),
            Self::Kafka(cluster) => cluster.bootstrap(),
        }
    }

    /// Kafka's own tools, pointed at it.
    pub fn tools(&self) -> Result<Tools, Missing> {
        match self {
            Self::Embedded(broker) => Tools::new(&broker.bootstrap),
            Self::Kafka(cluster) => Ok(cluster.tools()),
        }
    }
}

/// A name for a topic or a group that no other test has: the target is shared.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
