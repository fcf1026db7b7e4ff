use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse},
};

use crate::{
    admin::{Answer, Operation, Route, Verdict},
    ids::TopicPartition,
    offsets::{CommittedOffset, known_epoch},
};

/// The newest version that names topics; the next names them by id.
const NEWEST: i16 = 9;

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
        (ApiKey::OffsetFetch, NEWEST)
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
        let error = add(response, offsets).err().unwrap_or_default();
        Verdict::of(error, None)
    }
}

/// Takes the offsets up to the first error.
fn add(
    response: OffsetFetchResponse,
    offsets: &mut BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<(), ErrorCode> {
    let mut add = |topic: &str, partition, offset, epoch, metadata: Option<String>, error: ErrorCode| {
        error.ok()?;
        if offset >= 0 {
            let committed = CommittedOffset::new(offset)
                .with_leader_epoch(known_epoch(epoch))
                .with_metadata(metadata.unwrap_or_default());
            offsets.insert(TopicPartition::new(topic, partition), committed);
        }
        Ok(())
    };
    // Up to version 7.
    response.error_code.ok()?;
    for topic in response.topics {
        for p in topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            add(&topic.name, p.partition_index, offset, epoch, p.metadata, p.error_code)?;
        }
    }
    // From version 8 on.
    for group in response.groups {
        group.error_code.ok()?;
        for topic in group.topics {
            for p in topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                add(&topic.name, p.partition_index, offset, epoch, p.metadata, p.error_code)?;
            }
        }
    }
    Ok(())
}
