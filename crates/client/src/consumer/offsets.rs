//! Positions, committed offsets, and offsets of the log.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{CommittedOffset, OffsetAndTimestamp, OpFailure, OpId, SeekTo, TopicPartition};
use ottla_protocol::Timestamp;

use super::{
    Asking, Committed, Consumer, Core, HandedOut, PendingCommit, Reader,
    operation::checked,
    parking::Parking,
    seek::{SeekPosition, seek},
};
use crate::{
    error::{CommitError, Details as _, OffsetsError, OffsetsErrorKind, SeekError},
    net::clock,
};

impl Consumer {
    /// The next record of the partition is the one at `to`. At once, the log being asked later where need be.
    ///
    /// # Errors
    ///
    /// [`SeekError`]: the partition is not this consumer's, or the offset is none.
    pub fn seek(
        &mut self,
        partition: impl Into<TopicPartition>,
        to: impl Into<SeekPosition>,
    ) -> Result<(), SeekError> {
        seek(&self.shared, partition.into(), to.into())
    }

    /// [`seek`](Self::seek) to the start of each.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); those before the one that fails have been moved.
    pub fn seek_to_beginning<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), SeekError> {
        partitions.into_iter().try_for_each(|at| self.seek(at, SeekPosition::Beginning))
    }

    /// [`seek`](Self::seek) to the end of each.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); those before the one that fails have been moved.
    pub fn seek_to_end<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), SeekError> {
        partitions.into_iter().try_for_each(|at| self.seek(at, SeekPosition::End))
    }

    /// The offset of the next record that will be handed out. Waits while it is being found out. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`]: the partition is not this consumer's, or no answer came in time.
    pub async fn position(&self, partition: impl Into<TopicPartition>) -> Result<i64, OffsetsError> {
        let at = partition.into();
        let reading = &self.reader.reading;
        let found = self.shared.wait(|core, _| {
            if let Some(position) = reading.position(&at, core) {
                return Some(Some(position));
            }
            match core.position(&at) {
                Some(position) => Some(Some(position)),
                None if !core.assignment().contains(&at) => Some(None),
                None => None,
            }
        });
        match tokio::time::timeout(self.reader.settings.api_timeout, found).await {
            Ok(found) => found?.ok_or_else(|| OffsetsError::new(OffsetsErrorKind::NotAssigned).partition(at)),
            Err(_) => Err(OffsetsError::new(OffsetsErrorKind::TimedOut).partition(at)),
        }
    }

    /// The end of the partition's log, as of the last fetch; `None` before the first, or if it is not this consumer's.
    pub fn high_watermark(&self, partition: impl Into<TopicPartition>) -> Option<i64> {
        self.reader.high_watermark(&partition.into())
    }

    /// How many offsets each of this consumer's partitions is behind the end of its log, as of the last fetch; `None`
    /// before the first. How long that is in time: [`time_lag`](Self::time_lag).
    pub fn lag(&self) -> BTreeMap<TopicPartition, Option<i64>> {
        self.of_positions(|core, at, position| core.lag(at, position))
    }

    /// How long ago the record was written that is read next of each of this consumer's partitions; zero where there is none that may be
    /// read, as of the last fetch. Asks no broker, and waits for nothing.
    ///
    /// It follows from what fetches brought. A record was written after the last answer by which the log ended before it, and before the
    /// first by which it did not: nearly always within `fetch.max.wait.ms` (500 ms); longer where enough was fetched ahead, and where a
    /// partition has been behind for so long that of very many answers few are kept. Between the two the timestamp of its batch counts,
    /// which the producer or the broker has set (of the batch's first record, to 100 ms, or a 30th of the time that the batches of one
    /// answer span). Where that lies outside, or none was fetched, records count as written evenly between them. Of a record that was
    /// there before the first answer since the partition was assigned, or since a seek, the timestamp counts alone, but no less than the
    /// time since that answer.
    ///
    /// `None` before the first answer, and where the record was there before that and has no timestamp, or is not fetched yet, as for a
    /// moment after a seek, and while the partition is paused and the others needed its room.
    ///
    /// A wall clock that is wrong, here or where timestamps are set, counts for records alone that were there before the first answer, and
    /// no other's age changes by more than the time between two answers where it is put forward or back. Java's consumer tells records only.
    pub fn time_lag(&self) -> BTreeMap<TopicPartition, Option<Duration>> {
        let now = clock::now();
        self.of_positions(|core, at, position| core.time_lag(at, position, now))
    }

    fn of_positions<T>(
        &self,
        of: impl Fn(&Core, &TopicPartition, i64) -> Option<T>,
    ) -> BTreeMap<TopicPartition, Option<T>> {
        let reading = &self.reader.reading;
        self.shared.inspect(|core| {
            let one = |at: &TopicPartition| {
                let position = reading.position(at, core).or_else(|| core.position(at))?;
                of(core, at, position)
            };
            core.assignment().into_iter().map(|at| (at.clone(), one(&at))).collect()
        })
    }

    /// Commits everything that was handed out: all that `poll` returned, each record that `recv` returned before this
    /// call; of what its [readers](Self::reader) have, all that their users have come back from. Commits of one consumer are
    /// made in order. A future that is dropped leaves the commit under way.
    ///
    /// What may pass (another coordinator, a lost connection, a rebalance that Kafka lets commit) is tried again, until
    /// [`default_api_timeout`](super::ConsumerBuilder::default_api_timeout) is over: 60 s, as Java's.
    ///
    /// # Errors
    ///
    /// [`CommitError`] tells the partition that failed. Others of the same call may be committed: each is taken, or not, by
    /// itself, and to commit them again does no harm.
    pub async fn commit(&mut self) -> Result<Committed, CommitError> {
        self.reader.commit().await
    }

    /// [`commit`](Self::commit) that does not wait: it is under way when this returns. What is returned can be awaited,
    /// here or in another task; dropped, it leaves the commit under way, and nobody is told what comes of it.
    pub fn commit_async(&mut self) -> PendingCommit {
        self.reader.commit_async()
    }

    /// [`commit_offsets`](Self::commit_offsets) that does not wait, as [`commit_async`](Self::commit_async).
    pub fn commit_offsets_async<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> PendingCommit {
        self.reader.commit_offsets_async(offsets)
    }

    /// [`commit_through`](Self::commit_through) that does not wait, as [`commit_async`](Self::commit_async).
    pub fn commit_through_async(&mut self, record: &impl HandedOut) -> PendingCommit {
        self.reader.commit_through_async(record)
    }

    /// Commits these offsets: of each partition the next one to read. Otherwise as [`commit`](Self::commit).
    ///
    /// A subscribed consumer commits only what it owns: a partition that went to another member meanwhile is that
    /// member's to commit. Java's sends it, and the coordinator takes it. Without a subscription any partition goes.
    ///
    /// A topic may be deleted and made anew under its name. Offsets that were made of records
    /// ([`to_commit`](HandedOut::to_commit), [`next_offsets`](super::Records::next_offsets)) are of those records' topic, and are
    /// refused once that is gone; so are those that [`commit`](Self::commit) and auto commit make. A plain number is of the
    /// topic that is read when this is called. Coordinators that are named topics by their ids (OffsetCommit 10) are sure of
    /// it. For older ones the newest metadata is compared: a topic that was made anew after that, and before the coordinator
    /// takes the commit, is committed to.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), for a partition that is not its own, and for a negative offset.
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<Committed, CommitError> {
        self.reader.commit_offsets(offsets).await
    }

    /// Commits a record, and with it all that comes before it in its partition. Otherwise as
    /// [`commit_offsets`](Self::commit_offsets).
    ///
    /// # Errors
    ///
    /// As [`commit_offsets`](Self::commit_offsets).
    pub async fn commit_through(&mut self, record: &impl HandedOut) -> Result<Committed, CommitError> {
        self.reader.commit_through(record).await
    }

    /// What the group has committed of these partitions; `None` where nothing. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`]: there is no group, or no answer came in time.
    pub async fn committed<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, OffsetsError> {
        self.asking().committed(partitions.into_iter().map(Into::into).collect()).await
    }

    /// Of each partition the first record that is no older than the time given (a [`Timestamp`], a
    /// [`SystemTime`](std::time::SystemTime), or milliseconds since 1970); `None` where there is none. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`]: no answer came in time, or a broker refused.
    pub async fn offsets_for_times<P: Into<TopicPartition>, T: Into<Timestamp>>(
        &self,
        times: impl IntoIterator<Item = (P, T)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, OffsetsError> {
        let wanted = times.into_iter().map(|(at, time)| (at.into(), SeekTo::Timestamp(time.into())));
        self.asking().offsets(wanted).await
    }

    /// The first offset of each partition's log. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`offsets_for_times`](Self::offsets_for_times).
    pub async fn beginning_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
        self.asking().beginnings(partitions.into_iter().map(Into::into)).await
    }

    /// The offset behind the last record of each partition's log. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`offsets_for_times`](Self::offsets_for_times).
    pub async fn end_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
        self.asking().ends(partitions.into_iter().map(Into::into)).await
    }

    /// To ask from another task than the one that receives.
    pub(crate) fn asking(&self) -> Asking {
        Asking::new(&self.shared)
    }
}

impl Reader {
    /// Commits everything that this reader has handed out, and of what others have all that their users have come back
    /// from. Otherwise as [`Consumer::commit`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit`].
    pub async fn commit(&mut self) -> Result<Committed, CommitError> {
        let commit = self.commit_async();
        self.wait_for(commit).await
    }

    async fn wait_for(&self, commit: PendingCommit) -> Result<Committed, CommitError> {
        let _waiting = Parking::begin(&self.shared, self.reading.id());
        let committed = commit.await;
        self.tell_committed();
        committed
    }

    /// As [`Consumer::commit_async`].
    pub fn commit_async(&mut self) -> PendingCommit {
        let op = self.begin_commit();
        PendingCommit::new(&self.shared, op)
    }

    fn begin_commit(&mut self) -> Result<OpId, OpFailure> {
        let reading = &mut self.reading;
        self.shared.with(|core, now| {
            // It covers all that was handed out, so nothing of it is in the user's hands any more.
            reading.sync(core, true, now);
            core.commit(None, now)
        })
    }

    /// As [`Consumer::commit_through`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_offsets`].
    pub async fn commit_through(&mut self, record: &impl HandedOut) -> Result<Committed, CommitError> {
        self.commit_offsets([(record.topic_partition(), record.to_commit())]).await
    }

    /// As [`Consumer::commit_offsets`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_offsets`].
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<Committed, CommitError> {
        let commit = self.commit_offsets_async(offsets);
        self.wait_for(commit).await
    }

    /// As [`Consumer::commit_offsets_async`].
    pub fn commit_offsets_async<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> PendingCommit {
        let offsets = match checked(offsets) {
            Ok(offsets) => offsets,
            Err(error) => return PendingCommit::failed(&self.shared, error),
        };
        let covers =
            |(at, position): (&TopicPartition, i64)| offsets.get(at).is_some_and(|c| c.offset >= position);
        let all = self.reading.positions().all(covers);
        let reading = &mut self.reading;
        let op = self.shared.with(|core, now| {
            reading.sync(core, all, now);
            core.commit(Some(offsets), now)
        });
        PendingCommit::new(&self.shared, op)
    }

    /// As [`Consumer::commit_through_async`].
    pub fn commit_through_async(&mut self, record: &impl HandedOut) -> PendingCommit {
        self.commit_offsets_async([(record.topic_partition(), record.to_commit())])
    }
}
