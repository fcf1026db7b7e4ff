//! What every client is told: where the cluster is, and how patient to be with it.

use std::time::Duration;

use ottla_core::{Address, Backoff, ConnectionConfig, MetadataConfig};

use super::{
    address::address,
    value::{check_millis, check_millis_or_zero, list, millis},
};
use crate::{
    driver::DriverConfig,
    error::{BuildError, BuildErrorKind, Details as _},
    net::connection::Limits,
    reach::OnWait,
};

/// The properties of [`Common`], and their defaults; empty where nothing is set. An admin client closes idle connections
/// after 5 min.
pub(super) const SUPPORTED: &[(&str, &str)] = &[
    ("bootstrap.servers", ""),
    ("client.id", "ottla"),
    ("connections.max.idle.ms", "540000"),
    ("default.api.timeout.ms", "60000"),
    ("metadata.max.age.ms", "300000"),
    ("reconnect.backoff.max.ms", "1000"),
    ("reconnect.backoff.ms", "50"),
    ("request.timeout.ms", "30000"),
    ("retry.backoff.max.ms", "1000"),
    ("retry.backoff.ms", "100"),
    ("socket.connection.setup.timeout.ms", "10000"),
];

/// The largest response that is believed. Far more than any answer but a fetch takes; and a buffer grows only as bytes
/// arrive, so this is what tells another protocol's bytes from a length, not what bounds the memory.
pub(crate) const RECEIVE_MAX: usize = 128 << 20;

/// How many bytes of buffers a client keeps that does not fetch.
pub(crate) const FRAME_POOL: usize = 1 << 20;

/// What the setters that all builders have in common store.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) bootstrap_servers: Vec<String>,
    pub(super) client_id: String,
    pub(super) request_timeout: Duration,
    pub(super) default_api_timeout: Duration,
    pub(super) retry_backoff: Backoff,
    pub(super) reconnect_backoff: Backoff,
    pub(super) connections_max_idle: Duration,
    pub(super) metadata_max_age: Duration,
    pub(super) connection_setup_timeout: Duration,
    pub(super) ambient_runtime: bool,
    pub(super) on_wait: OnWait,
}

impl Default for Common {
    fn default() -> Self {
        let (connections, metadata) = (ConnectionConfig::default(), MetadataConfig::default());
        Self {
            bootstrap_servers: Vec::new(),
            client_id: "ottla".to_owned(),
            request_timeout: connections.request_timeout,
            default_api_timeout: Duration::from_secs(60),
            retry_backoff: metadata.retry_backoff,
            reconnect_backoff: connections.reconnect_backoff,
            connections_max_idle: connections.max_idle,
            metadata_max_age: metadata.max_age,
            connection_setup_timeout: connections.setup_timeout,
            ambient_runtime: false,
            on_wait: OnWait::default(),
        }
    }
}

impl Common {
    /// Whether the property was one of these.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, BuildError> {
        match key {
            "bootstrap.servers" => self.bootstrap_servers = list(value).collect(),
            "client.id" => self.client_id = value.trim().to_owned(),
            "connections.max.idle.ms" => self.connections_max_idle = millis(key, value)?,
            "default.api.timeout.ms" => self.default_api_timeout = millis(key, value)?,
            "metadata.max.age.ms" => self.metadata_max_age = millis(key, value)?,
            "reconnect.backoff.max.ms" => self.reconnect_backoff.most = millis(key, value)?,
            "reconnect.backoff.ms" => self.reconnect_backoff.first = millis(key, value)?,
            "request.timeout.ms" => self.request_timeout = millis(key, value)?,
            "retry.backoff.max.ms" => self.retry_backoff.most = millis(key, value)?,
            "retry.backoff.ms" => self.retry_backoff.first = millis(key, value)?,
            "socket.connection.setup.timeout.ms" => self.connection_setup_timeout = millis(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn parse(&self) -> Result<CommonConfig, BuildError> {
        Ok(CommonConfig {
            bootstrap_servers: self.addresses()?,
            client_id: Some(self.client_id.clone()).filter(|id| !id.is_empty()),
            request_timeout: check_millis("request.timeout.ms", self.request_timeout)?,
            default_api_timeout: check_millis("default.api.timeout.ms", self.default_api_timeout)?,
            retry_backoff: check_backoff(["retry.backoff.ms", "retry.backoff.max.ms"], self.retry_backoff)?,
            reconnect_backoff: check_backoff(
                ["reconnect.backoff.ms", "reconnect.backoff.max.ms"],
                self.reconnect_backoff,
            )?,
            connections_max_idle: check_millis("connections.max.idle.ms", self.connections_max_idle)?,
            metadata_max_age: check_millis("metadata.max.age.ms", self.metadata_max_age)?,
            connection_setup_timeout: check_millis(
                "socket.connection.setup.timeout.ms",
                self.connection_setup_timeout,
            )?,
            ambient_runtime: self.ambient_runtime,
            on_wait: self.on_wait.clone(),
        })
    }

    fn addresses(&self) -> Result<Vec<Address>, BuildError> {
        const KEY: &str = "bootstrap.servers";
        let mut addresses = Vec::new();
        for text in self.bootstrap_servers.iter().flat_map(|text| list(text)) {
            let address = address(&text).ok_or_else(|| {
                BuildError::invalid(KEY, text, "host:port or [v6]:port, as in localhost:9092")
            })?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(BuildError::new(BuildErrorKind::MissingProperty)
                .property(KEY)
                .detail("give the host:port of a broker or more")),
            false => Ok(addresses),
        }
    }
}

/// The longest wait is never shorter than the first, whichever was set.
fn check_backoff([first, most]: [&str; 2], backoff: Backoff) -> Result<Backoff, BuildError> {
    let first = check_millis_or_zero(first, backoff.first)?;
    let most = check_millis_or_zero(most, backoff.most)?;
    Ok(Backoff { first, most: most.max(first) })
}

/// [`Common`], valid.
#[derive(Debug, Clone)]
pub(crate) struct CommonConfig {
    /// Not empty.
    pub(crate) bootstrap_servers: Vec<Address>,
    pub(crate) client_id: Option<String>,
    pub(crate) request_timeout: Duration,
    pub(crate) default_api_timeout: Duration,
    pub(crate) retry_backoff: Backoff,
    pub(crate) reconnect_backoff: Backoff,
    pub(crate) connections_max_idle: Duration,
    pub(crate) metadata_max_age: Duration,
    /// The driver is a task of the current runtime, not a thread.
    pub(crate) ambient_runtime: bool,
    pub(crate) connection_setup_timeout: Duration,
    pub(crate) on_wait: OnWait,
}

impl CommonConfig {
    /// What the core's connections go by.
    pub(crate) fn connections(&self) -> ConnectionConfig {
        ConnectionConfig {
            request_timeout: self.request_timeout,
            reconnect_backoff: self.reconnect_backoff,
            max_idle: self.connections_max_idle,
            setup_timeout: self.connection_setup_timeout,
        }
    }

    /// What the core's metadata goes by.
    pub(crate) fn metadata(&self, allow_auto_create: bool) -> MetadataConfig {
        MetadataConfig {
            max_age: self.metadata_max_age,
            retry_backoff: self.retry_backoff,
            allow_auto_create,
        }
    }

    /// What the driver goes by.
    pub(crate) fn driver(&self, thread: &str, receive_max: usize, frame_pool: usize) -> DriverConfig {
        let setup_timeout = self.connection_setup_timeout;
        DriverConfig {
            thread: thread.to_owned(),
            ambient: self.ambient_runtime,
            client_id: self.client_id.clone(),
            limits: Limits { receive_max, setup_timeout },
            frame_pool,
        }
    }
}

/// The setters that every builder has, over its field `common`, and the way in for properties, over its `set`.
macro_rules! common_setters {
    ($idle:literal) => {
        /// A builder with these properties set: Kafka's own keys, as in its properties files ([`Properties`] reads
        /// one). A key that is unknown is refused, with the nearest that is known; and so is one that is known to
        /// Kafka and not supported yet.
        ///
        /// [`Properties`]: crate::Properties
        pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
            properties: impl IntoIterator<Item = (K, V)>,
        ) -> Result<Self, BuildError> {
            Self::default().properties(properties)
        }

        /// Sets properties by Kafka's own keys. The last one of a key stands.
        pub fn properties<K: AsRef<str>, V: AsRef<str>>(
            mut self,
            properties: impl IntoIterator<Item = (K, V)>,
        ) -> Result<Self, BuildError> {
            for (key, value) in properties {
                self.set(key.as_ref(), value.as_ref())?;
            }
            Ok(self)
        }

        /// The properties that this client takes, by name, each with its default: empty where there is none.
        pub fn known_properties() -> impl Iterator<Item = (&'static str, &'static str)> {
            let mut all: Vec<_> = KNOWN.supported().collect();
            all.sort_unstable();
            all.into_iter()
        }

        /// Brokers to ask first, as `host:port` or `[v6]:port`, one, several, or several with commas between; they name
        /// the others. Required, as in Java.
        #[must_use]
        pub fn bootstrap_servers<Kind>(mut self, servers: impl crate::config::Names<Kind>) -> Self {
            self.common.bootstrap_servers = servers.into_names();
            self
        }

        /// The name that brokers know this client by in their logs, metrics and quotas. Default `ottla`; Java makes
        /// one up for each client.
        #[must_use]
        pub fn client_id(mut self, id: impl Into<String>) -> Self {
            self.common.client_id = id.into();
            self
        }

        /// How long a request may stay without an answer. Default 30 s, as Java's.
        #[must_use]
        pub fn request_timeout(mut self, timeout: Duration) -> Self {
            self.common.request_timeout = timeout;
            self
        }

        /// How long an operation may take with all its attempts. Default 60 s, as Java's.
        #[must_use]
        pub fn default_api_timeout(mut self, timeout: Duration) -> Self {
            self.common.default_api_timeout = timeout;
            self
        }

        /// The wait before a failed request is sent again; it doubles with each failure. Default 100 ms, as Java's.
        #[must_use]
        pub fn retry_backoff(mut self, wait: Duration) -> Self {
            self.common.retry_backoff.first = wait;
            self
        }

        /// The longest such wait. Default 1 s, as Java's.
        #[must_use]
        pub fn retry_backoff_max(mut self, wait: Duration) -> Self {
            self.common.retry_backoff.most = wait;
            self
        }

        /// The wait before a broker is connected to again; it doubles with each failure. Default 50 ms, as Java's.
        #[must_use]
        pub fn reconnect_backoff(mut self, wait: Duration) -> Self {
            self.common.reconnect_backoff.first = wait;
            self
        }

        /// The longest such wait. Default 1 s, as Java's.
        #[must_use]
        pub fn reconnect_backoff_max(mut self, wait: Duration) -> Self {
            self.common.reconnect_backoff.most = wait;
            self
        }

        #[doc = concat!("How long a connection may be without use before it is closed. Default ", $idle, ", as Java's.")]
        #[must_use]
        pub fn connections_max_idle(mut self, idle: Duration) -> Self {
            self.common.connections_max_idle = idle;
            self
        }

        /// How long a connection may take to be of use: to stand, and to answer what is spoken there; another bootstrap
        /// server is tried beside it meanwhile. Default 10 s, as Java's, which ends where the connection stands, and
        /// lengthens it up to `socket.connection.setup.timeout.max.ms`.
        #[must_use]
        pub fn connection_setup_timeout(mut self, timeout: Duration) -> Self {
            self.common.connection_setup_timeout = timeout;
            self
        }

        /// Told what `build` waits for, where that takes longer than a second and a half, and again when it changes.
        #[must_use]
        pub fn on_wait(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
            self.common.on_wait = crate::reach::OnWait(Some(std::sync::Arc::new(tell)));
            self
        }

        /// How old the picture of topics and brokers may get before it is asked for again. Default 5 min, as Java's.
        #[must_use]
        pub fn metadata_max_age(mut self, age: Duration) -> Self {
            self.common.metadata_max_age = age;
            self
        }

        /// Serves the client from a task of the Tokio runtime in which it is built, in place of a thread of its own.
        /// Default false: with a thread of its own it neither starves when the runtime's threads are blocked nor dies
        /// with the runtime. Java's consumer has no such choice.
        #[must_use]
        pub fn ambient_runtime(mut self, ambient: bool) -> Self {
            self.common.ambient_runtime = ambient;
            self
        }
    };
}

pub(super) use common_setters;
