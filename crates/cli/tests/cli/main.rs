//! The built command against an embedded broker that another process of it serves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod broker;
mod broker_security;
mod cluster;
// `terminal` is Linux's.
#[cfg(target_os = "linux")]
mod completions;
mod config;
mod consume;
mod consume_like_kcat;
mod data_dir;
mod demo;
mod dlq;
mod doctor;
mod doctor_groups;
mod group;
mod groups;
mod groups_failing;
mod groups_reset;
mod lag_watched;
mod logs;
mod process;
mod process_ends;
mod process_exactly_once;
mod produce;
mod serve;
mod serve_failing;
mod serve_storage;
mod serve_writes;
mod shell;
mod support;
mod tables;
// `setsid --ctty` and what opens a pseudo-terminal are Linux's.
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod top;
mod waits;
