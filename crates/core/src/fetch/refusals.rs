//! What a fetch that brings nothing does to its partitions.

use ottla_protocol::{ApiKey, DecodeError, ErrorCode, Now, messages::FetchPartitionResponse};

use super::session::Session;
use crate::{
    ids::{LaneEpoch, NodeId, PartIdx},
    lanes::{FetchState, LaneFailure, Lanes, Search},
    log::{self, refused},
    metadata::Metadata,
    offsets::known_epoch,
    planted::{Planted, Plot},
};

/// A partition's leader names a follower that is to be fetched from.
pub(super) fn follow<F>(
    part: PartIdx,
    follower: NodeId,
    lanes: &mut Lanes<F>,
    metadata: &Metadata,
    now: Now,
) {
    let Some(lane) = lanes.get(part) else { return };
    let Some(partition) = metadata.partition(&lane.at) else { return };
    lanes.follow(part, follower, partition.leader_epoch, now.mono + metadata.max_age());
}

/// A follower does not tell the records of one partition. Whatever is wrong, the leader knows better: a position that is not in
/// the follower's log may be in the leader's.
pub(super) fn follower_failed<F>(
    part: PartIdx,
    node: NodeId,
    error: ErrorCode,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    now: Now,
) {
    if error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
        metadata.request_update();
    }
    lanes.change(part, |lane| lane.attempts.failed(error, now));
    lanes.leave_follower(part, node, now);
}

/// A broker tells nothing: those who fetch from it as a follower go back to their leaders.
pub(super) fn leave<F>(session: &Session, node: NodeId, lanes: &mut Lanes<F>, now: Now) {
    session.known().keys().for_each(|part| lanes.leave_follower(*part, node, now));
}

/// A broker refused to tell the records of one partition.
pub(super) fn partition_failed<F>(
    part: PartIdx,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    plot: Plot,
    now: Now,
) {
    let error = response.error_code;
    lanes.change(part, |lane| lane.attempts.failed(error, now));
    let Some(lane) = lanes.get(part) else { return };
    match error {
        ErrorCode::OffsetOutOfRange if lane.is_drained() => out_of_range(part, lanes, plot, now),
        // Buffered records are read first. The same answer will come again.
        ErrorCode::OffsetOutOfRange => {}
        ErrorCode::UnknownLeaderEpoch => {
            lanes.change(part, |lane| lane.validated_in = None);
            metadata.request_update();
        }
        _ if error.is_stale_metadata() => led_by_another(part, response, lanes, metadata, plot),
        _ if error.is_retriable() || error == ErrorCode::UnknownServerError => {}
        _ if error.is_authorization() => {
            if lane.is_drained() {
                // The pause before the next attempt stays.
                lanes.change(part, |lane| lane.state = FetchState::failed(LaneFailure::NotAuthorized(error)));
            }
        }
        _ => {
            if lane.is_drained() {
                let (state, offset) = (FetchState::failed(LaneFailure::Broker(error)), lane.fetch_at);
                lanes.place(part, state, Some(offset.into()), now.mono);
            }
        }
    }
}

/// What comes from this offset on cannot be read. What was fetched before it is read first; until then the same is asked for
/// again after a pause.
pub(super) fn damaged<F>(
    part: PartIdx,
    epoch: LaneEpoch,
    offset: i64,
    error: DecodeError,
    lanes: &mut Lanes<F>,
    now: Now,
) {
    match lanes.get(part).is_some_and(|lane| lane.is_drained() && lane.fetch_at == offset) {
        true => lanes.corrupt(part, epoch, offset, error, now.mono),
        false => _ = lanes.change(part, |lane| lane.attempts.failed(ErrorCode::CorruptMessage, now)),
    }
}

/// A partition's log does not have the offset that is to be read next. Where it begins tells what was lost.
fn out_of_range<F>(part: PartIdx, lanes: &mut Lanes<F>, plot: Plot, now: Now) {
    // A position that was looked up and is out of range, too, is tried again first, after a pause.
    let again = lanes.change(part, |lane| {
        lane.looked_up = !lane.looked_up;
        !lane.looked_up
    });
    let asks = again == Some(true) || plot.has(Planted::OutOfRangeIsAskedAgain);
    let Some(lane) = lanes.get(part).filter(|_| !asks) else { return };
    let position = lane.fetch_position();
    let state = FetchState::AwaitsReset(Search::Start { from: position.offset });
    lanes.place(part, state, Some(position), now.mono);
}

/// The leader's log parts from what was read before the position, as the leader of a fetch sees by the epoch of the last record.
/// The position is validated, which tells where.
pub(super) fn diverges<F>(
    part: PartIdx,
    offset: i64,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    now: Now,
) {
    let diverging = &response.diverging_epoch;
    lanes.change(part, |lane| {
        if lane.fetch_at != offset {
            return;
        }
        match diverging.end_offset >= offset {
            // In that epoch nothing was written: the record before is of an earlier one.
            true => {
                lane.fetch_epoch =
                    known_epoch(diverging.epoch).filter(|epoch| Some(*epoch) < lane.fetch_epoch);
            }
            false => lane.validated_in = None,
        }
        lane.attempts.put_off(now);
    });
}

/// The broker does not lead the partition. It may say who does.
fn led_by_another<F>(
    part: PartIdx,
    response: &FetchPartitionResponse,
    lanes: &mut Lanes<F>,
    metadata: &mut Metadata,
    plot: Plot,
) {
    if plot.has(Planted::NewLeaderIsNotAskedFor) {
        return;
    }
    let Some(at) = lanes.get(part).map(|lane| (*lane.at).clone()) else { return };
    let leader = &response.current_leader;
    match metadata.learn_leader(&at, NodeId(leader.leader_id), leader.leader_epoch) {
        true => _ = lanes.change(part, |lane| lane.attempts.hurry()),
        false => metadata.request_update(),
    }
}

/// Tells the log that a broker refused a fetch as a whole. A forgotten session is no fault: brokers keep a limited number.
pub(super) fn tell_refused(node: NodeId, error: ErrorCode) {
    let (node, api) = (node.0, ApiKey::Fetch);
    match error {
        ErrorCode::FetchSessionIdNotFound
        | ErrorCode::InvalidFetchSessionEpoch
        | ErrorCode::FetchSessionTopicIdError => {
            tracing::debug!(target: log::FETCH, node, ?api, %error, "refused");
        }
        error => refused!(log::FETCH, api, error, node),
    }
}

/// The partitions of a fetch that brought nothing are asked for again after a pause.
pub(super) fn put_off<F>(session: &Session, error: Option<ErrorCode>, lanes: &mut Lanes<F>, now: Now) {
    for (part, asked) in session.known() {
        lanes.change(*part, |lane| match error {
            _ if lane.epoch != asked.epoch => {}
            Some(error) => lane.attempts.failed(error, now),
            None => lane.attempts.put_off(now),
        });
    }
}
