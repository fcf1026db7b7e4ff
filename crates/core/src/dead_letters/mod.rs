//! Dead letters: what a record that was given up looks like in the topic where people look after it.
//!
//! [`DeadLetters::letter`] makes a [`DeadLetter`] of a [`FailedRecord`] and a [`Failure`], with the headers of a [`Profile`];
//! [`DeadLetters::retry`] makes one for a retry topic. [`read`] is the way back: it takes the headers of any profile, and tells
//! the [`Origin`]. `docs/dead-letters.md` has each header with its encoding.
//!
//! - `kip1191`, `spring`, `connect`: the names of a profile's headers, and how they are written.
//! - `encoding`: how numbers and texts stand in a header's value.
//! - `failure`: why a record was given up, as texts.
//! - `read`: what the headers of a dead letter tell.
//! - `retry_topic`: the names of retry topics.

mod connect;
mod encoding;
mod failure;
mod kip1191;
mod read;
mod retry_topic;
mod spring;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::Duration};

use ottla_protocol::{
    Timestamp,
    records::{Header, TimestampType},
};

pub use encoding::TEXT_MAX;
pub use failure::{ErrorText, Failure};
pub use read::{Origin, Unreadable, read};
pub use retry_topic::RetryTopic;

/// Whose headers a dead letter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Profile {
    /// `__dlq.errors.*`, as Kafka 4.4's share groups write them (KIP-1191).
    #[default]
    Kip1191,
    /// `kafka_dlt-*`, as the `DeadLetterPublishingRecoverer` of Spring Kafka 4.1 writes them.
    Spring,
    /// `kafka_original-*`, `kafka_exception-*` and `retry_topic-*`, as the retry topics of Spring Kafka 4.1 have them, and the dead
    /// letters behind those.
    SpringRetry,
    /// `__connect.errors.*`, as the sinks of Kafka Connect write them (KIP-298).
    Connect,
}

/// Where dead letters go, and whose headers they have.
///
/// ```
/// # use ottla_core::dead_letters;
/// use dead_letters::{DeadLetters, Profile};
///
/// let by_topic = DeadLetters::new();
/// assert_eq!(by_topic.topic_for("orders"), "orders-dlt");
/// let one = DeadLetters::to("parked").profile(Profile::Spring);
/// assert_eq!(one.topic_for("orders"), "parked");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetters {
    topic: Option<String>,
    profile: Profile,
}

/// A record whose handler gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp, where it has one.
    pub timestamp: Option<Timestamp>,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers in order, duplicates included.
    pub headers: Vec<Header<'a>>,
}

/// A record for a dead-letter topic or a retry topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter<'a> {
    /// The topic to write it to.
    pub topic: String,
    /// The partition to write it to; `None` where the topic's partitions were not known: the producer chooses then.
    pub partition: Option<i32>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The key of the record, as it was.
    pub key: Option<&'a [u8]>,
    /// The value of the record, as it was.
    pub value: Option<&'a [u8]>,
    /// The record's own headers, and those of the profile.
    pub headers: Vec<DeadLetterHeader<'a>>,
}

/// A header of a dead letter: one of the record's own, or one that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterHeader<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<Cow<'a, [u8]>>,
}

/// What all profiles write from.
struct Writing<'w, 'a> {
    record: &'w FailedRecord<'a>,
    failure: &'w Failure<'w>,
    /// When the record is to be handled again; for a dead letter, the time of writing.
    due: Timestamp,
}

impl DeadLetters {
    /// Those of each topic go to `<topic>-dlt`, with the headers of [`Profile::Kip1191`].
    pub fn new() -> Self {
        Self::default()
    }

    /// All go to this topic, with the headers of [`Profile::Kip1191`].
    pub fn to(topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    /// Whose headers they have. Default [`Profile::Kip1191`].
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Where those of a topic go. The name may be longer than a topic's may be: a producer refuses it then.
    pub fn topic_for(&self, topic: &str) -> Cow<'_, str> {
        match &self.topic {
            Some(topic) => topic.into(),
            None => format!("{topic}-dlt").into(),
        }
    }

    /// Where the dead letter of this record goes: by its first topic, where it comes from a retry topic of
    /// [`Profile::SpringRetry`].
    pub fn topic_of(&self, record: &FailedRecord<'_>) -> Cow<'_, str> {
        self.topic_for(self.first_topic(record))
    }

    /// Where a record waits for this long: the retry topic of its first topic.
    pub fn retry_topic_of<'a>(&self, record: &FailedRecord<'a>, delay: Duration) -> RetryTopic<'a> {
        RetryTopic::new(self.first_topic(record), delay)
    }

    /// The dead letter of a record, for [`topic_of`](Self::topic_of) it, which has so many `partitions` (0: that is not known).
    ///
    /// Key, value and own headers stay as they are, and the headers of the profile follow; what is of the same name comes
    /// before. The partition is the record's, modulo `partitions`. The timestamp is `now`; under [`Profile::Connect`] it is the
    /// record's, as long as it has one.
    ///
    /// Under [`Profile::SpringRetry`] a record that comes from a retry topic keeps the origin that is told there; all other
    /// profiles tell of the record itself.
    pub fn letter<'a>(
        &self,
        record: &FailedRecord<'a>,
        failure: &Failure<'_>,
        partitions: usize,
        now: Timestamp,
    ) -> DeadLetter<'a> {
        let topic = self.topic_of(record).into_owned();
        self.write(topic, Writing { record, failure, due: now }, partitions, now)
    }

    /// The same for the [`RetryTopic`] of this delay, which has so many `partitions`. The delay counts in whole
    /// milliseconds. The timestamp is `now` under each profile, as the delay is counted from it.
    pub fn retry<'a>(
        &self,
        record: &FailedRecord<'a>,
        failure: &Failure<'_>,
        delay: Duration,
        partitions: usize,
        now: Timestamp,
    ) -> DeadLetter<'a> {
        let topic = self.retry_topic_of(record, delay);
        let writing = Writing { record, failure, due: topic.due(now) };
        DeadLetter { timestamp: now, ..self.write(topic.to_string(), writing, partitions, now) }
    }

    /// The record to make the next letter of, where it was read from a retry topic: as it was in its first one, so that that is what
    /// is told. `None` where the headers do not tell it, and under [`Profile::SpringRetry`], which takes the record as it was read.
    pub fn taken_back<'a>(&self, record: &FailedRecord<'a>, origin: &Origin<'a>) -> Option<FailedRecord<'a>> {
        match self.profile {
            Profile::SpringRetry => None,
            Profile::Kip1191 | Profile::Spring | Profile::Connect => origin.record(record),
        }
    }

    fn first_topic<'a>(&self, record: &FailedRecord<'a>) -> &'a str {
        match self.profile {
            Profile::SpringRetry => spring::first_topic(record).unwrap_or(record.topic),
            Profile::Kip1191 | Profile::Spring | Profile::Connect => record.topic,
        }
    }

    fn write<'a>(
        &self,
        topic: String,
        writing: Writing<'_, 'a>,
        partitions: usize,
        now: Timestamp,
    ) -> DeadLetter<'a> {
        let record = writing.record;
        let mut headers: Vec<_> = record.headers.iter().map(DeadLetterHeader::from).collect();
        match self.profile {
            Profile::Kip1191 => kip1191::write(&mut headers, &writing),
            Profile::Spring => spring::write(&mut headers, &writing),
            Profile::SpringRetry => spring::write_retry(&mut headers, &writing),
            Profile::Connect => connect::write(&mut headers, &writing),
        }
        let timestamp = match self.profile {
            Profile::Connect => record.timestamp.unwrap_or(now),
            Profile::Kip1191 | Profile::Spring | Profile::SpringRetry => now,
        };
        let partition = partition_of(record.partition, partitions);
        DeadLetter { topic, partition, timestamp, key: record.key, value: record.value, headers }
    }
}

/// The partition of the source, modulo how many there are; `None` where there are none.
fn partition_of(source: i32, partitions: usize) -> Option<i32> {
    source.checked_rem_euclid(i32::try_from(partitions).ok()?)
}

impl<'a> FailedRecord<'a> {
    /// One with neither key, value, headers nor timestamp: its fields are there to be set.
    pub fn new(topic: &'a str, partition: i32, offset: i64) -> Self {
        Self {
            topic,
            partition,
            offset,
            timestamp: None,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// The value of the last header of this name.
    fn last(&self, name: &str) -> Option<&'a [u8]> {
        let last = self.headers.iter().rev().find(|header| header.key == name.as_bytes())?;
        last.value
    }
}

impl<'a> DeadLetterHeader<'a> {
    /// The header as records have it.
    pub fn borrowed(&self) -> Header<'_> {
        Header { key: self.key, value: self.value.as_deref() }
    }

    fn new(name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        Self { key: name.as_bytes(), value: Some(Cow::Owned(value.into())) }
    }
}

impl<'a> From<&Header<'a>> for DeadLetterHeader<'a> {
    fn from(header: &Header<'a>) -> Self {
        Self { key: header.key, value: header.value.map(Cow::Borrowed) }
    }
}
