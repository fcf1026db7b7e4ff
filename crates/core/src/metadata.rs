//! Metadata: the brokers of the cluster, the topics that are wanted, and the leaders of their partitions.
//!
//! It is refreshed when something shows it to be out of date, such as a broker out of reach, when a wanted topic is
//! missing, and every `metadata.max.age.ms`. One request is in flight at a time, with back-off between failures.
//! When no known broker can be reached, the addresses that the user gave are tried again (KIP-899). When a broker
//! says that the known ones are of another cluster, only those addresses are tried (KIP-1102, KIP-1242).

mod asking;
mod forbidden;
mod missing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{ErrorCode, Now, TopicId};

use crate::{
    backoff::{Attempts, Backoff},
    connections::{
        Address, Connections, HEAD_START, Kind, LinkStatus, RefusedConnection, SetupStage, Target,
    },
    disconnected::Disconnected,
    group::Pattern,
    ids::{NodeId, RequestId, TopicPartition},
    planted::Plot,
};
use forbidden::Forbidden;
use missing::Missing;

/// How metadata is refreshed. Java's defaults.
#[derive(Debug, Clone)]
pub struct MetadataConfig {
    /// `metadata.max.age.ms`.
    pub max_age: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
    /// `allow.auto.create.topics`.
    pub allow_auto_create: bool,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(5 * 60),
            retry_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
            allow_auto_create: true,
        }
    }
}

/// So many brokers may be named outside metadata between two answers. A broker that names others in each answer to a fetch would
/// otherwise fill the memory until metadata is asked for again.
const MOST_LEARNT: usize = 1000;

/// So many answers in a row may tell an older leader than was told beside metadata, and not know that one: brokers lag behind for a
/// moment. After that the other was wrong, and would be waited for without end.
const MOST_CONTRADICTIONS: u8 = 5;

/// Which topics a client wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every topic.
    All,
    /// These.
    Topics(BTreeSet<String>),
}

/// The newest picture of the cluster.
#[derive(Debug)]
pub struct Metadata {
    config: MetadataConfig,
    seeds: Vec<Address>,
    nodes: BTreeMap<NodeId, Node>,
    /// How many of them were named outside metadata since the last answer.
    learnt: usize,
    topics: BTreeMap<String, Topic>,
    controller: Option<NodeId>,
    cluster_id: Option<String>,
    /// Only the addresses that the user gave are asked, until one of them has answered.
    bootstrapping: bool,
    asked: Option<Wanted>,
    /// Topics of which only the ids are known.
    wanted_ids: BTreeSet<TopicId>,
    asked_ids: BTreeSet<TopicId>,
    /// The last request was for ids.
    asks_ids: bool,
    /// Topics that are asked for as well, as long as there are any of that name, and are not created.
    also: BTreeSet<String>,
    missing: Missing,
    forbidden: Forbidden,
    in_flight: Option<RequestId>,
    /// Whom the last request went to.
    asked_at: Option<Address>,
    stale: bool,
    /// The revision in which all that is wanted was found to be asked for and known.
    content: Option<u64>,
    refreshed: Option<Instant>,
    attempts: Attempts,
    /// How many answers in a row came within a second of the one before.
    repeats: u32,
    last_failure: Option<(Address, Disconnected)>,
    next_candidate: usize,
    revision: u64,
    pub(crate) plot: Plot,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Where it listens.
    pub address: Address,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A topic, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Topic {
    /// [`TopicId::ZERO`] where the broker knows no ids.
    pub id: TopicId,
    /// [`ErrorCode::None`], or the broker's error. With an error there are no partitions, or those of the answer
    /// before, where the error may pass.
    pub error: ErrorCode,
    /// Made by Kafka for itself.
    pub internal: bool,
    /// By partition number.
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// Its leader; `None` where it has none that runs.
    pub leader: Option<NodeId>,
    /// -1 where the broker tells none.
    pub leader_epoch: i32,
    /// The brokers that hold it. Partitions of a topic that are on the same ones share the list.
    pub replicas: Arc<[NodeId]>,
    /// Those that are in sync.
    pub isr: Arc<[NodeId]>,
    /// Where the leader was told beside metadata: how many answers in a row have told an older one since, and did not know it.
    contradicted: Option<u8>,
}

impl Metadata {
    /// Nothing known but the addresses that the user gave.
    pub fn new(config: MetadataConfig, seeds: Vec<Address>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            next_candidate: rng.usize(0..1024),
            attempts: Attempts::new(config.retry_backoff, rng),
            config,
            seeds,
            nodes: BTreeMap::new(),
            learnt: 0,
            topics: BTreeMap::new(),
            controller: None,
            cluster_id: None,
            bootstrapping: false,
            asked: None,
            wanted_ids: BTreeSet::new(),
            asked_ids: BTreeSet::new(),
            asks_ids: false,
            also: BTreeSet::new(),
            missing: Missing::default(),
            forbidden: Forbidden::default(),
            in_flight: None,
            asked_at: None,
            stale: true,
            content: None,
            refreshed: None,
            repeats: 0,
            last_failure: None,
            revision: 0,
            plot: Plot::default(),
        }
    }

    /// What one answer tells, without anything remembered of others.
    pub(crate) fn told(response: ottla_protocol::messages::MetadataResponse, now: Now) -> Self {
        let mut told = Self::new(MetadataConfig::default(), Vec::new(), 0);
        told.handle_response(response, now);
        told
    }

    /// Whether any broker has answered yet.
    pub fn is_known(&self) -> bool {
        self.refreshed.is_some()
    }

    /// Whether it was answered since then: a broker that came before is known.
    pub(crate) fn is_newer_than(&self, since: Instant) -> bool {
        self.refreshed.is_some_and(|at| at >= since)
    }

    /// `metadata.max.age.ms`.
    pub(crate) fn max_age(&self) -> Duration {
        self.config.max_age
    }

    /// Moves with each answer, and with each leader that is learnt. Anything computed under an older revision may
    /// be out of date.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The brokers, by id.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// The broker that takes changes to topics.
    pub fn controller(&self) -> Option<NodeId> {
        self.controller
    }

    /// The topics asked for, as far as they have been answered.
    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.topics
    }

    /// A topic, where it exists.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name).filter(|topic| topic.error.is_ok())
    }

    /// A partition, where it exists.
    pub fn partition(&self, at: &TopicPartition) -> Option<&Partition> {
        self.topic(&at.topic)?.partitions.get(&at.partition)
    }

    /// Whether the newest picture shows that there is no such partition, of a topic that was asked for.
    pub fn lacks(&self, at: &TopicPartition) -> bool {
        match self.topics.get(&at.topic) {
            Some(topic) if topic.error.is_ok() => !topic.partitions.contains_key(&at.partition),
            Some(topic) => topic.error == ErrorCode::UnknownTopicOrPartition,
            // Where all topics were asked for, the answer names each that exists.
            None => self.covers(&Wanted::All),
        }
    }

    /// Whether the newest picture shows that a partition of the topic with this id is gone: there is no such partition, or the
    /// topic of that name is another by now. Without an id the name alone counts.
    pub(crate) fn is_gone(&self, at: &TopicPartition, id: Option<TopicId>) -> bool {
        self.lacks(at) || id.is_some_and(|id| self.has_another(&at.topic, id))
    }

    /// Whether the topic of this name is known to be another than the one with this id (KIP-516).
    pub(crate) fn has_another(&self, topic: &str, id: TopicId) -> bool {
        id != TopicId::ZERO && self.id_of(topic).is_some_and(|known| known != id)
    }

    /// The topic's id, where it has one and it is known.
    pub(crate) fn id_of(&self, topic: &str) -> Option<TopicId> {
        self.topic(topic).map(|topic| topic.id).filter(|id| *id != TopicId::ZERO)
    }

    /// The name of the topic with this id, where it is known.
    pub fn name_of(&self, id: TopicId) -> Option<&str> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.as_str())
    }

    /// The topics that match, but for Kafka's own.
    pub fn matching(&self, pattern: &Pattern) -> BTreeSet<String> {
        let topics = self.topics.iter().filter(|(_, topic)| topic.error.is_ok() && !topic.internal);
        topics.map(|(name, _)| name).filter(|name| pattern.matches(name)).cloned().collect()
    }

    /// The next topic that was asked for and may not be seen, of those that nobody was told of.
    pub(crate) fn take_forbidden(&mut self) -> Option<String> {
        self.forbidden.take()
    }

    /// The topics among these that may not be seen.
    pub(crate) fn forbidden<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        let is = |name: &&String| {
            self.topics.get(*name).is_some_and(|topic| topic.error == ErrorCode::TopicAuthorizationFailed)
        };
        topics.into_iter().filter(is).cloned().collect()
    }

    /// Sets the topics to ask for by id, until their names are told (Metadata 12 and later). They are asked for by themselves.
    pub fn want_ids(&mut self, ids: &BTreeSet<TopicId>) {
        if self.wanted_ids != *ids {
            self.wanted_ids.clone_from(ids);
        }
    }

    /// Asks for this topic, too, from now on until an answer shows that there is none. It is not created for that.
    pub(crate) fn ask_also(&mut self, topic: &str) {
        if !self.also.contains(topic) {
            self.also.insert(topic.to_owned());
            self.stale = true;
        }
    }

    /// The last address that could not be used, and why.
    pub fn last_failure(&self) -> Option<&(Address, Disconnected)> {
        self.last_failure.as_ref()
    }

    /// The picture is out of date: it is refreshed as soon as the back-off allows.
    pub fn request_update(&mut self) {
        self.stale = true;
    }

    /// Forgets a topic, so that it is asked for afresh.
    pub fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.content = None;
        self.stale = true;
    }

    /// Takes over a leader that a broker told on the way (KIP-951). Returns `false` where it is not newer than the
    /// known one, or not among the known brokers.
    pub fn learn_leader(&mut self, at: &TopicPartition, leader: NodeId, epoch: i32) -> bool {
        let known = self.nodes.contains_key(&leader);
        let partition =
            self.topics.get_mut(&at.topic).and_then(|topic| topic.partitions.get_mut(&at.partition));
        match partition {
            Some(partition) if known && epoch > partition.leader_epoch => {
                partition.leader = Some(leader);
                partition.leader_epoch = epoch;
                partition.contradicted = Some(0);
                self.revision += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes over a broker that was named outside metadata, by a coordinator look-up or a leader hint.
    pub fn learn_node(&mut self, id: NodeId, address: Address) {
        let known = self.nodes.get(&id);
        if known.is_none() && self.learnt >= MOST_LEARNT {
            return;
        }
        self.learnt += usize::from(known.is_none());
        let rack = known.and_then(|node| node.rack.clone());
        self.nodes.insert(id, Node { address, rack });
    }

    /// Takes over a broker that an answer names beside a new leader (KIP-951).
    pub(crate) fn learn_endpoint(&mut self, id: i32, host: &str, port: i32) {
        if let Some(address) = Address::told(host.to_owned(), port) {
            self.learn_node(NodeId(id), address);
        }
    }

    /// The address of a broker.
    pub fn address(&self, node: NodeId) -> Option<&Address> {
        self.nodes.get(&node).map(|node| &node.address)
    }

    /// Whether a request can be sent to this broker now. If not, a connection is under way.
    pub fn node_ready(&self, node: NodeId, kind: Kind, connections: &mut Connections, now: Now) -> bool {
        let Some(address) = self.address(node) else { return false };
        connections.ready(Target::Node(node), kind, address, now)
    }

    /// Any broker that can be asked now. If there is none, connections are under way.
    pub fn any_ready(&mut self, connections: &mut Connections, now: Now) -> Option<Target> {
        let nodes = self.nodes.iter().map(|(id, node)| (Target::Node(*id), &node.address));
        let seeds = self.seeds.iter().enumerate().map(|(index, address)| (Target::Seed(index), address));
        let mut candidates: Vec<_> = nodes.filter(|_| !self.bootstrapping).collect();
        let known = candidates.len().max(1);
        candidates.rotate_left(self.next_candidate % known);
        let mut seeds: Vec<_> = seeds.collect();
        let given = seeds.len().max(1);
        seeds.rotate_left(self.next_candidate % given);
        candidates.extend(seeds);
        // Nor is one that asks for a pause asked by its other name.
        let rests =
            |target| matches!(connections.status(target, Kind::Main, now.mono), LinkStatus::Throttled { .. });
        let resting: Vec<&Address> =
            candidates.iter().filter(|(target, _)| rests(*target)).map(|(_, address)| *address).collect();
        candidates.retain(|(_, address)| !resting.contains(address));
        let ready = |target| connections.status(target, Kind::Main, now.mono) == LinkStatus::Ready;
        if let Some((target, _)) = candidates.iter().find(|(target, _)| ready(*target)) {
            return Some(*target);
        }
        for (target, address) in candidates {
            match connections.status(target, Kind::Main, now.mono) {
                LinkStatus::Connecting { since, .. } if now.mono < since + HEAD_START => return None,
                // Another may take requests now.
                LinkStatus::Connecting { .. } => continue,
                LinkStatus::Refused { why } => {
                    self.last_failure = Some((address.clone(), why));
                    continue;
                }
                LinkStatus::Retrying { at, why, .. } => {
                    self.last_failure = Some((address.clone(), why));
                    if at > now.mono {
                        continue;
                    }
                }
                _ => {}
            }
            connections.ready(target, Kind::Main, address, now);
            return None;
        }
        None
    }

    /// For how much longer no broker will be asked anything, where each that could be asks for a pause.
    pub(crate) fn throttled(&self, connections: &Connections, now: Now) -> Option<Duration> {
        let nodes = self.nodes.keys().map(|id| Target::Node(*id)).filter(|_| !self.bootstrapping);
        let seeds = (0..self.seeds.len()).map(Target::Seed);
        let mut rests =
            nodes.chain(seeds).map(|target| match connections.status(target, Kind::Main, now.mono) {
                LinkStatus::Throttled { until } => Some(until.saturating_duration_since(now.mono)),
                _ => None,
            });
        rests
            .try_fold(Duration::MAX, |least, rest| rest.map(|rest| least.min(rest)))
            .filter(|rest| *rest < Duration::MAX)
    }

    /// The address behind a target.
    fn address_of(&self, target: Target) -> Option<&Address> {
        match target {
            Target::Seed(index) => self.seeds.get(index),
            Target::Node(node) => self.address(node),
        }
    }

    /// Why no broker will tell anything: each address that could be asked has refused the connection for good.
    pub(crate) fn refusal(&self, connections: &Connections, now: Now) -> Option<RefusedConnection> {
        let nodes = self.nodes.keys().map(|id| Target::Node(*id)).filter(|_| !self.bootstrapping);
        let seeds = (0..self.seeds.len()).map(Target::Seed);
        let mut refusals = nodes.chain(seeds).map(|target| connections.refusal(target, Kind::Main, now));
        refusals.try_fold(None, |_, refusal| refusal.map(Some)).flatten()
    }

    /// An address that the user gave and that is being connected to, and how far that has come.
    pub(crate) fn first_contact(&self, connections: &Connections, now: Now) -> Option<(Address, SetupStage)> {
        let mut seeds = self.seeds.iter().enumerate();
        seeds.find_map(|(index, address)| {
            match connections.status(Target::Seed(index), Kind::Main, now.mono) {
                LinkStatus::Connecting { stage, .. } => Some((address.clone(), stage)),
                _ => None,
            }
        })
    }
}
