//! The brokers, as operations reach them: any one, the controller, coordinators, leaders.

use std::{collections::BTreeMap, time::Instant};

use ottla_protocol::{ApiKey, ErrorCode, Now, Request, messages::FindCoordinatorResponse};

use crate::{
    cause::Cause,
    connections::{Address, Kind, RefusedConnection, Target, Unsupported},
    coordinator::{self, Coordinated},
    disconnected::Disconnected,
    hub::Hub,
    ids::{NodeId, OpId, RequestId, TopicPartition},
};

/// How many coordinators one request looks up at the most: it, and its answer, stay well within what a frame may hold.
const LOOK_UPS_AT_ONCE: usize = 1000;

#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) hub: Hub<Sent>,
    pub(super) seeds: Vec<Address>,
    /// Which broker coordinates what, as far as it was looked up.
    coordinators: BTreeMap<Coordinated, NodeId>,
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) op: OpId,
    pub(super) to: Target,
    key: ApiKey,
}

/// A broker, or a kind of broker, that a request can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Any,
    Controller,
    Node(NodeId),
}

/// How it stands with a partition's leader.
pub(super) enum Leader {
    Is(NodeId),
    /// The topic is not known yet.
    NotKnown,
    /// There is none at the moment.
    Missing,
    /// There is no such partition, or it may not be seen.
    Never(ErrorCode),
}

impl Brokers {
    pub(super) fn new(hub: Hub<Sent>, seeds: Vec<Address>) -> Self {
        Self { hub, seeds, coordinators: BTreeMap::new() }
    }

    /// Where a request can be sent now. If nowhere, a connection is under way, or metadata is waited for.
    pub(super) fn ready(&mut self, place: Place, now: Now) -> Option<Target> {
        let metadata = &mut self.hub.metadata;
        let node = match place {
            Place::Controller if !metadata.is_known() => return None,
            Place::Controller => metadata.controller(),
            Place::Node(node) => Some(node),
            Place::Any => None,
        };
        let Some(node) = node else { return metadata.any_ready(&mut self.hub.connections, now) };
        let ready = metadata.node_ready(node, Kind::Main, &mut self.hub.connections, now);
        ready.then_some(Target::Node(node))
    }

    /// Why nothing will be sent there before somebody changes something.
    pub(super) fn refusal(&self, place: Place, now: Now) -> Option<RefusedConnection> {
        let node = match place {
            Place::Any => None,
            Place::Controller => self.hub.metadata.controller(),
            Place::Node(node) => Some(node),
        };
        let of_node = |node| self.hub.connections.refusal(Target::Node(node), Kind::Main, now);
        node.and_then(of_node).or_else(|| self.hub.refusal(now))
    }

    /// Why nothing can be sent to this broker.
    pub(super) fn obstacle(&self, node: NodeId, now: Now) -> Option<Cause> {
        Cause::of_link(node, Kind::Main, &self.hub.metadata, &self.hub.connections, now.mono)
    }

    /// The newest version of an API, at most `newest`, that is spoken there.
    pub(super) fn version(&self, to: Target, key: ApiKey, newest: i16) -> Result<i16, Unsupported> {
        self.hub.connections.version(to, Kind::Main, key, newest)
    }

    pub(super) fn send(
        &mut self,
        op: OpId,
        to: Target,
        version: i16,
        request: impl Into<Request>,
        now: Now,
    ) -> RequestId {
        let request = request.into();
        let sent = Sent { op, to, key: request.key() };
        self.hub.send((to, Kind::Main), version, request, sent, now)
    }

    /// Every broker, once it was told since then which there are.
    pub(super) fn every(&self, since: Instant) -> Option<impl Iterator<Item = NodeId> + use<>> {
        let nodes: Vec<NodeId> = self.hub.metadata.nodes().keys().copied().collect();
        self.hub.metadata.is_newer_than(since).then_some(nodes.into_iter())
    }

    pub(super) fn is_there(&self, node: NodeId) -> bool {
        self.hub.metadata.address(node).is_some()
    }

    pub(super) fn address_of(&self, target: Target) -> Option<&Address> {
        match target {
            Target::Node(node) => self.hub.metadata.address(node),
            Target::Seed(index) => self.seeds.get(index),
        }
    }

    pub(super) fn leader_of(&self, at: &TopicPartition) -> Leader {
        let Some(topic) = self.hub.metadata.topics().get(&at.topic) else { return Leader::NotKnown };
        match topic.error {
            ErrorCode::None => {}
            error if error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition => {
                return Leader::NotKnown;
            }
            error => return Leader::Never(error),
        }
        match topic.partitions.get(&at.partition).map(|partition| partition.leader) {
            Some(Some(leader)) => Leader::Is(leader),
            Some(None) => Leader::Missing,
            None => Leader::Never(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Who coordinates it, where that was looked up and is there.
    pub(super) fn coordinator_of(&self, of: &Coordinated) -> Option<NodeId> {
        self.coordinators.get(of).copied().filter(|node| self.is_there(*node))
    }

    /// Sends the question who coordinates these, which are of one kind: in one request where brokers know that (KIP-699), else
    /// in one for each. Each request is told with those that it asks for; none as long as a connection for it is under way.
    pub(super) fn look_up(
        &mut self,
        op: OpId,
        of: Vec<Coordinated>,
        now: Now,
    ) -> Result<Vec<(RequestId, Vec<Coordinated>)>, Unsupported> {
        let Some(to) = self.ready(Place::Any, now) else { return Ok(Vec::new()) };
        let version = self.version(to, ApiKey::FindCoordinator, i16::MAX)?;
        let at_once = if version < coordinator::BATCHED { 1 } else { LOOK_UPS_AT_ONCE };
        let mut sent = Vec::new();
        for some in of.chunks(at_once) {
            let Some(first) = some.first() else { continue };
            let mut request = first.look_up(version);
            if version >= coordinator::BATCHED {
                request.coordinator_keys = some.iter().map(|of| of.key().0.to_owned()).collect();
            }
            sent.push((self.send(op, to, version, request, now), some.to_vec()));
        }
        Ok(sent)
    }

    /// Takes the answer to the question who coordinates these: what became of each that it tells of.
    pub(super) fn looked_up(
        &mut self,
        of: &[Coordinated],
        response: FindCoordinatorResponse,
    ) -> BTreeMap<Coordinated, Result<(), (ErrorCode, Option<String>)>> {
        let found: BTreeMap<String, coordinator::Found> = match of {
            // Up to version 3, and brokers that leave the name out.
            [only] => BTreeMap::from([(only.key().0.to_owned(), coordinator::found(response))]),
            _ => coordinator::found_each(response).collect(),
        };
        let each = of.iter().filter_map(|of| {
            let told = found.get(of.key().0)?.clone();
            let told = told.map(|(node, address)| {
                self.hub.metadata.learn_node(node, address);
                self.coordinators.insert(of.clone(), node);
            });
            Some((of.clone(), told))
        });
        each.collect()
    }

    /// Another broker may coordinate it by now.
    pub(super) fn forget_coordinator(&mut self, of: &Coordinated) {
        self.coordinators.remove(of);
    }

    /// The broker that owes this operation an answer, as an obstacle.
    pub(super) fn silence(&self, op: OpId) -> Option<Cause> {
        let sent = self.hub.expected().find(|sent| sent.op == op)?;
        let address = self.address_of(sent.to)?.clone();
        Some(Cause::Connection { address, why: Disconnected::TimedOut(sent.key) })
    }
}
