//! Looks at a cluster: its topics, groups, transactions and configurations; and changes them.
//!
//! ```no_run
//! use ottla::admin::{Admin, NewTopic};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let admin = Admin::builder().bootstrap_servers(["localhost:9092"]).build().await?;
//! admin.create_topic(NewTopic::new("orders").partitions(12)).await?;
//! for (name, topic) in admin.list_topics().await? {
//!     println!("{name}: {} partitions", topic.partitions.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every operation is tried again where an error may pass, `default_api_timeout` at the most. Where one concerns
//! several topics, groups or partitions, each has its own result. Futures may be dropped: a question is forgotten
//! then, a change that was sent is made all the same.
//!
//! # Errors
//!
//! Any operation may fail as a whole: no broker was reached, or answered, within `default_api_timeout`
//! ([`AdminErrorKind::TimedOut`]), the brokers do not speak what it needs ([`AdminErrorKind::Unsupported`]), one refused
//! ([`AdminErrorKind::Broker`], with its code), or the client was closed ([`AdminErrorKind::Closed`]). What else may
//! become of it stands at each.

mod configs;
mod failure;
mod groups;
mod lag;
mod transactions;

use std::{collections::BTreeMap, sync::Arc};

use ottla_core::admin as core;
pub use ottla_core::{
    Address, Cause, CommittedOffset, Node, NodeId, OffsetAndTimestamp, Partition, Topic, TopicPartition,
    admin::{
        AbortTransaction, BrokerVersions, Cluster, ConfigChange, ConfigEntry, ConfigResource, ConfigSource,
        Coordinator, EligibleLeaders, GroupDescription, GroupKind, GroupListing, MemberDescription,
        MemberToRemove, NewTopic, OffsetSpec, ProducerState, RecordsBefore, ShareOffset, StreamsMember,
        StreamsTasks, TransactionDescription, TransactionListing,
    },
};
use ottla_core::{IsolationLevel, OpId, admin::Operation};
pub use ottla_protocol::TopicId;

pub use self::lag::{GroupLags, LogRange};

use crate::{
    config::{AdminBuilder, Names},
    driver::Driver,
    error::{AclOperation, AdminError, AdminErrorKind, BuildError, BuildErrorKind, Details as _},
    handle::Handle,
    net::{clock, frame_pool::Frame},
    reach::reach,
    shared::Shared,
};

type Machine = core::Admin<Arc<Frame>>;

/// An admin client, for as many tasks as like to use it: its clones share one set of connections, and one thread.
///
/// To [`close`](Self::close) one closes it for all of them. A clone that is dropped changes nothing; the last one gives up
/// what is under way.
#[derive(Debug, Clone)]
pub struct Admin {
    shared: Arc<Shared<Machine>>,
    handle: Arc<Handle<Machine>>,
}

impl AdminBuilder {
    /// Checks the configuration, starts the client, and waits until a broker answers,
    /// [`default_api_timeout`](Self::default_api_timeout) at the most; without [`wait_for_broker`](Self::wait_for_broker)
    /// for nothing. Dropped, the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: what is wrong with the configuration, or which broker could not be reached for how long.
    pub async fn build(self) -> Result<Admin, BuildError> {
        let config = self.parse()?;
        let machine = Machine::new(
            config.machine(),
            config.common.bootstrap_servers.clone(),
            fastrand::u64(..),
            clock::now(),
        );
        let driver = Driver::spawn(machine, config.driver())
            .map_err(|error| BuildError::new(BuildErrorKind::Driver).because(error))?;
        let handle = Handle::new(driver, |machine, _| machine.close());
        let admin = Admin { shared: handle.shared().clone(), handle };
        reach(&admin.shared, Machine::metadata, &config.common).await?;
        Ok(admin)
    }
}

/// Forgets an operation that nobody waits for any more.
struct Waiting<'a> {
    shared: &'a Shared<Machine>,
    op: OpId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.with(|machine, _| machine.forget(self.op));
    }
}

/// One result for each name, or partition, that was asked for.
type Each<K, T> = BTreeMap<K, Result<T, AdminError>>;

impl Admin {
    /// Sets up an admin client. Required is `bootstrap_servers`.
    pub fn builder() -> AdminBuilder {
        AdminBuilder::default()
    }

    /// The cluster's id, its brokers, and which of them is the controller.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors).
    pub async fn describe_cluster(&self) -> Result<Cluster, AdminError> {
        self.run(core::DescribeCluster).await
    }

    /// What these brokers speak, and the features that the cluster has, as each of them tells.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a broker by itself [`AdminErrorKind::Broker`] with BROKER_NOT_AVAILABLE
    /// where the cluster has none such, or [`AdminErrorKind::TimedOut`] where it does not answer.
    pub async fn describe_versions(
        &self,
        brokers: impl IntoIterator<Item = NodeId>,
    ) -> Result<Each<NodeId, BrokerVersions>, AdminError> {
        let described = self.run(core::DescribeVersions(brokers.into_iter().collect())).await?;
        Ok(described.into_iter().map(|(node, told)| (node, told.map_err(AdminError::from))).collect())
    }

    /// Every topic, those that Kafka made for itself too ([`Topic::internal`]).
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors). A topic that cannot be told has its [`Topic::error`].
    pub async fn list_topics(&self) -> Result<BTreeMap<String, Topic>, AdminError> {
        self.run(core::DescribeTopics::All).await
    }

    /// This topic, or these, with their partitions. None is created by being asked for.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a topic by itself [`AdminErrorKind::UnknownTopic`], or a
    /// broker's refusal.
    pub async fn describe_topics<Kind>(
        &self,
        names: impl Names<Kind>,
    ) -> Result<Each<String, Topic>, AdminError> {
        let names = names.into_names();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let described = self.run(core::DescribeTopics::Named(names)).await?;
        let each = |(name, topic): (String, Topic)| {
            let result = topic.error.ok().map_err(|error| failure::of_topic(&name, error));
            (name, result.map(|()| topic))
        };
        Ok(described.into_iter().map(each).collect())
    }

    /// Which replicas of each partition of these topics may lead it although they are not in sync (KIP-966).
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a topic by itself as of
    /// [`describe_topics`](Self::describe_topics), and [`AdminErrorKind::Unsupported`] by brokers before Kafka 3.7.
    pub async fn eligible_leaders<Kind>(
        &self,
        names: impl Names<Kind>,
    ) -> Result<Each<String, BTreeMap<i32, EligibleLeaders>>, AdminError> {
        let described =
            self.run(core::DescribeEligibleLeaders(names.into_names().into_iter().collect())).await?;
        let told = |(name, result): (String, Result<_, core::Failure>)| {
            let result = result
                .map_err(|failure| AdminError::from(failure).needs(AclOperation::Describe).topic(&name));
            (name, result)
        };
        Ok(described.into_iter().map(told).collect())
    }

    /// Creates a topic. When it returns, the controller has created it; brokers that are asked next may not have heard
    /// of it yet.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); [`AdminErrorKind::TopicExists`], or
    /// [`AdminErrorKind::InvalidRequest`] where its name, its numbers or its configuration are refused.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<(), AdminError> {
        let name = topic.name.clone();
        self.change_one(
            name,
            core::CreateTopics { topics: vec![topic], validate_only: false },
            AclOperation::Create,
        )
        .await
    }

    /// Creates topics.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of each as of [`create_topic`](Self::create_topic).
    pub async fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<Each<String, ()>, AdminError> {
        let topics = topics.into_iter().collect();
        self.change(core::CreateTopics { topics, validate_only: false }, AclOperation::Create).await
    }

    /// Tells whether these topics could be created, and creates none.
    ///
    /// # Errors
    ///
    /// As [`create_topics`](Self::create_topics).
    pub async fn validate_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<Each<String, ()>, AdminError> {
        let topics = topics.into_iter().collect();
        self.change(core::CreateTopics { topics, validate_only: true }, AclOperation::Create).await
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); [`AdminErrorKind::UnknownTopic`], or a broker's refusal, as
    /// where `delete.topic.enable` is false.
    pub async fn delete_topic(&self, name: impl Into<String>) -> Result<(), AdminError> {
        let name = name.into();
        self.change_one(name.clone(), core::DeleteTopics(vec![name]), AclOperation::Delete).await
    }

    /// Deletes a topic, or several, with all their records.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of each as of [`delete_topic`](Self::delete_topic).
    pub async fn delete_topics<Kind>(&self, names: impl Names<Kind>) -> Result<Each<String, ()>, AdminError> {
        self.change(core::DeleteTopics(names.into_names()), AclOperation::Delete).await
    }

    /// Gives a topic more partitions: `count` is how many it has then. Keys go to other partitions from there on.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); [`AdminErrorKind::UnknownTopic`], or
    /// [`AdminErrorKind::InvalidRequest`] where `count` is not more than it has.
    pub async fn create_partitions(&self, topic: impl Into<String>, count: i32) -> Result<(), AdminError> {
        let topic = topic.into();
        let counts = BTreeMap::from([(topic.clone(), count)]);
        self.change_one(topic, core::CreatePartitions(counts), AclOperation::Alter).await
    }

    /// Offsets in the logs of partitions, as readers of uncommitted records see them; `None` where no record has the
    /// timestamp asked for, or a later one.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a partition by itself [`AdminErrorKind::UnknownTopic`], also
    /// where its topic has no such partition, a refusal, or [`AdminErrorKind::TimedOut`] where it has no leader, or its
    /// leader does not answer.
    pub async fn list_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = (P, OffsetSpec)>,
    ) -> Result<Each<TopicPartition, Option<OffsetAndTimestamp>>, AdminError> {
        self.list_offsets_for(IsolationLevel::ReadUncommitted, partitions).await
    }

    /// Offsets in the logs of partitions, as readers of this isolation level see them: for `read_committed` the latest
    /// offset is the last stable one, and a record behind it has no timestamp yet. As Java's `ListOffsetsOptions`.
    ///
    /// # Errors
    ///
    /// As [`list_offsets`](Self::list_offsets).
    pub async fn list_offsets_for<P: Into<TopicPartition>>(
        &self,
        isolation: IsolationLevel,
        partitions: impl IntoIterator<Item = (P, OffsetSpec)>,
    ) -> Result<Each<TopicPartition, Option<OffsetAndTimestamp>>, AdminError> {
        let partitions = partitions.into_iter().map(|(at, spec)| (at.into(), spec)).collect();
        let listed = self.run(core::ListOffsets { partitions, isolation }).await?;
        Ok(by_partition(listed, AclOperation::Describe))
    }

    /// How many bytes the logs of partitions take on the disks of their leaders (KIP-113): whole segments, also what is deleted of
    /// the first, and what their followers do not have yet. It needs the right to describe the cluster.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a partition by itself as [`list_offsets`](Self::list_offsets).
    pub async fn log_sizes<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Each<TopicPartition, u64>, AdminError> {
        let partitions = partitions.into_iter().map(Into::into).collect();
        Ok(by_partition(self.run(core::DescribeLogSizes(partitions)).await?, AclOperation::Describe))
    }

    /// Deletes the records of partitions before an offset, and tells where each log begins then. A consumer whose position
    /// lies before it is reset by its `auto.offset.reset`.
    ///
    /// # Errors
    ///
    /// [`AdminError`]: as [any operation](self#errors); of a partition by itself as [`list_offsets`](Self::list_offsets), and
    /// [`AdminErrorKind::Broker`] with OFFSET_OUT_OF_RANGE where the offset is none, or behind the high watermark.
    pub async fn delete_records<P: Into<TopicPartition>, B: Into<RecordsBefore>>(
        &self,
        partitions: impl IntoIterator<Item = (P, B)>,
    ) -> Result<Each<TopicPartition, i64>, AdminError> {
        let partitions = partitions.into_iter().map(|(at, before)| (at.into(), before.into())).collect();
        let deleted = self.run(core::DeleteRecords(partitions)).await?;
        Ok(by_partition(deleted, AclOperation::Delete))
    }

    /// What stands in the way of the operations under way: empty where nothing does. Cheap, and at any time.
    pub fn explain(&self) -> Vec<Cause> {
        self.shared.inspect(Machine::obstacles)
    }

    /// Closes the client, and waits until it is. Its clones are closed with it: what they have under way fails with
    /// [`AdminErrorKind::Closed`], and so do their later calls. Closed already, it returns at once.
    pub async fn close(self) {
        self.shared.with(|machine, _| machine.close());
        self.handle.join().await;
    }

    async fn change<O>(&self, operation: O, needs: AclOperation) -> Result<Each<String, ()>, AdminError>
    where
        O: Operation<Outcome = core::TopicChanges>,
    {
        let changes = self.run(operation).await?;
        let each = |(topic, result): (String, Result<(), core::Refusal>)| {
            let result = result.map_err(|refusal| failure::of_change(&topic, refusal).needs(needs));
            (topic, result)
        };
        Ok(changes.into_iter().map(each).collect())
    }

    /// A change of one topic.
    async fn change_one<O>(&self, topic: String, operation: O, needs: AclOperation) -> Result<(), AdminError>
    where
        O: Operation<Outcome = core::TopicChanges>,
    {
        let silent =
            || AdminError::new(AdminErrorKind::Broker).detail("the broker left the topic out of its answer");
        let only = |each: Each<String, ()>| each.into_values().next().unwrap_or_else(|| Err(silent()));
        self.change(operation, needs).await.and_then(only).map_err(|error| error.topic(topic))
    }

    async fn run<O: Operation>(&self, operation: O) -> Result<O::Outcome, AdminError> {
        let begun = self.shared.with(|machine, now| machine.start(operation, now));
        let waiting = Waiting { shared: &self.shared, op: begun.op() };
        let result = self.shared.wait(|machine, _| machine.take_result(&begun)).await;
        drop(waiting);
        result?.map_err(AdminError::from)
    }
}

/// What became of each partition, where what is asked `needs` this of its topic.
fn by_partition<T>(
    each: BTreeMap<TopicPartition, Result<T, core::Failure>>,
    needs: AclOperation,
) -> Each<TopicPartition, T> {
    let told = |(at, result): (TopicPartition, Result<T, _>)| {
        let result = result.map_err(|failure| failure::of_partition(&at, failure).needs(needs));
        (at, result)
    };
    each.into_iter().map(told).collect()
}
