//! Offsets that the group has committed (OffsetFetch), for lanes that begin and for users who ask.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, TopicId,
    messages::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
        OffsetFetchResponse,
    },
};

use crate::{
    backoff::{Attempts, Backoff},
    connections::Kind,
    coordinator::{Coordinator, ToCoordinator},
    deadline::Earliest,
    group::Committer,
    ids::{RequestId, TopicPartition, numbers_by_topic},
    log::{self, Listed, refused},
    metadata::Metadata,
    offsets::{CommittedOffset, known_epoch},
    planted::{Planted, Plot},
};

/// The newest version that names topics; the next names them by id.
pub(crate) const NEWEST_BY_NAME: i16 = 9;

/// One OffsetFetch at a time, for everything that is wanted.
#[derive(Debug)]
pub(crate) struct CommittedFetch {
    group: String,
    wanted: BTreeSet<TopicPartition>,
    in_flight: Option<InFlight>,
    pub(crate) attempts: Attempts,
    pub(crate) plot: Plot,
}

#[derive(Debug)]
struct InFlight {
    asked: BTreeSet<TopicPartition>,
    /// The topics that have the names now, by their ids, as far as they are known.
    names: BTreeMap<TopicId, String>,
}

/// For each partition that is answered: the committed offset, if there is one, or an error that trying again does
/// not mend.
pub(crate) type CommittedNews = BTreeMap<TopicPartition, Result<Option<CommittedOffset>, ErrorCode>>;

impl CommittedFetch {
    pub(crate) fn new(group: String, backoff: Backoff, seed: u64) -> Self {
        Self {
            group,
            wanted: BTreeSet::new(),
            in_flight: None,
            attempts: Attempts::new(backoff, fastrand::Rng::with_seed(seed)),
            plot: Plot::default(),
        }
    }

    pub(crate) fn ask(&mut self, at: TopicPartition) {
        self.wanted.insert(at);
    }

    /// Whether the partition was asked for after the last request was sent.
    pub(crate) fn asks_again(&self, at: &TopicPartition) -> bool {
        self.wanted.contains(at)
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.in_flight.is_some() || !self.wanted.is_empty()
    }

    /// `reader` is the member of a consumer-protocol group in whose name offsets are asked for.
    pub(crate) fn poll_send(
        &mut self,
        reader: Option<Committer>,
        to: &mut ToCoordinator<'_>,
    ) -> Result<Option<RequestId>, ErrorCode> {
        if self.wanted.is_empty() || self.in_flight.is_some() || !self.attempts.is_due(to.now) {
            return Ok(None);
        }
        let metadata = to.metadata;
        // A request names all topics in the same way.
        let named = self.wanted.iter().all(|at| metadata.id_of(&at.topic).is_some());
        let limit = if named { i16::MAX } else { NEWEST_BY_NAME };
        let Some(open) = to.open(Kind::Main, ApiKey::OffsetFetch, limit)? else { return Ok(None) };
        let wanted = std::mem::take(&mut self.wanted);
        let topics = numbers_by_topic(&wanted);
        let ids = topics.keys().filter_map(|name| Some((metadata.id_of(name)?, (*name).to_owned())));
        let names: BTreeMap<TopicId, String> = ids.collect();
        let stable = !self.plot.has(Planted::UnstableOffsetsAreTaken);
        let request = match open.version {
            0..8 => {
                let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
                    name: name.to_owned(),
                    partition_indexes,
                };
                let topics = Some(topics.into_iter().map(topic).collect());
                OffsetFetchRequest {
                    group_id: self.group.clone(),
                    topics,
                    require_stable: stable,
                    ..Default::default()
                }
            }
            _ => {
                let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
                    name: name.to_owned(),
                    topic_id: metadata.id_of(name).unwrap_or(TopicId::ZERO),
                    partition_indexes,
                };
                let topics = Some(topics.into_iter().map(topic).collect());
                let (member_id, member_epoch) =
                    reader.map_or((None, -1), |reader| (Some(reader.member_id), reader.generation_id));
                let group_id = self.group.clone();
                let group = OffsetFetchRequestGroup { group_id, member_id, member_epoch, topics };
                OffsetFetchRequest { groups: vec![group], require_stable: stable, ..Default::default() }
            }
        };
        let id = to.send(open, request, None);
        self.in_flight = Some(InFlight { asked: wanted, names });
        Ok(Some(id))
    }

    pub(crate) fn handle_response(
        &mut self,
        response: OffsetFetchResponse,
        coordinator: &mut Coordinator,
        metadata: &mut Metadata,
        now: Now,
    ) -> CommittedNews {
        let Some(InFlight { mut asked, names }) = self.in_flight.take() else { return BTreeMap::new() };
        let (error, partitions) = flatten(response, &names);
        // Topics that were made anew since: what is told is of those before.
        let is_another = |(id, name): &(&TopicId, &String)| metadata.has_another(name, **id);
        let others: BTreeSet<&String> = names.iter().filter(is_another).map(|(_, name)| name).collect();
        let fares: Vec<_> = match error {
            ErrorCode::None => partitions,
            error => asked.iter().map(|at| (at.clone(), error, None)).collect(),
        };
        let (mut found, mut why) = (BTreeMap::new(), None);
        for (at, error, offset) in fares {
            if others.contains(&at.topic) {
                continue;
            }
            let none = self.plot.has(Planted::FailedPartitionHasNoOffset);
            let result = match error {
                ErrorCode::None => Ok(offset),
                error if may_pass(error) && !none => {
                    coordinator.heard(error, now);
                    if error == ErrorCode::UnknownTopicId {
                        metadata.request_update();
                    }
                    why.get_or_insert(error);
                    continue;
                }
                error if may_pass(error) => Ok(None),
                error => Err(error),
            };
            if asked.remove(&at) {
                found.insert(at, result);
            }
        }
        match asked.is_empty() {
            true => self.attempts.reset(),
            // A partition that the answer leaves out is asked for again, as after an error that may pass.
            false => {
                if let Some(error) = why.filter(|error| self.attempts.is_news(*error)) {
                    let partitions = Listed(asked.iter());
                    refused!(log::OFFSETS, ApiKey::OffsetFetch, error, %partitions);
                }
                self.again(asked, why, now);
            }
        }
        found
    }

    pub(crate) fn handle_unanswered(&mut self, now: Now) {
        if let Some(InFlight { asked, .. }) = self.in_flight.take() {
            self.again(asked, None, now);
        }
    }

    fn again(&mut self, asked: BTreeSet<TopicPartition>, error: Option<ErrorCode>, now: Now) {
        self.wanted.extend(asked);
        self.attempts.failed(error, now);
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        earliest.consider(self.attempts.next().filter(|_| !self.wanted.is_empty()));
    }
}

/// Whether an error may pass, so that it is worth asking again.
fn may_pass(error: ErrorCode) -> bool {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownServerError => true,
        // The epoch moved on, or the member is not known any more. The next heartbeat tells which.
        ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => true,
        error => error.is_retriable(),
    }
}

/// What an answer says as a whole, and of each partition: its offset, `None` where it has none.
type Flat = (ErrorCode, Vec<(TopicPartition, ErrorCode, Option<CommittedOffset>)>);

/// Brings an answer about one group, of any version, into the same form. `names` are those of the topics that it names by
/// their ids.
pub(crate) fn flatten(response: OffsetFetchResponse, names: &BTreeMap<TopicId, String>) -> Flat {
    // The two shapes have types of their own, and fields of the same names.
    macro_rules! partitions {
        ($topics:expr, |$topic:ident| $name:expr) => {{
            let mut flat = Vec::new();
            for $topic in $topics {
                let name: &String = $name;
                for p in $topic.partitions {
                    let found = CommittedOffset::new(p.committed_offset)
                        .with_leader_epoch(known_epoch(p.committed_leader_epoch))
                        .with_metadata(p.metadata.unwrap_or_default());
                    let at = TopicPartition::new(name.as_str(), p.partition_index);
                    flat.push((at, p.error_code, Some(found).filter(|found| found.offset >= 0)));
                }
            }
            flat
        }};
    }
    match response.groups.into_iter().next() {
        Some(group) => {
            let topics = partitions!(group.topics, |topic| names.get(&topic.topic_id).unwrap_or(&topic.name));
            (group.error_code, topics)
        }
        // Up to version 7.
        None => (response.error_code, partitions!(response.topics, |topic| &topic.name)),
    }
}
