use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{DeleteTopicsDeleteTopicState, DeleteTopicsRequest},
};

use super::topic_changes::{self, TopicChanges};
use crate::admin::{Answer, Operation, Route, Verdict};

/// Deletes topics with all their records.
#[derive(Debug)]
pub struct DeleteTopics(pub Vec<String>);

impl Operation for DeleteTopics {
    type Outcome = TopicChanges;
    type Part = String;

    fn begin(&self) -> (TopicChanges, Vec<String>) {
        (BTreeMap::new(), self.0.clone())
    }

    fn route<'a>(&'a self, _: &'a String) -> Route<'a, String> {
        Route::Controller
    }

    fn api(&self, _: &String) -> (ApiKey, i16) {
        (ApiKey::DeleteTopics, i16::MAX)
    }

    fn request(&self, names: &[String], version: i16, timeout_ms: i32) -> Option<Request> {
        let state =
            |name: &String| DeleteTopicsDeleteTopicState { name: Some(name.clone()), ..Default::default() };
        let request = match version {
            ..6 => DeleteTopicsRequest { topic_names: names.to_vec(), timeout_ms, ..Default::default() },
            _ => {
                let topics = names.iter().map(state).collect();
                DeleteTopicsRequest { topics, timeout_ms, ..Default::default() }
            }
        };
        Some(request.into())
    }

    fn gather(&self, answer: Answer<'_, String>, changes: &mut TopicChanges) -> Verdict<String> {
        let Response::DeleteTopics(response) = answer.response else { return Verdict::stray() };
        let answers = response.responses.into_iter();
        let answers = answers.map(|t| (t.name.unwrap_or_default(), t.error_code, t.error_message));
        topic_changes::gather(ApiKey::DeleteTopics, answer.asked, String::as_str, answers, changes)
    }
}
