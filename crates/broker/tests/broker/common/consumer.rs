//! Members of the consumer protocol, each on a connection of its own.

use std::collections::BTreeMap;

use ottla_broker::ConnId;
use ottla_protocol::{ErrorCode, TopicId, messages::*};

use super::World;

/// A member that does what it is told when the test says so.
#[derive(Clone)]
pub struct Consumer {
    pub conn: ConnId,
    pub id: String,
    pub instance: Option<String>,
    pub topics: Option<Vec<String>>,
    pub regex: Option<String>,
    pub assignor: Option<String>,
    pub epoch: i32,
    /// What it has.
    pub owned: Vec<(TopicId, i32)>,
    /// What it was told to have.
    pub assigned: Vec<(TopicId, i32)>,
    pub rebalance_ms: i32,
}

impl Consumer {
    pub fn new(world: &mut World, id: &str) -> Self {
        let node = world.cluster.coordinator("g");
        Self {
            conn: world.connect(node),
            id: id.to_owned(),
            instance: None,
            topics: Some(vec!["t".to_owned()]),
            regex: None,
            assignor: None,
            epoch: 0,
            owned: Vec::new(),
            assigned: Vec::new(),
            rebalance_ms: 60_000,
        }
    }

    pub fn fixed(world: &mut World, id: &str, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::new(world, id) }
    }

    pub fn matching(world: &mut World, id: &str, regex: &str) -> Self {
        Self { topics: None, regex: Some(regex.to_owned()), ..Self::new(world, id) }
    }

    /// All that it could say.
    pub fn full(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            rebalance_timeout_ms: self.rebalance_ms,
            subscribed_topic_names: self.topics.clone(),
            subscribed_topic_regex: self.regex.clone(),
            server_assignor: self.assignor.clone(),
            topic_partitions: Some(listed(&self.owned)),
            ..Default::default()
        }
    }

    pub fn send(
        &mut self,
        world: &mut World,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let response = world.ask(self.conn, 1, request);
        response.error_code.ok()?;
        self.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let each = |topic: &ConsumerGroupHeartbeatTopicPartitions| {
                let id = topic.topic_id;
                topic.partitions.iter().map(move |index| (id, *index)).collect::<Vec<_>>()
            };
            self.assigned = assignment.topic_partitions.iter().flat_map(each).collect();
        }
        Ok(())
    }

    pub fn join(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        (self.epoch, self.owned) = (0, Vec::new());
        self.send(world, self.full())
    }

    /// A heartbeat that says nothing new: it does not say what it owns.
    pub fn idle(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            ..Default::default()
        };
        self.send(world, request)
    }

    /// Does what it was told, and says so.
    pub fn obey(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        self.owned = self.assigned.clone();
        let owned = Some(listed(&self.owned));
        let request = ConsumerGroupHeartbeatRequest {
            topic_partitions: owned,
            subscribed_topic_names: None,
            ..self.full()
        };
        self.send(world, request)
    }

    pub fn leave(&mut self, world: &mut World, epoch: i32) -> Result<(), ErrorCode> {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.full() };
        let answered = world.ask(self.conn, 1, request);
        answered.error_code.ok()
    }

    /// The indexes of the partitions that it was told to have, of whichever topic.
    pub fn indexes(&self) -> Vec<i32> {
        let mut indexes: Vec<i32> = self.assigned.iter().map(|(_, index)| *index).collect();
        indexes.sort_unstable();
        indexes
    }
}

fn listed(partitions: &[(TopicId, i32)]) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        topics.entry(*topic).or_default().push(*index);
    }
    let listed = |(topic_id, partitions)| ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions };
    topics.into_iter().map(listed).collect()
}

/// Heartbeats of all, who obey, until all is settled.
pub fn settle(world: &mut World, members: &mut [&mut Consumer]) {
    for _ in 0..4 {
        for member in &mut *members {
            member.obey(world).expect("a member");
        }
    }
    assert_eq!(super::group::view(world).state, "Stable");
}
