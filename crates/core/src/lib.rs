//! Ottla's state machines: the decisions of a Kafka client, as plain data.
//!
//! Nothing here sleeps, reads a clock or touches a socket. No decision takes a lock: the only lock guards memory of
//! batches that is kept for the next ones, as records are dropped in any thread. The world comes in by `handle_*`,
//! effects go out by `poll_*` ([`Machine`]), and the time is an argument. So a whole group can be stepped in one
//! thread, in virtual time, from a seed.

pub mod admin;
mod backoff;
mod caught;
mod cause;
mod connections;
mod consumer;
mod coordinator;
pub mod dead_letters;
mod deadline;
mod disconnected;
mod event;
mod fetch;
#[cfg(ottla_fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod group;
mod hub;
mod ids;
mod lanes;
pub mod log;
mod machine;
mod metadata;
mod offsets;
mod ops;
mod planted;
pub mod processing;
pub mod producer;
mod reader;
mod sasl;
#[cfg(not(ottla_loom))]
mod sync;
#[cfg(ottla_loom)]
#[path = "../../../models/src/atomics.rs"]
pub mod sync;
mod telemetry;
pub mod wire_format;
mod words;

pub use backoff::{Backoff, Retry};
pub use caught::caught;
pub use cause::Cause;
pub use connections::{
    Address, ConnectionConfig, ConnectionStats, Connections, Kind, LinkStatus, RefusedConnection, SetupStage,
    Target, Unanswered, Unsupported,
};
pub use consumer::{
    BufferStats, Callback, CloseKind, CommitReason, Consumer, ConsumerConfig, ConsumerStats, Explanation,
    Farewell, GroupReason, Health, MetricsPushIsOff, OpFailure, Outcome, PartitionStats, PollStats,
    ReadFailure, Reason, RebalanceStats, RecordStats, SeekTo, Stall, StallReason, Subscription,
    SubscriptionError, health_of_nobody, stall_of_handlers,
};
pub use deadline::{Earliest, bounded};
pub use disconnected::{Disconnected, SaslFailure, TlsFailure};
pub use event::{CommitGivenUp, DeletedUnread, Event, Happened, Recreated, Truncated};
pub use fetch::{FetchConfig, FetchStats, OpenTransaction, Span, Spans, spans};
pub use group::{
    Assignor, ClassicState, ConsumerState, CooperativeStickyAssignor, GroupConfig, GroupFailure,
    GroupMetadata, GroupProtocol, LeaveGroup, MembershipState, Pattern, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};
pub use ids::{ConnId, NodeId, OpId, ReaderId, RequestId, TOPIC_NAME, TopicPartition, is_topic_name};
pub use lanes::{Filter, LaneFailure, LanePhase};
pub use machine::{Fetched, Machine, Outbound, Reply};
pub use metadata::{Metadata, MetadataConfig, Node, Partition, Topic, Wanted};
pub use offsets::{
    CommitStats, CommittedOffset, IsolationLevel, OffsetAndTimestamp, Position, ResetPolicy, ResetTo,
};
#[cfg(feature = "planted")]
pub use planted::Planted;
pub use reader::{
    Block, Handed, HoldsBytes, Look, Reader, ReaderConfig, Records, RecordsIntoIter, RecordsIter,
};
pub use sasl::{Credentials, Derivation, Done, Errand, SaslConfig, ScramHash, Token};
#[doc(hidden)]
pub use telemetry::{LACKING, METRICS, PushedMetric, REQUIRED};
