//! Configuration: builders, whose setters store, and whose `build` checks that it all fits together.
//!
//! Setters carry Kafka's names in Rust's spelling; `properties` takes Kafka's own. A property works, or it is known
//! and not supported yet, or unknown: none is accepted in silence. `docs/properties.md` in the repository lists those that
//! work, with their units, their defaults and Java's; `known_properties()` of a builder does so in a program. What a
//! builder was told is read by its `settings()`.

mod address;
mod admin;
mod by_key;
pub(crate) mod common;
mod consumer;
#[cfg(ottla_fuzzing)]
pub(crate) mod fuzzing;
mod group;
mod known;
mod names;
mod not_yet;
mod on_wait;
#[cfg(test)]
mod page;
mod producer;
mod properties;
mod property;
mod sasl;
mod security;
mod setters;
pub(crate) mod ssl;
#[cfg(test)]
mod tests;
mod value;

pub use admin::{AdminBuilder, AdminSettings};
pub use consumer::{ConsumerBuilder, ConsumerSettings, OffsetReset};
pub(crate) use consumer::{ConsumerConfig, Wish};
#[doc(hidden)]
pub use known::is_secret;
pub use names::{Many, Names, One};
pub use ottla_core::is_topic_name;
pub(crate) use producer::ProducerConfig;
pub use producer::{ProducerBuilder, ProducerSettings};
pub use properties::Properties;
pub use property::{JavaDefault, Property};
pub(crate) use value::MAX_SIZE;
#[cfg(feature = "tls")]
pub(crate) use value::wrong;
