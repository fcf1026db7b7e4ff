use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        IncrementalAlterConfigsConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
    },
};

use crate::{
    admin::{Answer, Failure, Operation, Refusal, Route, Verdict},
    ids::NodeId,
};

/// What has a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A group (KIP-848), from Kafka 4.0 on.
    Group(String),
    /// A broker.
    Broker(NodeId),
    /// What holds for all brokers that have no configuration of their own.
    AllBrokers,
}

impl ConfigResource {
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(node) => (4, node.0.to_string()),
            Self::AllBrokers => (4, String::new()),
            Self::Group(id) => (32, id.clone()),
        }
    }

    fn route<P>(&self) -> Route<'_, P> {
        match self {
            // Only it knows what it was started with.
            Self::Broker(node) => Route::Broker(*node),
            _ => Route::Any,
        }
    }
}

/// Asks for configurations. Each resource has its own, by the names of its settings, or its failure.
#[derive(Debug)]
pub struct DescribeConfigs(pub BTreeSet<ConfigResource>);

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// The value; `None` where there is none, and of secrets.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether it can only be set where the broker is started.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// It was set for this topic.
    Topic,
    /// It was set for this broker while it ran.
    Broker,
    /// It was set for all brokers while they ran.
    AllBrokers,
    /// It was in the file that the broker was started with.
    File,
    /// Kafka's own.
    Default,
    /// It was set for this group.
    Group,
    /// Another one, with Kafka's number of it.
    Other(i8),
}

impl ConfigSource {
    const fn of(wire: i8) -> Self {
        match wire {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::File,
            5 => Self::Default,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }
}

/// What stands of a broker that is not there: it is not asked.
fn gone<'a, T>(
    resources: impl Iterator<Item = &'a ConfigResource>,
) -> BTreeMap<ConfigResource, Result<T, Failure>> {
    let brokers = resources.filter(|resource| matches!(resource, ConfigResource::Broker(_)));
    brokers.map(|broker| (broker.clone(), Err(Failure::of(ErrorCode::BrokerNotAvailable)))).collect()
}

fn refusal(error: ErrorCode, message: Option<String>) -> Failure {
    Failure::Refused(Refusal::told(error, message))
}

impl Operation for DescribeConfigs {
    type Outcome = BTreeMap<ConfigResource, Result<BTreeMap<String, ConfigEntry>, Failure>>;
    type Part = ConfigResource;

    fn begin(&self) -> (Self::Outcome, Vec<ConfigResource>) {
        (gone(self.0.iter()), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, resource: &'a ConfigResource) -> Route<'a, ConfigResource> {
        resource.route()
    }

    fn api(&self, _: &ConfigResource) -> (ApiKey, i16) {
        (ApiKey::DescribeConfigs, i16::MAX)
    }

    fn request(&self, resources: &[ConfigResource], _: i16, _: i32) -> Option<Request> {
        let resource = |resource: &ConfigResource| {
            let (resource_type, resource_name) = resource.wire();
            DescribeConfigsResource { resource_type, resource_name, configuration_keys: None }
        };
        let resources = resources.iter().map(resource).collect();
        Some(DescribeConfigsRequest { resources, ..Default::default() }.into())
    }

    fn gather(
        &self,
        answer: Answer<'_, ConfigResource>,
        outcome: &mut Self::Outcome,
    ) -> Verdict<ConfigResource> {
        let Response::DescribeConfigs(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<_, _> =
            answer.asked.iter().map(|resource| (resource.wire(), resource)).collect();
        let mut again = None;
        for told in response.results {
            if told.error_code.is_retriable() && !is_missing(told.error_code) {
                again = Some(told.error_code);
            } else if let Some(resource) = left.remove(&(told.resource_type, told.resource_name)) {
                let entries = told.configs.into_iter().map(entry);
                let result = told.error_code.ok().map(|()| entries.collect());
                outcome.insert(resource.clone(), result.map_err(|error| refusal(error, told.error_message)));
            }
        }
        Verdict::left(again, left.into_values().cloned().collect())
    }

    fn fail_part(&self, of: &ConfigResource, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(of.clone(), Err(failure.clone()));
        true
    }
}

/// A topic that is not there may come to be; nobody waits for that here.
fn is_missing(error: ErrorCode) -> bool {
    error == ErrorCode::UnknownTopicOrPartition
}

fn entry(told: DescribeConfigsResourceResult) -> (String, ConfigEntry) {
    let entry = ConfigEntry {
        value: told.value,
        source: ConfigSource::of(told.config_source),
        is_read_only: told.read_only,
        is_sensitive: told.is_sensitive,
    };
    (told.name, entry)
}

/// Changes settings, and leaves all others as they are (KIP-339). Each resource is changed, or fails, by itself.
#[derive(Debug)]
pub struct AlterConfigs {
    /// What is changed of each.
    pub changes: BTreeMap<ConfigResource, BTreeMap<String, ConfigChange>>,
    /// Whether it is only tried whether that could be done.
    pub validate_only: bool,
}

/// What is done to a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It gets its default again.
    Reset,
    /// This is added to a list.
    Append(String),
    /// This is taken out of a list.
    Subtract(String),
}

impl Operation for AlterConfigs {
    type Outcome = BTreeMap<ConfigResource, Result<(), Failure>>;
    type Part = ConfigResource;

    fn begin(&self) -> (Self::Outcome, Vec<ConfigResource>) {
        (gone(self.changes.keys()), self.changes.keys().cloned().collect())
    }

    fn route<'a>(&'a self, resource: &'a ConfigResource) -> Route<'a, ConfigResource> {
        resource.route()
    }

    fn api(&self, _: &ConfigResource) -> (ApiKey, i16) {
        (ApiKey::IncrementalAlterConfigs, i16::MAX)
    }

    fn request(&self, resources: &[ConfigResource], _: i16, _: i32) -> Option<Request> {
        let change = |(name, change): (&String, &ConfigChange)| {
            let (config_operation, value) = match change {
                ConfigChange::Set(value) => (0, Some(value)),
                ConfigChange::Reset => (1, None),
                ConfigChange::Append(value) => (2, Some(value)),
                ConfigChange::Subtract(value) => (3, Some(value)),
            };
            IncrementalAlterConfigsConfig { name: name.clone(), config_operation, value: value.cloned() }
        };
        let resource = |resource: &ConfigResource| {
            let (resource_type, resource_name) = resource.wire();
            let configs = self.changes.get(resource).into_iter().flatten().map(change).collect();
            IncrementalAlterConfigsResource { resource_type, resource_name, configs }
        };
        let (resources, validate_only) = (resources.iter().map(resource).collect(), self.validate_only);
        Some(IncrementalAlterConfigsRequest { resources, validate_only }.into())
    }

    fn gather(
        &self,
        answer: Answer<'_, ConfigResource>,
        outcome: &mut Self::Outcome,
    ) -> Verdict<ConfigResource> {
        let Response::IncrementalAlterConfigs(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<_, _> =
            answer.asked.iter().map(|resource| (resource.wire(), resource)).collect();
        let mut again = None;
        for told in response.responses {
            if told.error_code.is_retriable() && !is_missing(told.error_code) {
                again = Some(told.error_code);
            } else if let Some(resource) = left.remove(&(told.resource_type, told.resource_name)) {
                let result = told.error_code.ok();
                outcome.insert(resource.clone(), result.map_err(|error| refusal(error, told.error_message)));
            }
        }
        Verdict::left(again, left.into_values().cloned().collect())
    }

    fn fail_part(&self, of: &ConfigResource, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(of.clone(), Err(failure.clone()));
        true
    }
}
