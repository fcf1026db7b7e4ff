//! What the embedded broker answers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests' helpers"
)]

mod common;

mod acls;
mod acls_transactions;
mod connections;
mod consumer_groups;
mod consumer_static_members;
mod faults;
mod fetch;
mod fetch_sessions;
mod followers;
mod garbage;
mod groups;
mod isolation;
mod leader_epochs;
mod list_offsets;
mod migration;
mod offsets;
mod produce;
mod reauthentication;
mod sasl;
mod server;
mod static_members;
mod storage;
mod tls;
mod topics;
mod transaction_fencing;
mod transaction_offsets;
mod transaction_transcripts;
mod transactions;
mod transcripts;
mod troubles;
