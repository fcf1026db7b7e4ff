//! An embedded Kafka broker for development and tests: in memory, in this process, on loopback. With [`Config::data_dir`] it
//! survives the process.
//!
//! [`Cluster`] is the whole state of one or several logical brokers. It reads no clock, owns no socket and draws its
//! randomness from a seed, so a simulation can step it in virtual time; [`Server`] is the thin skin that serves it
//! over TCP. Clients need not know: it speaks Kafka's protocol, advertises what it implements and nothing else.
//! It asks for SASL, TLS and rights where [`Config`] says so. What it does not do is listed in `SKIPPED.md`.
//!
//! A test starts one of its own, on a port that is free, and looks into it:
//!
//! ```
//! use ottla_broker::{ApiKey, Config, ErrorCode, Fault, Server, TopicSpec};
//!
//! let config = Config { topics: vec![TopicSpec::new("orders", 3)], ..Config::default() };
//! let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0))?;
//! println!("bootstrap.servers={}", server.bootstrap());
//!
//! // The next two commits are refused.
//! server.with_cluster(|cluster| {
//!     let refused = Fault::Error(ErrorCode::CoordinatorLoadInProgress);
//!     cluster.faults().on(ApiKey::OffsetCommit).times(2).then(refused);
//! });
//! // ... the service under test ...
//! let committed = server.with_cluster(|cluster| cluster.committed("billing"));
//! assert_eq!(committed.get(&("orders".to_owned(), 0)), None);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Server::start_on_thread`] does in any test; [`Server::start`] runs in the test's own runtime, which has to have several
//! threads where something under test blocks one.

#![warn(clippy::missing_errors_doc)]

mod api;
mod client_metrics;
mod config;
mod connections;
mod coordinators;
mod faults;
#[cfg(ottla_fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod inspect;
mod leader_epochs;
mod log;
mod nodes;
mod partition;
mod planted;
mod producers;
mod security;
mod server;
mod sessions;
mod state;
mod storage;
mod topics;
mod transactions;
mod versions;

pub use client_metrics::{ClientMetrics, PushedMetrics};
pub use config::{Config, TopicSpec};
pub use connections::ConnId;
pub use faults::{Fault, Faults, Script};
pub use inspect::{GroupKind, GroupView, MemberView, TransactionView};
pub use ottla_protocol::{ApiKey, ClientInstanceId, ErrorCode, Now, Secret, TopicId, records::Compression};
#[cfg(feature = "planted")]
pub use planted::Planted;
pub use security::{Acl, Authorizer, Operation, ResourceType, Sasl, SaslMechanism};
#[cfg(feature = "tls")]
pub use server::{ClientAuth, Tls};
pub use server::{Listen, Server};
pub use state::{Cluster, Output};
pub use topics::Refusal;
pub use versions::VersionSet;
