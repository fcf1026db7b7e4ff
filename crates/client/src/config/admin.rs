//! The configuration of an admin client.

use std::time::Duration;

use super::{
    common::{Common, CommonConfig, FRAME_POOL, RECEIVE_MAX},
    property::{JavaDefault::*, Property, properties},
    setters::{common_setters, settings},
    value::millis,
};
use crate::{driver::DriverConfig, error::BuildError, log};

properties! {
    AdminBuilder;
    "connections.max.idle.ms": "ms", "300000", Same,
        "How long a connection may be without use before it is closed",
        common.connections_max_idle = millis;
    "default.api.timeout.ms": "ms", "60000", Same,
        "How long an operation may take with all its attempts",
        common.default_api_timeout = millis;
}

/// Builds an admin client.
#[derive(Debug, Clone)]
pub struct AdminBuilder {
    pub(super) common: Common,
}

impl Default for AdminBuilder {
    fn default() -> Self {
        Self { common: Common { connections_max_idle: Duration::from_secs(5 * 60), ..Common::default() } }
    }
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct AdminConfig {
    pub(crate) common: CommonConfig,
}

impl AdminConfig {
    /// What the machine goes by.
    pub(crate) fn machine(&self) -> ottla_core::admin::AdminConfig {
        ottla_core::admin::AdminConfig {
            connections: self.common.connections(),
            metadata: self.common.metadata(false),
            api_timeout: self.common.default_api_timeout,
            retry_backoff: self.common.retry_backoff,
        }
    }

    /// What the driver goes by. No answer to an admin client is kept.
    pub(crate) fn driver(&self) -> DriverConfig {
        self.common.driver("ottla-admin", RECEIVE_MAX, FRAME_POOL, log::admin(&self.common))
    }
}

impl AdminBuilder {
    /// With the connection properties of another client.
    pub(super) fn with(common: Common) -> Self {
        Self { common }
    }

    common_setters!("5 min");

    /// A configuration in which everything fits together, or what does not.
    pub(crate) fn parse(&self) -> Result<AdminConfig, BuildError> {
        Ok(AdminConfig { common: self.common.parse()? })
    }
}

settings! { AdminSettings of AdminBuilder; }
