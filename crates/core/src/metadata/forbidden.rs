//! Topics that are asked for and that the principal may not see. The user is told of each, once, until that has changed.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;

use super::Topic;

/// By name, whether the user was told.
#[derive(Debug, Default)]
pub(super) struct Forbidden(BTreeMap<String, bool>);

impl Forbidden {
    /// Takes an answer.
    pub(super) fn follow(&mut self, topics: &BTreeMap<String, Topic>) {
        let is = |topic: &Topic| topic.error == ErrorCode::TopicAuthorizationFailed;
        self.0.retain(|name, _| topics.get(name).is_some_and(is));
        for name in topics.iter().filter(|(_, topic)| is(topic)).map(|(name, _)| name) {
            self.0.entry(name.clone()).or_default();
        }
    }

    /// The next that the user is to be told of.
    pub(super) fn take(&mut self) -> Option<String> {
        let (name, told) = self.0.iter_mut().find(|(_, told)| !**told)?;
        *told = true;
        Some(name.clone())
    }
}
