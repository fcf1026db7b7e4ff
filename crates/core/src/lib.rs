//! Ottla's state machines: what a Kafka consumer decides, as plain data.
//!
//! Nothing here sleeps, locks, reads a clock or touches a socket. The world comes in by `handle_*`, effects go out by
//! `poll_*` ([`Machine`]), and the time is an argument. So a whole group can be stepped in one thread, in virtual time,
//! from a seed.

mod backoff;
mod connections;
mod deadline;
mod ids;
mod machine;
mod metadata;

pub use backoff::Backoff;
pub use connections::{
    Address, ConnectionConfig, Connections, Kind, LinkStatus, Target, Unanswered, Unsupported,
};
pub use deadline::Earliest;
pub use ids::{ConnId, LaneEpoch, NodeId, OpId, PartIdx, RequestId, TopicPartition};
pub use machine::{Disconnected, Fetched, Machine, Outbound, Reply, Span, spans};
pub use metadata::{Metadata, MetadataConfig, Node, Partition, Topic, Wanted};
