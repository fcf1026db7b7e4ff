use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
};

/// Deletes the records of partitions before an offset. Each partition has the offset at which its log begins then, or its
/// failure.
#[derive(Debug)]
pub struct DeleteRecords(pub BTreeMap<TopicPartition, RecordsBefore>);

/// Which records of a partition are to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordsBefore {
    /// Those before this offset, which may be the high watermark at the most.
    Offset(i64),
    /// All that every replica in sync has: those before the high watermark.
    HighWatermark,
}

impl From<i64> for RecordsBefore {
    fn from(offset: i64) -> Self {
        Self::Offset(offset)
    }
}

impl RecordsBefore {
    /// `None` where it is no offset: a negative one would mean another thing on the wire.
    const fn wire(self) -> Option<i64> {
        match self {
            Self::Offset(offset) if offset >= 0 => Some(offset),
            Self::Offset(_) => None,
            Self::HighWatermark => Some(-1),
        }
    }
}

type Deletion = (TopicPartition, i64);

impl Operation for DeleteRecords {
    type Outcome = BTreeMap<TopicPartition, Result<i64, Failure>>;
    type Part = Deletion;

    fn begin(&self) -> (Self::Outcome, Vec<Deletion>) {
        let (mut begun, mut parts) = (BTreeMap::new(), Vec::new());
        for (at, before) in &self.0 {
            match before.wire() {
                Some(offset) => parts.push((at.clone(), offset)),
                None => _ = begun.insert(at.clone(), Err(Failure::of(ErrorCode::OffsetOutOfRange))),
            }
        }
        (begun, parts)
    }

    fn route<'a>(&'a self, (at, _): &'a Deletion) -> Route<'a, Deletion> {
        Route::Leader(at)
    }

    fn api(&self, _: &Deletion) -> (ApiKey, i16) {
        (ApiKey::DeleteRecords, i16::MAX)
    }

    fn request(&self, deletions: &[Deletion], _: i16, timeout_ms: i32) -> Option<Request> {
        let mut topics: BTreeMap<&String, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for (at, offset) in deletions {
            let partition = DeleteRecordsPartition { partition_index: at.partition, offset: *offset };
            topics.entry(&at.topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&String, _)| DeleteRecordsTopic { name: name.clone(), partitions };
        Some(DeleteRecordsRequest { topics: topics.into_iter().map(topic).collect(), timeout_ms }.into())
    }

    fn gather(&self, answer: Answer<'_, Deletion>, outcome: &mut Self::Outcome) -> Verdict<Deletion> {
        let Response::DeleteRecords(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<_, _> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for topic in response.topics {
            for deleted in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), deleted.partition_index);
                let error = deleted.error_code;
                if error.is_retriable() {
                    again = Some(error);
                } else if left.remove(&at).is_some() {
                    outcome.insert(at, error.ok().map(|()| deleted.low_watermark).map_err(Failure::of));
                }
            }
        }
        Verdict::left(again, left.into_iter().collect())
    }

    fn fail_part(&self, (at, _): &Deletion, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        outcome.insert(at.clone(), Err(failure.clone()));
        true
    }
}
