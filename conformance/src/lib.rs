//! What the conformance suite stands on: a real Apache Kafka started from its jars, Kafka's own tools,
//! child processes that die with the test, and servers that behave badly on purpose.
//!
//! The tests themselves are in `tests/suite.rs`. Nothing here knows how a test is reported: what cannot be
//! had on this machine is an [`kafka::Unavailable`], and the suite decides what becomes of it.

pub mod bad_server;
pub mod binary;
pub mod browser;
pub mod flow;
pub mod guarded;
pub mod kafka;
mod npm;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod public_api;
pub mod registry;
pub mod schema_oracle;
pub mod schemas;
mod server;
pub mod targets;
pub mod wait;
