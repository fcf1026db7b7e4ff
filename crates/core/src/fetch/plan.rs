//! What is to be fetched from which broker, kept up to date with the lanes that change: a fetch costs what has changed
//! since the one before, however many partitions there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use ottla_protocol::{Now, TopicId};

use super::{session::Asked, validation::Unproven};
use crate::{
    ids::{NodeId, PartIdx},
    lanes::Lanes,
    metadata::Metadata,
};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The lanes that want records, and what each counts for.
    counted: BTreeMap<PartIdx, Counted>,
    brokers: BTreeMap<NodeId, Share>,
    leaderless: usize,
    /// Lanes that want records from then on.
    later: BTreeSet<(Instant, PartIdx)>,
    /// The revision of the metadata in which the leaders were looked up.
    revision: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    /// Its leader, or the follower that is fetched from.
    broker: Option<NodeId>,
    follows: bool,
    /// The leader is not to be told the rack.
    alone: bool,
    queued_bytes: usize,
}

/// What is to be fetched from one broker.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// How many lanes want records of it. Some may have enough for now.
    wanting: usize,
    /// How many of them it does not lead (KIP-392).
    following: usize,
    /// How many of them it is not to name a follower for.
    pub(super) alone: usize,
    /// How many bytes of those lanes wait to be read.
    pub(super) ahead: usize,
    /// The partitions that a fetch asks for.
    pub(super) asked: BTreeMap<PartIdx, Arc<Asked>>,
    /// The positions that this leader is to validate before they are fetched from.
    unproven: BTreeMap<PartIdx, Unproven>,
    /// How many of the partitions are of topics without an id.
    pub(super) nameless: usize,
    /// The partitions that are, or were, asked for, and that have changed since the last fetch.
    pub(super) changed: BTreeSet<PartIdx>,
}

impl Plan {
    /// Takes over what has changed. `enough` is how many bytes of a lane may wait to be read.
    pub(super) fn follow<F>(&mut self, lanes: &mut Lanes<F>, metadata: &Metadata, enough: usize, now: Now) {
        let mut changed = lanes.take_changed();
        if self.revision != Some(metadata.revision()) {
            self.revision = Some(metadata.revision());
            changed.extend(lanes.assigned().map(|(part, _)| part));
        }
        while let Some((at, part)) = self.later.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.later.remove(&(at, part));
            changed.insert(part);
        }
        for part in changed {
            lanes.bind_later(part, metadata);
            self.count(part, lanes, metadata, enough, now);
        }
    }

    /// Counts one lane anew.
    fn count<F>(&mut self, part: PartIdx, lanes: &Lanes<F>, metadata: &Metadata, enough: usize, now: Now) {
        if let Some(before) = self.counted.remove(&part) {
            self.forget(part, before);
        }
        let Some(lane) = lanes.get(part) else { return };
        if !lane.wants_records(now) {
            let later = lane.attempts.next().filter(|at| *at > now.mono);
            self.later.extend(later.map(|at| (at, part)));
            return;
        }
        let topic_id = metadata.id_of(&lane.at.topic).unwrap_or_default();
        // A broker that lags behind may still tell of the topic that is gone: it is not read at the new one's position.
        let known = metadata.partition(&lane.at).filter(|_| !lane.is_of_other(topic_id));
        let known = known.and_then(|p| Some((p.leader?, p.leader_epoch)));
        let (source, queued_bytes) = (lane.source, lane.queued_bytes);
        self.later.extend(source.ends().filter(|at| *at > now.mono).map(|at| (at, part)));
        let unproven = |leader_epoch| lane.fetch_epoch.filter(|_| lane.needs_validation(leader_epoch));
        // The leader is who knows whether a position is in its log.
        let follower = known
            .filter(|(_, leader_epoch)| unproven(*leader_epoch).is_none())
            .and_then(|(_, leader_epoch)| source.follower(leader_epoch, now));
        let (follows, alone) = (follower.is_some(), source.is_alone(now));
        let broker = follower.or(known.map(|(leader, _)| leader));
        self.counted.insert(part, Counted { broker, follows, alone, queued_bytes });
        let (Some(broker), Some((_, leader_epoch))) = (broker, known) else {
            self.leaderless += 1;
            return;
        };
        let share = self.brokers.entry(broker).or_default();
        share.wanting += 1;
        share.following += usize::from(follows);
        share.alone += usize::from(alone);
        share.ahead += queued_bytes;
        let (at, epoch, offset) = (Arc::clone(&lane.at), lane.epoch, lane.fetch_at);
        if let Some(offset_epoch) = unproven(leader_epoch) {
            share.unproven.insert(part, Unproven { at, epoch, offset, offset_epoch, leader_epoch });
        } else if queued_bytes < enough {
            let (offset_epoch, served) = (lane.fetch_epoch, lane.served);
            share.nameless += usize::from(topic_id == TopicId::ZERO);
            let asked = Asked { at, topic_id, epoch, offset, offset_epoch, leader_epoch, served };
            share.asked.insert(part, Arc::new(asked));
            share.changed.insert(part);
        }
    }

    fn forget(&mut self, part: PartIdx, Counted { broker, follows, alone, queued_bytes }: Counted) {
        let Some(broker) = broker else {
            self.leaderless -= 1;
            return;
        };
        let Some(share) = self.brokers.get_mut(&broker) else { return };
        share.wanting -= 1;
        share.following -= usize::from(follows);
        share.alone -= usize::from(alone);
        share.ahead -= queued_bytes;
        share.unproven.remove(&part);
        if let Some(asked) = share.asked.remove(&part) {
            share.nameless -= usize::from(asked.topic_id == TopicId::ZERO);
            share.changed.insert(part);
        }
    }

    /// Whether a lane wants records whose leader is not known.
    pub(super) fn is_leaderless(&self) -> bool {
        self.leaderless > 0
    }

    /// How many brokers lanes want records of.
    pub(super) fn brokers(&self) -> usize {
        self.brokers.values().filter(|share| share.wanting > 0).count()
    }

    /// The brokers of which anything is to be asked.
    pub(super) fn asked(&self) -> impl Iterator<Item = NodeId> {
        self.brokers.iter().filter(|(_, share)| !share.asked.is_empty()).map(|(node, _)| *node)
    }

    /// The positions that each leader is to validate.
    pub(super) fn unproven(&self) -> impl Iterator<Item = (NodeId, &BTreeMap<PartIdx, Unproven>)> {
        let waits = self.brokers.iter().filter(|(_, share)| !share.unproven.is_empty());
        waits.map(|(node, share)| (*node, &share.unproven))
    }

    pub(super) fn share(&mut self, node: NodeId) -> &mut Share {
        self.brokers.entry(node).or_default()
    }

    /// The brokers that are fetched from as followers.
    pub(super) fn followers(&self) -> impl Iterator<Item = NodeId> {
        self.brokers.iter().filter(|(_, share)| share.following > 0).map(|(node, _)| *node)
    }

    /// The lanes that want records of a follower.
    pub(super) fn following(&self, node: NodeId) -> Vec<PartIdx> {
        let follows = |counted: &Counted| counted.follows && counted.broker == Some(node);
        self.counted.iter().filter(|(_, counted)| follows(counted)).map(|(part, _)| *part).collect()
    }

    /// Whether the plan is the one that a walk over all lanes makes: for tests, which find a change that passed by it.
    pub(super) fn is_current<F>(
        &self,
        lanes: &Lanes<F>,
        metadata: &Metadata,
        enough: usize,
        now: Now,
    ) -> bool {
        let mut anew = Self::default();
        for (part, _) in lanes.assigned() {
            anew.count(part, lanes, metadata, enough, now);
        }
        let shares = |plan: &Self| {
            let shares = plan.brokers.iter().filter(|(_, share)| share.wanting > 0);
            let share = |share: &Share| {
                let counts = (share.wanting, share.following, share.alone, share.ahead, share.nameless);
                (counts, share.asked.clone(), share.unproven.clone())
            };
            shares.map(|(node, of)| (*node, share(of))).collect::<Vec<_>>()
        };
        (self.leaderless, &self.counted, shares(self)) == (anew.leaderless, &anew.counted, shares(&anew))
    }
}
