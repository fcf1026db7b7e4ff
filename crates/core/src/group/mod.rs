//! Membership in a group.

pub(crate) mod assignor;
mod classic;
mod consumer;
pub mod consumer_protocol;
mod consumer_state;
mod member_state;
mod membership;
mod pattern;

use std::{
    fmt,
    time::{Duration, Instant},
};

use ottla_protocol::ErrorCode;

pub use assignor::{
    Assignor, CooperativeSticky, LastAssignment, Member, PartitionRacks, Range, RoundRobin, Sticky,
};
pub use consumer_protocol::{Assignment, Subscription};
pub use consumer_state::ConsumerState;
pub use member_state::MemberState;
pub use membership::MembershipState;
pub(crate) use membership::{Interest, Membership, Standing};
pub use pattern::Pattern;

use crate::ids::TopicPartition;

/// Which protocol a group speaks: Kafka's `group.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// Members join together, and one of them shares out.
    #[default]
    Classic,
    /// The coordinator shares out, and members follow one by one (KIP-848).
    Consumer,
}

/// How to be a member. Java's defaults.
#[derive(Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub id: String,
    /// `group.protocol`.
    pub protocol: GroupProtocol,
    /// `group.instance.id`: who comes back under the same is the same member (KIP-345).
    pub instance_id: Option<String>,
    /// `client.rack`.
    pub rack: Option<String>,
    /// `group.remote.assignor`: which of the coordinator's assignors to ask for. Consumer protocol.
    pub server_assignor: Option<String>,
    /// `session.timeout.ms`: without a heartbeat for so long, the coordinator takes the member for dead. Classic; under
    /// the consumer protocol it is the coordinator's.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`. Classic, too.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long the user may stay away.
    pub max_poll_interval: Duration,
    /// How long a rebalance waits for this member. `None`: as long as its user may stay away, as Java's.
    pub rebalance_timeout: Option<Duration>,
    /// In order of preference; the group takes one that all members have. Classic.
    pub assignors: Vec<Box<dyn Assignor>>,
}

impl GroupConfig {
    /// Java's defaults for a group of this name, with the `range` assignor.
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
            assignors: vec![Box::new(Range)],
        }
    }

    pub(crate) fn rebalance_timeout(&self) -> Duration {
        self.rebalance_timeout.unwrap_or(self.max_poll_interval)
    }

    /// Whether members keep what they own while they join again: when all that they offer is cooperative.
    fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}

/// A duration as requests have it.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// When to send the next heartbeat. Partitions that others give up come with the answer to one: for two intervals after
/// a generation, or an epoch, in which that is to be expected, heartbeats come five times as often.
#[derive(Debug)]
struct Pulse {
    interval: Duration,
    quick_until: Option<Instant>,
}

impl Pulse {
    fn new(interval: Duration) -> Self {
        Self { interval, quick_until: None }
    }

    fn quicken(&mut self, now: Instant) {
        self.quick_until = Some(now + 2 * self.interval);
    }

    fn next(&self, now: Instant) -> Instant {
        match self.quick_until.is_some_and(|until| now < until) {
            true => now + self.interval / 5,
            false => now + self.interval,
        }
    }
}

/// A member's place in its group: what a transaction that commits offsets carries (KIP-447).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: String,
    /// The classic protocol's generation, the consumer protocol's member epoch; -1 outside.
    pub generation_id: i32,
    /// Empty where the coordinator has given none yet.
    pub member_id: String,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
}

/// Whether a member that goes away tells its group (KIP-1092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeaveGroup {
    /// A dynamic member leaves; a static one stays, and is waited for until its session is over.
    #[default]
    Default,
    /// Leaves for good, static or not.
    Leave,
    /// Stays, until its session is over.
    Remain,
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
    /// These are to be the member's, and no others: told when done by [`Membership::handed_over`].
    Assigned(Vec<TopicPartition>),
    /// The group is to be joined again: what is owned is given up before, all of it or what is `keep`'s opposite. Told
    /// when done by [`Membership::given_up`].
    GiveUp {
        /// Topics whose partitions stay; `None` for none.
        keep: Option<std::collections::BTreeSet<String>>,
    },
    /// The coordinator does not know this member, or not as it was.
    Lost,
    /// No further attempt is made.
    Failed(ErrorCode),
}
