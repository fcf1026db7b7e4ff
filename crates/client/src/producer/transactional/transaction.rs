//! A transaction that is open.

use std::{marker::PhantomData, sync::Arc};

use ottla_core::{
    CommittedOffset, GroupMetadata, TopicPartition,
    producer::{End, TransactionNumber},
};

use crate::{
    error::{FatalError, SendError, TransactionError},
    net::clock,
    producer::{Delivery, Intake, Interceptors, Machine, ProducerRecord, TrySendError},
    shared::Shared,
};

/// A transaction that is open. [`commit`](Self::commit) ends it, and so does [`abort`](Self::abort).
///
/// **Dropped, it is aborted**: the abort goes out at once, and the producer's next
/// [`begin`](super::TransactionalProducer::begin) waits for it.
#[derive(Debug)]
#[must_use = "dropped, it is aborted"]
pub struct Transaction<'a> {
    intake: Intake,
    number: TransactionNumber,
    /// Its end was asked for.
    ends: bool,
    producer: PhantomData<&'a mut super::TransactionalProducer>,
}

/// Sends into a transaction from another task. It refuses records once the transaction has ended.
#[derive(Debug, Clone)]
pub struct TransactionSender(Intake);

impl TransactionSender {
    /// As [`Transaction::send`].
    ///
    /// # Errors
    ///
    /// As there; [`SendErrorKind::NoTransaction`](crate::error::SendErrorKind::NoTransaction) once it has ended.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, SendError> {
        self.0.send(record).await
    }

    /// As [`Transaction::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send<'r>(&self, record: ProducerRecord<'r>) -> Result<Delivery, TrySendError<'r>> {
        self.0.try_send(record)
    }
}

impl Transaction<'_> {
    pub(super) fn new(
        number: TransactionNumber,
        shared: &Arc<Shared<Machine>>,
        interceptors: &Interceptors,
    ) -> Self {
        let (shared, interceptors) = (shared.clone(), interceptors.clone());
        let intake = Intake { shared, into: Some(number), interceptors };
        Self { intake, number, ends: false, producer: PhantomData }
    }

    /// Puts a record into the buffer, as [`Producer::send`](crate::Producer::send) does. The commit waits for its delivery,
    /// so nobody else has to: the [`Delivery`] may be dropped.
    ///
    /// Cancel-safe: dropped before it has returned, the record is not sent.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the record was not taken, and is no part of the transaction, which may go on without it. A record
    /// that was taken and is not delivered has the transaction aborted: the commit says why.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, SendError> {
        self.intake.send(record).await
    }

    /// Puts a record into the buffer, or gives it back where that cannot be done at once.
    ///
    /// # Errors
    ///
    /// [`TrySendError::NotNow`] with the record; [`TrySendError::Failed`] as [`send`](Self::send).
    pub fn try_send<'r>(&self, record: ProducerRecord<'r>) -> Result<Delivery, TrySendError<'r>> {
        self.intake.try_send(record)
    }

    /// For other tasks, to send into this transaction as long as it is open.
    pub fn sender(&self) -> TransactionSender {
        TransactionSender(self.intake.clone())
    }

    /// Commits these offsets of a group with the transaction (KIP-447): the next to be read, each, as
    /// [`Consumer::position`](crate::Consumer::position) has it. `group` is what
    /// [`Consumer::group_metadata`](crate::Consumer::group_metadata) says *after* the records were received: a member
    /// that has lost its partitions since is refused, so that nobody's work is committed twice.
    ///
    /// The consumer must not commit them by itself: build it with `enable_auto_commit(false)`.
    ///
    /// Offsets that were made of records are of those records' topic, and are refused once that is gone, as by
    /// [`Consumer::commit_offsets`](crate::Consumer::commit_offsets). Coordinators that are named topics by their ids
    /// (TxnOffsetCommit 6, Kafka 4.4) are sure of it. For older ones metadata is compared: to a topic that was made anew after
    /// that, and before the coordinator takes the offsets, they are committed.
    ///
    /// Dropped, the future leaves them a part of the transaction all the same.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Aborted`]: the group has gone on without the member, or does not take them; the transaction
    /// cannot be committed. [`TransactionError::Fatal`]: the producer is of no use any more.
    pub async fn send_offsets<P, O>(
        &self,
        offsets: impl IntoIterator<Item = (P, O)>,
        group: &GroupMetadata,
    ) -> Result<(), TransactionError>
    where
        P: Into<TopicPartition>,
        O: Into<CommittedOffset>,
    {
        let offsets: Vec<_> = offsets.into_iter().map(|(at, offset)| (at.into(), offset.into())).collect();
        let shared = &self.intake.shared;
        let ticket = shared
            .with(|machine, now| machine.send_offsets(self.number, offsets, group.clone(), now))
            .map_err(|refused| TransactionError::from(*refused))?;
        Ok(shared.wait(|machine, _| machine.take_offsets(ticket)).await.map_err(FatalError::from)??)
    }

    /// Why the transaction can only be aborted, where that is known by now.
    pub fn failure(&self) -> Option<TransactionError> {
        self.intake.shared.inspect(|machine| machine.doom()).map(TransactionError::from)
    }

    /// Waits until all of it is delivered, and commits it. A transaction without records and offsets is not told to
    /// anybody.
    ///
    /// Dropped, the future leaves the commit under way: it is carried through, and the next `begin` waits for it.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Aborted`]: it is not committed, nor will it be, and it is being aborted.
    /// [`TransactionError::Fatal`]: the producer is of no use any more; the error says where the commit may have
    /// happened. [`TransactionError::Unanswered`]: not known yet after `max_block`; the commit goes on, and the next
    /// `begin` waits for it.
    pub async fn commit(self) -> Result<(), TransactionError> {
        self.end(End::Commit).await
    }

    /// Aborts it: none of its records will be read by consumers of `read_committed`, and its offsets are not committed.
    ///
    /// Dropped, the future leaves the abort under way, and the next `begin` waits for it.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Fatal`]: the producer is of no use any more. [`TransactionError::Unanswered`]: not known yet
    /// after `max_block`; the abort goes on.
    pub async fn abort(self) -> Result<(), TransactionError> {
        self.end(End::Abort).await
    }

    /// Commits, and waits for the outcome as long as it takes.
    pub(crate) async fn commit_for_certain(mut self) -> Result<(), TransactionError> {
        self.begin_end(End::Commit);
        loop {
            match self.ended().await {
                Err(TransactionError::Unanswered(_)) => {}
                outcome => return outcome,
            }
        }
    }

    async fn end(mut self, end: End) -> Result<(), TransactionError> {
        self.begin_end(end);
        self.ended().await
    }

    fn begin_end(&mut self, end: End) {
        self.ends = true;
        self.intake.shared.with(|machine, _| match end {
            End::Commit => machine.commit(self.number),
            End::Abort => machine.abort(self.number),
        });
    }

    /// The outcome, or that it is not known after `max_block`.
    async fn ended(&self) -> Result<(), TransactionError> {
        let (number, since) = (self.number, clock::now().mono);
        let ended = self.intake.shared.wait(|machine, now| machine.ended(number, since, now));
        ended.await.map_err(FatalError::from)??;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ends {
            self.intake.shared.with(|machine, _| machine.abort(self.number));
        }
    }
}
