//! What is sent.

use std::borrow::Cow;

use ottla_core::producer::Outgoing;
use ottla_protocol::{Timestamp, records::Header};

/// A record to be sent: borrowed or owned, part by part; it is copied when it is sent.
///
/// ```
/// # use ottla::producer::ProducerRecord;
/// let record = ProducerRecord::to("orders")
///     .key(b"42")
///     .value("espresso".as_bytes())
///     .header("trace", b"af01")
///     .partition(3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord<'a> {
    topic: Cow<'a, str>,
    partition: Option<i32>,
    key: Option<Cow<'a, [u8]>>,
    value: Option<Cow<'a, [u8]>>,
    headers: Vec<OwnedHeader<'a>>,
    timestamp: Option<Timestamp>,
}

type OwnedHeader<'a> = (HeaderKey<'a>, Option<Cow<'a, [u8]>>);

/// A header's key: text, or any bytes, so that what was consumed can be sent on as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderKey<'a>(Cow<'a, [u8]>);

impl<'a> From<&'a str> for HeaderKey<'a> {
    fn from(key: &'a str) -> Self {
        Self(key.as_bytes().into())
    }
}

impl<'a> From<&'a String> for HeaderKey<'a> {
    fn from(key: &'a String) -> Self {
        key.as_str().into()
    }
}

impl From<String> for HeaderKey<'_> {
    fn from(key: String) -> Self {
        Self(key.into_bytes().into())
    }
}

impl<'a> From<&'a [u8]> for HeaderKey<'a> {
    fn from(key: &'a [u8]) -> Self {
        Self(key.into())
    }
}

impl From<Vec<u8>> for HeaderKey<'_> {
    fn from(key: Vec<u8>) -> Self {
        Self(key.into())
    }
}

impl<'a> ProducerRecord<'a> {
    /// A record for this topic, without a key and without a value: in a compacted topic, a deletion.
    pub fn to(topic: impl Into<Cow<'a, str>>) -> Self {
        let (key, value, headers) = (None, None, Vec::new());
        Self { topic: topic.into(), partition: None, key, value, headers, timestamp: None }
    }

    /// The partition to send it to. Without it: the one that Java picks for the key; without a key, the same one until
    /// a batch is full, then another.
    #[must_use]
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Cow<'a, [u8]>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Cow<'a, [u8]>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header, after those that are there; keys may repeat.
    #[must_use]
    pub fn header(mut self, key: impl Into<HeaderKey<'a>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        self.headers.push((key.into(), Some(value.into())));
        self
    }

    /// Adds a header whose value is null, which Kafka tells from an empty one.
    #[must_use]
    pub fn null_header(mut self, key: impl Into<HeaderKey<'a>>) -> Self {
        self.headers.push((key.into(), None));
        self
    }

    /// Its timestamp. Default the time at which it is sent; a topic may be set to replace it by that of its append.
    #[must_use]
    pub fn timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.timestamp = Some(timestamp.into());
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn outgoing(&self) -> Outgoing<'_, impl Iterator<Item = Header<'_>> + Clone> {
        Outgoing {
            topic: &self.topic,
            partition: self.partition,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(key, value)| Header { key: &key.0, value: value.as_deref() }),
            timestamp: self.timestamp,
        }
    }
}
