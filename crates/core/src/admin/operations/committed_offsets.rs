use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response,
    messages::{OffsetFetchRequest, OffsetFetchRequestGroup},
};

use crate::{
    admin::{Answer, Operation, Route, Verdict},
    ids::TopicPartition,
    offsets::{CommittedOffset, NEWEST_BY_NAME, flatten},
};

/// Asks for all offsets that a group has committed. A partition without one is left out.
#[derive(Debug)]
pub struct CommittedOffsets {
    /// The group's id.
    pub group: String,
    /// Whether to wait for transactions that are about to commit offsets (KIP-447).
    pub require_stable: bool,
}

impl Operation for CommittedOffsets {
    type Outcome = BTreeMap<TopicPartition, CommittedOffset>;
    type Part = ();

    fn begin(&self) -> (Self::Outcome, Vec<()>) {
        (BTreeMap::new(), vec![()])
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Coordinator(&self.group)
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::OffsetFetch, NEWEST_BY_NAME)
    }

    fn request(&self, _: &[()], version: i16, _: i32) -> Option<Request> {
        let (group_id, require_stable) = (self.group.clone(), self.require_stable);
        let request = match version {
            // There is no way to ask for all offsets.
            ..2 => return None,
            2..8 => OffsetFetchRequest { group_id, topics: None, require_stable, ..Default::default() },
            _ => {
                let group = OffsetFetchRequestGroup { group_id, topics: None, ..Default::default() };
                OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() }
            }
        };
        Some(request.into())
    }

    fn gather(&self, answer: Answer<'_, ()>, offsets: &mut Self::Outcome) -> Verdict<()> {
        let Response::OffsetFetch(response) = answer.response else { return Verdict::stray() };
        let (error, partitions) = flatten(response, &BTreeMap::new());
        if !error.is_ok() {
            return Verdict::of(error, None);
        }
        for (at, error, committed) in partitions {
            if !error.is_ok() {
                return Verdict::of(error, None);
            }
            offsets.extend(committed.map(|committed| (at, committed)));
        }
        Verdict::Done
    }
}
