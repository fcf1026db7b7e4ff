//! The configuration of a consumer.

mod builder;
mod parse;
mod properties;

pub use self::builder::{ConsumerBuilder, ConsumerSettings, OffsetReset};
pub(crate) use self::parse::{ConsumerConfig, Wish};
pub(super) use self::properties::PROPERTIES;
