//! Exactly once, in one call: read, transform, write, and commit both the results and how far was read.

use std::{error::Error, fmt, time::Duration};

use ottla_core::bounded;
use tokio::time::Instant;

use super::{Transaction, TransactionalProducer};
use crate::{Consumer, GroupMetadata, Records, RecvError, TransactionError, error::FatalErrorKind};

/// Why records were not transformed. They are handed out again: the consumer is back where it was before, where the
/// partitions are still its own.
#[derive(Debug)]
pub enum TransformError<E> {
    /// The consumer commits by itself (`enable.auto.commit`), so its offsets would not be a part of the transaction.
    CommitsByItself,
    /// The consumer has no group whose offsets could be committed.
    NoGroup,
    /// No records could be received.
    Recv(RecvError),
    /// The work failed.
    Work(E),
    /// The group has taken partitions from the consumer since the records were received: others handle them.
    Lost,
    /// The transaction did not begin, or was not committed.
    Transaction(TransactionError),
}

impl<E> TransformError<E> {
    /// Whether the next call may succeed although nobody changes anything. What the work itself makes of a failure is
    /// for its caller to know.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::CommitsByItself | Self::NoGroup | Self::Work(_) => false,
            Self::Recv(error) => error.is_retriable(),
            Self::Lost => true,
            Self::Transaction(error) => error.is_retriable() || matches!(error, TransactionError::Aborted(_)),
        }
    }
}

impl<E: fmt::Display> fmt::Display for TransformError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommitsByItself => {
                f.write_str("the consumer commits by itself; build it with enable_auto_commit(false)")
            }
            Self::NoGroup => f.write_str("the consumer has no group to commit to; set group.id"),
            Self::Lost => f.write_str("partitions were lost since the records were received; call again"),
            Self::Recv(error) => error.fmt(f),
            Self::Work(error) => error.fmt(f),
            Self::Transaction(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: Error + 'static> Error for TransformError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CommitsByItself | Self::NoGroup | Self::Lost => None,
            Self::Recv(error) => error.source(),
            Self::Work(error) => error.source(),
            Self::Transaction(error) => error.source(),
        }
    }
}

impl<E> From<TransactionError> for TransformError<E> {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl TransactionalProducer {
    /// Receives records, for `timeout` at the most, has `work` write what it makes of them, and commits both what was
    /// written and how far was read, as one transaction (KIP-447). Returns how many records that were; none, where none
    /// came in time.
    ///
    /// A consumer of `read_committed` finds what was made of each record exactly once, whatever is killed: a transaction
    /// that is not committed never was, and its records are handed out again, here or to the member that has the partition
    /// by then.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use ottla::{Consumer, IsolationLevel, ProducerRecord, SendError, TransactionalProducer};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut consumer = Consumer::builder()
    ///     .bootstrap_servers(["localhost:9092"])
    ///     .group_id("doubler")
    ///     .enable_auto_commit(false)
    ///     .isolation_level(IsolationLevel::ReadCommitted)
    ///     .subscribe(["numbers"])
    ///     .build()
    ///     .await?;
    /// let mut producer = TransactionalProducer::builder()
    ///     .bootstrap_servers(["localhost:9092"])
    ///     .transactional_id("doubler-1")
    ///     .build_transactional()
    ///     .await?;
    /// while consumer.is_open() {
    ///     let round = producer.transform(&mut consumer, Duration::from_secs(1), async |records, transaction| {
    ///         for record in records {
    ///             let twice = record.value().unwrap_or_default().repeat(2);
    ///             transaction.send(ProducerRecord::to("doubled").key(record.key()).value(twice)).await?;
    ///         }
    ///         Ok::<_, SendError>(())
    ///     });
    ///     match round.await {
    ///         Ok(_) => {}
    ///         Err(error) if error.is_retriable() => eprintln!("{error}; again"),
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The group waits with a rebalance until the round is over, as long as that takes less than `max_poll_interval`; a
    /// member that took longer loses its partitions, and the round is then aborted.
    ///
    /// Not cancel-safe as far as records go: a future that is dropped has the transaction aborted, and records that were
    /// received are not handed out again before the partition is, or the consumer seeks back.
    ///
    /// # Errors
    ///
    /// [`TransformError`]: nothing was committed, unless the [`TransactionError`] in it says that it may have been. The end
    /// of a commit is waited for as long as it takes.
    pub async fn transform<E>(
        &mut self,
        consumer: &mut Consumer,
        timeout: Duration,
        work: impl AsyncFnOnce(&Records, &Transaction<'_>) -> Result<(), E>,
    ) -> Result<usize, TransformError<E>> {
        if consumer.commits_by_itself() {
            return Err(TransformError::CommitsByItself);
        }
        if consumer.group_metadata().is_none() {
            return Err(TransformError::NoGroup);
        }
        let transaction = self.begin().await?;
        let Some((since, records)) = received(consumer, timeout).await.map_err(TransformError::Recv)? else {
            return Ok(0);
        };
        let done = async {
            work(&records, &transaction).await.map_err(TransformError::Work)?;
            let offsets = consumer.offsets_of(&records, &since).ok_or(TransformError::Lost)?;
            transaction.send_offsets(offsets, &since).await?;
            Ok(transaction.commit_for_certain().await?)
        };
        match done.await {
            Ok(()) => {
                consumer.settle();
                Ok(records.len())
            }
            Err(error) => {
                match &error {
                    TransformError::Transaction(TransactionError::Fatal(fatal))
                        if fatal.kind() == FatalErrorKind::FencedInDoubt =>
                    {
                        consumer.back_to_committed(&records).await;
                    }
                    _ => consumer.take_back(&records),
                }
                Err(error)
            }
        }
    }
}

/// Records, and the member's place in its group when they were polled.
async fn received(
    consumer: &mut Consumer,
    timeout: Duration,
) -> Result<Option<(GroupMetadata, Records)>, RecvError> {
    let deadline = Instant::now() + bounded(timeout);
    loop {
        let before = consumer.group_metadata();
        let records = consumer.poll(deadline.saturating_duration_since(Instant::now())).await?;
        if records.is_empty() {
            return Ok(None);
        }
        let now = consumer.group_metadata();
        if before == now {
            return Ok(now.map(|since| (since, records)));
        }
        // The group went on meanwhile, before the records came or behind them. Nobody has seen them yet.
        consumer.take_back(&records);
    }
}
