//! What every client is told: where the cluster is, and how patient to be with it.

use std::time::Duration;

use ottla_core::{Address, Backoff, ConnectionConfig, MetadataConfig};

use super::{
    address::address,
    on_wait::OnWait,
    property::{JavaDefault::*, Property, properties},
    security::{Secured, SecurityConfig},
    value::{check_millis, check_millis_or_zero, list, millis, text},
};
use crate::{
    driver::DriverConfig,
    error::{BuildError, BuildErrorKind, Details as _},
    net::{
        connection::Limits,
        opening::{Connector, Opening},
    },
};

// Those whose default is not the same for every client are in the tables of each.
properties! {
    Common;
    "bootstrap.servers": "host:port, with commas between", "", Same,
        "Brokers to ask first; they name the others. Required",
        bootstrap_servers = names;
    "client.id": "text", "ottla", Other(""),
        "The name that brokers know the client by in logs, metrics and quotas; Java makes one up",
        client_id = text;
    "metadata.max.age.ms": "ms", "300000", Same,
        "How old the picture of topics and brokers may get before it is asked for again",
        metadata_max_age = millis;
    "reconnect.backoff.max.ms": "ms", "1000", Same,
        "The longest wait before a broker is connected to again",
        reconnect_backoff.most = millis;
    "reconnect.backoff.ms": "ms", "50", Same,
        "The first such wait; it doubles with each failure",
        reconnect_backoff.first = millis;
    "request.timeout.ms": "ms", "30000", Same,
        "How long a request may stay without an answer",
        request_timeout = millis;
    "retry.backoff.max.ms": "ms", "1000", Same,
        "The longest wait before a failed request is sent again",
        retry_backoff.most = millis;
    "retry.backoff.ms": "ms", "100", Same,
        "The first such wait; it doubles with each failure",
        retry_backoff.first = millis;
    "socket.connection.setup.timeout.ms": "ms", "10000", Same,
        "How long a connection may take to be of use; in Java it ends where the connection stands, and grows up to \
         `socket.connection.setup.timeout.max.ms`",
        connection_setup_timeout = millis;
}

fn names(_key: &str, text: &str) -> Result<Vec<String>, BuildError> {
    Ok(list(text).collect())
}

/// The largest response that is believed. Far more than any answer but a fetch takes; and a buffer grows only as bytes
/// arrive, so this is what tells another protocol's bytes from a length, not what bounds the memory.
pub(crate) const RECEIVE_MAX: usize = 128 << 20;

/// How many bytes of buffers a client keeps that does not fetch.
pub(crate) const FRAME_POOL: usize = 1 << 20;

/// What the setters that all builders have in common store. Its `Debug`, as a builder's, shows each field: a secret needs a
/// type that hides it.
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
    pub(super) wait_for_broker: bool,
    pub(super) on_wait: OnWait,
    pub(super) secured: Secured,
    pub(super) connector: Option<Connector>,
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
            wait_for_broker: true,
            on_wait: OnWait::default(),
            secured: Secured::default(),
            connector: None,
        }
    }
}

impl Common {
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
            wait_for_broker: self.wait_for_broker,
            on_wait: self.on_wait.clone(),
            security: self.secured.parse()?,
            connector: self.connector.clone(),
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
    /// Whether a client is built only once a broker has answered.
    pub(crate) wait_for_broker: bool,
    pub(crate) on_wait: OnWait,
    pub(crate) security: SecurityConfig,
    pub(crate) connector: Option<Connector>,
}

impl CommonConfig {
    /// What the core's connections go by.
    pub(crate) fn connections(&self) -> ConnectionConfig {
        ConnectionConfig {
            request_timeout: self.request_timeout,
            reconnect_backoff: self.reconnect_backoff,
            max_idle: self.connections_max_idle,
            setup_timeout: self.connection_setup_timeout,
            sasl: self.security.authentication.as_ref().map(|own| own.sasl.clone()),
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
    pub(crate) fn driver(
        &self,
        thread: &str,
        receive_max: usize,
        frame_pool: usize,
        span: tracing::Span,
    ) -> DriverConfig {
        let setup_timeout = self.connection_setup_timeout;
        DriverConfig {
            thread: thread.to_owned(),
            ambient: self.ambient_runtime,
            client_id: self.client_id.clone(),
            limits: Limits { receive_max, setup_timeout },
            frame_pool,
            tokens: self.security.authentication.as_ref().and_then(|own| own.tokens.clone()),
            opening: Opening {
                connector: self.connector.clone(),
                #[cfg(feature = "tls")]
                tls: self.security.tls.clone(),
            },
            span_of_calls: span.clone(),
            span,
        }
    }
}
