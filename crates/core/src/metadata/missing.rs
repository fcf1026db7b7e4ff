//! Topics that are asked for and are not there: each is told to the log once, and once when it is there after all.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;

use super::Topic;
use crate::log;

/// By name, whether the log was told.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeMap<String, bool>);

impl Missing {
    /// Takes an answer. A topic is told when a second answer in a row lacks it: by the first, a broker may be about to create
    /// it.
    pub(super) fn follow(&mut self, topics: &BTreeMap<String, Topic>) {
        self.0.retain(|topic, told| {
            let is_found = topics.get(topic).is_some_and(|topic| topic.error.is_ok());
            if is_found && *told {
                tracing::info!(target: log::METADATA, topic, "topic found");
            }
            topics.get(topic).is_some_and(|topic| is_missing(topic.error))
        });
        for (topic, Topic { error, .. }) in topics.iter().filter(|(_, topic)| is_missing(topic.error)) {
            let Some(told) = self.0.get_mut(topic) else {
                self.0.insert(topic.clone(), false);
                continue;
            };
            if !std::mem::replace(told, true) {
                tracing::warn!(target: log::METADATA, topic, %error, "topic missing");
            }
        }
    }
}

fn is_missing(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidTopicException
            | ErrorCode::TopicAuthorizationFailed
    )
}
