//! What a consumer has done, and how it stands, in numbers. They are counted where things happen, for each batch, response or look at the
//! most, so that to ask for them costs a walk over the partitions, and nothing is asked of any broker.
//!
//! Totals begin with the consumer and only grow: whoever wants rates takes the difference of two moments.

use std::time::Duration;

use ottla_protocol::Now;

use super::Consumer;
use crate::{
    connections::ConnectionStats,
    fetch::FetchStats,
    ids::TopicPartition,
    lanes::{FetchState, Lane},
    offsets::CommitStats,
};

/// What a consumer has done since it began, and how it stands at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Requests for records, and what came of them.
    pub fetches: FetchStats,
    /// Records, on their way to the user.
    pub records: RecordStats,
    /// Commits of the group; zero without a group.
    pub commits: CommitStats,
    /// Rebalances of this member; zero without a group.
    pub rebalances: RebalanceStats,
    /// How long the user stays away.
    pub polls: PollStats,
    /// What was fetched ahead of the user.
    pub buffer: BufferStats,
    /// Connections to brokers.
    pub connections: ConnectionStats,
    /// The partitions that are assigned, each by itself.
    pub partitions: Vec<PartitionStats>,
}

/// Records, on their way to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecordStats {
    /// How many batches were opened for the user: checked, and decompressed where they are compressed.
    pub batches: u64,
    /// How many records these have, without those before the position. They count as the batch is opened, so that some may not be handed
    /// out yet. Those of aborted transactions do not count.
    pub decoded: u64,
    /// How many bytes these batches have once decompressed.
    pub decoded_bytes: u64,
    /// How many offsets the user has come back from. More than records where a log has gaps: of compaction, of transactions.
    pub passed: u64,
    /// How many offsets the logs had lost before they were read.
    pub deleted_unread: u64,
}

/// Rebalances, as this member has lived through them. One begins when the member sets out to join or is assigned other partitions, and ends
/// when it has given up what goes, has taken over what comes, and its listener has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RebalanceStats {
    /// How many came to their end.
    pub done: u64,
    /// How long these took, together.
    pub took: Duration,
    /// How long the longest of these took.
    pub longest: Duration,
    /// How long one has been under way; `None` where none is.
    pub under_way: Option<Duration>,
    /// How many partitions were lost: gone before what was delivered of them could be committed.
    pub lost: u64,
    /// How many heartbeats were refused or not answered.
    pub failed_heartbeats: u64,
}

/// How long the user stays away from `recv`, `poll`, `commit` and `close`: where there are several readers, of the one that has to call
/// next. Records that `recv` has at hand are handed out without a look at the consumer, which sees that the user was there when it next has
/// something to do, at a heartbeat at the latest: by so much a gap may be longer than it is told here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PollStats {
    /// How long the user has been away; `None` where nobody has to call, as one waits in a call.
    pub away: Option<Duration>,
    /// The longest time that the user was away.
    pub longest: Duration,
    /// `max.poll.interval.ms`: who stays away for so long loses the membership. `None` without a group.
    pub limit: Option<Duration>,
}

/// What was fetched ahead of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BufferStats {
    /// How many offsets are fetched and not passed by the user, who may have some of their records in hand. More than records where a log
    /// has gaps.
    pub records: u64,
    /// How many bytes of batches no reader has taken yet, as they were fetched.
    pub bytes: u64,
    /// How many bytes of the budget are used: by responses of which any record is buffered or kept, and by those that are on their way.
    pub used: u64,
    /// The budget: [`buffer_memory`](https://docs.rs/ottla/latest/ottla/struct.ConsumerBuilder.html#method.buffer_memory).
    pub budget: u64,
}

/// A partition that is assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PartitionStats {
    /// Which.
    pub at: TopicPartition,
    /// The offset behind the last record that the user has come back from; `None` while it is not known.
    pub position: Option<i64>,
    /// The offset that was committed last; `None` where none was since the partition was assigned.
    pub committed: Option<i64>,
    /// The end of its log, as of the last fetch.
    pub high_watermark: Option<i64>,
    /// How many offsets the position is behind what may be read, as of the last fetch. Records in the user's hands count.
    pub lag: Option<i64>,
    /// How long ago the record at the position was written, as
    /// [`time_lag`](https://docs.rs/ottla/latest/ottla/struct.Consumer.html#method.time_lag). Of records in the user's hands the first counts.
    pub time_lag: Option<Duration>,
    /// As [`BufferStats::records`].
    pub buffered_records: u64,
    /// As [`BufferStats::bytes`].
    pub buffered_bytes: u64,
    /// Whether the user paused it.
    pub is_paused: bool,
}

impl PartitionStats {
    /// One of which nothing is known yet.
    pub fn new(at: impl Into<TopicPartition>) -> Self {
        Self {
            at: at.into(),
            position: None,
            committed: None,
            high_watermark: None,
            lag: None,
            time_lag: None,
            buffered_records: 0,
            buffered_bytes: 0,
            is_paused: false,
        }
    }
}

impl ConsumerStats {
    /// How many offsets all partitions together are behind, those left out of which that is not known yet; `None` where it is known of none.
    pub fn lag(&self) -> Option<i64> {
        self.lags().reduce(i64::saturating_add)
    }

    /// How many offsets the partition that is furthest behind is behind.
    pub fn lag_max(&self) -> Option<i64> {
        self.lags().max()
    }

    /// How long ago the oldest record was written that a partition reads next, as far as that is known; `None` where it is of none.
    pub fn time_lag_max(&self) -> Option<Duration> {
        self.partitions.iter().filter_map(|partition| partition.time_lag).max()
    }

    fn lags(&self) -> impl Iterator<Item = i64> {
        self.partitions.iter().filter_map(|partition| partition.lag)
    }
}

impl<F: Clone> Consumer<F> {
    /// What was done since the start, and how it stands now.
    pub fn stats(&mut self, now: Now) -> ConsumerStats {
        let polls = self.polls(now);
        let partitions: Vec<PartitionStats> =
            self.lanes.assigned().map(|(_, lane)| partition(lane, now)).collect();
        let decoded = self.readers.decoded();
        let group = self.group.as_ref();
        ConsumerStats {
            fetches: FetchStats { wasted_bytes: self.lanes.wasted, ..self.fetcher.stats() },
            records: RecordStats {
                batches: decoded.batches,
                decoded: decoded.records,
                decoded_bytes: decoded.bytes,
                passed: self.lanes.returned,
                deleted_unread: self.lanes.deleted_unread,
            },
            commits: group.map(|group| group.commits.stats).unwrap_or_default(),
            rebalances: group.map(|group| group.handover.rebalances.stats(now)).unwrap_or_default(),
            polls,
            buffer: BufferStats {
                records: partitions.iter().map(|one| one.buffered_records).fold(0, u64::saturating_add),
                bytes: partitions.iter().map(|partition| partition.buffered_bytes).sum(),
                used: self.fetcher.used() as u64,
                budget: self.fetcher.budget() as u64,
            },
            connections: self.hub.connections.stats(),
            partitions,
        }
    }

    /// How long the user stays away.
    pub fn polls(&mut self, now: Now) -> PollStats {
        self.read_slots(now);
        let away = self.away_since().filter(|_| self.closing.is_none());
        PollStats {
            away: away.map(|since| now.mono.saturating_duration_since(since)),
            longest: self.readers.longest_away,
            limit: self.group.as_ref().map(|group| group.membership.config().max_poll_interval),
        }
    }
}

fn partition<F>(lane: &Lane<F>, now: Now) -> PartitionStats {
    let position = lane.acked.filter(|_| lane.state == FetchState::Fetching);
    let buffered = position.map_or(0, |position| lane.fetch_at.saturating_sub(position).max(0));
    PartitionStats {
        at: (*lane.at).clone(),
        position,
        committed: lane.committed,
        high_watermark: lane.log_end.map(|end| end.high_watermark),
        lag: position.and_then(|position| lane.lag(position)),
        time_lag: position.and_then(|position| lane.time_lag(position, now)),
        buffered_records: buffered.unsigned_abs(),
        buffered_bytes: lane.queued_bytes as u64,
        is_paused: lane.paused,
    }
}
