//! What the targets of `fuzz/` reach of what is this module's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

pub use super::sasl::fuzzing::Jaas;
use super::{AdminBuilder, ConsumerBuilder, ProducerBuilder};
use crate::error::BuildError;

/// What each of the three clients makes of these properties; none is started.
pub fn parse_all(properties: &[(String, String)]) -> [Result<(), BuildError>; 3] {
    let all = || properties.iter().map(|(key, value)| (key, value));
    [
        AdminBuilder::from_properties(all()).and_then(|builder| builder.parse().map(drop)),
        ConsumerBuilder::from_properties(all()).and_then(|builder| builder.parse().map(drop)),
        ProducerBuilder::from_properties(all()).and_then(|builder| builder.parse().map(drop)),
    ]
}
