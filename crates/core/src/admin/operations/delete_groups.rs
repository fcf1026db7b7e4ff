use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{ApiKey, Request, Response, messages::DeleteGroupsRequest};

use crate::admin::{Answer, Failure, Operation, Refusal, Route, Verdict};

/// Deletes groups with their offsets (KIP-229). Each is deleted, or fails, by itself: a coordinator keeps those that have
/// members.
#[derive(Debug)]
pub struct DeleteGroups(pub BTreeSet<String>);

impl Operation for DeleteGroups {
    type Outcome = BTreeMap<String, Result<(), Failure>>;
    type Part = String;

    fn begin(&self) -> (Self::Outcome, Vec<String>) {
        (BTreeMap::new(), self.0.iter().cloned().collect())
    }

    fn route<'a>(&'a self, group: &'a String) -> Route<'a, String> {
        Route::Coordinator(group)
    }

    fn api(&self, _: &String) -> (ApiKey, i16) {
        (ApiKey::DeleteGroups, i16::MAX)
    }

    fn request(&self, groups: &[String], _: i16, _: i32) -> Option<Request> {
        Some(DeleteGroupsRequest { groups_names: groups.to_vec() }.into())
    }

    fn gather(&self, answer: Answer<'_, String>, outcome: &mut Self::Outcome) -> Verdict<String> {
        let Response::DeleteGroups(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeSet<&String> = answer.asked.iter().collect();
        let mut again = None;
        for deleted in response.results {
            let (error, message) = (deleted.error_code, deleted.error_message);
            if error.is_retriable() {
                again = Some(error);
            } else if left.remove(&deleted.group_id) {
                let refused = |error| Failure::Refused(Refusal::told(error, message));
                outcome.insert(deleted.group_id, error.ok().map_err(refused));
            }
        }
        Verdict::left(again, left.into_iter().cloned().collect())
    }

    fn fail_part(&self, group: &String, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(group.clone(), Err(failure.clone()));
        true
    }
}
