//! Faults: which there are, and how they are drawn.

use std::time::Duration;

use ottla_broker::{Cluster, Fault};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::{
    dice::{Dice, ms, secs},
    mode::Protocol,
};

/// A fault of the brokers or of the network.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Requests go wrong at the brokers.
    Requests {
        api: ApiKey,
        fault: Fault,
        times: u32,
        after: u32,
        node: Option<i32>,
    },
    /// A connection breaks.
    Cut,
    /// A connection swallows everything, or what one end sends.
    Darken,
    Mute,
    Deafen,
    /// A client reaches nobody, as on a machine that stands still.
    CutOff {
        lasts: Duration,
    },
    /// A broker cannot be reached.
    Outage {
        node: i32,
        lasts: Duration,
        swallows: bool,
    },
    /// A broker stops, and starts again.
    Stop {
        node: i32,
        lasts: Duration,
    },
    /// A partition changes its leader, or the group its coordinator.
    MoveLeader {
        node: i32,
    },
    MoveCoordinator {
        node: i32,
    },
    /// A broker's metadata stays as it is.
    Lag {
        node: i32,
        lasts: Duration,
    },
}

use ErrorCode::{
    ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, FencedLeaderEpoch,
    FencedMemberEpoch, IllegalGeneration, KafkaStorageError, LeaderNotAvailable, NotCoordinator,
    NotEnoughReplicas, NotLeaderOrFollower, OffsetNotAvailable, RebalanceInProgress, RequestTimedOut,
    UnknownMemberId, UnknownServerError, UnknownTopicOrPartition, UnstableOffsetCommit,
};

/// Errors with which a broker may answer.
pub(crate) type Menu = &'static [(ApiKey, &'static [ErrorCode])];

const ANY: Menu = &[
    (ApiKey::Fetch, &[NotLeaderOrFollower, KafkaStorageError, UnknownServerError]),
    (ApiKey::Fetch, &[UnknownTopicOrPartition, FencedLeaderEpoch]),
    (ApiKey::Metadata, &[LeaderNotAvailable]),
    (
        ApiKey::OffsetCommit,
        &[NotCoordinator, CoordinatorLoadInProgress, RebalanceInProgress, UnknownMemberId, IllegalGeneration],
    ),
    (ApiKey::OffsetFetch, &[NotCoordinator, CoordinatorLoadInProgress, UnstableOffsetCommit]),
    (ApiKey::ListOffsets, &[NotLeaderOrFollower, OffsetNotAvailable]),
    (ApiKey::FindCoordinator, &[CoordinatorNotAvailable]),
    (ApiKey::Produce, &[NotLeaderOrFollower, NotEnoughReplicas, RequestTimedOut]),
    (ApiKey::InitProducerId, &[CoordinatorLoadInProgress]),
    (ApiKey::ApiVersions, &[]),
];

const CLASSIC: Menu = &[
    (
        ApiKey::JoinGroup,
        &[CoordinatorNotAvailable, NotCoordinator, CoordinatorLoadInProgress, UnknownMemberId],
    ),
    (ApiKey::SyncGroup, &[NotCoordinator, RebalanceInProgress, UnknownMemberId, IllegalGeneration]),
    (ApiKey::Heartbeat, &[NotCoordinator, RebalanceInProgress, UnknownMemberId, IllegalGeneration]),
    (ApiKey::LeaveGroup, &[NotCoordinator]),
];

const CONSUMER: Menu = &[
    (ApiKey::ConsumerGroupHeartbeat, &[NotCoordinator, CoordinatorLoadInProgress, CoordinatorNotAvailable]),
    (ApiKey::ConsumerGroupHeartbeat, &[UnknownMemberId, FencedMemberEpoch]),
    (ApiKey::ConsumerGroupHeartbeat, &[]),
];

/// Of requests of those who write in transactions.
pub(crate) const OF_TRANSACTIONS: Menu = &[
    (ApiKey::Produce, &[NotLeaderOrFollower, NotEnoughReplicas, RequestTimedOut]),
    (ApiKey::AddPartitionsToTxn, &[CoordinatorLoadInProgress, NotCoordinator, ConcurrentTransactions]),
    (ApiKey::AddOffsetsToTxn, &[CoordinatorLoadInProgress, NotCoordinator, ConcurrentTransactions]),
    (
        ApiKey::TxnOffsetCommit,
        &[CoordinatorLoadInProgress, NotCoordinator, IllegalGeneration, UnknownMemberId],
    ),
    (ApiKey::EndTxn, &[CoordinatorLoadInProgress, NotCoordinator, ConcurrentTransactions]),
    (ApiKey::InitProducerId, &[CoordinatorLoadInProgress, NotCoordinator, ConcurrentTransactions]),
    (ApiKey::FindCoordinator, &[CoordinatorNotAvailable]),
    (ApiKey::Fetch, &[NotLeaderOrFollower, KafkaStorageError]),
    (ApiKey::OffsetFetch, &[CoordinatorLoadInProgress, UnstableOffsetCommit]),
];

/// Errors that pass soon, and after which nobody has lost anything.
const GENTLE: Menu = &[
    (ApiKey::Fetch, &[NotLeaderOrFollower, KafkaStorageError]),
    (ApiKey::Metadata, &[LeaderNotAvailable]),
    (ApiKey::OffsetCommit, &[NotCoordinator, CoordinatorLoadInProgress]),
    (ApiKey::OffsetFetch, &[NotCoordinator, UnstableOffsetCommit]),
    (ApiKey::ListOffsets, &[NotLeaderOrFollower]),
    (ApiKey::FindCoordinator, &[CoordinatorNotAvailable]),
    (ApiKey::Produce, &[NotLeaderOrFollower]),
];

impl Trouble {
    /// Whether nothing that it brings outlasts it by much: no silence, which a time-out ends, and no long delay.
    pub(crate) fn is_brisk(&self) -> bool {
        match self {
            Self::Requests { fault: Fault::Silence, .. } => false,
            Self::Darken | Self::Mute | Self::Deafen | Self::CutOff { .. } => false,
            Self::Requests { fault: Fault::Delay(by) | Fault::Throttle(by), times, .. } => {
                *by * *times <= secs(1)
            }
            Self::Outage { swallows, .. } => !swallows,
            _ => true,
        }
    }

    /// Requests that go wrong. Gently: nothing takes long, and no connection ends.
    pub(crate) fn of_a_request(d: &mut Dice, gentle: bool, brokers: u32, protocols: &[Protocol]) -> Self {
        let node = d.chance(0.4).then(|| Self::node(d, brokers));
        let after = d.pick(&[0, 0, 1, 5]);
        if gentle {
            let (api, errors) = d.pick(GENTLE);
            let error = Fault::Error(d.pick(errors));
            let fault = if d.chance(0.5) { error } else { Fault::Delay(d.time(ms(10)..=ms(800))) };
            return Self::Requests { api, fault, times: d.pick(&[1, 2]), after, node };
        }
        let membership = match d.pick(protocols) {
            Protocol::Classic(_) => CLASSIC,
            Protocol::Consumer(_) => CONSUMER,
        };
        let (api, errors) = if d.chance(0.35) { d.pick(membership) } else { d.pick(ANY) };
        let fault = match d.number(0..=10) {
            0..=3 if !errors.is_empty() => Fault::Error(d.pick(errors)),
            0..=4 => Fault::Disconnect,
            5 => Fault::ApplyThenDisconnect,
            6 | 7 => Fault::Delay(d.time(ms(100)..=secs(8))),
            8 => Fault::Silence,
            9 => Fault::Throttle(d.time(ms(100)..=secs(3))),
            _ => Fault::Corrupt,
        };
        Self::Requests { api, fault, times: d.pick(&[1, 1, 1, 2, 4, 12]), after, node }
    }

    /// Something goes wrong between or with the brokers.
    pub(crate) fn of_the_world(d: &mut Dice, gentle: bool, brokers: u32) -> Self {
        let node = Self::node(d, brokers);
        match d.number(0..=13) {
            0..=2 => Self::MoveLeader { node },
            3 | 4 => Self::MoveCoordinator { node },
            _ if gentle => Self::MoveLeader { node },
            5..=7 => Self::Cut,
            8 => Self::Darken,
            9 => Self::Mute,
            10 => Self::Deafen,
            11 => Self::Outage { node, lasts: d.time(ms(500)..=secs(8)), swallows: d.chance(0.5) },
            12 => Self::CutOff { lasts: d.time(secs(2)..=secs(14)) },
            _ => Self::Stop { node, lasts: d.time(ms(200)..=secs(8)) },
        }
    }

    /// Some broker.
    pub(crate) fn node(d: &mut Dice, brokers: u32) -> i32 {
        d.number(1..=brokers as usize) as i32
    }
}

/// The first batches of a producer may go wrong, before a broker knows it: it takes any sequence then (KAFKA-15591).
pub(crate) fn of_the_first_batches(cluster: &mut Cluster, d: &mut Dice) {
    if d.chance(0.2) {
        let after = d.pick(&[0, 0, 1, 2]);
        script(cluster, ApiKey::Produce, Fault::Error(NotLeaderOrFollower), 1, after, None);
    }
}

/// Heartbeats may be answered so late that the group is in its next generation: what they say is about the one before
/// (KAFKA-9823).
pub(crate) fn of_late_heartbeats(cluster: &mut Cluster, d: &mut Dice) {
    if d.chance(0.4) {
        let late = Fault::Delay(d.time(ms(300)..=secs(2)));
        script(cluster, ApiKey::Heartbeat, late, 8, d.pick(&[0, 2, 5, 10]), None);
    }
}

/// Writes requests that go wrong into the brokers' script.
pub(crate) fn script(
    cluster: &mut Cluster,
    api: ApiKey,
    fault: Fault,
    times: u32,
    after: u32,
    node: Option<i32>,
) {
    let script = cluster.faults().on(api).times(times).after(after);
    match node {
        Some(node) => script.at(node).then(fault),
        None => script.then(fault),
    }
}
