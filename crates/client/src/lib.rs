//! Kafka consumers that can be trusted.
//!
//! A [`Consumer`] reads topics, alone or as a member of a group. Heartbeats, fetches and commits go on in a thread of
//! its own, so a handler may block; what is fetched ahead stays within a byte budget; and [`Consumer::explain`] tells,
//! partition by partition, why records are or are not flowing.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use ottla::{Consumer, OffsetReset};
//!
//! let mut consumer = Consumer::builder()
//!     .bootstrap_servers(["localhost:9092"])
//!     .group_id("billing")
//!     .auto_offset_reset(OffsetReset::Earliest)
//!     .subscribe(["orders"])
//!     .build()
//!     .await?;
//! while let Some(record) = consumer.recv().await? {
//!     println!("{} {:?}", record.offset(), record.value());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Producer`] writes records, [`Admin`] looks after topics and groups. Every failure is typed: see [`error`].

/// The Rust of the page on coming from other clients compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating.md")]
struct Migrating;

pub mod admin;
pub mod config;
mod consumer;
mod driver;
pub mod error;
mod net;
pub mod producer;
mod reach;

pub use admin::Admin;
pub use config::{AdminBuilder, ConsumerBuilder, OffsetReset, ProducerBuilder, Properties};
pub use consumer::{
    Bytes, CloseOptions, Closer, Consumer, Deserializer, DetachedRecord, EventStream, HandedOut, Iter,
    OwnedRecord, Poison, Poll, Reader, Rebalance, RebalanceListener, Record, RecordStream, Records,
    SeekPosition, TypedConsumer, TypedRecord, Utf8,
};
pub use error::{AdminError, BuildError, CommitError, OffsetsError, RecvError, SeekError, SendError};
pub use ottla_core::{
    Assignor, Cause, CommitGivenUp, CommitReason, CommittedOffset, CooperativeSticky, Disconnected, Event,
    Explanation, GroupMetadata, GroupProtocol, GroupReason, LaneFailure, LeaveGroup, NodeId,
    OffsetAndTimestamp, Range, Reason, Retry, RoundRobin, Sticky, Subscription, SubscriptionError,
    TopicPartition, group,
};
pub use ottla_protocol::{
    ApiKey, DecodeError, ErrorCode, Timestamp,
    records::{Compression, Header, Headers, TimestampType},
};
pub use producer::{Delivered, Delivery, HeaderKey, Producer, ProducerRecord};
