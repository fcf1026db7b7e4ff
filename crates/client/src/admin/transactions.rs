//! Transactions: which there are, what they hold, and how one that hangs is ended.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::admin::{self as core, Failure};

use super::{
    AbortTransaction, Admin, Each, ProducerState, TopicPartition, TransactionDescription, TransactionListing,
    by_partition,
};
use crate::{
    config::Names,
    error::{AclOperation, AdminError, Details as _},
};

impl Admin {
    /// Every transactional id, asked of every broker.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors), and where one broker alone does not answer.
    pub async fn list_transactions(&self) -> Result<BTreeMap<String, TransactionListing>, AdminError> {
        self.run(core::ListTransactions::default()).await
    }

    /// Those whose transaction has been open for longer than this. It needs Kafka 3.8 or newer (KIP-994).
    ///
    /// # Errors
    ///
    /// As [`list_transactions`](Self::list_transactions).
    pub async fn list_transactions_open_for(
        &self,
        time: Duration,
    ) -> Result<BTreeMap<String, TransactionListing>, AdminError> {
        self.run(core::ListTransactions { open_for: Some(time), ..Default::default() }).await
    }

    /// This transactional id, or these, with the partitions that are in their transactions.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of an id by itself
    /// [`AdminErrorKind::Broker`](crate::error::AdminErrorKind::Broker) with TRANSACTIONAL_ID_NOT_FOUND, or another refusal.
    pub async fn describe_transactions<Kind>(
        &self,
        ids: impl Names<Kind>,
    ) -> Result<Each<String, TransactionDescription>, AdminError> {
        let ids = ids.into_names().into_iter().collect();
        let described = self.run(core::DescribeTransactions(ids)).await?;
        let each = |(id, result): (String, Result<TransactionDescription, Failure>)| {
            let refused = |failure| {
                let error = AdminError::from(failure).needs(AclOperation::Describe);
                error.detail_before(format!("transactional id `{id}`"))
            };
            let result = result.map_err(refused);
            (id, result)
        };
        Ok(described.into_iter().map(each).collect())
    }

    /// The producers with ids that have written to these partitions lately, and what they have open there. With
    /// [`abort_transaction`](Self::abort_transaction) it ends a transaction that its coordinator has forgotten.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); of a partition by itself as
    /// [`list_offsets`](Self::list_offsets).
    pub async fn describe_producers<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Each<TopicPartition, Vec<ProducerState>>, AdminError> {
        let partitions = partitions.into_iter().map(Into::into).collect();
        Ok(by_partition(self.run(core::DescribeProducers(partitions)).await?, AclOperation::Read))
    }

    /// Ends what a producer has open in one partition with an abort marker, so that readers of committed records can go on. The
    /// coordinator of the transactional id is not asked: use it where a transaction hangs, which
    /// [`describe_producers`](Self::describe_producers) shows and [`list_transactions`](Self::list_transactions) does not.
    /// A producer that lives is cut short by it in the midst of its transaction.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](super#errors); [`AdminErrorKind::Broker`](crate::error::AdminErrorKind::Broker) with
    /// INVALID_PRODUCER_EPOCH or TRANSACTION_COORDINATOR_FENCED where an epoch is not that of what is open.
    pub async fn abort_transaction(&self, abort: AbortTransaction) -> Result<(), AdminError> {
        let at = abort.partition.clone();
        let aborted = self.run(abort).await;
        aborted.map_err(|error| error.partition(at).needs(AclOperation::Alter))
    }
}
