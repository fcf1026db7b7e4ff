//! Membership in a group.

pub(crate) mod assignor;
mod classic;
pub mod consumer_protocol;
mod member_state;

use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::ErrorCode;

pub use assignor::{Assignor, LastAssignment, Member, PartitionRacks, Range};
pub(crate) use classic::Membership;
pub use member_state::MemberState;

use crate::ids::TopicPartition;

/// How to be a member. Java's defaults.
#[derive(Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub id: String,
    /// `session.timeout.ms`: without a heartbeat for so long, the coordinator takes the member for dead.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long the user may stay away, and how long a rebalance waits for a member.
    pub max_poll_interval: Duration,
    /// In order of preference; the group takes one that all members have.
    pub assignors: Vec<Box<dyn Assignor>>,
}

impl GroupConfig {
    /// Java's defaults for a group of this name, with the `range` assignor.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            assignors: vec![Box::new(Range)],
        }
    }
}

/// Why a group cannot be joined, or is left for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupFailure {
    /// The coordinator refuses, and would again.
    Refused(ErrorCode),
    /// The user stayed away longer than `max.poll.interval.ms`. The group is joined again with the next call.
    MaxPollExceeded(Duration),
}

/// What a step of the membership means for the consumer's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupNews {
    /// Nothing.
    None,
    /// The generation is joined: these are the member's, and no others.
    Assigned(Vec<TopicPartition>),
    /// The group rebalances: everything owned is to be given up before it is joined again.
    Rebalance,
    /// The coordinator does not know this member in this generation any more.
    Lost,
    /// No further attempt is made.
    Failed(ErrorCode),
}

/// What the leader has to share out.
#[derive(Debug)]
pub(crate) struct LeaderTask {
    pub(crate) assignor: String,
    pub(crate) members: Vec<Member>,
    /// How many partitions each topic had when they were shared out: once another number, share out again.
    pub(crate) counts: BTreeMap<String, usize>,
}
