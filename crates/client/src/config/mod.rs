//! Configuration: builders whose setters store, and what `parse` makes of them, valid or
//! refused.
//!
//! Setters carry Kafka's names in Rust's spelling; `properties` takes Kafka's own. A property works, or it is known
//! and not supported yet, or unknown: none is accepted in silence (`known`).

mod address;
mod admin;
pub(crate) mod common;
mod consumer;
mod group;
mod known;
mod names;
mod not_yet;
mod producer;
mod properties;
#[cfg(test)]
mod tests;
mod value;

pub use admin::AdminBuilder;
pub use consumer::{ConsumerBuilder, OffsetReset, is_topic_name};
pub(crate) use consumer::{ConsumerConfig, Wish};
pub use names::{Many, Names, One};
pub use producer::ProducerBuilder;
pub use properties::Properties;
