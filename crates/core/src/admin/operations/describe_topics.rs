use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{MetadataRequest, MetadataRequestTopic},
};

use crate::{
    admin::{Answer, Operation, Route, Verdict},
    metadata::{Metadata, Topic},
};

/// Asks for topics and their partitions. None is created by being asked for. A topic that does not exist is in the outcome
/// with its error.
#[derive(Debug)]
pub enum DescribeTopics {
    /// Every topic.
    All,
    /// These.
    Named(Vec<String>),
}

impl Operation for DescribeTopics {
    type Outcome = BTreeMap<String, Topic>;
    type Part = ();

    fn begin(&self) -> (Self::Outcome, Vec<()>) {
        (BTreeMap::new(), vec![()])
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Any
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::Metadata, i16::MAX)
    }

    fn request(&self, _: &[()], version: i16, _: i32) -> Option<Request> {
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let topics = match self {
            // Version 0 has no null: there an empty list asks for all.
            Self::All if version == 0 => Some(Vec::new()),
            Self::All => None,
            // Before version 4 asking for a topic may create it.
            Self::Named(names) if version < 4 && !names.is_empty() => return None,
            Self::Named(names) => Some(names.iter().map(named).collect()),
        };
        Some(MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() }.into())
    }

    fn gather(&self, answer: Answer<'_, ()>, topics: &mut Self::Outcome) -> Verdict<()> {
        let Response::Metadata(response) = answer.response else { return Verdict::stray() };
        topics.clone_from(Metadata::told(response, answer.now).topics());
        Verdict::Done
    }
}
