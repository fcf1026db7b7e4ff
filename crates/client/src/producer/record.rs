//! What is sent.

use std::borrow::Cow;

use ottla_core::producer::Outgoing;
use ottla_protocol::{Timestamp, records::Header};

/// A record to be sent: borrowed or owned, part by part; it is copied when it is sent.
///
/// ```
/// # use ottla::producer::ProducerRecord;
/// let order = String::from("espresso");
/// let record = ProducerRecord::to("orders").key("42").value(&order).header("trace", b"af01").partition(3);
/// ```
///
/// A consumed record is sent on as it was, nulls included:
///
/// ```
/// # use ottla::{OwnedRecord, producer::ProducerRecord};
/// # fn forward(record: &OwnedRecord) -> ProducerRecord<'_> {
/// ProducerRecord::to("copies").key(record.key()).value(record.value())
/// # }
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

/// What a [`ProducerRecord`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordParts<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` where none was named, or chosen yet.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Vec<Header<'a>>,
    /// The timestamp; `None` where none was named, or it was sent as -1.
    pub timestamp: Option<Timestamp>,
}

type OwnedHeader<'a> = (HeaderKey<'a>, Option<Cow<'a, [u8]>>);

/// A record's key or value, or a header's value: text, bytes, or null (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a>(Option<Cow<'a, [u8]>>);

/// A header's key: text, or any bytes, so that what was consumed can be sent on as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderKey<'a>(Cow<'a, [u8]>);

impl<'a> Payload<'a> {
    const fn of(bytes: Cow<'a, [u8]>) -> Self {
        Self(Some(bytes))
    }
}

impl<'a> HeaderKey<'a> {
    const fn of(bytes: Cow<'a, [u8]>) -> Self {
        Self(bytes)
    }
}

/// From whatever is text or bytes.
macro_rules! from_text_and_bytes {
    ($($target:ident),*) => {$(
        impl<'a> From<&'a str> for $target<'a> {
            fn from(text: &'a str) -> Self {
                Self::of(text.as_bytes().into())
            }
        }

        impl<'a> From<&'a String> for $target<'a> {
            fn from(text: &'a String) -> Self {
                text.as_str().into()
            }
        }

        impl From<String> for $target<'_> {
            fn from(text: String) -> Self {
                Self::of(text.into_bytes().into())
            }
        }

        impl<'a> From<&'a [u8]> for $target<'a> {
            fn from(bytes: &'a [u8]) -> Self {
                Self::of(bytes.into())
            }
        }

        impl<'a, const N: usize> From<&'a [u8; N]> for $target<'a> {
            fn from(bytes: &'a [u8; N]) -> Self {
                bytes.as_slice().into()
            }
        }

        impl<'a> From<&'a Vec<u8>> for $target<'a> {
            fn from(bytes: &'a Vec<u8>) -> Self {
                bytes.as_slice().into()
            }
        }

        impl From<Vec<u8>> for $target<'_> {
            fn from(bytes: Vec<u8>) -> Self {
                Self::of(bytes.into())
            }
        }

        impl<'a> From<Cow<'a, [u8]>> for $target<'a> {
            fn from(bytes: Cow<'a, [u8]>) -> Self {
                Self::of(bytes)
            }
        }
    )*};
}
from_text_and_bytes!(Payload, HeaderKey);

impl<'a, T: Into<Payload<'a>>> From<Option<T>> for Payload<'a> {
    fn from(payload: Option<T>) -> Self {
        payload.map_or(Self(None), Into::into)
    }
}

impl<'a> ProducerRecord<'a> {
    /// A record for this topic, without a key and without a value: in a compacted topic, a deletion.
    pub fn to(topic: impl Into<Cow<'a, str>>) -> Self {
        let (key, value, headers) = (None, None, Vec::new());
        Self { topic: topic.into(), partition: None, key, value, headers, timestamp: None }
    }

    /// The partition to send it to, from 0. Without it: the one that Java picks for the key; without a key, the same one until
    /// a batch is full, then another.
    #[must_use]
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The key: text, bytes, or `None`. Default none.
    #[must_use]
    pub fn key(mut self, key: impl Into<Payload<'a>>) -> Self {
        self.key = key.into().0;
        self
    }

    /// The value: text, bytes, or `None`, which in a compacted topic is a deletion. Default none.
    #[must_use]
    pub fn value(mut self, value: impl Into<Payload<'a>>) -> Self {
        self.value = value.into().0;
        self
    }

    /// Adds a header, after those that are there; keys may repeat. A value of `None` is null, which Kafka tells from an
    /// empty one.
    #[must_use]
    pub fn header(mut self, key: impl Into<HeaderKey<'a>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push((key.into(), value.into().0));
        self
    }

    /// Adds a header whose value is null.
    #[must_use]
    pub fn null_header(self, key: impl Into<HeaderKey<'a>>) -> Self {
        self.header(key, Payload(None))
    }

    /// Its timestamp: milliseconds since 1970, or a [`SystemTime`](std::time::SystemTime). Default the time at which it is
    /// sent; a topic may be set to replace it by that of its append.
    #[must_use]
    pub fn timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.timestamp = Some(timestamp.into());
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What it is made of. Allocates where there are headers.
    pub fn parts(&self) -> RecordParts<'_> {
        let Outgoing { topic, partition, key, value, headers, timestamp } = self.outgoing();
        RecordParts { topic, partition, key, value, headers: headers.collect(), timestamp }
    }

    /// As it is, with parts of its own.
    pub(crate) fn into_owned(self) -> ProducerRecord<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        let header = |(key, value): OwnedHeader<'_>| (HeaderKey(own(key.0)), value.map(own));
        ProducerRecord {
            topic: Cow::Owned(self.topic.into_owned()),
            partition: self.partition,
            key: self.key.map(own),
            value: self.value.map(own),
            headers: self.headers.into_iter().map(header).collect(),
            timestamp: self.timestamp,
        }
    }

    /// As it is, with parts of this one.
    pub(crate) fn borrowed(&self) -> ProducerRecord<'_> {
        let headers = self
            .headers
            .iter()
            .map(|(key, value)| (HeaderKey(Cow::Borrowed(&*key.0)), value.as_deref().map(Cow::Borrowed)));
        ProducerRecord {
            topic: Cow::Borrowed(&self.topic),
            partition: self.partition,
            key: self.key.as_deref().map(Cow::Borrowed),
            value: self.value.as_deref().map(Cow::Borrowed),
            headers: headers.collect(),
            timestamp: self.timestamp,
        }
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
