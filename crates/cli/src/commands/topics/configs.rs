//! `ottla topics configs`.

use std::borrow::Cow;

use ottla::admin::{ConfigEntry, ConfigResource, ConfigSource};

use super::{each, with_admin};
use crate::{
    args::{Common, ConfigsArgs},
    failure::Failure,
    output::Table,
};

pub(super) async fn show(args: &ConfigsArgs, common: &Common) -> Result<(), Failure> {
    let told = with_admin(common, async |admin| {
        let topics: Vec<String> = match args.topics.is_empty() {
            false => args.topics.clone(),
            true => admin.list_topics().await?.into_keys().collect(),
        };
        Ok(admin.describe_configs(topics.into_iter().map(ConfigResource::Topic)).await?)
    })
    .await?;
    let mut table = Table::new(&["TOPIC", "CONFIG", "VALUE", "SOURCE", "READ-ONLY", "SENSITIVE"]);
    for (resource, entries) in each(told)? {
        let ConfigResource::Topic(topic) = resource else { continue };
        for (name, entry) in
            entries.iter().filter(|(_, entry)| args.all || entry.source == ConfigSource::Topic)
        {
            table.push([
                topic.as_str().into(),
                name.as_str().into(),
                entry.value.as_deref().into(),
                source(entry.source).into(),
                entry.is_read_only.into(),
                entry.is_sensitive.into(),
            ]);
        }
    }
    table.print(common.is_json())
}

/// What is shown of a value; nothing where there is none, and of a secret.
pub(super) fn value(entry: &ConfigEntry) -> &str {
    entry.value.as_deref().unwrap_or_default()
}

/// By Kafka's own names.
fn source(source: ConfigSource) -> Cow<'static, str> {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::Broker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::AllBrokers => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::File => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::Group => "GROUP_CONFIG",
        ConfigSource::Other(number) => return format!("{number}").into(),
        _ => "UNKNOWN",
    }
    .into()
}
