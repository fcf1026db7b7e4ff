//! What changes of topics have in common: a result for each, told by the controller.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    admin::{Refusal, Verdict},
    log,
};

/// The result for each topic.
pub type TopicChanges = BTreeMap<String, Result<(), Refusal>>;

/// Takes the answers: a topic's name, its error, and the broker's words. Topics that a broker refused because it is not the
/// controller, or for a quota, go again.
pub(super) fn gather<P: Clone>(
    api: ApiKey,
    asked: &[P],
    name_of: impl Fn(&P) -> &str,
    answers: impl Iterator<Item = (String, ErrorCode, Option<String>)>,
    changes: &mut TopicChanges,
) -> Verdict<P> {
    let mut again = None;
    let names: BTreeSet<&str> = asked.iter().map(&name_of).collect();
    for (topic, error, message) in answers {
        match error {
            // Of a topic that was not asked for nothing is believed.
            _ if !names.contains(topic.as_str()) => {}
            ErrorCode::NotController | ErrorCode::ThrottlingQuotaExceeded => again = Some(error),
            error => {
                let result = error.ok().map_err(|error| Refusal::told(error, message));
                if let Err(why) = &result {
                    tracing::info!(target: log::ADMIN, ?api, topic, %why, "refused for good");
                }
                changes.insert(topic, result);
            }
        }
    }
    let undecided = |part: &&P| !changes.contains_key(name_of(part));
    Verdict::left(again, asked.iter().filter(undecided).cloned().collect())
}
