//! A real Apache Kafka: its jars from Maven, a cluster of them in processes of their own, and its own tools.

mod access;
mod asked;
mod certificates;
mod cluster;
mod config;
mod defaults;
mod errors;
mod group_tools;
mod jars;
mod java;
mod metadata;
mod openid;
mod printed;
mod secured;
mod tools;

use std::fmt;
use std::sync::OnceLock;

pub use access::{Access, Mechanism, TOKEN_HANDLER, User, unsigned_token};
pub use asked::{Consume, Load};
pub use certificates::{Certificates, STORE_PASSWORD};
pub use cluster::Cluster;
pub use config::Config;
pub use group_tools::{GroupTools, Printed};
pub use jars::{VERSION, VERSION_3_9, VERSION_4_3};
pub(crate) use jars::{fetch_by, maven, once};
pub use java::Java;
pub(crate) use java::version_of;
pub use openid::{OpenId, Scope};
pub use printed::{Consumed, GroupRow, PartitionRow};
pub use secured::{Listener, OPEN, SESSION_MS, Secured, TOKEN_SESSION_MS};
pub use tools::Tools;

/// Set to `off`, it spares a developer everything that needs Kafka.
pub const SWITCH: &str = "OTTLA_KAFKA";

/// Something that this machine does not have.
#[derive(Debug, Clone)]
pub struct Missing {
    /// What is not there.
    pub what: &'static str,
    /// Why, or what was tried.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.what, self.why)
    }
}

impl std::error::Error for Missing {}

/// Why there is no broker to test against.
#[derive(Debug, Clone)]
pub enum Unavailable {
    /// It cannot be had on this machine: a test is ignored, with the reason.
    Missing(Missing),
    /// It should have worked: a test fails.
    Failed(String),
}

impl From<Missing> for Unavailable {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unavailable {}

static SHARED: OnceLock<Result<Cluster, Unavailable>> = OnceLock::new();
static SHARED_4_3: OnceLock<Result<Cluster, Unavailable>> = OnceLock::new();
static SHARED_3_9: OnceLock<Result<Cluster, Unavailable>> = OnceLock::new();

/// The three-node cluster that all tests share, started by the first that asks.
pub fn shared() -> Result<&'static Cluster, Unavailable> {
    SHARED.get_or_init(|| Cluster::start(Config::new(3))).as_ref().map_err(Clone::clone)
}

/// The three nodes of Kafka 4.3 that all tests share, started by the first that asks.
pub fn shared_4_3() -> Result<&'static Cluster, Unavailable> {
    let start = || Cluster::start_4_3(Config::new(3));
    SHARED_4_3.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// The one node of Kafka 3.9 that all tests share, started by the first that asks.
pub fn shared_3_9() -> Result<&'static Cluster, Unavailable> {
    let start = || Cluster::start_3_9(Config::new(1));
    SHARED_3_9.get_or_init(start).as_ref().map_err(Clone::clone)
}

static SECURED: OnceLock<Result<Secured, Unavailable>> = OnceLock::new();
static SECURED_3_9: OnceLock<Result<Secured, Unavailable>> = OnceLock::new();

/// The node with TLS, SASL and authorization that all tests share, started by the first that asks.
pub fn secured() -> Result<&'static Secured, Unavailable> {
    let start = || Secured::start(Java::get()?, VERSION);
    SECURED.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// The same of Kafka 3.9.
pub fn secured_3_9() -> Result<&'static Secured, Unavailable> {
    let start = || Secured::start(Java::get_3_9()?, VERSION_3_9);
    SECURED_3_9.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// Ends the shared clusters that were started; a static is never dropped.
pub fn stop_shared() {
    std::thread::scope(|scope| {
        for shared in [&SHARED, &SHARED_4_3, &SHARED_3_9] {
            if let Some(Ok(cluster)) = shared.get() {
                scope.spawn(|| cluster.shut_down());
            }
        }
        for shared in [&SECURED, &SECURED_3_9] {
            if let Some(Ok(secured)) = shared.get() {
                scope.spawn(|| secured.shut_down());
            }
        }
    });
}
