//! The configuration of an admin client.

use std::time::Duration;

use super::{
    common::{Common, CommonConfig, common_setters},
    known,
};
use crate::error::BuildError;

/// Builds an admin client.
#[derive(Debug, Clone)]
pub struct AdminBuilder {
    common: Common,
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

impl AdminBuilder {
    common_setters!("5 min");

    fn set(&mut self, key: &str, value: &str) -> Result<(), BuildError> {
        match self.common.set(key, value)? {
            true => Ok(()),
            false => known::ADMIN.refuse(key, value),
        }
    }

    /// A configuration in which everything fits together, or what does not.
    pub(crate) fn parse(&self) -> Result<AdminConfig, BuildError> {
        Ok(AdminConfig { common: self.common.parse()? })
    }
}
