//! Transactions: records, and the offsets of what they were made from, that appear as a whole or not at all.

mod failure;
mod transaction;
mod transform;

use std::{sync::Arc, time::Duration};

use ottla_core::{Cause, Machine as _};

pub use transaction::{Transaction, TransactionSender};
pub use transform::TransformError;

use super::{Interceptors, Machine, producer_of};
use crate::{
    config::ProducerBuilder,
    error::{BuildError, BuildErrorKind, Details as _, FatalError, SendError, TransactionError},
    handle::Handle,
    net::clock,
    shared::Shared,
};

/// A producer of transactions (KIP-98, KIP-447, KIP-890): what one commits is read by consumers of `read_committed` as a
/// whole, and what it aborts never.
///
/// One transaction is open at a time, which the borrow of [`begin`](Self::begin) sees to: a record cannot be sent outside
/// one, nor after its end, and no two can overlap. Whoever writes from several tasks gives them a
/// [`sender`](Transaction::sender).
///
/// ```no_run
/// use ottla::producer::{ProducerRecord, TransactionalProducer};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut producer = TransactionalProducer::builder()
///     .bootstrap_servers(["localhost:9092"])
///     .transactional_id("billing-1")
///     .build_transactional()
///     .await?;
/// let transaction = producer.begin().await?;
/// transaction.send(ProducerRecord::to("debits").key("alice").value("-5")).await?;
/// transaction.send(ProducerRecord::to("credits").key("bob").value("5")).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// Each instance of a program has a `transactional.id` of its own, and keeps it over restarts: a newer producer with the
/// same id fences the older one, whose transaction is then aborted.
///
/// Which of Kafka's two flows is used is decided by the cluster: where its finalized `transaction.version` is at least 2,
/// brokers add partitions by themselves and each end raises the epoch (KIP-890); elsewhere the older flow is used, with
/// its request versions.
#[derive(Debug)]
pub struct TransactionalProducer {
    shared: Arc<Shared<Machine>>,
    handle: Arc<Handle<Machine>>,
    delivery_timeout: Duration,
    interceptors: Interceptors,
}

impl ProducerBuilder {
    /// As [`build`](Self::build), for a producer of transactions: claims the `transactional.id`, too, which fences
    /// older producers with the same one and aborts their transaction. Java's `initTransactions` is a part of it.
    /// Dropped, the future leaves nothing behind but such a claim.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: what is wrong with the configuration, which broker could not be reached for how long, or why the
    /// coordinator refuses the id.
    pub async fn build_transactional(self) -> Result<TransactionalProducer, BuildError> {
        let config = self.parse()?;
        if config.transactions.is_none() {
            return Err(BuildError::new(BuildErrorKind::MissingProperty).property("transactional.id"));
        }
        let handle = producer_of(&config).await?;
        let shared = handle.shared().clone();
        let since = clock::now().mono;
        shared.wait(|machine, now| machine.started(since, now)).await?.map_err(failure::of_build)?;
        let (delivery_timeout, interceptors) = (config.delivery_timeout, config.interceptors);
        Ok(TransactionalProducer { shared, handle, delivery_timeout, interceptors })
    }
}

impl TransactionalProducer {
    /// Sets up a producer. Required are `bootstrap_servers` and `transactional_id`.
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder::default()
    }

    /// Begins a transaction. Nothing is sent for it: the first record begins it at the brokers, and from then on it has
    /// [`transaction_timeout`](ProducerBuilder::transaction_timeout) to end.
    ///
    /// The one before has to have ended: waits for a commit or an abort that is under way, because nobody waited for
    /// it, or its [`Transaction`] was dropped.
    ///
    /// Cancel-safe: dropped, no transaction has begun.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Fatal`]: no transaction begins any more. [`TransactionError::Unanswered`]: the coordinator
    /// has not answered the end of the one before for `max_block`; begin again.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, TransactionError> {
        let since = clock::now().mono;
        let begun =
            self.shared.wait(|machine, now| machine.begin(since, now)).await.map_err(FatalError::from)?;
        Ok(Transaction::new(begun?, &self.shared, &self.interceptors))
    }

    /// What stands in the way of records, offsets and the transaction's end: empty where nothing does. Cheap, and at any
    /// time.
    pub fn explain(&self) -> Vec<Cause> {
        self.shared.inspect(|machine| machine.obstacles(clock::now()))
    }

    /// Ends, with the connections: waits for a commit or an abort that is under way, `delivery_timeout` at the most.
    /// **Dropped instead, the producer leaves such a one to its coordinator**, which aborts it after the transaction's
    /// time-out, if a commit has not come to it before.
    ///
    /// Dropped, the future gives up as a drop of the producer does.
    ///
    /// # Errors
    ///
    /// None for now: what becomes of a transaction is told by its own calls.
    pub async fn close(self) -> Result<(), SendError> {
        self.shared.with(|machine, now| machine.close(now.mono + self.delivery_timeout));
        self.handle.join().await;
        Ok(())
    }

    /// Whether the producer can begin another transaction, as far as is known.
    pub fn is_usable(&self) -> bool {
        let failed = |machine: &Machine| {
            machine.is_closed()
                || matches!(machine.doom(), Some(ottla_core::producer::TransactionFailure::Fatal(_)))
        };
        !self.shared.is_ended() && !self.shared.inspect(failed)
    }
}
