//! What is asked of brokers, when, and what becomes of the answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ApiKey, ErrorCode, Now, TopicId,
    messages::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic,
    },
};

use super::{MOST_CONTRADICTIONS, Metadata, Node, Partition, Topic, Wanted};
use crate::{
    connections::{Address, Connections, Kind},
    deadline::Earliest,
    disconnected::Disconnected,
    ids::{NodeId, RequestId},
    log,
    planted::Planted,
    words::is_name,
};

/// The first version of Metadata that asks by ids.
const BY_ID: i16 = 12;

impl Metadata {
    /// Other topics are wanted than when metadata was last asked for.
    pub(crate) fn wants_others(&mut self) {
        self.content = None;
    }

    /// Asks for metadata where that is due.
    pub fn poll_send(
        &mut self,
        wanted: &Wanted,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        self.stale |= connections.take_broken();
        if connections.take_misrouted() {
            self.rebootstrap();
        }
        connections.learn_cluster(self.cluster_id.as_deref());
        // The pause is for asking the same again. A topic that was never asked for need not wait.
        let asked =
            (self.is_content() || self.has_asked(wanted)) && self.wanted_ids.is_subset(&self.asked_ids);
        let paused = !self.attempts.is_due(now) && (!self.attempts.is_first() || asked);
        if self.in_flight.is_some() || paused {
            return None;
        }
        self.follow(wanted);
        if !self.is_due(now.mono) {
            return None;
        }
        let target = self.any_ready(connections, now)?;
        let version = connections.version(target, Kind::Main, ApiKey::Metadata, i16::MAX).ok()?;
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let by_id = |id: &TopicId| MetadataRequestTopic { topic_id: *id, name: None };
        let asks_ids = self.is_turn_of_ids(wanted, version, now.mono);
        let topics = match wanted {
            _ if asks_ids => Some(self.wanted_ids.iter().map(by_id).collect()),
            // Version 0 has no null: there an empty list asks for all.
            Wanted::All if version == 0 => Some(Vec::new()),
            Wanted::All => None,
            Wanted::Topics(topics) => Some(topics.union(&self.also).map(named).collect()),
        };
        let creates = self.also.is_empty() || self.is_incomplete(wanted);
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: self.config.allow_auto_create && creates && !asks_ids,
            ..Default::default()
        };
        let id = connections.send(target, Kind::Main, version, request, None, now);
        self.in_flight = Some(id);
        self.asked_at = self.address_of(target).cloned();
        self.asks_ids = asks_ids;
        self.asked_ids.clear();
        // Who is told of all topics has asked for these, too; and an old broker is never asked for them.
        if asks_ids || *wanted == Wanted::All || version < BY_ID {
            self.asked_ids.clone_from(&self.wanted_ids);
        }
        if !asks_ids {
            self.asked = Some(wanted.clone());
            self.stale = false;
        }
        Some(id)
    }

    /// Whether the next request is for the topics whose ids alone are known. A broker that is asked by names and by ids at once
    /// tells of the ids alone. So where both are due they take turns.
    fn is_turn_of_ids(&self, wanted: &Wanted, version: i16, now: Instant) -> bool {
        let may = self.has_nameless(&self.wanted_ids) && version >= BY_ID && *wanted != Wanted::All;
        may && (!self.asks_ids || !self.are_names_due(now))
    }

    /// The known brokers are of another cluster, or wrong. The cluster's id stays until there is another; otherwise
    /// a connection to a known broker would tell no id, and any broker at that address would accept it.
    fn rebootstrap(&mut self) {
        if !self.bootstrapping {
            let cluster = self.cluster_id.as_deref();
            tracing::warn!(target: log::CONNECTION, cluster, "rebootstrapping");
        }
        self.bootstrapping = true;
        self.stale = true;
    }

    fn is_content(&self) -> bool {
        self.content == Some(self.revision)
    }

    /// Notes whether all that is wanted has been asked for and is known.
    fn follow(&mut self, wanted: &Wanted) {
        if !self.is_content() && self.has_asked(wanted) && !self.is_incomplete(wanted) {
            self.content = Some(self.revision);
        }
        debug_assert!(
            !self.is_content() || self.has_asked(wanted) && !self.is_incomplete(wanted),
            "other topics are wanted, or known, unseen"
        );
    }

    fn is_due(&self, now: Instant) -> bool {
        self.are_names_due(now) || self.has_nameless(&self.wanted_ids)
    }

    fn has_nameless(&self, ids: &BTreeSet<TopicId>) -> bool {
        ids.iter().any(|id| self.name_of(*id).is_none())
    }

    fn are_names_due(&self, now: Instant) -> bool {
        let aged = self.refreshed.is_none_or(|at| at + self.config.max_age <= now);
        self.stale || aged || !self.is_content()
    }

    /// Whether all wanted topics have been asked for and answered, even if a topic does not exist.
    pub fn covers(&self, wanted: &Wanted) -> bool {
        self.has_asked(wanted) && self.in_flight.is_none() && self.refreshed.is_some()
    }

    fn has_asked(&self, wanted: &Wanted) -> bool {
        match (&self.asked, wanted) {
            (Some(Wanted::All), _) => true,
            (Some(Wanted::Topics(asked)), Wanted::Topics(wanted)) => wanted.is_subset(asked),
            _ => false,
        }
    }

    /// Whether a wanted topic, or a leader of one, is missing.
    fn is_incomplete(&self, wanted: &Wanted) -> bool {
        let complete = |topic: &Topic| {
            topic.error.is_ok() && topic.partitions.values().all(|partition| partition.leader.is_some())
        };
        match wanted {
            Wanted::All => false,
            Wanted::Topics(wanted) => !wanted.iter().all(|name| self.topics.get(name).is_some_and(complete)),
        }
    }

    /// An answer to the request that is in flight.
    pub fn handle_response(&mut self, response: MetadataResponse, now: Now) {
        if response.error_code == ErrorCode::RebootstrapRequired {
            self.rebootstrap();
        }
        if !response.error_code.is_ok() || response.brokers.is_empty() {
            return self.handle_unanswered(now);
        }
        self.in_flight = None;
        self.bootstrapping = false;
        self.cluster_id = response.cluster_id;
        self.learnt = 0;
        self.nodes = response.brokers.into_iter().filter_map(node).collect();
        self.controller = Some(NodeId(response.controller_id)).filter(|id| self.nodes.contains_key(id));
        let news: BTreeMap<_, _> =
            response.topics.into_iter().filter_map(|topic| self.topic_news(topic)).collect();
        if self.asks_ids {
            return self.handle_ids(news, now);
        }
        let before = std::mem::replace(&mut self.topics, news);
        // Of those that came by their ids such an answer tells nothing.
        let by_id = before.into_iter().filter(|(_, topic)| self.wanted_ids.contains(&topic.id));
        by_id.for_each(|(name, topic)| _ = self.topics.entry(name).or_insert(topic));
        let topics = &self.topics;
        self.also.retain(|topic| {
            topics.get(topic).is_some_and(|found| found.error != ErrorCode::UnknownTopicOrPartition)
        });
        self.missing.follow(&self.topics);
        self.forbidden.follow(&self.topics);
        let before = self.refreshed.replace(now.mono);
        self.last_failure = None;
        self.revision += 1;
        match self.has_nameless(&self.asked_ids)
            || self.asked.as_ref().is_some_and(|asked| self.is_incomplete(asked))
        {
            true => self.attempts.failed(None, now),
            false => {
                self.attempts.reset();
                // The pause grows with answers that follow each other closely. Otherwise a leader that is wrong in
                // the answer, too, or out of reach would be asked about without a pause.
                let again = before.is_some_and(|before| now.mono < before + Duration::from_secs(1));
                self.repeats = if again { (self.repeats + 1).min(2) } else { 0 };
                self.attempts.put_off_by(self.config.retry_backoff.first * (1 << self.repeats), now);
            }
        }
    }

    /// An answer about the topics whose ids alone were known. Of the others it tells nothing.
    fn handle_ids(&mut self, news: BTreeMap<String, Topic>, now: Now) {
        self.topics.extend(news);
        self.revision += 1;
        match self.has_nameless(&self.asked_ids) {
            true => self.attempts.failed(None, now),
            false => self.attempts.reset(),
        }
    }

    fn topic_news(&self, topic: MetadataResponseTopic) -> Option<(String, Topic)> {
        let name = topic.name.filter(|name| is_name(name))?;
        // An error that may pass ends nothing that was known; otherwise older leaders would be taken for newer ones
        // after it.
        let passes =
            topic.error_code.is_retriable() && topic.error_code != ErrorCode::UnknownTopicOrPartition;
        let same = |id| id == topic.topic_id || passes && topic.topic_id == TopicId::ZERO;
        let old = self.topics.get(&name).filter(|old| same(old.id));
        if let Some(old) = old.filter(|_| passes) {
            return Some((name, Topic { error: topic.error_code, ..old.clone() }));
        }
        // A leader that is not among the brokers counts as none. It has stopped, or the broker that answers lags behind.
        let listed = |leader: Option<NodeId>| leader.filter(|id| self.nodes.contains_key(id));
        // A topic may have ten thousand partitions, and few sets of brokers.
        let mut lists: BTreeMap<Vec<i32>, Arc<[NodeId]>> = BTreeMap::new();
        let mut shared = |ids: Vec<i32>| {
            let list = lists.entry(ids).or_insert_with_key(|ids| ids.iter().copied().map(NodeId).collect());
            Arc::clone(list)
        };
        let partition = |p: MetadataResponsePartition| {
            let known = old.and_then(|old| old.partitions.get(&p.partition_index));
            // A broker that lags behind tells an older leader, so the newer epoch stands.
            let newer = |known: &&Partition| {
                let holds = known.contradicted.is_none_or(|times| times < MOST_CONTRADICTIONS);
                known.leader_epoch > p.leader_epoch && p.leader_epoch >= 0 && holds
            };
            if let Some(known) = known.filter(newer).filter(|_| !self.plot.has(Planted::OlderLeaderIsTaken)) {
                let leader = listed(known.leader);
                // One that is among the brokers was told rightly: it is the broker that answers that lags behind, however long.
                let contradicted =
                    known.contradicted.map(|times| if leader.is_none() { times + 1 } else { 0 });
                return (p.partition_index, Partition { leader, contradicted, ..known.clone() });
            }
            let leader = listed(Some(NodeId(p.leader_id)));
            let partition = Partition {
                leader,
                leader_epoch: p.leader_epoch,
                replicas: shared(p.replica_nodes),
                isr: shared(p.isr_nodes),
                contradicted: None,
            };
            (p.partition_index, partition)
        };
        let partitions = topic.partitions.into_iter().map(partition).collect();
        let (id, error, internal) = (topic.topic_id, topic.error_code, topic.is_internal);
        Some((name, Topic { id, error, internal, partitions }))
    }

    /// The connection of the request in flight is no more.
    pub(crate) fn handle_lost(&mut self, why: Disconnected, now: Now) {
        self.last_failure = self.asked_at.take().map(|address| (address, why)).or(self.last_failure.take());
        self.handle_unanswered(now);
    }

    /// The request in flight will not be answered, so its topics count as not asked for.
    pub fn handle_unanswered(&mut self, now: Now) {
        (self.in_flight, self.asked, self.content) = (None, None, None);
        self.stale = true;
        self.next_candidate += 1;
        self.attempts.failed(None, now);
    }

    /// When the next request is due.
    pub fn deadlines(&self, earliest: &mut Earliest) {
        if self.in_flight.is_none() {
            earliest.consider(self.attempts.next());
            earliest.consider(self.refreshed.map(|at| at + self.config.max_age));
        }
    }
}

fn node(broker: MetadataResponseBroker) -> Option<(NodeId, Node)> {
    let address = Address::told(broker.host, broker.port)?;
    let rack = broker.rack.filter(|rack| is_name(rack));
    Some((NodeId(broker.node_id), Node { address, rack }))
}
