//! What the members of a group are subscribed to, and what of that there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_protocol::TopicId;

use super::{ConsumerGroup, member::Member};
use crate::{groups::Turn, planted::Planted, topics::Topics};

/// How long after regular expressions were resolved they are not resolved again, whatever happens.
const PATTERNS_REST: Duration = Duration::from_secs(10);
/// Kafka's `group.consumer.regex.refresh.interval.ms`: after which they are, though nothing happened.
const PATTERNS_REFRESH: Duration = Duration::from_secs(600);

/// What the subscriptions of a group come to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// The topics that there are, with their numbers of partitions, as the group's epoch took them into account.
    known: BTreeMap<TopicId, usize>,
    /// The version of all topics in which that was looked at.
    seen: u64,
    /// The topics that each regular expression matched.
    resolved: BTreeMap<String, BTreeSet<String>>,
    resolved_version: u64,
    resolved_at: Option<std::time::Instant>,
}

/// How a member's wishes changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub(super) names: bool,
    pub(super) pattern: bool,
}

impl ConsumerGroup {
    /// Begins a new epoch if wishes or topics have changed.
    pub(super) fn take_into_account(&mut self, id: &str, changed: Changed, turn: &Turn<'_>) {
        let pattern = self.members.get(id).and_then(|member| member.pattern.as_ref());
        let resolved = pattern.is_none_or(|pattern| self.subscriptions.resolved.contains_key(&pattern.text));
        self.forget_patterns();
        let bumps = changed.names || (changed.pattern && resolved);
        let unseen =
            self.subscriptions.seen != turn.topics.version() && !turn.rules.plot.has(Planted::TopicsUnseen);
        if bumps || unseen {
            self.renew(bumps, turn.topics);
        }
    }

    /// Forgets what regular expressions matched that nobody uses any more.
    pub(super) fn forget_patterns(&mut self) {
        let in_use = self.patterns();
        self.subscriptions.resolved.retain(|text, _| in_use.contains(text));
    }

    /// Begins a new epoch if `bumps`, or if there are other topics than the present one knows.
    pub(in crate::groups) fn renew(&mut self, bumps: bool, topics: &Topics) {
        let known = self.members.values().flat_map(|member| self.topic_ids(member, topics));
        let count = |id: TopicId| topics.by_id(id).map_or(0, |topic| topic.partitions.len());
        let known: BTreeMap<TopicId, usize> = known.map(|id| (id, count(id))).collect();
        if bumps || known != self.subscriptions.known {
            self.epoch += 1;
            self.subscriptions.known = known;
        }
        self.subscriptions.seen = topics.version();
    }

    /// Resolves regular expressions, if that is due. In Kafka another thread does it, so no member has what a new one
    /// matches before its next heartbeat.
    pub(super) fn resolve_patterns(&mut self, turn: &Turn<'_>) {
        let in_use = self.patterns();
        let rests = |at: std::time::Instant| turn.now <= at + PATTERNS_REST;
        if in_use.is_empty() || self.subscriptions.resolved_at.is_some_and(rests) {
            return;
        }
        let is_old = |at: std::time::Instant| turn.now > at + PATTERNS_REFRESH;
        let due = in_use.len() != self.subscriptions.resolved.len()
            || self.subscriptions.resolved_version != turn.topics.version()
            || self.subscriptions.resolved_at.is_some_and(is_old);
        if !due {
            return;
        }
        let mut resolved = BTreeMap::new();
        for pattern in self.members.values().filter_map(|member| member.pattern.as_ref()) {
            let hidden = |name: &str| turn.hidden.iter().any(|hidden| hidden == name);
            let matches = || turn.topics.iter().filter(|(name, _)| pattern.matches(name) && !hidden(name));
            resolved
                .entry(pattern.text.clone())
                .or_insert_with(|| matches().map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>());
        }
        let matched = |text| self.subscriptions.resolved.get(text).cloned().unwrap_or_default();
        let changed = resolved.iter().any(|(text, names)| *names != matched(text));
        self.subscriptions.resolved = resolved;
        self.subscriptions.resolved_version = turn.topics.version();
        self.subscriptions.resolved_at = Some(turn.now);
        self.renew(changed, turn.topics);
    }

    fn patterns(&self) -> BTreeSet<String> {
        self.members.values().filter_map(|member| Some(member.pattern.as_ref()?.text.clone())).collect()
    }

    /// The topics that there are of those that a member is subscribed to.
    pub(super) fn topic_ids(&self, member: &Member, topics: &Topics) -> BTreeSet<TopicId> {
        let pattern = member.pattern.as_ref();
        let matched = pattern.and_then(|pattern| self.subscriptions.resolved.get(&pattern.text));
        let names = member.names.iter().chain(matched.into_iter().flatten());
        names.filter_map(|name| topics.find(name)).map(|topic| topic.id).collect()
    }

    /// The number of partitions of a topic that the present epoch knows.
    pub(super) fn partitions_of(&self, topic: TopicId) -> usize {
        self.subscriptions.known.get(&topic).copied().unwrap_or(0)
    }
}
