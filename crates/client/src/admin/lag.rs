//! How far groups are behind the ends of their logs.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ErrorCode;

use super::{Admin, CommittedOffset, Each, IsolationLevel, OffsetSpec, TopicPartition, failure};
use crate::{
    config::Names,
    error::{AdminError, Details as _},
};

/// How far groups are behind, and what that follows from.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupLags {
    /// What each group has committed, or why that is not known.
    pub committed: BTreeMap<String, Result<BTreeMap<TopicPartition, CommittedOffset>, AdminError>>,
    /// Where the logs of all these partitions begin and end, or why that is not known: LEADER_NOT_AVAILABLE of one without a leader,
    /// which is not waited for.
    pub logs: BTreeMap<TopicPartition, Result<LogRange, AdminError>>,
}

/// Where a log begins, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRange {
    /// The first offset.
    pub start: i64,
    /// The offset that the next record will get, or where the oldest open transaction begins, by the isolation asked for.
    pub end: i64,
}

impl GroupLags {
    /// How many offsets the group is behind in the partition: the end less what it has committed, markers of transactions counted.
    /// It is negative where the commit is beyond the end; `None` where nothing is committed, or one of the two is not known.
    pub fn lag(&self, group: &str, at: &TopicPartition) -> Option<i64> {
        let committed = self.committed.get(group)?.as_ref().ok()?.get(at)?.offset;
        let log = self.logs.get(at)?.as_ref().ok()?;
        Some(log.end.saturating_sub(committed))
    }
}

impl Admin {
    /// How far this group is behind, or these, in the partitions in which they have committed offsets: those of one coordinator are
    /// asked for together, and the ends of all logs once. What transactions under way are about to commit does not count yet. Share
    /// groups have no committed offsets: [`share_offsets`](Self::share_offsets) tells their lag.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a group, or of a partition, by itself as of
    /// [`committed_offsets_now`](Self::committed_offsets_now) and [`list_offsets`](Self::list_offsets).
    pub async fn group_lags<Kind>(
        &self,
        groups: impl Names<Kind>,
        isolation: IsolationLevel,
    ) -> Result<GroupLags, AdminError> {
        let committed = self.committed_offsets_now(groups).await?;
        let mut partitions: BTreeSet<TopicPartition> =
            committed.values().flatten().flat_map(BTreeMap::keys).cloned().collect();
        let names: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
        let topics = self.describe_topics(names).await?;
        let is_led = |at: &TopicPartition| {
            let topic = topics.get(&at.topic).and_then(|topic| topic.as_ref().ok());
            topic.and_then(|topic| topic.partitions.get(&at.partition)).is_none_or(|it| it.leader.is_some())
        };
        let refused = |at: &TopicPartition, error| failure::of_topic(&at.topic, error).partition(at.clone());
        let leaderless = partitions.extract_if(.., |at| !is_led(at)).map(|at| {
            let error = refused(&at, ErrorCode::LeaderNotAvailable);
            (at, Err(error))
        });
        let mut logs: Each<TopicPartition, LogRange> = leaderless.collect();
        let all = |spec| partitions.iter().map(move |at| (at.clone(), spec));
        let mut starts = self.list_offsets(all(OffsetSpec::Earliest)).await?;
        let ends = self.list_offsets_for(isolation, all(OffsetSpec::Latest)).await?;
        for (at, end) in ends {
            let start = starts.remove(&at).unwrap_or(Ok(None));
            let range = match (start, end) {
                (Ok(Some(start)), Ok(Some(end))) => Ok(LogRange { start: start.offset, end: end.offset }),
                // Both are of one leader: what is wrong there is told once.
                (Err(error), _) | (_, Err(error)) => Err(error),
                // A log has both.
                _ => Err(refused(&at, ErrorCode::UnknownServerError)),
            };
            logs.insert(at, range);
        }
        Ok(GroupLags { committed, logs })
    }
}
