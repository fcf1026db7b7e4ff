use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
    offsets::{CommittedOffset, NEWEST_BY_NAME, flatten},
};

/// Asks for all offsets that groups have committed. Each group has its offsets, or its failure; a partition without one is left
/// out.
#[derive(Debug)]
pub struct CommittedOffsets {
    /// The groups' ids.
    pub groups: BTreeSet<String>,
    /// Whether to wait for transactions that are about to commit offsets (KIP-447).
    pub require_stable: bool,
}

/// From this version on one request asks for several groups (KIP-709).
const BATCHED: i16 = 8;
/// So many at a time: offsets make an answer large.
const AT_ONCE: usize = 100;

impl Operation for CommittedOffsets {
    type Outcome = BTreeMap<String, Result<BTreeMap<TopicPartition, CommittedOffset>, Failure>>;
    type Part = String;

    fn begin(&self) -> (Self::Outcome, Vec<String>) {
        (BTreeMap::new(), self.groups.iter().cloned().collect())
    }

    fn route<'a>(&'a self, group: &'a String) -> Route<'a, String> {
        Route::Coordinator(group)
    }

    fn api(&self, _: &String) -> (ApiKey, i16) {
        (ApiKey::OffsetFetch, NEWEST_BY_NAME)
    }

    fn at_once(&self, _: ApiKey, version: i16) -> usize {
        if version < BATCHED { 1 } else { AT_ONCE }
    }

    fn request(&self, groups: &[String], version: i16, _: i32) -> Option<Request> {
        let require_stable = self.require_stable;
        let request = match version {
            // There is no way to ask for all offsets.
            ..2 => return None,
            2..BATCHED => {
                let group_id = groups.first()?.clone();
                OffsetFetchRequest { group_id, topics: None, require_stable, ..Default::default() }
            }
            _ => {
                let group = |group_id: &String| OffsetFetchRequestGroup {
                    group_id: group_id.clone(),
                    topics: None,
                    ..Default::default()
                };
                let groups = groups.iter().map(group).collect();
                OffsetFetchRequest { groups, require_stable, ..Default::default() }
            }
        };
        Some(request.into())
    }

    fn gather(&self, answer: Answer<'_, String>, outcome: &mut Self::Outcome) -> Verdict<String> {
        let Response::OffsetFetch(mut response) = answer.response else { return Verdict::stray() };
        let told: Vec<(String, OffsetFetchResponse)> = match (answer.asked, response.groups.len()) {
            // Up to version 7, and brokers that leave the name out.
            ([only], ..=1) => vec![(only.clone(), response)],
            _ => {
                let alone = |group| OffsetFetchResponse { groups: vec![group], ..Default::default() };
                let groups = std::mem::take(&mut response.groups).into_iter();
                groups.map(|group| (group.group_id.clone(), alone(group))).collect()
            }
        };
        let mut left: BTreeSet<&String> = answer.asked.iter().collect();
        let mut again = None;
        for (group, response) in told {
            let (error, partitions) = flatten(response, &BTreeMap::new());
            let errors = std::iter::once(error).chain(partitions.iter().map(|(_, error, _)| *error));
            let errors: Vec<_> = errors.filter(|error| !error.is_ok()).collect();
            if let Some(error) = errors.iter().find(|error| error.is_retriable()) {
                again = Some(*error);
            } else if left.remove(&group) {
                let offsets = partitions.into_iter().filter_map(|(at, _, offset)| Some((at, offset?)));
                let refused = errors.first().map_or(Ok(()), |error| Err(Failure::of(*error)));
                outcome.insert(group, refused.map(|()| offsets.collect()));
            }
        }
        Verdict::left(again, left.into_iter().cloned().collect())
    }

    fn fail_part(&self, group: &String, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(group.clone(), Err(failure.clone()));
        true
    }
}
