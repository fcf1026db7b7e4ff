//! What [`Consumer::explain`](super::Consumer::explain) says: reasons, and their words.

use std::{fmt, time::Duration};

use ottla_protocol::ErrorCode;

use crate::{
    backoff::Retry,
    group::{GroupFailure, MembershipState},
    ids::TopicPartition,
    lanes::LaneFailure,
    machine::Disconnected,
};

/// What a consumer is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The group, where there is a subscription.
    pub group: Option<GroupReason>,
    /// What is asked to be committed, and is not yet.
    pub commit: Option<CommitReason>,
    /// Each partition that is assigned.
    pub partitions: Vec<(TopicPartition, Reason)>,
    /// Of these, those in which reading began at the log's end: with `auto.offset.reset` at `latest`, what was written
    /// before, to a partition that was just added too, is not read (KAFKA-12261). The offset, and how long ago.
    pub began_at_end: Vec<(TopicPartition, i64, Duration)>,
    /// Topics that are wanted and not there.
    pub missing_topics: Vec<(String, ErrorCode)>,
    /// The last broker that could not be reached, if none has been since.
    pub unreachable: Option<(String, Disconnected)>,
}

/// How it stands with the group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupReason {
    /// A member with partitions.
    Member {
        /// How many.
        partitions: usize,
    },
    /// A member without any.
    Idle {
        /// The members, where this one leads a classic group: no other knows.
        members: Option<usize>,
        /// Of the topics that it subscribes to, as far as they exist; `None` where the coordinator alone knows which
        /// topics match the pattern.
        partitions: Option<usize>,
    },
    /// A member that is assigned partitions of topics which no broker has named yet.
    AwaitingNames {
        /// How many topics.
        topics: usize,
        /// How many partitions it has of others.
        partitions: usize,
        /// For how long.
        waited: Duration,
    },
    /// A heartbeat that lists what the member has is not answered: until it is, nothing more may be taken over.
    AwaitingHeartbeat {
        /// For how long partitions have waited for it.
        waited: Duration,
    },
    /// The coordinator is being looked up.
    CoordinatorUnknown {
        /// For how long none could be reached.
        waited: Duration,
        /// Why it is looked up again, and when.
        retry: Option<Retry>,
        /// The broker that was it, and how the connection to it stands.
        was: Option<(i32, String)>,
    },
    /// What takes it in cannot be asked of the coordinator now.
    CoordinatorNotReady {
        /// The coordinator.
        node: i32,
        /// How the connection stands.
        status: String,
    },
    /// On the way in.
    Joining {
        /// Where on the way.
        state: MembershipState,
        /// For how long.
        waited: Duration,
        /// What went wrong the last time, and when it tries again.
        retry: Option<Retry>,
    },
    /// Partitions are being given up.
    RevocationWaiting {
        /// For how long.
        waited: Duration,
        /// Of which the user has records in hand; where there are none, it waits for the commit.
        held: Vec<TopicPartition>,
        /// Why the commit is made again, and when.
        retry: Option<Retry>,
    },
    /// The user's rebalance listener is to be called by the next call for records, or has not returned.
    AwaitingListener {
        /// For how long.
        waited: Duration,
    },
    /// On the way out.
    Leaving,
    /// Out, and not about to join.
    Out,
    /// Out for good, or until the next call.
    Failed(GroupFailure),
}

/// Why what is to be committed is not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitReason {
    /// The coordinator was asked.
    Unanswered {
        /// How long ago.
        waited: Duration,
        /// Why it was asked again.
        retry: Option<Retry>,
    },
    /// It failed, and is tried again.
    Retrying(Retry),
    /// The coordinator cannot be asked now.
    Coordinator(GroupReason),
    /// It is being settled whether the member is one of the next generation.
    AwaitingGeneration,
    /// About to be asked for.
    Waiting,
}

/// Why a partition's records are, or are not, flowing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Records wait to be taken.
    Buffered {
        /// How many bytes of them.
        bytes: usize,
    },
    /// A fetch is on its way; at the log's end it waits for new records.
    Fetching {
        /// Behind the position, as of the last fetch.
        lag: Option<i64>,
    },
    /// The user paused it.
    Paused,
    /// It is being given up to the group.
    BeingRevoked,
    /// The group's committed offset is being asked for.
    LookingUpCommitted {
        /// For how long.
        waited: Duration,
        /// Why it is asked for again, and when.
        retry: Option<Retry>,
    },
    /// The log is being asked for the offset.
    LookingUpOffset {
        /// For how long.
        waited: Duration,
        /// Why it is asked for again, and when.
        retry: Option<Retry>,
    },
    /// No broker has told of the topic yet.
    AwaitingMetadata,
    /// The topic, or the partition, does not exist as far as the cluster has told.
    TopicUnknown(ErrorCode),
    /// It is new, and the user's rebalance listener has not returned.
    AwaitingListener,
    /// The partition has no leader now.
    NoLeader {
        /// How long ago something of it came, or its position was found.
        waited: Duration,
    },
    /// The broker asked for a pause, as a quota is exceeded.
    Throttled {
        /// For how much longer.
        rest: Duration,
    },
    /// The connection to its leader, or to the coordinator that knows its offset, is not there.
    Disconnected {
        /// The broker.
        node: i32,
        /// How it stands.
        status: String,
    },
    /// The leader has held a fetch for longer than it was asked to.
    Unanswered {
        /// The leader.
        node: i32,
        /// How long ago it was asked.
        waited: Duration,
    },
    /// The broker answered with an error, and is asked again.
    Retrying(Retry),
    /// The byte budget is used up by records that are not taken, or are kept.
    BufferFull {
        /// What is used.
        used: usize,
        /// Of how much.
        budget: usize,
    },
    /// Stuck until a seek.
    Failed(LaneFailure),
    /// A fetch without it is under way to its leader: it goes with the next.
    NextFetch,
    /// The consumer is being closed.
    Closing,
    /// About to be asked for.
    Waiting,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffered { bytes } => write!(f, "{bytes} bytes wait to be taken"),
            Self::Fetching { lag: Some(0) } => f.write_str("at the end: waiting for new records"),
            Self::Fetching { lag: Some(lag) } => write!(f, "fetching, {lag} records behind"),
            Self::Fetching { lag: None } => f.write_str("fetching"),
            Self::Paused => f.write_str("paused"),
            Self::BeingRevoked => f.write_str("being given up to the group"),
            Self::LookingUpCommitted { waited, retry } => {
                write!(f, "waiting for the committed offset for {waited:.1?}{}", after(retry))
            }
            Self::LookingUpOffset { waited, retry } => {
                write!(f, "waiting for an offset from the log for {waited:.1?}{}", after(retry))
            }
            Self::AwaitingMetadata => f.write_str("no broker has told of the topic yet"),
            Self::Unanswered { node, waited } => {
                write!(f, "broker {node} has not answered a fetch for {waited:.1?}")
            }
            Self::TopicUnknown(error) => write!(f, "the topic is not there: {error}"),
            Self::AwaitingListener => f.write_str("waiting for the rebalance listener to return"),
            Self::NoLeader { waited } => {
                write!(f, "the partition has no leader; last heard of {waited:.1?} ago")
            }
            Self::Throttled { rest } => write!(f, "throttled by the broker for {rest:.1?} more"),
            Self::NextFetch => f.write_str("goes with the next fetch"),
            Self::Closing => f.write_str("the consumer is being closed"),
            Self::Disconnected { node, status } => write!(f, "broker {node}: {status}"),
            Self::Retrying(retry) => write!(f, "the broker answered {retry}"),
            Self::BufferFull { used, budget } => {
                write!(f, "{used} of {budget} bytes are used by records not taken or still kept")
            }
            Self::Failed(failure) => write!(f, "stuck until a seek: {failure}"),
            Self::Waiting => f.write_str("about to be fetched"),
        }
    }
}

impl fmt::Display for LaneFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { offset, error } => write!(f, "damaged batch at offset {offset}: {error}"),
            Self::OutOfRange { offset } => {
                write!(f, "offset {offset} is not in the log, and auto.offset.reset is none")
            }
            Self::NoOffset => f.write_str("no committed offset, and auto.offset.reset is none"),
            Self::Broker(error) => write!(f, "the broker refuses: {error}"),
        }
    }
}

impl fmt::Display for GroupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { partitions } => write!(f, "member with {partitions} partitions"),
            Self::Idle { partitions: None, .. } => f.write_str(
                "no partition assigned: the coordinator, which matches the pattern, has none for it",
            ),
            Self::Idle { partitions: Some(0), .. } => {
                f.write_str("no partition assigned: there is no topic like those subscribed to")
            }
            Self::Idle { members: Some(members), partitions: Some(partitions) } => {
                write!(f, "no partition assigned: {members} members, {partitions} partitions")
            }
            Self::Idle { members: None, partitions: Some(partitions) } => {
                write!(f, "no partition assigned: {partitions} partitions, which others have")
            }
            Self::AwaitingNames { topics, partitions, waited } => {
                write!(
                    f,
                    "{partitions} partitions, and for {waited:.1?} waiting for the names of {topics} topics"
                )
            }
            Self::AwaitingHeartbeat { waited } => {
                write!(f, "waiting for the answer to a heartbeat for {waited:.1?}")
            }
            Self::CoordinatorUnknown { waited, retry, was } => {
                write!(f, "looking for the coordinator for {waited:.1?}{}", after(retry))?;
                match was {
                    Some((node, status)) => write!(f, "; it was broker {node}: {status}"),
                    None => Ok(()),
                }
            }
            Self::CoordinatorNotReady { node, status } => write!(f, "coordinator {node}: {status}"),
            Self::Joining { state, waited, retry } => write!(f, "{state} for {waited:.1?}{}", after(retry)),
            Self::AwaitingListener { waited } => {
                write!(f, "waiting for the rebalance listener for {waited:.1?}")
            }
            Self::RevocationWaiting { waited, held, retry } if held.is_empty() => {
                let retry = after(retry);
                write!(f, "a rebalance has waited {waited:.1?} for what was delivered to be committed{retry}")
            }
            Self::RevocationWaiting { waited, held, .. } => {
                let held: Vec<String> = held.iter().map(ToString::to_string).collect();
                let held = held.join(", ");
                write!(f, "a rebalance has waited {waited:.1?} for the user to come back from {held}")
            }
            Self::Leaving => f.write_str("leaving"),
            Self::Out => f.write_str("not a member"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for CommitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { waited, retry } => write!(f, "no answer for {waited:.1?}{}", after(retry)),
            Self::Retrying(retry) => write!(f, "tried again after {retry}"),
            Self::Coordinator(reason) => reason.fmt(f),
            Self::AwaitingGeneration => f.write_str("waiting for the next generation"),
            Self::Waiting => f.write_str("about to be asked for"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((address, why)) = &self.unreachable {
            writeln!(f, "broker {address}: {why}")?;
        }
        if let Some(group) = &self.group {
            writeln!(f, "group: {group}")?;
        }
        if let Some(commit) = &self.commit {
            writeln!(f, "commit: {commit}")?;
        }
        for (topic, error) in &self.missing_topics {
            writeln!(f, "{topic}: {error}")?;
        }
        for (at, reason) in &self.partitions {
            writeln!(f, "{at}: {reason}")?;
        }
        for (at, offset, ago) in &self.began_at_end {
            writeln!(f, "{at}: began {ago:.1?} ago at the end, offset {offset}: what was there is not read")?;
        }
        Ok(())
    }
}

fn after(retry: &Option<Retry>) -> String {
    retry.map(|retry| format!(" after {retry}")).unwrap_or_default()
}
