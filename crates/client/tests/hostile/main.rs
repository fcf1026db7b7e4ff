//! A client before a broker that keeps to nothing: each script tells what the broker does in place of what an honest one would,
//! and what the client makes of it. It stays up, its memory stays within what the script allows, and it names the culprit: in
//! `explain()`, or in the error of a call.
//!
//! The broker is an embedded one with a [`Hostile`](broker::Hostile) before it. A script runs in a process of its own, so that
//! its memory is its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests' helpers"
)]

mod admin;
mod broker;
mod classic_groups;
mod clients;
mod connecting;
mod consumer_groups;
mod fetching;
mod groups;
mod metadata;
mod producing;
mod sasl;
mod script;
mod transactions;
