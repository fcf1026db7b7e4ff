//! What is watched on the wire of one consumer: that its fetches serve all partitions of a broker, know nothing older than
//! before, and that its heartbeats come.

use std::time::Duration;

use ottla_core::{ConnId, NodeId, Reason, TopicPartition};
use ottla_protocol::{
    TopicId,
    messages::{FetchRequest, FetchResponse, OffsetForLeaderEpochRequest},
};

use crate::{
    dice::ms,
    member::Member,
    plan::{FLEETING, Plan},
    setup::HEARTBEAT_INTERVAL,
    stage::Stage,
    truth::Truth,
};

/// After so many answers for each partition of a broker one of them has been passed over.
const ROUNDS: usize = 2;

impl Member {
    /// What it asks tells what it knows of leaders.
    pub(super) fn check_leader_epochs(&mut self, fetch: &FetchRequest, stage: &mut Stage) {
        let metadata = self.host.machine.metadata();
        for topic in fetch.topics.iter().filter(|topic| topic.topic != FLEETING) {
            for partition in &topic.partitions {
                let key = (topic.topic_id, topic.topic.clone(), partition.partition);
                self.turns.asks_in(self.who, key, partition.current_leader_epoch, metadata, stage);
            }
        }
    }

    /// So does what it asks before it fetches from another leader.
    pub(super) fn check_validated_epochs(&mut self, asked: &OffsetForLeaderEpochRequest, stage: &mut Stage) {
        let metadata = self.host.machine.metadata();
        for topic in asked.topics.iter().filter(|topic| topic.topic != FLEETING) {
            let known = metadata.topic(&topic.topic);
            let id = known.map_or(TopicId::ZERO, |topic| topic.id);
            for partition in &topic.partitions {
                let key = (id, topic.topic.clone(), partition.partition);
                self.turns.asks_in(self.who, key, partition.current_leader_epoch, metadata, stage);
            }
        }
    }

    /// Each partition of a broker has its turn, while others are served.
    pub(super) fn check_turns(
        &mut self,
        conn: ConnId,
        fetch: &FetchResponse,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        let (mut served, mut failed) = (Vec::new(), Vec::new());
        for topic in &fetch.responses {
            for partition in &topic.partitions {
                let name = match topic.topic.is_empty() {
                    true => truth.topic_ids.get(&topic.topic_id).cloned().unwrap_or_default(),
                    false => topic.topic.clone(),
                };
                let at = TopicPartition::new(name, partition.partition_index);
                let brought = partition.records.as_ref().is_some_and(|records| !records.is_empty());
                match brought {
                    true => served.push(at),
                    false if !partition.error_code.is_ok() => failed.push(at),
                    false => {}
                }
            }
        }
        // What went wrong with a partition is not this.
        for at in served.iter().chain(&failed) {
            self.turns.had(at);
        }
        if served.is_empty() {
            return;
        }
        let Some(node) = self.host.node_of(conn, stage) else { return };
        let machine = &self.host.machine;
        let led = |at: &TopicPartition| machine.metadata().partition(at).and_then(|p| p.leader);
        let of_node: Vec<&TopicPartition> =
            self.owned.partitions().filter(|at| led(at) == Some(NodeId(node))).collect();
        let is_behind = |at: &TopicPartition| {
            let position = machine.position(at);
            position.is_some_and(|position| position < truth.end(at)) && at.topic != FLEETING
        };
        let behind: Vec<TopicPartition> = of_node
            .iter()
            .filter(|at| !served.contains(at) && is_behind(at) && !self.is_paused(at))
            .map(|at| (*at).clone())
            .collect();
        if behind.is_empty() {
            return;
        }
        let (who, most) = (self.who, of_node.len() * ROUNDS + 10);
        let explained = machine.explain(stage.now()).partitions;
        let is_asked = |at: &TopicPartition| {
            let reason = explained.iter().find(|(of, _)| of == at).map(|(_, reason)| reason);
            matches!(reason, Some(Reason::Fetching { .. } | Reason::NextFetch))
        };
        for at in behind {
            if !is_asked(&at) || self.holds(&at) {
                self.turns.had(&at);
                continue;
            }
            if self.turns.passes(at.clone()) > most {
                stage.violate("partitions of one broker are served in turn", || {
                    format!("{who} got records of others of broker {node} {most} times, and none of {at}")
                });
            }
        }
    }

    /// Whether a heartbeat is long due.
    pub(super) fn is_overdue(&self, plan: &Plan, time: Duration) -> bool {
        let interval = match self.membership.follows_broker() {
            true => plan.broker.group_consumer_heartbeat_interval,
            false => HEARTBEAT_INTERVAL,
        };
        time - self.membership.beaten() > interval + ms(600)
    }
}
