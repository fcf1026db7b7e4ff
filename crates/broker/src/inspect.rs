//! What tests and the simulation look at, besides what clients see.

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, Now};

use crate::{
    ClientMetrics, Cluster, PushedMetrics, Refusal,
    planted::Plot,
    storage::Entry,
    topics::{TopicKey, check_name},
};

/// The protocol that the members of a group speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// The classic one.
    Classic,
    /// That of KIP-848; there may be classic members too.
    Consumer,
}

impl GroupKind {
    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// A group as its coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// The protocol.
    pub kind: GroupKind,
    /// Kafka's name of its state, such as `Stable`.
    pub state: &'static str,
    /// The generation, or the group's epoch.
    pub generation_id: i32,
    /// What its members agreed on, such as `range`, or the coordinator's own assignor.
    pub protocol: Option<String>,
    /// The member id of the leader, in a classic group.
    pub leader: Option<String>,
    /// Its members, in the order of their ids.
    pub members: Vec<MemberView>,
    /// How many were given an id and have not joined with it: a rebalance waits for them.
    pub pending: usize,
}

/// A member of a [`GroupView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Its member epoch; the generation in a classic group.
    pub epoch: i32,
    /// The partitions that are its alone: what it was assigned and what it has not given up yet. In a classic group
    /// what the leader assigned to it in this generation, as far as that can be read.
    pub owned: Vec<(String, i32)>,
    /// Those of them that it has been asked to give up.
    pub revoking: Vec<(String, i32)>,
    /// What the leader of a classic group assigned to it in this generation, as bytes; empty while it has not.
    pub assignment: Vec<u8>,
}

/// A transactional id as its coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// Kafka's name of its state, such as `Ongoing`.
    pub state: &'static str,
    /// The producer that has it.
    pub producer_id: i64,
    /// The epoch of that producer.
    pub producer_epoch: i16,
    /// The partitions of its transaction; those of `__consumer_offsets` stand for groups.
    pub partitions: Vec<(String, i32)>,
}

impl Cluster {
    /// The names of all topics, with the number of their partitions.
    pub fn topics(&self) -> impl Iterator<Item = (&str, usize)> {
        self.topics.iter().map(|(name, topic)| (name, topic.partitions.len()))
    }

    /// The last metrics that clients pushed, the oldest first.
    pub fn pushed_metrics(&self) -> impl Iterator<Item = &PushedMetrics> {
        self.pushed.iter()
    }

    /// Asks clients for these metrics from now on. Without effect where [`Config::client_metrics`](crate::Config::client_metrics) had none, as clients were not told.
    pub fn ask_for_metrics(&mut self, wanted: ClientMetrics) {
        if let Some(client_metrics) = &mut self.config.client_metrics {
            *client_metrics = wanted;
        }
    }

    /// The broker that leads a partition, and the leader epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        self.topics.partition(topic, partition).map(|partition| (partition.leader, partition.leader_epoch))
    }

    /// The offset that the next record of a partition gets.
    pub fn log_end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.partition(topic, partition).map(|partition| partition.log.end_offset())
    }

    /// The offset up to which nothing of a partition is in an open transaction.
    pub fn last_stable_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.partition(topic, partition).map(|partition| partition.last_stable_offset(Plot::default()))
    }

    /// The first offset of a partition that may be read.
    pub fn log_start_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.partition(topic, partition).map(|partition| partition.log.start_offset())
    }

    /// All batches of a partition, as a consumer would get them: the first may begin before the log does.
    pub fn log(&self, topic: &str, partition: i32) -> Option<Vec<u8>> {
        self.log_from(topic, partition, 0)
    }

    /// The same from the batch on that holds an offset.
    pub fn log_from(&self, topic: &str, partition: i32, offset: i64) -> Option<Vec<u8>> {
        let log = &self.topics.partition(topic, partition)?.log;
        Some(log.read(offset, log.end_offset(), usize::MAX, true))
    }

    /// Moves a partition's log start offset forward, up to the log's end at most, as retention and DeleteRecords do: what
    /// lies before it cannot be read any more. Returns the log start offset then.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: i64, now: Now) -> Option<i64> {
        let start = self.start_log_at(topic, partition, before).ok()?;
        self.run(now);
        Some(start)
    }

    /// Returns the offset that the log begins at then.
    pub(crate) fn start_log_at(&mut self, topic: &str, partition: i32, offset: i64) -> Result<i64, Refusal> {
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, "");
        let id = self.topics.find(topic).ok_or_else(unknown)?.id;
        self.topics.partition(topic, partition).ok_or_else(unknown)?;
        self.keep(Entry::LogStart { topic: id, partition, offset })?;
        self.log_start_offset(topic, partition).ok_or_else(unknown)
    }

    /// Appends a batch as a producer's request would, and returns its base offset.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as to a producer: no such partition, or a batch that is damaged or too large.
    pub fn append(&mut self, topic: &str, partition: i32, batch: &[u8], now: Now) -> Result<i64, Refusal> {
        check_name(topic)?;
        let appended = self.append_batch(&TopicKey::Name(topic.into()), partition, batch, None, now)?;
        self.run(now);
        Ok(appended.base_offset)
    }

    /// Appends a batch that no producer can send, and returns its base offset: one that offsets are missing from, as compaction
    /// leaves it, or a marker. `None` where there is no such partition, or the batch is not whole.
    #[cfg(feature = "planted")]
    pub fn append_as_it_is(&mut self, topic: &str, partition: i32, batch: &[u8], now: Now) -> Option<i64> {
        let id = self.topics.find(topic)?.id;
        let base_offset = self.log_end_offset(topic, partition)?;
        self.keep(Entry::Batch { topic: id, partition, bytes: batch.to_vec() }).ok()?;
        self.run(now);
        Some(base_offset)
    }

    /// The transactional ids that producers have asked for.
    pub fn transactional_ids(&self) -> impl Iterator<Item = &str> {
        self.transactions.iter().map(|(id, _)| id)
    }

    /// A transactional id as its coordinator sees it.
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionView> {
        self.transactions.find(transactional_id).map(|found| TransactionView {
            state: found.state.name(),
            producer_id: found.identity.id,
            producer_epoch: found.identity.epoch,
            partitions: found.places.iter().cloned().collect(),
        })
    }

    /// The finalized level of `transaction.version` is this from now on, as after `kafka-features upgrade`. Clients are told when they
    /// connect. Nothing where the brokers' versions have no such feature.
    pub fn set_transaction_version(&mut self, level: i16) {
        self.transactions.version = Some(level);
    }

    /// The ids of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(id, _)| id)
    }

    /// A group as its coordinator sees it.
    pub fn group(&self, id: &str) -> Option<GroupView> {
        self.groups.find(id).map(|group| group.view(&self.topics))
    }

    /// What a group committed, by topic and partition; empty for a group that is not there.
    pub fn committed(&self, group: &str) -> BTreeMap<(String, i32), i64> {
        let offsets = self.groups.find(group).map(|group| group.offsets.iter());
        offsets.into_iter().flatten().map(|(at, committed)| (at.clone(), committed.offset)).collect()
    }

    /// What a group wrote beside the offset that it committed for a partition.
    pub fn committed_metadata(&self, group: &str, topic: &str, partition: i32) -> Option<&str> {
        let offsets = &self.groups.find(group)?.offsets;
        offsets.get(&(topic.to_owned(), partition)).map(|committed| committed.metadata.as_str())
    }
}
