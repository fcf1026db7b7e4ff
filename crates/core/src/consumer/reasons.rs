//! The reasons that [`Consumer::explain`](super::Consumer::explain) gives, and their words.

use std::{fmt, time::Duration};

use ottla_protocol::ErrorCode;

use crate::{
    backoff::Retry,
    disconnected::Disconnected,
    fetch::OpenTransaction,
    group::{GroupFailure, MembershipState},
    ids::TopicPartition,
    lanes::LaneFailure,
};

/// Why a consumer's records are, or are not, flowing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// How it stands with the group; `None` where nothing is subscribed to.
    pub group: Option<GroupReason>,
    /// Why offsets that are to be committed are not yet; `None` where none are.
    pub commit: Option<CommitReason>,
    /// Each partition that is assigned, and the reason why its records are, or are not, flowing.
    pub partitions: Vec<(TopicPartition, Reason)>,
    /// The partitions in which reading began at the log's end: at which offset, and how long ago. Records that were
    /// written before are not read. With `auto.offset.reset` at `latest` that concerns partitions that were just
    /// added, too (KAFKA-12261).
    pub began_at_end: Vec<(TopicPartition, i64, Duration)>,
    /// The partitions that are fetched from a follower in the consumer's rack (KIP-392), and which broker that is.
    pub followers: Vec<(TopicPartition, i32)>,
    /// Topics that are wanted and cannot be read, with the brokers' error.
    pub missing_topics: Vec<(String, ErrorCode)>,
    /// The last broker that could not be reached, and why; `None` if a broker has answered since.
    pub unreachable: Option<(String, Disconnected)>,
}

/// How it stands with the group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum GroupReason {
    /// A member with partitions.
    Member {
        /// How many.
        partitions: usize,
    },
    /// A member without partitions.
    Idle {
        /// How many members there are; `None` unless this one leads a classic group, as no other knows.
        members: Option<usize>,
        /// How many partitions its topics have, as far as they exist; `None` where the coordinator alone knows
        /// which topics match the pattern.
        partitions: Option<usize>,
    },
    /// A member that is assigned partitions of topics which no broker has named yet.
    AwaitingNames {
        /// How many topics.
        topics: usize,
        /// How many partitions of other topics it has.
        partitions: usize,
        /// For how long.
        waited: Duration,
    },
    /// A heartbeat that lists the member's partitions is not answered yet. Until then the member may take over no other.
    AwaitingHeartbeat {
        /// For how long partitions have waited for it.
        waited: Duration,
    },
    /// The coordinator is being looked up.
    CoordinatorUnknown {
        /// For how long no coordinator could be reached.
        waited: Duration,
        /// Why the coordinator is looked up again, and when.
        retry: Option<Retry>,
        /// The broker that was the coordinator, and how the connection to it stands.
        was: Option<(i32, String)>,
    },
    /// The coordinator is known and cannot be asked now, as no connection to it is ready.
    CoordinatorNotReady {
        /// The coordinator.
        node: i32,
        /// How the connection stands.
        status: String,
    },
    /// The member is on its way into the group.
    Joining {
        /// How far it has come.
        state: MembershipState,
        /// For how long.
        waited: Duration,
        /// What went wrong the last time, and when the member tries again.
        retry: Option<Retry>,
    },
    /// Partitions are being given up.
    RevocationWaiting {
        /// For how long.
        waited: Duration,
        /// The partitions of which the user has records in hand; where there are none, the rebalance waits for the
        /// commit.
        held: Vec<TopicPartition>,
        /// Why the commit is made again, and when.
        retry: Option<Retry>,
    },
    /// The user's rebalance listener is to be called by the next call for records, or has not returned.
    AwaitingListener {
        /// For how long.
        waited: Duration,
    },
    /// The member is on its way out of the group.
    Leaving,
    /// Not a member, and not about to join.
    Out,
    /// Not a member, for good or until the user's next call.
    Failed(GroupFailure),
}

/// Why offsets that are to be committed are not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CommitReason {
    /// The coordinator was asked, and has not answered.
    Unanswered {
        /// How long ago.
        waited: Duration,
        /// Why the coordinator was asked again.
        retry: Option<Retry>,
    },
    /// The commit failed, and is tried again.
    Retrying(Retry),
    /// The coordinator cannot be asked now.
    Coordinator(GroupReason),
    /// It is open whether the member belongs to the next generation.
    AwaitingGeneration,
    /// The commit is about to be sent.
    Waiting,
}

/// Why a partition's records are, or are not, flowing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// Records wait to be taken.
    Buffered {
        /// How many bytes of them.
        bytes: usize,
    },
    /// A fetch is on its way; at the log's end it waits for new records.
    Fetching {
        /// How many offsets are behind the fetch position, as of the last fetch.
        lag: Option<i64>,
    },
    /// All that is stable is read. What comes behind waits for the end of a transaction that is still open; the consumer
    /// reads what is committed.
    OpenTransaction {
        /// How many offsets wait for it, as of the last fetch.
        held_back: i64,
        /// Whose it is. The leader is asked a second or two after the partition came to be held back, and `None` is told before,
        /// where the right to read the topic is missing, and where the leader is older than Kafka 2.8.
        by: Option<OpenTransaction>,
    },
    /// The user paused it.
    Paused,
    /// The partition is being given up to the group.
    BeingRevoked,
    /// The group's committed offset is being asked for.
    LookingUpCommitted {
        /// For how long.
        waited: Duration,
        /// Why the offset is asked for again, and when.
        retry: Option<Retry>,
    },
    /// The log is being asked for the offset.
    LookingUpOffset {
        /// For how long.
        waited: Duration,
        /// Why the offset is asked for again, and when.
        retry: Option<Retry>,
    },
    /// The log does not have the position any more, and no heartbeat was answered for an interval: others may have the partition by
    /// now, and may have read what was deleted. The next heartbeat tells, before the position is moved. How it stands with the group
    /// says what that waits for.
    AwaitingHeartbeat {
        /// For how long.
        waited: Duration,
    },
    /// The partition's leader is new, or the position was committed: the leader is asked whether its log has what comes before
    /// the position (KIP-320).
    ValidatingPosition {
        /// The partition's leader epoch.
        leader_epoch: i32,
        /// How long ago records of the partition came, or its position was found.
        waited: Duration,
        /// Why the leader is asked again, and when.
        retry: Option<Retry>,
    },
    /// No broker has told of the topic yet.
    AwaitingMetadata,
    /// The topic, or the partition, does not exist as far as the cluster has told.
    TopicUnknown(ErrorCode),
    /// The topic was deleted and made anew under its name. Its position is found anew when the user is back from the records of the
    /// topic that is gone, and no broker tells of that one any more.
    TopicRecreated,
    /// The partition is new, and the user's rebalance listener has not returned.
    AwaitingListener,
    /// The partition has no leader now.
    NoLeader {
        /// How long ago records of the partition came, or its position was found.
        waited: Duration,
    },
    /// The broker asked for a pause, as a quota is exceeded.
    Throttled {
        /// For how much longer.
        rest: Duration,
    },
    /// There is no connection to the partition's leader, or to the coordinator that knows its committed offset.
    Disconnected {
        /// The broker.
        node: i32,
        /// How the connection stands.
        status: String,
    },
    /// The leader, or the follower that is fetched from, has held a fetch for longer than it was asked to.
    Unanswered {
        /// The broker.
        node: i32,
        /// How long ago it was asked.
        waited: Duration,
    },
    /// The broker answered with an error, and is asked again.
    Retrying(Retry),
    /// The byte budget is used up by records that the user has not taken, or still keeps.
    BufferFull {
        /// How many bytes are used.
        used: usize,
        /// How many bytes there are in all.
        budget: usize,
    },
    /// Stuck until a seek.
    Failed(LaneFailure),
    /// A fetch without the partition is under way to its leader. The partition goes with the next fetch.
    NextFetch,
    /// The consumer is being closed.
    Closing,
    /// The partition is about to be fetched.
    Waiting,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffered { bytes } => write!(f, "{bytes} bytes wait to be taken"),
            Self::Fetching { lag: Some(0) } => f.write_str("at the end: waiting for new records"),
            Self::Fetching { lag: Some(lag) } => write!(f, "fetching, {lag} records behind"),
            Self::Fetching { lag: None } => f.write_str("fetching"),
            Self::OpenTransaction { held_back, by: None } => {
                write!(f, "{held_back} offsets wait for a transaction that is still open")
            }
            Self::OpenTransaction { held_back, by: Some(by) } => {
                let OpenTransaction { producer_id, since_offset, waited, .. } = by;
                write!(
                    f,
                    "an open transaction of producer id {producer_id}, from offset {since_offset} on, holds back {held_back} \
                     offsets of this partition, for more than {waited:.1?}"
                )
            }
            Self::Paused => f.write_str("paused"),
            Self::BeingRevoked => f.write_str("being given up to the group"),
            Self::LookingUpCommitted { waited, retry } => {
                write!(f, "waiting for the committed offset for {waited:.1?}{}", after(retry))
            }
            Self::LookingUpOffset { waited, retry } => {
                write!(f, "waiting for an offset from the log for {waited:.1?}{}", after(retry))
            }
            Self::AwaitingHeartbeat { waited } => {
                f.write_str(
                    "the log does not have the position; waiting for a heartbeat, which says whether ",
                )?;
                write!(f, "the partition is still this member's, for {waited:.1?}")
            }
            Self::ValidatingPosition { leader_epoch, waited, retry } => {
                let retry = after(retry);
                write!(f, "the leader of epoch {leader_epoch} validates the position for {waited:.1?}{retry}")
            }
            Self::AwaitingMetadata => f.write_str("no broker has told of the topic yet"),
            Self::Unanswered { node, waited } => {
                write!(f, "broker {node} has not answered a fetch for {waited:.1?}")
            }
            Self::TopicUnknown(error) => write!(f, "the topic is not there: {error}"),
            Self::TopicRecreated => f.write_str("the topic was deleted and made anew"),
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
            Self::OutOfRange { offset, log_start } => {
                write!(f, "offset {offset} is not in the log, which begins at {log_start}")?;
                f.write_str(", and auto.offset.reset is none")
            }
            Self::Truncated { position, diverged_at } => {
                write!(f, "the log was cut below offset {}", position.offset)?;
                if let Some(end) = diverged_at {
                    write!(f, ", at {}", end.offset)?;
                }
                f.write_str(", and auto.offset.reset is none")
            }
            Self::Recreated { offset } => {
                write!(f, "offset {offset} is of a topic that was deleted, and made anew since")?;
                f.write_str(", and auto.offset.reset is none")
            }
            Self::NoOffset => f.write_str("no committed offset, and auto.offset.reset is none"),
            Self::Broker(error) => write!(f, "the broker refuses: {error}"),
            Self::NotAuthorized(error) => {
                write!(f, "READ on its topic is missing: the broker answers {error}")
            }
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
                f.write_str("no partition assigned: no topic of the subscription exists")
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
            Self::Waiting => f.write_str("about to be sent"),
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
        for (at, node) in &self.followers {
            writeln!(f, "{at}: fetched from broker {node}, a follower")?;
        }
        for (at, offset, ago) in &self.began_at_end {
            writeln!(f, "{at}: began {ago:.1?} ago at the end, offset {offset}: earlier records are unread")?;
        }
        Ok(())
    }
}

fn after(retry: &Option<Retry>) -> String {
    retry.map(|retry| format!(" after {retry}")).unwrap_or_default()
}
