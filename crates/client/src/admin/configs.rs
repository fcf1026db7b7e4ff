//! Configurations of topics, groups and brokers.

use std::collections::BTreeMap;

use ottla_core::admin::{self as core, Failure};

use super::{Admin, ConfigChange, ConfigEntry, ConfigResource, Each};
use crate::error::{AclOperation, AdminError, Details as _};

impl Admin {
    /// Every setting of these topics, groups and brokers, by its name, whether it was set or is a default.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a resource by itself
    /// [`AdminErrorKind::UnknownTopic`](crate::error::AdminErrorKind::UnknownTopic), or
    /// [`AdminErrorKind::Broker`](crate::error::AdminErrorKind::Broker), with BROKER_NOT_AVAILABLE for a broker that is not there.
    pub async fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
    ) -> Result<Each<ConfigResource, BTreeMap<String, ConfigEntry>>, AdminError> {
        let described = self.run(core::DescribeConfigs(resources.into_iter().collect())).await?;
        Ok(by_resource(described, AclOperation::DescribeConfigs))
    }

    /// Changes some settings of each, and leaves all others as they are.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a resource by itself
    /// [`AdminErrorKind::InvalidRequest`](crate::error::AdminErrorKind::InvalidRequest) where a setting or its value is
    /// refused, and as of [`describe_configs`](Self::describe_configs). Nothing of it is changed then.
    pub async fn alter_configs(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, BTreeMap<String, ConfigChange>)>,
    ) -> Result<Each<ConfigResource, ()>, AdminError> {
        let changes = changes.into_iter().collect();
        let altered = self.run(core::AlterConfigs { changes, validate_only: false }).await?;
        Ok(by_resource(altered, AclOperation::AlterConfigs))
    }
}

fn by_resource<T>(
    each: BTreeMap<ConfigResource, Result<T, Failure>>,
    needs: AclOperation,
) -> Each<ConfigResource, T> {
    let told = |(resource, result): (ConfigResource, Result<T, Failure>)| {
        let result = result.map_err(|failure| {
            let error = AdminError::from(failure).needs(needs);
            match &resource {
                ConfigResource::Topic(name) => error.topic(name),
                ConfigResource::Group(id) => error.group(id),
                _ => error,
            }
        });
        (resource, result)
    };
    each.into_iter().map(told).collect()
}
