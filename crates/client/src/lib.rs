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
//! A [`Processor`] has every record handled: in parallel, in order where order matters, again where a handler fails, with what is done
//! committed. [`Producer`] writes records, [`Admin`] looks after topics and groups. Every failure is typed: see [`error`].
//!
//! # Features
//!
//! `tls` is on by default, the others are not.
//!
//! | feature | brings |
//! |---|---|
//! | `tls` | connections over TLS, by rustls: `security.protocol` may be `SSL` or `SASL_SSL` |
//! | `keystores` | key stores and trust stores of Java's, in PKCS#12 |
//! | `bytes` | `key_bytes` and `value_bytes` of records: `bytes::Bytes` without a copy |
//! | `oidc` | bearer tokens of an OpenID provider, over HTTPS (KIP-768) |
//! | `json` | `Json<T>`, which deserializes keys and values by serde_json |
//! | `schema-registry` | a client of schema registries, and `RegisteredJson<T>`: JSON in Confluent's wire format |
//! | `avro` | `Avro<T>` and `AvroValue`: Avro in Confluent's wire format |
//! | `json-schema` | `JsonSchema<T>`: JSON in Confluent's wire format, held against its schema |
//! | `metrics` | [`stats`]'s `Recorder`: numbers for the `metrics` facade |
//! | `protobuf` | `Protobuf`: messages of Protobuf in Confluent's wire format |
//! | `serde` | `Serialize` and `Deserialize` for [`TopicPartition`], [`CommittedOffset`], [`OffsetAndTimestamp`], [`Timestamp`], [`NodeId`] and [`DetachedRecord`]; `Serialize` for [`Explanation`], [`Cause`], [`Event`] and what they consist of |
//!
//! # Logs
//!
//! An operator's log is told by events of `tracing`, under the targets `ottla::connection`, `ottla::group`, `ottla::offsets`,
//! `ottla::fetch`, `ottla::processing`, `ottla::producer` and `ottla::admin`; `docs/logs.md` in the repository is their table.

#![warn(clippy::missing_errors_doc)]

/// The Rust of the page on coming from other clients compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating.md")]
struct Migrating;

/// The Rust of the page on processing compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/processing.md")]
struct Processing;

/// The Rust of the page on typed values compiles.
#[cfg(all(doctest, feature = "avro"))]
#[doc = include_str!("../../../docs/typed-values.md")]
struct TypedValues;

/// The Rust of the page on secured clusters compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/security.md")]
struct Securing;

pub mod admin;
pub mod config;
mod consumer;
pub mod dead_letters;
mod driver;
pub mod error;
#[cfg(ottla_fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod group;
mod handle;
mod interceptors;
mod log;
mod net;
pub mod processor;
pub mod producer;
mod reach;
#[cfg(feature = "schema-registry")]
pub mod schema_registry;
mod shared;
pub mod stats;
mod sync;

pub use admin::Admin;
pub use config::{AdminBuilder, ConsumerBuilder, OffsetReset, ProducerBuilder, Properties};
#[cfg(feature = "json")]
pub use consumer::Json;
#[cfg(feature = "uuid")]
pub use consumer::UuidText;
pub use consumer::{
    BigEndian, CloseOptions, Closer, Committed, Consumer, ConsumerInterceptor, Deserializer, DetachedRecord,
    EventStream, HandedOut, JavaNumber, Monitor, NotSuchNumber, OwnedRecord, Parsed, PendingCommit, Poison,
    PollRecords, PollTyped, PollTypedFuture, Preparing, RawBytes, Reader, Rebalance, RebalanceListener,
    Record, RecordDeserializer, RecordStream, Records, SeekPosition, Serialized, TypedConsumer, TypedRecord,
    TypedStream, Utf8, records,
};
pub use error::{
    AdminError, BuildError, ClientInstanceIdError, CloseError, CommitError, OffsetsError, ProcessError,
    RecvError, SeekError, SendError, TransactionError,
};
pub use net::tokens::{OAuthToken, OAuthTokenError};
pub use ottla_core::{
    Assignor, Cause, CommitGivenUp, CommitReason, CommittedOffset, CooperativeStickyAssignor, DeletedUnread,
    Disconnected, Event, Explanation, GroupMetadata, GroupProtocol, GroupReason, Happened, Health,
    IsolationLevel, LaneFailure, LeaveGroup, NodeId, OffsetAndTimestamp, OpenTransaction, Position,
    RangeAssignor, Reason, Recreated, Retry, RoundRobinAssignor, SaslFailure, SetupStage, Stall, StallReason,
    StickyAssignor, Subscription, SubscriptionError, TlsFailure, TopicPartition, Truncated,
    wire_format::Field,
};
pub use ottla_protocol::{
    ApiKey, ClientInstanceId, DecodeError, ErrorCode, Timestamp,
    codec::DecodeErrorKind,
    records::{Compression, Header, Headers, TimestampType, UnknownCompression},
};
pub use processor::{HandlerError, OnHopeless, Order, Processor, RetryOrder, RetryPolicy};
pub use producer::{
    Acks, Delivered, Delivery, HeaderKey, Partitioner, Partitioning, Payload, Producer, ProducerInterceptor,
    ProducerRecord, RecordParts, Transaction, TransactionSender, TransactionalProducer, TransformError,
};
