//! Where records go that are given up: from one retry topic to the next, and to the dead letters in the end.

use std::{collections::BTreeSet, time::Duration};

use ottla_core::{
    TopicPartition,
    dead_letters::{DeadLetter, DeadLetters, FailedRecord, Failure, Origin, RetryTopic},
    processing::{Order, WhyHopeless},
};
use ottla_protocol::Timestamp;

use super::RetryOrder;
use crate::{
    consumer::OwnedRecord,
    error::{BuildError, BuildErrorKind, Details as _},
};

/// Retry topics by their delays, and the dead letters behind the last.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) letters: DeadLetters,
    pub(super) delays: Vec<Duration>,
    /// The topics that are subscribed to.
    pub(super) topics: Vec<String>,
    /// Later records of a line follow one that waits in a retry topic.
    pub(super) is_held: bool,
}

/// A record's next step.
#[derive(Debug)]
pub(super) struct Step<'p, 'a> {
    letters: &'p DeadLetters,
    /// As it was in its first topic, as far as that is told.
    record: FailedRecord<'a>,
    /// The attempts in the topics before.
    attempts: u32,
    /// Of the retry topic that it goes to; `None` where that is the dead letters' topic.
    delay: Option<Duration>,
}

impl Plan {
    /// For the topics that are subscribed to by name.
    pub(super) fn of_topics(
        self,
        topics: &[String],
        retry_order: RetryOrder,
        order: Order,
    ) -> Result<Self, BuildError> {
        let invalid =
            |why: &str| BuildError::new(BuildErrorKind::InvalidValue).detail(format!("retry topics: {why}"));
        let names: BTreeSet<u128> = self.delays.iter().map(Duration::as_millis).collect();
        if names.len() != self.delays.len() {
            return Err(invalid("two of the same delay are one topic: give each a delay of its own"));
        }
        if !self.delays.is_empty() && topics.is_empty() {
            return Err(invalid("they are read beside topics that are subscribed to by name"));
        }
        let is_held = retry_order == RetryOrder::Held;
        if is_held && self.delays.is_empty() {
            return Err(invalid("none are there to hold records in"));
        }
        if is_held && order == Order::Unordered {
            return Err(invalid("nothing is held where no record waits for another"));
        }
        Ok(Self { topics: topics.to_vec(), is_held, ..self })
    }

    /// All that the group is to be asked for.
    pub(super) fn all_topics(&self) -> Vec<String> {
        let retries = self.retry_topics().map(|retry| retry.to_string());
        self.topics.iter().cloned().chain(retries).collect()
    }

    /// The partitions that stand behind this one, where records are held.
    pub(super) fn behind(&self, at: &TopicPartition) -> Vec<TopicPartition> {
        if !self.is_held || !self.topics.contains(&at.topic) {
            return Vec::new();
        }
        let topics = self.retry_topics().filter(|retry| retry.topic() == at.topic);
        topics.map(|retry| TopicPartition::new(retry.to_string(), at.partition)).collect()
    }

    /// Of each retry topic, where records are held, the topic that it is of.
    pub(super) fn first_topics(&self) -> impl Iterator<Item = (String, String)> {
        let retries = self.retry_topics().filter(|_| self.is_held);
        retries.map(|retry| (retry.to_string(), retry.topic().to_owned()))
    }

    /// The retry topics of all topics that are subscribed to.
    pub(super) fn retry_topics(&self) -> impl Iterator<Item = RetryTopic<'_>> {
        let of = |topic| self.delays.iter().map(move |delay| RetryTopic::new(topic, *delay));
        self.topics.iter().flat_map(move |topic| of(topic))
    }

    /// The retry topic of this name, if it is one of these.
    pub(super) fn retry_topic<'n>(&self, name: &'n str) -> Option<RetryTopic<'n>> {
        RetryTopic::parse(name).filter(|retry| self.hops(*retry) > 0)
    }

    /// How many retry topics a record of this one has been through; 0 where it is none of these.
    fn hops(&self, retry: RetryTopic<'_>) -> usize {
        if !self.topics.iter().any(|first| first == retry.topic()) {
            return 0;
        }
        let hop = self.delays.iter().position(|delay| delay.as_millis() == retry.delay().as_millis());
        hop.map_or(0, |hop| hop + 1)
    }

    /// What follows for a record that is not tried any more where it is, for this reason; without one, for a record that follows others.
    pub(super) fn step<'a>(&self, record: FailedRecord<'a>, why: Option<WhyHopeless>) -> Step<'_, 'a> {
        let hops = RetryTopic::parse(record.topic).map_or(0, |retry| self.hops(retry));
        let origin = Origin::of(&record).filter(|_| hops > 0);
        let attempts = origin.as_ref().and_then(|origin| origin.attempts.ok()).unwrap_or_default();
        let record = origin.and_then(|origin| self.letters.taken_back(&record, &origin)).unwrap_or(record);
        // No later attempt at it can succeed either.
        let delay = self.delays.get(hops).copied().filter(|_| why != Some(WhyHopeless::Fatal));
        Step { letters: &self.letters, record, attempts, delay }
    }
}

/// Whether a record was written to its retry topic because others of its line were there: it had no attempt before.
pub(super) fn follows(record: &OwnedRecord) -> bool {
    Origin::of(&FailedRecord::from(record)).is_some_and(|origin| origin.attempts == Ok(0))
}

/// How long a record still waits in its retry topic, `now`. Never longer than the topic's delay, whatever its timestamp says.
pub(super) fn wait(record: &OwnedRecord, retry: RetryTopic<'_>, now: Timestamp) -> Option<Duration> {
    if follows(record) {
        return None;
    }
    let told = Origin::of(&FailedRecord::from(record)).and_then(|origin| origin.due.ok());
    let due = told.unwrap_or_else(|| retry.due(record.timestamp().unwrap_or(now)));
    let left = u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default();
    Some(Duration::from_millis(left).min(retry.delay())).filter(|wait| !wait.is_zero())
}

impl<'a> Step<'_, 'a> {
    /// The topic that it was in at first, as far as that is told.
    pub(super) fn source(&self) -> &'a str {
        self.record.topic
    }

    /// Whether it goes to a retry topic.
    pub(super) fn is_retry(&self) -> bool {
        self.delay.is_some()
    }

    /// The topic that it goes to.
    pub(super) fn topic(&self) -> String {
        match self.delay {
            Some(delay) => self.letters.retry_topic_of(&self.record, delay).to_string(),
            None => self.letters.topic_of(&self.record).into_owned(),
        }
    }

    /// What is written there, where there are so many `partitions`. `failure` has the attempts where it was.
    pub(super) fn letter(&self, failure: Failure<'_>, partitions: usize, now: Timestamp) -> DeadLetter<'a> {
        let mut failure = failure;
        failure.attempts = failure.attempts.saturating_add(self.attempts);
        match self.delay {
            Some(delay) => self.letters.retry(&self.record, &failure, delay, partitions, now),
            None => self.letters.letter(&self.record, &failure, partitions, now),
        }
    }
}
