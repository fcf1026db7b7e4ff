//! Which fetches are due, and what each asks for.

use std::{sync::Arc, time::Duration};

use ottla_protocol::{
    ApiKey, Now,
    messages::{FetchForgottenTopic, FetchPartition, FetchRequest, FetchTopic},
};

use super::{Fetcher, InFlight, session::Asked};
use crate::{
    connections::{Connections, Kind, LinkStatus, Target},
    ids::{NodeId, RequestId},
    lanes::Lanes,
    metadata::Metadata,
    offsets::IsolationLevel,
    planted::Planted,
};

/// How long a fetch waits while positions of other partitions are about to be told.
const BRIEF: Duration = Duration::from_millis(10);

impl Fetcher {
    /// Sends the fetches that are due, one to each broker.
    pub(crate) fn poll_send<F>(
        &mut self,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> Vec<(RequestId, NodeId)> {
        let enough = self.config.partition_max_bytes;
        loop {
            self.plan.follow(lanes, metadata, enough, now);
            if !self.leave_unready(lanes, metadata, connections, now) {
                break;
            }
        }
        debug_assert!(self.plan.is_current(lanes, metadata, enough, now), "a change has passed by the plan");
        if self.plan.is_leaderless() {
            metadata.request_update();
        }
        (self.out_of_room, self.far_ahead) = (false, false);
        let share = self.config.budget / self.plan.brokers().max(1);
        let mut nodes: Vec<NodeId> = self.plan.asked().collect();
        // Brokers take turns where there is room for one of them only; otherwise the others would starve.
        nodes.sort_by_key(|node| self.brokers.get(node).map_or(0, |broker| broker.turn));
        let mut sent = Vec::new();
        for node in nodes {
            if self.busy_since(node).is_some() {
                continue;
            }
            if !metadata.node_ready(node, Kind::Fetch, connections, now) {
                // Other brokers may lead its partitions before it can be reached again.
                let status = connections.status(Target::Node(node), Kind::Fetch, now.mono);
                if matches!(status, LinkStatus::Retrying { .. }) {
                    metadata.request_update();
                }
                continue;
            }
            let first = self.config.read_ahead;
            let window = self.brokers.get(&node).map_or(first, |broker| broker.window.size(first));
            if !self.is_awaited && self.plan.share(node).ahead >= window {
                self.far_ahead = true;
                continue;
            }
            let free = self.config.budget.saturating_sub(self.used());
            if free < share.min(self.config.partition_max_bytes).max(1) {
                self.out_of_room = true;
                continue;
            }
            let room = free.min(share).min(window).min(self.config.max_bytes).max(1);
            sent.extend(self.send(node, room, connections, now).map(|id| (id, node)));
        }
        sent
    }

    /// Goes back to the leaders of partitions that are fetched from followers which cannot be asked now. A connection to each is
    /// under way then. Returns whether there were any.
    fn leave_unready<F>(
        &self,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        connections: &mut Connections,
        now: Now,
    ) -> bool {
        let mut left = false;
        for node in self.plan.followers() {
            if self.busy_since(node).is_some() || metadata.node_ready(node, Kind::Fetch, connections, now) {
                continue;
            }
            if metadata.address(node).is_none() {
                metadata.request_update();
            }
            self.plan.following(node).into_iter().for_each(|part| lanes.leave_follower(part, node, now));
            left = true;
        }
        left
    }

    fn send(
        &mut self,
        node: NodeId,
        room: usize,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        let target = Target::Node(node);
        // Version 13 names topics by id alone, so every topic must have an id.
        let wanted = self.plan.share(node);
        let limit = if wanted.nameless == 0 { i16::MAX } else { 12 };
        let version = connections.version(target, Kind::Fetch, ApiKey::Fetch, limit).ok()?;
        let by_id = version >= 13;
        let rack = if wanted.alone == 0 { self.config.rack.clone() } else { String::new() };
        let plot = self.plot;
        let broker = self.brokers.entry(node).or_default();
        broker.session.plot = self.plot;
        if broker.session.epoch() == 0 {
            broker.told = None;
        }
        let at_first = self.config.at_first;
        let (named, forgotten) = broker.session.next(&wanted.asked, &mut wanted.changed, at_first, by_id);
        let begun = *broker.since.get_or_insert(now.mono);
        let max_wait = match wanted.changed.is_empty() {
            // The rest is to be asked for at once.
            false => Duration::ZERO,
            // No longer than a fetch may wait anyway: a broker may tell positions late, or never.
            true if self.more_come && now.mono < begun + self.config.max_wait => {
                BRIEF.min(self.config.max_wait)
            }
            true => self.config.max_wait,
        };
        let partition_max_bytes = self.config.partition_max_bytes as i32;
        let partition = |asked: &Arc<Asked>| FetchPartition {
            partition: asked.at.partition,
            current_leader_epoch: asked.leader_epoch,
            fetch_offset: asked.offset,
            last_fetched_epoch: asked.offset_epoch.unwrap_or(-1),
            partition_max_bytes,
            ..Default::default()
        };
        let topics = named.chunk_by(|a, b| a.at.topic == b.at.topic).filter_map(|topic| {
            let first = topic.first()?;
            let partitions = topic.iter().map(partition).collect();
            Some(FetchTopic { topic: first.at.topic.clone(), topic_id: first.topic_id, partitions })
        });
        let gone = forgotten.chunk_by(|a, b| a.at.topic == b.at.topic).filter_map(|topic| {
            let first = topic.first()?;
            let partitions = topic.iter().map(|asked| asked.at.partition).collect();
            Some(FetchForgottenTopic { topic: first.at.topic.clone(), topic_id: first.topic_id, partitions })
        });
        let request = FetchRequest {
            max_wait_ms: max_wait.as_millis() as i32,
            min_bytes: self.config.min_bytes,
            max_bytes: room as i32,
            isolation_level: match broker.session.epoch() > 0 && plot.has(Planted::SessionForgetsIsolation) {
                true => IsolationLevel::ReadUncommitted.wire(),
                false => self.config.isolation.wire(),
            },
            session_id: broker.session.id(),
            session_epoch: broker.session.epoch(),
            topics: topics.collect(),
            forgotten_topics_data: gone.collect(),
            rack_id: rack,
            ..Default::default()
        };
        let timeout = self.config.request_timeout + self.config.max_wait;
        let id = connections.send(target, Kind::Fetch, version, request, Some(timeout), now);
        self.requests += 1;
        broker.turn = self.requests;
        broker.in_flight = Some(InFlight { id, since: now.mono, reserved: room });
        Some(id)
    }
}
