//! Membership in a group.

pub(crate) mod assignor;
mod classic;
mod classic_state;
mod consumer;
mod consumer_state;
pub(crate) mod embedded;
mod interest;
mod membership;
mod pattern;

use std::{
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::ErrorCode;

pub use assignor::{
    Assignor, CooperativeStickyAssignor, LastAssignment, Member, PartitionRacks, RangeAssignor,
    RoundRobinAssignor, StickyAssignor,
};
pub use classic_state::ClassicState;
pub use consumer_state::ConsumerState;
pub use embedded::{Assignment, Subscription};
pub(crate) use interest::{Committer, Interest, Standing};
pub(crate) use membership::Membership;
pub use membership::MembershipState;
pub use pattern::Pattern;

use crate::ids::TopicPartition;

/// Which protocol a group speaks: Kafka's `group.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// Members join together, and one of them, the leader, assigns the partitions.
    #[default]
    Classic,
    /// The coordinator assigns the partitions, and each member follows at its own pace (KIP-848).
    Consumer,
}

/// The settings of a member of a group.
#[derive(Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub id: String,
    /// `group.protocol`.
    pub protocol: GroupProtocol,
    /// `group.instance.id`: a consumer that comes back with the same one is the same, static, member (KIP-345).
    pub instance_id: Option<String>,
    /// `client.rack`.
    pub rack: Option<String>,
    /// `group.remote.assignor`: which of the coordinator's assignors to ask for; `None` for its default. Consumer
    /// protocol only.
    pub server_assignor: Option<String>,
    /// `session.timeout.ms`: the coordinator takes a member for dead after so long without a heartbeat. Classic
    /// protocol only: under the consumer protocol the time is the coordinator's own setting.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`. Classic protocol only: under the consumer protocol the coordinator tells the interval.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long the user may stay away before the member leaves the group.
    pub max_poll_interval: Duration,
    /// How long a rebalance waits for this member; `None` for `max_poll_interval`, as in Java.
    pub rebalance_timeout: Option<Duration>,
    /// The assignors that the member offers, in order of preference. The coordinator picks one that all members
    /// offer. Classic protocol only.
    pub assignors: Vec<Box<dyn Assignor>>,
}

impl GroupConfig {
    /// Java's defaults for a group of this name, but for the assignors: only `range` is offered, where Java also
    /// offers `cooperative-sticky`.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            protocol: GroupProtocol::default(),
            instance_id: None,
            rack: None,
            server_assignor: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            rebalance_timeout: None,
            assignors: vec![Box::new(RangeAssignor)],
        }
    }

    pub(crate) fn rebalance_timeout(&self) -> Duration {
        self.rebalance_timeout.unwrap_or(self.max_poll_interval)
    }

    /// Whether the member keeps its partitions while it joins again: so if all the assignors that it offers are
    /// cooperative.
    fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}

/// A duration in milliseconds, as requests have it.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// When to send the next heartbeat. A member learns from the answer to a heartbeat that it may have partitions
/// which others gave up. Soon after a new generation or epoch that is likely, so heartbeats are sent five times as
/// often for two intervals.
#[derive(Debug)]
struct Pulse {
    interval: Duration,
    quick_until: Option<Instant>,
    sent: Instant,
    /// When the last heartbeat, or SyncGroup, was sent that was answered well. When the answer was read says less: it may have
    /// waited while the process stood still.
    confirmed: Instant,
}

impl Pulse {
    fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, quick_until: None, sent: now, confirmed: now }
    }

    /// The last heartbeat was answered well.
    fn confirm(&mut self) {
        self.confirmed = self.sent;
    }

    /// The coordinator took the member for one no earlier than then.
    fn confirm_as_of(&mut self, asked: Instant) {
        self.confirmed = self.confirmed.max(asked);
    }

    /// Whether a heartbeat is due or on its way: the coordinator may have gone on without the member, which has not heard of it.
    fn is_in_doubt(&self, now: Instant) -> bool {
        now >= self.confirmed + self.interval
    }

    fn quicken(&mut self, now: Instant) {
        self.quick_until = Some(now + 2 * self.interval);
    }

    /// A heartbeat is sent; when the next one is.
    fn beat(&mut self, now: Instant) -> Instant {
        self.sent = now;
        self.next(now)
    }

    fn next(&self, now: Instant) -> Instant {
        match self.quick_until.is_some_and(|until| now < until) {
            true => now + self.interval / 5,
            false => now + self.interval,
        }
    }
}

/// A member's place in its group, which a transaction that commits offsets carries (KIP-447).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: String,
    /// The classic protocol's generation, or the consumer protocol's member epoch; -1 outside the group.
    pub generation_id: i32,
    /// The member's id; empty where it has none yet.
    pub member_id: String,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
}

/// Whether a member that goes away tells its group (KIP-1092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeaveGroup {
    /// A dynamic member leaves. A static one stays, and the group waits for it until its session is over.
    #[default]
    Default,
    /// The member leaves for good, static or not.
    Leave,
    /// The member stays until its session is over.
    Remain,
}

/// Why a consumer is not in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum GroupFailure {
    /// The coordinator refuses the member for good.
    Refused(ErrorCode),
    /// The user stayed away longer than `max.poll.interval.ms`, so the member left. It joins again with the user's
    /// next call.
    MaxPollExceeded(Duration),
}

impl fmt::Display for GroupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "the coordinator refuses: {error}"),
            Self::MaxPollExceeded(interval) => {
                write!(f, "not a member any more: max.poll.interval of {interval:.1?} passed without a call")
            }
        }
    }
}

/// What a step of the membership means for the consumer's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupNews {
    /// Nothing.
    None,
    /// The member is to own these partitions and no others. [`Membership::handed_over`] is called when that is done.
    Assigned(Vec<TopicPartition>),
    /// The member is to join again, and first gives up its partitions: all of them, or those of topics that are not
    /// in `keep`. [`Membership::given_up`] is called when that is done.
    GiveUp {
        /// The topics whose partitions stay; `None` where no partition stays.
        keep: Option<std::collections::BTreeSet<String>>,
    },
    /// The coordinator does not know this member any more, or has gone on without it: its partitions are lost.
    Lost,
    /// The coordinator refuses the member for good, and no further attempt is made.
    Failed(ErrorCode),
}
