//! What users of the crate see, against the embedded broker.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests' helpers")]

#[path = "../certificates/mod.rs"]
mod certificates;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/guide/place.rs"]
mod place;

mod admin;
mod admin_groups;
mod admin_transactions;
mod authorization;
mod closing;
mod committing;
mod docs;
#[cfg(unix)]
mod explain_socket;
mod followers;
mod giving_up;
mod guide;
mod habits;
mod held;
mod held_behind;
mod interceptors;
mod lazy;
mod listener;
mod processing;
mod processing_batches;
mod processing_blocking;
mod processing_events;
mod processing_exactly_once;
mod processing_readers;
mod processing_service;
mod processing_stuck;
mod processing_time;
mod producer;
mod pushing;
mod readers;
mod rebalance;
mod recorder;
mod records;
mod sasl;
mod stats;
mod tls;
mod tls_files;
mod typed;
mod values;
