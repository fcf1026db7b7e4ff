//! A member of a group of the consumer protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatTopicPartitions},
};
use regex_lite::{Regex, RegexBuilder};

use crate::{Refusal, groups::classic::Protocols};

/// A partition of a topic, by the topic's id.
pub(crate) type Partition = (TopicId, i32);
/// Partitions, each with the epoch in which its owner got it.
pub(crate) type Owned = BTreeMap<Partition, i32>;

/// Where a member stands on its way to its target.
///
/// ```text
///                    a target without some of its partitions
///            ┌─────────────────────────────────────────────────────┐
///            │                                                     ▼
///         Stable ◀──────────── Unreleased ──────────────────▶ Unrevoked
///            │     all are free   ▲    the same                    │
///            └────────────────────┴────────────────────────────────┘
///             partitions that others     it has given them up, or never had them
///             have not given up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MemberState {
    /// It has what it should have.
    #[default]
    Stable,
    /// It must give up partitions before it may enter the next epoch.
    Unrevoked,
    /// It is in the newest epoch and waits for partitions that others have not given up.
    Unreleased,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) assignor: Option<String>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) assigned: Owned,
    pub(crate) revoking: Owned,
    pub(crate) expires: Instant,
    /// Until when it must have given up what it is asked to.
    pub(crate) revoke_deadline: Option<Instant>,
    /// What it has beside all that, if it speaks the classic protocol.
    pub(crate) classic: Option<ClassicSide>,
}

/// A member that speaks the classic protocol in a group of the consumer protocol.
#[derive(Debug, Clone)]
pub(crate) struct ClassicSide {
    pub(crate) session_timeout: Duration,
    pub(crate) protocols: Protocols,
    /// Until when it must join again, once it was told to.
    pub(crate) join_deadline: Option<Instant>,
    /// Until when it must ask for its assignment.
    pub(crate) sync_deadline: Option<Instant>,
}

impl ClassicSide {
    /// The assignor that it is told to use, though nobody does: its first.
    pub(crate) fn protocol(&self) -> &str {
        self.protocols.first().map_or("", |(name, _)| name)
    }

    /// The version in which it wrote what it wants, and can read what it gets.
    pub(crate) fn version(&self) -> i16 {
        let head = self.protocols.first().and_then(|(_, metadata)| metadata.first_chunk());
        head.map_or(0, |head| i16::from_be_bytes(*head))
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

impl Member {
    pub(crate) fn new(id: String, now: Instant) -> Self {
        Self {
            id,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            rebalance_timeout: Duration::ZERO,
            assignor: None,
            names: BTreeSet::new(),
            pattern: None,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned: Owned::new(),
            revoking: Owned::new(),
            expires: now,
            revoke_deadline: None,
            classic: None,
        }
    }

    /// Takes over what a heartbeat tells; what it leaves out stays.
    pub(super) fn update(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        pattern: Option<Pattern>,
        client_id: &str,
    ) {
        let keep = |ours: &mut Option<String>, told: &Option<String>| {
            if told.is_some() {
                ours.clone_from(told);
            }
        };
        keep(&mut self.instance_id, &request.instance_id);
        keep(&mut self.rack_id, &request.rack_id);
        keep(&mut self.assignor, &request.server_assignor);
        client_id.clone_into(&mut self.client_id);
        self.classic = None;
        if let Ok(millis) = u64::try_from(request.rebalance_timeout_ms) {
            self.rebalance_timeout = Duration::from_millis(millis);
        }
        if let Some(names) = &request.subscribed_topic_names {
            self.names = names.iter().cloned().collect();
        }
        if request.subscribed_topic_regex.is_some() {
            self.pattern = pattern;
        }
    }

    /// Everything that nobody else may have.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Partition> {
        self.assigned.keys().chain(self.revoking.keys())
    }

    /// The epoch in which it got a partition that it holds.
    pub(crate) fn held_since(&self, partition: &Partition) -> Option<i32> {
        self.assigned.get(partition).or_else(|| self.revoking.get(partition)).copied()
    }

    /// Its own, if it speaks the classic protocol; else the one for all.
    pub(crate) fn session_timeout(&self, common: Duration) -> Duration {
        self.classic.as_ref().map_or(common, |side| side.session_timeout)
    }

    /// When it is given up, for whichever reason.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> + use<> {
        let side = self.classic.as_ref();
        let classic = side.map(|side| [side.join_deadline, side.sync_deadline]).unwrap_or_default();
        [Some(self.expires), self.revoke_deadline].into_iter().chain(classic).flatten()
    }

    pub(crate) fn is_reconciled(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}

/// A regular expression that matches whole names.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    regex: Regex,
}

impl Pattern {
    /// None for the empty one, which matches nothing.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let limited = |text: &str| {
            RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| Refusal {
                code: ErrorCode::InvalidRegularExpression,
                message: format!("SubscribedTopicRegex is not a valid regular expression: {error}"),
            })
        };
        // First by itself, so that no parenthesis of it closes ours.
        limited(text)?;
        Ok(Some(Self { text: text.to_owned(), regex: limited(&format!("^(?:{text})$"))? }))
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// As messages list partitions.
pub(crate) fn by_topic<'a>(
    partitions: impl Iterator<Item = &'a Partition>,
) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let mut topics: Vec<ConsumerGroupHeartbeatTopicPartitions> = Vec::new();
    for &(topic_id, index) in partitions {
        match topics.last_mut().filter(|topic| topic.topic_id == topic_id) {
            Some(topic) => topic.partitions.push(index),
            None => topics.push(ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions: vec![index] }),
        }
    }
    topics
}

/// As messages list them, the other way.
pub(crate) fn listed(topics: &[ConsumerGroupHeartbeatTopicPartitions]) -> BTreeSet<Partition> {
    let each = |topic: &ConsumerGroupHeartbeatTopicPartitions| {
        let id = topic.topic_id;
        topic.partitions.iter().map(move |&index| (id, index)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(each).collect()
}
