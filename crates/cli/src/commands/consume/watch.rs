//! What a reader does not see in records: a topic that is gone, and whatever else they wait for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{Cause, Consumer, Explanation, GroupReason, Reason};

use crate::{
    failure::{Failure, tell},
    waiting::Waits,
};

/// How often to look.
const EVERY: Duration = Duration::from_millis(250);
/// How long a group may take to take a member in before that is told: brokers wait for further ones before the first
/// generation (`group.initial.rebalance.delay.ms`, 3 s), and a rebalance waits for members that are at work.
const JOINING: Duration = Duration::from_secs(5);
/// How many partitions that wait for the same are named.
const NAMED: usize = 3;

#[derive(Debug)]
pub(super) struct Watch {
    looked: Instant,
    missing_since: Option<Instant>,
    waits: Waits,
    /// Which is told once: that reading began at the log's end.
    at_end: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { looked: Instant::now(), missing_since: None, waits: Waits::default(), at_end: false }
    }

    /// Tells what is waited for: where the consumer waits for nothing, what `more` does. An error where a topic is gone.
    pub(super) fn look(
        &mut self,
        consumer: &Consumer,
        grace: Duration,
        more: impl FnOnce() -> Vec<Cause>,
    ) -> Result<(), Failure> {
        let now = Instant::now();
        if now - self.looked < EVERY {
            return Ok(());
        }
        self.looked = now;
        let explanation = consumer.explain();
        self.tell_of_ends(&explanation);
        let mut reasons = reasons(&explanation);
        if reasons.is_empty() {
            reasons = more().iter().map(ToString::to_string).collect();
        }
        self.waits.now(reasons);
        let Some((topic, error)) = explanation.missing_topics.first() else {
            self.missing_since = None;
            return Ok(());
        };
        if now - *self.missing_since.get_or_insert(now) < grace {
            return Ok(());
        }
        let why = format!("it is not there any more ({error}); create it again, or stop reading it");
        Err(Failure::failed(format!("topic `{topic}`: {why}")))
    }

    /// That records were there and are not read surprises who did not ask for it.
    pub(super) fn tell_of_ends(&mut self, explanation: &Explanation) {
        let of_group = explanation.group.is_some();
        if self.at_end || !of_group || explanation.began_at_end.is_empty() {
            return;
        }
        self.at_end = true;
        let partitions: Vec<String> =
            explanation.began_at_end.iter().map(|(at, offset, _)| format!("{at} (at {offset})")).collect();
        tell(format!(
            "the group has no committed offset for {}: it begins at the end there; with -o beginning it reads what is \
             there",
            some(&partitions)
        ));
    }
}

/// What is in the way, as far as it does not pass by itself in a moment.
fn reasons(explanation: &Explanation) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some((address, why)) = &explanation.unreachable {
        reasons.push(format!("broker {address}: {why}"));
    }
    reasons
        .extend(explanation.missing_topics.iter().map(|(topic, error)| format!("topic `{topic}`: {error}")));
    if let Some(group) = explanation.group.as_ref().filter(|group| is_told(group)) {
        reasons.push(format!("group: {group}"));
    }
    let mut partitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (at, reason) in &explanation.partitions {
        if is_obstacle(reason) {
            partitions.entry(reason.to_string()).or_default().push(at.to_string());
        }
    }
    let named = partitions.into_iter().map(|(reason, partitions)| format!("{}: {reason}", some(&partitions)));
    reasons.extend(named);
    reasons
}

fn is_told(group: &GroupReason) -> bool {
    match group {
        GroupReason::Joining { retry, waited, .. } => retry.is_some() || *waited >= JOINING,
        GroupReason::Member { .. } | GroupReason::Leaving | GroupReason::Out => false,
        _ => true,
    }
}

fn is_obstacle(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::NoLeader { .. }
            | Reason::Disconnected { .. }
            | Reason::Unanswered { .. }
            | Reason::Retrying(_)
            | Reason::Throttled { .. }
            | Reason::LookingUpCommitted { .. }
            | Reason::LookingUpOffset { .. }
            | Reason::AwaitingHeartbeat { .. }
            | Reason::AwaitingMetadata
            | Reason::Failed(_)
    )
}

/// The first few, and how many more.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names.get(..names.len() - more).unwrap_or_default().join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
