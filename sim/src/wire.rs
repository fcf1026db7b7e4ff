//! What is watched on the wire of one consumer: that its fetches serve all partitions of a broker, know nothing older than
//! before, and that its heartbeats come.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{ConnId, NodeId, Reason, TopicPartition};
use ottla_protocol::{Request, TopicId, messages::FetchResponse};

use crate::{
    dice::ms,
    member::Member,
    plan::{FLEETING, Plan},
    stage::Stage,
    truth::Truth,
};

/// How often partitions were passed over, and which leader epochs were told.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Answers with records of others of the same broker since the last of its own.
    passed: BTreeMap<TopicPartition, usize>,
    /// By topic, named in whichever way, and partition.
    epochs: BTreeMap<(TopicId, String, i32), i32>,
}

impl Turns {
    /// Other topics are wanted: what was known of those that are not, for a while, may be forgotten.
    pub(super) fn wants_others(&mut self) {
        self.epochs.clear();
    }
}

/// After so many answers for each partition of a broker one of them has been passed over.
const ROUNDS: usize = 2;

impl Member {
    /// What it asks tells that it is there, that it goes, and what it knows of leaders.
    pub(super) fn watch_sent(&mut self, request: &Request, stage: &mut Stage, truth: &mut Truth) {
        match request {
            Request::Fetch(fetch) => {
                for topic in fetch.topics.iter().filter(|topic| topic.topic != FLEETING) {
                    for partition in &topic.partitions {
                        let key = (topic.topic_id, topic.topic.clone(), partition.partition);
                        self.check_epoch(key, partition.current_leader_epoch, stage);
                    }
                }
            }
            Request::Heartbeat(_) | Request::SyncGroup(_) => self.beaten = stage.time,
            Request::JoinGroup(_) => {
                self.beaten = stage.time;
                self.keeps_no_place(truth);
            }
            Request::LeaveGroup(_) => {
                self.keeps_no_place(truth);
                self.says_goodbye();
            }
            Request::ConsumerGroupHeartbeat(beat) => {
                self.beaten = stage.time;
                if beat.member_epoch < 0 {
                    self.says_goodbye();
                }
            }
            _ => {}
        }
    }

    /// Its place is kept no longer than it may take to ask for its assignment, or not at all.
    fn keeps_no_place(&self, truth: &mut Truth) {
        if let Some(instance) = self.role.in_group().and_then(|role| role.instance.as_ref()) {
            truth.heard.remove(instance);
        }
    }

    fn says_goodbye(&mut self) {
        if let Some(farewell) = &mut self.farewell {
            farewell.done = true;
        }
    }

    /// What was once known of a leader is not forgotten for what a broker says that lags behind.
    fn check_epoch(&mut self, key: (TopicId, String, i32), epoch: i32, stage: &mut Stage) {
        let who = self.who;
        let newest = self.turns.epochs.entry(key).or_insert(epoch);
        if epoch < *newest {
            let known = *newest;
            stage.violate("a leader epoch does not fall", || {
                format!("{who} fetches in leader epoch {epoch}, and knew {known}")
            });
        }
        *newest = epoch;
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
            self.turns.passed.remove(at);
        }
        if served.is_empty() {
            return;
        }
        let Some(node) = self.host.node_of(conn, stage) else { return };
        let machine = &self.host.machine;
        let led = |at: &TopicPartition| machine.metadata().partition(at).and_then(|p| p.leader);
        let of_node: Vec<&TopicPartition> =
            self.owned.keys().filter(|at| led(at) == Some(NodeId(node))).collect();
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
                self.turns.passed.remove(&at);
                continue;
            }
            let passed = self.turns.passed.entry(at.clone()).or_default();
            *passed += 1;
            if *passed > most {
                stage.violate("partitions of one broker are served in turn", || {
                    format!("{who} got records of others of broker {node} {most} times, and none of {at}")
                });
            }
        }
    }

    /// Whether a heartbeat is long due.
    pub(super) fn is_overdue(&self, plan: &Plan, time: Duration) -> bool {
        let interval = match self.follows_broker() {
            true => plan.broker.group_consumer_heartbeat_interval,
            false => crate::setup::HEARTBEAT_INTERVAL,
        };
        time - self.beaten > interval + ms(600)
    }
}
