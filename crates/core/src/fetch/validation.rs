//! Whether the records before the positions are in the logs of new leaders (KIP-320): asked of each leader by
//! OffsetForLeaderEpoch, for all partitions that wait at once, before it is fetched from.
//!
//! A position is an offset and the leader epoch of the record before it. Where the leader's log ends below the offset in that
//! epoch, it was cut: what was read from there on is not in it.

use std::{collections::BTreeMap, sync::Arc};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{
        OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochPartition, OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse, OffsetForLeaderEpochTopic,
    },
};

use super::plan::Plan;
use crate::{
    connections::{Connections, Kind, Target},
    ids::{LaneEpoch, NodeId, PartIdx, RequestId, TopicPartition},
    lanes::{FetchState, LaneFailure, Lanes},
    log::{self, ByError, refused},
    metadata::Metadata,
    offsets::{Position, known_epoch},
};

/// From this version on it needs no more than Describe on the topic; before, it was for brokers.
const OF_CONSUMERS: i16 = 3;

/// A position as a leader is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) at: Arc<TopicPartition>,
    pub(super) epoch: LaneEpoch,
    pub(super) offset: i64,
    pub(super) offset_epoch: i32,
    /// The partition's leader epoch.
    pub(super) leader_epoch: i32,
}

/// A position that is not in its leader's log.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) part: PartIdx,
    /// Where the log parts from what was read; `None` where the leader cannot tell.
    pub(crate) diverged_at: Option<Position>,
}

/// The requests that are not answered yet, one a leader.
#[derive(Debug, Default)]
pub(super) struct Validations(BTreeMap<NodeId, (RequestId, BTreeMap<PartIdx, Unproven>)>);

impl Validations {
    /// Asks each leader about the positions that wait for it.
    pub(super) fn poll_send<F>(
        &mut self,
        plan: &Plan,
        lanes: &mut Lanes<F>,
        metadata: &Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        let mut sent = Vec::new();
        for (node, unproven) in plan.unproven() {
            if self.0.contains_key(&node) || !metadata.node_ready(node, Kind::Main, connections, now) {
                continue;
            }
            let (target, key) = (Target::Node(node), ApiKey::OffsetForLeaderEpoch);
            let version = connections.version(target, Kind::Main, key, i16::MAX).ok();
            let Some(version) = version.filter(|version| *version >= OF_CONSUMERS) else {
                // As Java does: such a broker is believed.
                for (part, Unproven { leader_epoch, .. }) in unproven {
                    lanes.change(*part, |lane| lane.validated_in = Some(*leader_epoch));
                }
                continue;
            };
            let mut topics: BTreeMap<&str, Vec<OffsetForLeaderEpochPartition>> = BTreeMap::new();
            for Unproven { at, offset_epoch, leader_epoch, .. } in unproven.values() {
                topics.entry(&at.topic).or_default().push(OffsetForLeaderEpochPartition {
                    partition: at.partition,
                    current_leader_epoch: *leader_epoch,
                    leader_epoch: *offset_epoch,
                });
            }
            let topic = |(topic, partitions): (&str, _)| OffsetForLeaderEpochTopic {
                topic: topic.to_owned(),
                partitions,
            };
            let request = OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: topics.into_iter().map(topic).collect(),
            };
            let id = connections.send(target, Kind::Main, version, request, None, now);
            self.0.insert(node, (id, unproven.clone()));
            sent.push((id, node));
        }
        sent
    }

    /// Takes a leader's answer. Returns the positions that are not in its log, and are to be moved: nothing of what was
    /// fetched before them is in anybody's hands. Other positions that are not are asked about again.
    pub(super) fn handle_response<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        response: OffsetForLeaderEpochResponse,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) -> Vec<Cut> {
        let Some(asked) = self.take(node, id) else { return Vec::new() };
        let mut answers = BTreeMap::new();
        for topic in response.topics {
            for end in topic.partitions {
                answers.insert(TopicPartition::new(topic.topic.as_str(), end.partition), end);
            }
        }
        let mut refused = ByError::new(tracing::enabled!(target: log::FETCH, tracing::Level::INFO));
        let mut cuts = Vec::new();
        for (part, unproven) in asked {
            let counts = lanes.get(part).is_some_and(|lane| {
                let same =
                    (lane.fetch_at, lane.fetch_epoch) == (unproven.offset, Some(unproven.offset_epoch));
                same && lane.epoch == unproven.epoch && lane.phase().is_assigned()
            });
            if !counts {
                continue;
            }
            let missing = || OffsetForLeaderEpochEndOffset {
                error_code: ErrorCode::UnknownServerError,
                ..Default::default()
            };
            let end = answers.remove(&unproven.at).unwrap_or_else(missing);
            if end.error_code.is_ok() {
                cuts.extend(answered(part, &unproven, &end, lanes, now));
                continue;
            }
            let error = end.error_code;
            if lanes.get(part).is_some_and(|lane| lane.attempts.is_news(error)) {
                refused.add(error, &unproven.at);
            }
            failed(part, &unproven, error, lanes, metadata, now);
        }
        refused.tell(|error, partitions| {
            refused!(log::FETCH, ApiKey::OffsetForLeaderEpoch, error, node = node.0, %partitions);
        });
        cuts
    }

    pub(super) fn handle_unanswered<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        let Some(asked) = self.take(node, id) else { return };
        metadata.request_update();
        for (part, unproven) in asked {
            lanes.change(part, |lane| {
                if lane.epoch == unproven.epoch {
                    lane.attempts.put_off(now);
                }
            });
        }
    }

    fn take(&mut self, node: NodeId, id: RequestId) -> Option<BTreeMap<PartIdx, Unproven>> {
        self.0.get(&node).filter(|(asked, _)| *asked == id)?;
        self.0.remove(&node).map(|(_, asked)| asked)
    }
}

/// The leader has told where its log ends in the position's epoch, or in the newest before that.
fn answered<F>(
    part: PartIdx,
    unproven: &Unproven,
    end: &OffsetForLeaderEpochEndOffset,
    lanes: &mut Lanes<F>,
    now: Now,
) -> Option<Cut> {
    let known = known_epoch(end.leader_epoch).filter(|_| end.end_offset >= 0);
    if let Some(epoch) = known.filter(|_| end.end_offset >= unproven.offset) {
        lanes.change(part, |lane| {
            // An epoch in which nothing was written may be forgotten by the next leader.
            lane.fetch_epoch = lane.fetch_epoch.map(|asked| asked.min(epoch));
            lane.validated_in = Some(unproven.leader_epoch);
            lane.attempts.reset();
        });
        return None;
    }
    let diverged_at = known.map(|epoch| Position { offset: end.end_offset, leader_epoch: Some(epoch) });
    let moves = lanes.cut(part, diverged_at.map_or(i64::MIN, |at| at.offset));
    lanes.change(part, |lane| match moves {
        true => lane.validated_in = Some(unproven.leader_epoch),
        // What its user has in hand comes first, or a position before is asked about.
        false => lane.attempts.put_off(now),
    });
    moves.then_some(Cut { part, diverged_at })
}

fn failed<F>(
    part: PartIdx,
    unproven: &Unproven,
    error: ErrorCode,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    now: Now,
) {
    let retried = error.is_retriable() || error == ErrorCode::UnknownServerError;
    if retried || error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
        metadata.request_update();
        lanes.change(part, |lane| lane.attempts.failed(error, now));
    } else if error.is_authorization() {
        // A fetch is refused for the same, and tells it.
        lanes.change(part, |lane| lane.validated_in = Some(unproven.leader_epoch));
    } else if lanes.get(part).is_some_and(|lane| lane.is_drained()) {
        let position = lanes.get(part).map(|lane| lane.fetch_position());
        lanes.place(part, FetchState::failed(LaneFailure::Broker(error)), position, now.mono);
    } else {
        lanes.change(part, |lane| lane.attempts.failed(error, now));
    }
}
