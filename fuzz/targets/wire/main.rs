//! What brokers, clients and members of groups send each other.
#![no_main]

mod batches;
mod data_dir;
mod embedded;
mod fetch;
mod metadata;
mod requests;
mod responses;
mod sasl;

ottla_fuzz::targets!(batches, data_dir, embedded, fetch, metadata, requests, responses, sasl);
