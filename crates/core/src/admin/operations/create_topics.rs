use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{CreateTopicsCreatableTopic, CreateTopicsCreatableTopicConfig, CreateTopicsRequest},
};

use super::topic_changes::{self, TopicChanges};
use crate::admin::{Answer, Operation, Route, Verdict};

/// Creates topics.
#[derive(Debug)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Whether only to tell if the topics could be created.
    pub validate_only: bool,
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default where none is given.
    pub partitions: Option<i32>,
    /// On how many brokers each is kept; the broker's default where none is given.
    pub replication_factor: Option<i16>,
    /// Its configuration, where it is not the broker's default.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of this name; everything else as the broker has it by default, which Kafka 2.4 and later say (KIP-464).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With so many partitions, 1 or more. Default the broker's `num.partitions`.
    #[must_use]
    pub const fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Each partition on so many brokers, 1 or more. Default the broker's `default.replication.factor`.
    #[must_use]
    pub const fn replication_factor(mut self, brokers: i16) -> Self {
        self.replication_factor = Some(brokers);
        self
    }

    /// With a property of topics by Kafka's key, such as `cleanup.policy`. Default the broker's.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }
}

impl Operation for CreateTopics {
    type Outcome = TopicChanges;
    type Part = NewTopic;

    fn begin(&self) -> (TopicChanges, Vec<NewTopic>) {
        (BTreeMap::new(), self.topics.clone())
    }

    fn route<'a>(&'a self, _: &'a NewTopic) -> Route<'a, NewTopic> {
        Route::Controller
    }

    fn api(&self, _: &NewTopic) -> (ApiKey, i16) {
        (ApiKey::CreateTopics, i16::MAX)
    }

    fn request(&self, topics: &[NewTopic], version: i16, timeout_ms: i32) -> Option<Request> {
        let topics = topics.iter().map(|topic| creatable(topic, version)).collect::<Option<_>>()?;
        Some(CreateTopicsRequest { topics, timeout_ms, validate_only: self.validate_only }.into())
    }

    fn gather(&self, answer: Answer<'_, NewTopic>, changes: &mut TopicChanges) -> Verdict<NewTopic> {
        let Response::CreateTopics(response) = answer.response else { return Verdict::stray() };
        let answers = response.topics.into_iter().map(|t| (t.name, t.error_code, t.error_message));
        topic_changes::gather(ApiKey::CreateTopics, answer.asked, |topic| &topic.name, answers, changes)
    }
}

/// The broker's defaults can be asked for from version 4 on (KIP-464).
fn creatable(topic: &NewTopic, version: i16) -> Option<CreateTopicsCreatableTopic> {
    if version < 4 && (topic.partitions.is_none() || topic.replication_factor.is_none()) {
        return None;
    }
    let config = |(name, value): (&String, &String)| CreateTopicsCreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
    };
    Some(CreateTopicsCreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: Vec::new(),
        configs: topic.configs.iter().map(config).collect(),
    })
}
