//! Faults: which there are, and what is drawn of them.

use ottla_broker::{Cluster, Fault};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::dice::{Dice, ms, secs};

/// Requests, how often they are chosen, and the errors with which a broker may answer them that pass.
const ERRORS: &[(ApiKey, &[ErrorCode])] = &[
    (
        ApiKey::Fetch,
        &[ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError, ErrorCode::UnknownServerError],
    ),
    (ApiKey::Fetch, &[ErrorCode::UnknownTopicOrPartition, ErrorCode::FencedLeaderEpoch]),
    (ApiKey::Metadata, &[ErrorCode::LeaderNotAvailable]),
    (
        ApiKey::JoinGroup,
        &[
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::UnknownMemberId,
        ],
    ),
    (
        ApiKey::SyncGroup,
        &[
            ErrorCode::NotCoordinator,
            ErrorCode::RebalanceInProgress,
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
        ],
    ),
    (
        ApiKey::Heartbeat,
        &[
            ErrorCode::NotCoordinator,
            ErrorCode::RebalanceInProgress,
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
        ],
    ),
    (
        ApiKey::OffsetCommit,
        &[
            ErrorCode::NotCoordinator,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::RebalanceInProgress,
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
        ],
    ),
    (
        ApiKey::OffsetFetch,
        &[ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress, ErrorCode::UnstableOffsetCommit],
    ),
    (ApiKey::ListOffsets, &[ErrorCode::NotLeaderOrFollower, ErrorCode::OffsetNotAvailable]),
    (ApiKey::FindCoordinator, &[ErrorCode::CoordinatorNotAvailable]),
    (ApiKey::LeaveGroup, &[ErrorCode::NotCoordinator]),
    (
        ApiKey::Produce,
        &[ErrorCode::NotLeaderOrFollower, ErrorCode::NotEnoughReplicas, ErrorCode::RequestTimedOut],
    ),
    (ApiKey::InitProducerId, &[ErrorCode::CoordinatorLoadInProgress]),
    (ApiKey::ApiVersions, &[]),
];

/// Writes a line into the brokers' script of faults, and says what it is.
pub(crate) fn script(cluster: &mut Cluster, dice: &mut Dice) -> String {
    let nodes: Vec<i32> = cluster.nodes().collect();
    let (api, errors) = dice.pick(ERRORS);
    let fault = match dice.number(0..=9) {
        0..=3 if !errors.is_empty() => Fault::Error(dice.pick(errors)),
        0..=4 => Fault::Disconnect,
        5 => Fault::ApplyThenDisconnect,
        6 | 7 => Fault::Delay(dice.time(ms(100)..=secs(8))),
        8 => Fault::Silence,
        _ => Fault::Corrupt,
    };
    let times = dice.pick(&[1, 1, 1, 2, 4, 12]);
    let after = dice.pick(&[0, 0, 1, 5]);
    let said = format!("{api:?}: {fault:?}, {times} times after {after}");
    let script = cluster.faults().on(api).times(times).after(after);
    match dice.chance(0.4) {
        true => script.at(dice.pick(&nodes)).then(fault),
        false => script.then(fault),
    }
    said
}
