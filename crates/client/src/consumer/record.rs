//! Records, as users get them: a [`Record`] borrows from what a poll returned, an [`OwnedRecord`] shares its memory, a
//! [`DetachedRecord`] is a copy. `into_owned` leads from the first to the second, `detach` to the third.

use std::{fmt, sync::Arc};

use ottla_core::{CommittedOffset, Handed, NodeId, TopicPartition};
use ottla_protocol::{
    Timestamp,
    records::{Headers, RecordSpan, TimestampType},
};

use crate::net::frame_pool::Frame;

type Block = ottla_core::Block<Arc<Frame>>;

/// A record of [`Records`](super::Records), borrowed from it.
///
/// ```no_run
/// # async fn run(records: ottla::Records) -> Result<(), Box<dyn std::error::Error>> {
/// for record in &records {
///     let key = record.key().map(String::from_utf8_lossy);
///     let time = record.timestamp().and_then(|time| time.system_time());
///     println!("{}@{} {key:?} of {time:?}", record.topic_partition(), record.offset());
///     for header in record.headers() {
///         let header = header?;
///         println!("{}: {:?}", header.key_lossy(), header.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(super) block: &'a Arc<Block>,
    pub(super) bytes: &'a [u8],
    pub(super) span: &'a RecordSpan,
}

/// A record that owns its place in the memory that it shares with its neighbours, for one reference count.
///
/// As long as it is kept, so is the memory around it: the fetched response, which counts against
/// [`buffer_memory`](crate::ConsumerBuilder::buffer_memory), or, where its batch was compressed, what that decompressed to,
/// which does not. [`detach`](Self::detach) what is to be kept long.
///
/// ```no_run
/// # use std::collections::HashMap;
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
/// let mut newest = HashMap::new();
/// while let Some(record) = consumer.recv().await? {
///     if let Some(key) = record.key() {
///         newest.insert(key.to_vec(), record.detach());
///     }
///     consumer.commit_through(&record).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OwnedRecord(pub(super) Handed<Arc<Frame>>);

/// A record on its own: a copy.
///
/// With the feature `serde` it can be written and read. Keys and values are then sequences of numbers, as `Vec<u8>` is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DetachedRecord {
    /// Its topic and partition.
    pub topic_partition: TopicPartition,
    /// Its offset in the partition.
    pub offset: i64,
    /// The epoch of the leader that appended it, where the log tells it (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Its timestamp, where it has one.
    pub timestamp: Option<Timestamp>,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers in order, duplicates included: their keys, as [`Header::key`](crate::Header::key) has them, and values.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

macro_rules! accessors {
    ([$($lifetime:lifetime)?]) => {
        /// Its topic.
        pub fn topic(&self) -> &$($lifetime)? str {
            &self.block().at.topic
        }

        /// Its partition.
        pub fn partition(&self) -> i32 {
            self.block().at.partition
        }

        /// Its topic and partition.
        pub fn topic_partition(&self) -> &$($lifetime)? TopicPartition {
            &self.block().at
        }

        /// Its offset in the partition.
        #[inline]
        pub fn offset(&self) -> i64 {
            self.span().offset
        }

        /// The offset behind it: what to commit once it, and all before it in its partition, are done.
        pub fn next_offset(&self) -> i64 {
            self.offset() + 1
        }

        pub(super) fn committed(&self) -> CommittedOffset {
            self.block().to_commit(self.next_offset())
        }

        /// The broker that it was fetched from: the partition's leader, or a follower that is nearer (KIP-392).
        pub fn broker(&self) -> NodeId {
            self.block().broker
        }

        /// The epoch of the leader that appended it, where the log tells it (KIP-320).
        pub fn leader_epoch(&self) -> Option<i32> {
            self.block().leader_epoch
        }

        /// Its timestamp, where it has one.
        pub fn timestamp(&self) -> Option<Timestamp> {
            Timestamp::from_wire(self.span().timestamp)
        }

        /// What the timestamp means.
        pub fn timestamp_type(&self) -> TimestampType {
            self.span().timestamp_type
        }

        /// Its key.
        #[inline]
        pub fn key(&self) -> Option<&$($lifetime)? [u8]> {
            self.span().key.of(self.bytes())
        }

        /// Its value.
        #[inline]
        pub fn value(&self) -> Option<&$($lifetime)? [u8]> {
            self.span().value.of(self.bytes())
        }

        /// Its key as a handle on the memory that it lies in: nothing is copied (with the feature `bytes`). As
        /// [`value_bytes`](Self::value_bytes).
        #[cfg(feature = "bytes")]
        pub fn key_bytes(&self) -> Option<bytes::Bytes> {
            shared(self.block(), self.span().key)
        }

        /// Its value as a handle on the memory that it lies in: nothing is copied (with the feature `bytes`).
        ///
        /// As long as it, or a slice of it, is kept, the memory around it is kept too, and counted, as by an
        /// [`OwnedRecord`]: what is to be kept long is better copied.
        #[cfg(feature = "bytes")]
        pub fn value_bytes(&self) -> Option<bytes::Bytes> {
            shared(self.block(), self.span().value)
        }

        /// A copy that shares no memory. Headers that cannot be read are left out.
        pub fn detach(&self) -> DetachedRecord {
            let headers = self.headers().filter_map(Result::ok);
            DetachedRecord {
                topic_partition: self.topic_partition().clone(),
                offset: self.offset(),
                leader_epoch: self.leader_epoch(),
                timestamp: self.timestamp(),
                timestamp_type: self.timestamp_type(),
                key: self.key().map(<[u8]>::to_vec),
                value: self.value().map(<[u8]>::to_vec),
                headers: headers.map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect(),
            }
        }
    };
}

impl<'a> Record<'a> {
    accessors!(['a]);

    #[cfg(ottla_fuzzing)]
    pub(crate) fn fuzzed(block: &'a Arc<Block>, span: &'a RecordSpan) -> Self {
        Self { block, bytes: block.bytes(), span }
    }

    fn block(&self) -> &'a Arc<Block> {
        self.block
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    fn span(&self) -> &'a RecordSpan {
        self.span
    }

    /// Its headers in order, duplicates included; decoded while one iterates.
    pub fn headers(&self) -> Headers<'a> {
        self.span().headers(self.bytes())
    }

    /// The same record, to be kept apart from its [`Records`](super::Records). Its bytes are shared, for one reference count.
    pub fn into_owned(self) -> OwnedRecord {
        OwnedRecord(Handed { block: self.block.clone(), span: *self.span })
    }

    /// The same record with bytes of its own, and how many those are: it keeps no other memory, and does not count against
    /// `buffer_memory`.
    pub(crate) fn copied(self) -> (OwnedRecord, usize) {
        let copy = Handed::copied(self.block, self.span);
        let bytes = copy.block.bytes().len();
        (OwnedRecord(copy), bytes)
    }
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> Self {
        record.into_owned()
    }
}

impl OwnedRecord {
    accessors!([]);

    pub(super) fn borrowed(&self) -> Record<'_> {
        Record { block: &self.0.block, bytes: self.bytes(), span: &self.0.span }
    }

    fn block(&self) -> &Arc<Block> {
        &self.0.block
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0.block.bytes()
    }

    #[inline]
    fn span(&self) -> &RecordSpan {
        &self.0.span
    }

    /// Its headers in order, duplicates included; decoded while one iterates.
    pub fn headers(&self) -> Headers<'_> {
        self.span().headers(self.bytes())
    }
}

impl DetachedRecord {
    /// One with neither key, value, headers nor timestamp: its fields are there to be set.
    pub fn new(topic_partition: impl Into<TopicPartition>, offset: i64) -> Self {
        Self {
            topic_partition: topic_partition.into(),
            offset,
            leader_epoch: None,
            timestamp: None,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }
}

/// What is the same record, wherever it was fetched from.
macro_rules! equality {
    ($($record:ty, $other:ty;)*) => {$(
        impl PartialEq<$other> for $record {
            fn eq(&self, other: &$other) -> bool {
                self.offset() == other.offset()
                    && self.timestamp() == other.timestamp()
                    && self.timestamp_type() == other.timestamp_type()
                    && self.topic_partition() == other.topic_partition()
                    && self.key() == other.key()
                    && self.value() == other.value()
                    && self.headers().eq(other.headers())
            }
        }
    )*};
}
equality! {
    Record<'_>, Record<'_>;
    Record<'_>, OwnedRecord;
    OwnedRecord, OwnedRecord;
    OwnedRecord, Record<'_>;
}

impl Eq for Record<'_> {}

impl Eq for OwnedRecord {}

macro_rules! debug {
    ($($record:ty),*) => {$(
        impl fmt::Debug for $record {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let bytes = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                f.debug_struct("Record")
                    .field("at", &format_args!("{}@{}", self.topic_partition(), self.offset()))
                    .field("timestamp", &self.timestamp())
                    .field("key", &bytes(self.key()))
                    .field("value", &bytes(self.value()))
                    .finish_non_exhaustive()
            }
        }
    )*};
}
debug!(Record<'_>, OwnedRecord);

/// Bytes of a block, which keep it.
#[cfg(feature = "bytes")]
fn shared(block: &Arc<Block>, span: ottla_protocol::records::Span) -> Option<bytes::Bytes> {
    struct Kept {
        block: Arc<Block>,
        span: ottla_protocol::records::Span,
    }

    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            self.span.of(self.block.bytes()).unwrap_or_default()
        }
    }

    match span.range()?.is_empty() {
        true => Some(bytes::Bytes::new()),
        false => Some(bytes::Bytes::from_owner(Kept { block: block.clone(), span })),
    }
}
