//! The logical brokers: which of them are up, and who leads what.
//!
//! Tests and the simulation make their trouble here: brokers stop and start, leaders move; coordinators do in
//! `coordinators.rs`.

use std::collections::BTreeMap;

use ottla_protocol::{Now, TopicId};

use crate::{Cluster, coordinators::Coordinators, sessions::FetchSessions, storage::Entry, topics::Topic};

/// One logical broker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: String,
    pub(crate) sessions: FetchSessions,
    pub(crate) up: bool,
    /// What its metadata tells of topics where it does not follow the others': leaders and their epochs.
    pub(crate) lags: Option<Leaders>,
}

/// Who led each partition at some time, and in which epoch.
pub(crate) type Leaders = BTreeMap<TopicId, Vec<(i32, i32)>>;

/// The brokers `1..=count`, and who of them coordinates what.
#[derive(Debug)]
pub(crate) struct Nodes {
    by_id: BTreeMap<i32, Node>,
    pub(crate) groups: Coordinators,
    pub(crate) transactions: Coordinators,
}

impl Nodes {
    pub(crate) fn new(count: u32) -> Self {
        let node = |id: i32| Node {
            rack: format!("rack-{id}"),
            host: "localhost".to_owned(),
            port: 9091 + id as u16,
            sessions: FetchSessions::default(),
            up: true,
            lags: None,
        };
        let ids = 1..=count.clamp(1, 1000) as i32;
        Self {
            groups: Coordinators::new(ids.clone()),
            transactions: Coordinators::new(ids.clone()),
            by_id: ids.map(|id| (id, node(id))).collect(),
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i32> {
        self.by_id.keys().copied()
    }

    /// The brokers that run.
    pub(crate) fn up(&self) -> impl Iterator<Item = (i32, &Node)> {
        self.by_id.iter().filter(|(_, node)| node.up).map(|(&id, node)| (id, node))
    }

    pub(crate) fn up_ids(&self) -> Vec<i32> {
        self.up().map(|(id, _)| id).collect()
    }

    pub(crate) fn is_up(&self, id: i32) -> bool {
        self.find_up(id).is_some()
    }

    pub(crate) fn find_up(&self, id: i32) -> Option<&Node> {
        self.by_id.get(&id).filter(|node| node.up)
    }

    pub(crate) fn find_mut(&mut self, id: i32) -> Option<&mut Node> {
        self.by_id.get_mut(&id)
    }

    /// What a broker's metadata tells of topics, where that is out of date.
    pub(crate) fn lagging(&self, id: i32) -> Option<&Leaders> {
        self.by_id.get(&id)?.lags.as_ref()
    }
}

impl Cluster {
    /// The brokers' node ids, whether they are up or not.
    pub fn nodes(&self) -> impl Iterator<Item = i32> {
        self.nodes.ids()
    }

    /// Whether a broker takes connections. To one that does not, [`Cluster::handle_connect`] closes at once.
    pub fn is_up(&self, node: i32) -> bool {
        self.nodes.is_up(node)
    }

    /// Makes `node` the leader of a partition, in a new leader epoch. Returns whether there are such.
    pub fn move_leader(&mut self, topic: &str, partition: i32, node: i32, now: Now) -> bool {
        self.nodes.is_up(node) && self.lead(topic, partition, node, now)
    }

    /// Leaves a partition without a leader until it is given one, or a broker stops or starts. Returns whether there is
    /// such a partition.
    pub fn depose_leader(&mut self, topic: &str, partition: i32, now: Now) -> bool {
        self.lead(topic, partition, -1, now)
    }

    /// Makes `node` the leader of a partition although it has not followed since `from`: what lies from there on is lost, as by an
    /// unclean election. Batches are lost as a whole. Returns where the log ends then.
    pub fn elect_unclean(
        &mut self,
        topic: &str,
        partition: i32,
        node: i32,
        from: i64,
        now: Now,
    ) -> Option<i64> {
        let id = self.topics.find(topic).map(|topic| topic.id).filter(|_| self.nodes.is_up(node))?;
        self.topics.partition(topic, partition)?;
        self.keep_late(Entry::LogCut { topic: id, partition, offset: from });
        self.move_leader(topic, partition, node, now);
        Some(self.topics.partition(topic, partition)?.log.end_offset())
    }

    fn lead(&mut self, topic: &str, partition: i32, node: i32, now: Now) -> bool {
        let Some(id) = self.topics.find(topic).map(|topic| topic.id) else { return false };
        if self.topics.partition(topic, partition).is_none() {
            return false;
        }
        self.keep_late(Entry::Leader { topic: id, partition, node });
        self.run(now);
        true
    }

    /// What this broker's metadata tells of topics stays as it is, whatever becomes of them, until `lags` is false: as where
    /// a broker is slow to hear of the controller's news.
    pub fn set_metadata_lag(&mut self, node: i32, lags: bool) {
        let led = |topic: &Topic| topic.partitions.iter().map(|p| (p.leader, p.leader_epoch)).collect();
        let leaders = || self.topics.iter().map(|(_, topic)| (topic.id, led(topic))).collect();
        let known = lags.then(leaders);
        if let Some(node) = self.nodes.find_mut(node) {
            node.lags = known;
        }
    }

    /// This broker fetches nothing as a follower until `stops` is false: its logs end where they end now, it is not in sync, and
    /// clients that read from it (KIP-392) come no further. Partitions that are made meanwhile are not meant.
    pub fn set_following_stopped(&mut self, node: i32, stops: bool, now: Now) {
        self.topics.partitions_mut().for_each(|partition| partition.set_behind(node, stops));
        self.logs_changed = true;
        self.run(now);
    }

    /// The running brokers in this rack.
    pub(crate) fn near(&self, rack: &str) -> Vec<i32> {
        self.nodes.up().filter(|(_, node)| node.rack == rack).map(|(id, _)| id).collect()
    }

    /// Stops a broker: its connections close, and others lead what it led, as far as any is up. Returns whether it was
    /// up.
    pub fn stop_node(&mut self, node: i32, now: Now) -> bool {
        let Some(stopped) = self.nodes.find_mut(node).filter(|stopped| stopped.up) else { return false };
        (stopped.up, stopped.sessions) = (false, FetchSessions::default());
        for conn in self.connections.of_node(node) {
            self.close(conn);
        }
        self.elect(now);
        true
    }

    /// Starts a broker that was stopped. It leads nothing, but for what nobody led. Returns whether it was down.
    pub fn start_node(&mut self, node: i32, now: Now) -> bool {
        let Some(started) = self.nodes.find_mut(node).filter(|started| !started.up) else { return false };
        started.up = true;
        self.elect(now);
        true
    }

    /// Gives what no running broker leads to one that runs, a replica before others.
    pub(crate) fn elect(&mut self, now: Now) {
        let up = self.nodes.up_ids();
        let next = |after: i32| up.iter().find(|id| **id > after).or(up.first()).copied().unwrap_or(-1);
        let mut elected = Vec::new();
        for (_, topic) in self.topics.iter() {
            for (index, partition) in (0..).zip(&topic.partitions) {
                if !up.contains(&partition.leader) && (partition.leader >= 0 || !up.is_empty()) {
                    let replica = partition.replicas.iter().find(|id| up.contains(id)).copied();
                    let node = replica.unwrap_or_else(|| next(partition.leader));
                    elected.push(Entry::Leader { topic: topic.id, partition: index, node });
                }
            }
        }
        elected.into_iter().for_each(|entry| self.keep_late(entry));
        self.move_coordinators(|leader| (!up.contains(&leader)).then(|| next(leader)), now);
        self.logs_changed = true;
        self.run(now);
    }
}
