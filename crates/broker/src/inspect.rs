//! What tests and the simulation look at, besides what clients see.

use std::collections::BTreeMap;

use ottla_protocol::Now;

use crate::{Cluster, Refusal, topics::check_name};

/// A group as its coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Kafka's name of its state, such as `Stable`.
    pub state: &'static str,
    /// The generation.
    pub generation_id: i32,
    /// What its members agreed on, such as `range`.
    pub protocol: Option<String>,
    /// The member id of the leader.
    pub leader: Option<String>,
    /// Its members, in the order of their ids.
    pub members: Vec<MemberView>,
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
    /// What the leader assigned to it in this generation, as bytes; empty while the leader has not.
    pub assignment: Vec<u8>,
}

impl Cluster {
    /// The names of all topics, with the number of their partitions.
    pub fn topics(&self) -> impl Iterator<Item = (&str, usize)> {
        self.topics.iter().map(|(name, topic)| (name, topic.partitions.len()))
    }

    /// The broker that leads a partition, and the leader epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        self.topics.partition(topic, partition).map(|partition| (partition.leader, partition.leader_epoch))
    }

    /// The offset that the next record of a partition gets.
    pub fn log_end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.partition(topic, partition).map(|partition| partition.log.end_offset())
    }

    /// All batches of a partition, as a consumer would get them.
    pub fn log(&self, topic: &str, partition: i32) -> Option<Vec<u8>> {
        self.topics.partition(topic, partition).map(|partition| partition.log.read(0, usize::MAX, true))
    }

    /// Appends a batch as a producer's request would, and returns its base offset.
    pub fn append(&mut self, topic: &str, partition: i32, batch: &[u8], now: Now) -> Result<i64, Refusal> {
        check_name(topic)?;
        let appended =
            self.append_batch(&crate::topics::TopicKey::Name(topic.into()), partition, batch, None, now)?;
        self.run(now);
        Ok(appended.base_offset)
    }

    /// The broker that coordinates a group.
    pub fn coordinator(&self, group: &str) -> i32 {
        self.coordinator_of(group)
    }

    /// The ids of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(id, _)| id)
    }

    /// A group as its coordinator sees it.
    pub fn group(&self, id: &str) -> Option<GroupView> {
        self.groups.find(id).map(|group| group.view())
    }

    /// What a group committed, by topic and partition.
    pub fn committed(&self, group: &str) -> BTreeMap<(String, i32), i64> {
        let offsets = self.groups.find(group).map(|group| group.offsets.iter());
        offsets.into_iter().flatten().map(|(at, committed)| (at.clone(), committed.offset)).collect()
    }
}
