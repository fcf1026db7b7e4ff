//! The heartbeats by which a member under the consumer protocol tells its coordinator what it wants and owns.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    ApiKey, ErrorCode, TopicId,
    messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatTopicPartitions},
};

use super::{ConsumerMember, JOINS};
use crate::{
    connections::Kind,
    coordinator::ToCoordinator,
    group::{ConsumerState, interest::Owned, millis},
    ids::{RequestId, TopicPartition},
};

impl ConsumerMember {
    pub(in crate::group) fn poll_send(
        &mut self,
        to: &mut ToCoordinator<'_>,
        owned: Owned<'_>,
        may_join: bool,
    ) -> Result<Vec<RequestId>, ErrorCode> {
        if self.state == ConsumerState::Fenced && may_join {
            self.join(to.now);
        }
        if self.heartbeat.is_some() || !self.attempts.is_due(to.now) {
            return Ok(Vec::new());
        }
        let news = self.changed && self.knows_its_topics();
        let due = self.due <= to.now.mono || news || self.full;
        let sends = match self.state {
            ConsumerState::Joining => may_join,
            ConsumerState::Acknowledging | ConsumerState::Leaving => true,
            ConsumerState::Reconciling | ConsumerState::Stable => due,
            ConsumerState::Out | ConsumerState::Fenced | ConsumerState::Failed => false,
        };
        match sends {
            true => Ok(self.send(to, owned)?.into_iter().collect()),
            false => Ok(Vec::new()),
        }
    }

    fn send(&mut self, to: &mut ToCoordinator<'_>, owned: Owned<'_>) -> Result<Option<RequestId>, ErrorCode> {
        let Some(open) = to.open(Kind::Main, ApiKey::ConsumerGroupHeartbeat, i16::MAX)? else {
            return Ok(None);
        };
        self.matches_here = open.version == 0;
        // Older coordinators leave a group without topics in epoch 0, and every heartbeat of epoch 0 is a join.
        let joins = self.epoch == JOINS && self.state != ConsumerState::Leaving;
        if joins && !self.knows_its_topics() {
            return Ok(None);
        }
        if self.matches_here && std::mem::take(&mut self.own_id) {
            self.member_id.clear();
        }
        let request = match self.state {
            ConsumerState::Leaving => self.farewell(),
            _ => self.news(open.version, owned),
        };
        self.lists = request.topic_partitions.is_some();
        let id = to.send(open, request, None);
        self.heartbeat = Some(id);
        self.due = self.pulse.beat(to.now.mono);
        if self.state == ConsumerState::Acknowledging {
            let next = match self.nameless.is_empty() {
                true => ConsumerState::Stable,
                false => ConsumerState::Reconciling,
            };
            self.transition_to(next, to.now);
        }
        Ok(Some(id))
    }

    fn farewell(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.config.id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.leaving_with,
            instance_id: self.config.instance_id.clone(),
            ..Default::default()
        }
    }

    fn news(&mut self, version: i16, owned: Owned<'_>) -> ConsumerGroupHeartbeatRequest {
        let still_joins = self.epoch == JOINS && self.state.is_member();
        let full = std::mem::take(&mut self.full) || still_joins;
        // A new pattern is not matched during a handover. Meanwhile the member's heartbeats go on without topics,
        // and the coordinator keeps the earlier ones.
        let tells_interest = self.knows_its_topics() && (std::mem::take(&mut self.changed) || full);
        let by_pattern = self.interest.pattern.as_ref().filter(|_| version >= 1);
        // With nothing left there would be nothing to join for: the refusal then says why.
        let topics = || match self.interest.topics.difference(&self.forbidden).cloned().collect::<Vec<_>>() {
            none if none.is_empty() => self.interest.topics.iter().cloned().collect(),
            some => some,
        };
        let pattern = match by_pattern {
            Some(pattern) => Some(pattern.as_str().to_owned()),
            None => self.pattern_told.then(String::new),
        };
        self.pattern_told |= by_pattern.is_some();
        let names = if by_pattern.is_some() { Vec::new() } else { topics() };
        // Unless it says everything, a heartbeat lists the owned partitions only once the assignment is carried
        // out; until then the coordinator goes on with the previous list. After that the heartbeat must list them
        // even if they have not changed: the coordinator may have assigned more and withdrawn it, and waits for the
        // confirmation.
        let settled = matches!(self.state, ConsumerState::Joining | ConsumerState::Acknowledging);
        let topic_partitions = (full || settled).then(|| match self.state {
            ConsumerState::Joining => Vec::new(),
            _ => self.by_topic(owned().into_iter().collect()),
        });
        ConsumerGroupHeartbeatRequest {
            group_id: self.config.id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.config.instance_id.clone(),
            rack_id: self.config.rack.clone().filter(|_| full),
            rebalance_timeout_ms: match full {
                true => millis(self.config.rebalance_timeout()),
                false => -1,
            },
            subscribed_topic_names: tells_interest.then_some(names),
            subscribed_topic_regex: pattern.filter(|_| tells_interest),
            server_assignor: self.config.server_assignor.clone().filter(|_| full),
            topic_partitions,
        }
    }

    fn by_topic(&self, owned: BTreeSet<TopicPartition>) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
        let ids: BTreeMap<&String, TopicId> = self.names.iter().map(|(id, name)| (name, *id)).collect();
        let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for at in owned {
            if let Some(id) = ids.get(&at.topic) {
                topics.entry(*id).or_default().push(at.partition);
            }
        }
        let topic = |(topic_id, partitions)| ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions };
        topics.into_iter().map(topic).collect()
    }
}
