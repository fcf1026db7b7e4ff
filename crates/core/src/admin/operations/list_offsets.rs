use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, Request, Response, Timestamp,
    messages::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
};

use crate::{
    admin::{Answer, Failure, Operation, Route, Verdict},
    ids::TopicPartition,
    offsets::{IsolationLevel, OffsetAndTimestamp},
};

/// Asks for offsets in the logs of partitions. Each partition has its offset, or its failure; `None` where no record is that
/// late.
#[derive(Debug)]
pub struct ListOffsets {
    /// What is asked of each partition.
    pub partitions: BTreeMap<TopicPartition, OffsetSpec>,
    /// Who asks: for readers of committed records the latest offset is the last stable one, and not the high watermark, and
    /// no record behind that has a time.
    pub isolation: IsolationLevel,
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first offset in the log.
    Earliest,
    /// The one that the next record will get.
    Latest,
    /// The offset of the first record with this timestamp or a later one.
    Timestamp(Timestamp),
    /// The first offset whose record has the greatest timestamp of all (KIP-734); none in an empty log. It needs Kafka 3.0 or newer.
    MaxTimestamp,
    /// The first offset on the leader's own disk (KIP-405): without tiered storage that of the log. It needs Kafka 3.6 or newer.
    EarliestLocal,
    /// The last offset in tiered storage (KIP-1005); none where there is none. It needs Kafka 3.9 or newer.
    LatestTiered,
    /// The first offset that is to go to tiered storage and is not there yet (KIP-1023); none where there is none. It needs Kafka 4.3
    /// or newer.
    EarliestPendingUpload,
}

impl OffsetSpec {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
            Self::Timestamp(timestamp) => timestamp.0,
        }
    }

    /// The version from which on it can be asked for.
    const fn since(self) -> i16 {
        match self {
            Self::Earliest | Self::Latest | Self::Timestamp(_) => 0,
            Self::MaxTimestamp => 7,
            Self::EarliestLocal => 8,
            Self::LatestTiered => 9,
            Self::EarliestPendingUpload => 11,
        }
    }
}

type Query = (TopicPartition, OffsetSpec);

impl Operation for ListOffsets {
    type Outcome = BTreeMap<TopicPartition, Result<Option<OffsetAndTimestamp>, Failure>>;
    type Part = Query;

    fn begin(&self) -> (Self::Outcome, Vec<Query>) {
        (BTreeMap::new(), self.partitions.clone().into_iter().collect())
    }

    fn route<'a>(&'a self, (at, _): &'a Query) -> Route<'a, Query> {
        Route::Leader(at)
    }

    fn api(&self, _: &Query) -> (ApiKey, i16) {
        (ApiKey::ListOffsets, i16::MAX)
    }

    fn request(&self, queries: &[Query], version: i16, timeout_ms: i32) -> Option<Request> {
        if queries.iter().any(|(_, spec)| version < spec.since()) {
            return None;
        }
        let mut topics: BTreeMap<&String, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (at, spec) in queries {
            topics.entry(&at.topic).or_default().push(ListOffsetsPartition {
                partition_index: at.partition,
                timestamp: spec.timestamp(),
                ..Default::default()
            });
        }
        let topic = |(name, partitions): (&String, _)| ListOffsetsTopic { name: name.clone(), partitions };
        let topics = topics.into_iter().map(topic).collect();
        let isolation_level = self.isolation.wire();
        Some(ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms }.into())
    }

    fn gather(&self, answer: Answer<'_, Query>, offsets: &mut Self::Outcome) -> Verdict<Query> {
        let Response::ListOffsets(response) = answer.response else { return Verdict::stray() };
        let mut left: BTreeMap<_, _> = answer.asked.iter().cloned().collect();
        let mut again = None;
        for topic in response.topics {
            for found in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), found.partition_index);
                if found.error_code.is_retriable() {
                    again = Some(found.error_code);
                } else if left.remove(&at).is_some() {
                    let offset = OffsetAndTimestamp::told(&found);
                    offsets.insert(at, found.error_code.ok().map(|()| offset).map_err(Failure::of));
                }
            }
        }
        Verdict::left(again, left.into_iter().collect())
    }

    fn fail_part(&self, (at, _): &Query, failure: &Failure, offsets: &mut Self::Outcome) -> bool {
        offsets.insert(at.clone(), Err(failure.clone()));
        true
    }
}
