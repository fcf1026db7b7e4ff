//! What members of a classic group tell each other, in Java's form (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment` of Kafka's schema files). A coordinator reads it only where classic members are in a
//! group of the consumer protocol.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::codec::{DecodeError, Reader, Version, Wire};

const FIXED: Version = Version { number: 0, flexible: false, nullable: true };
/// The newest version.
const NEWEST: i16 = 3;

/// A member's wishes, as far as a coordinator needs them.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<String>,
    pub(super) owned: Vec<(String, i32)>,
    pub(super) rack: Option<String>,
}

impl Subscription {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let version = i16::decode(r, FIXED)?;
        let topics = Vec::<String>::decode(r, FIXED)?.into_iter().collect();
        Option::<Vec<u8>>::decode(r, FIXED)?;
        let owned = if version >= 1 { partitions(r)? } else { Vec::new() };
        if version >= 2 {
            i32::decode(r, FIXED)?;
        }
        let rack = if version >= 3 { Wire::decode(r, FIXED)? } else { None };
        Ok(Self { topics, owned, rack })
    }
}

/// What a member was assigned.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    pub(crate) partitions: Vec<(String, i32)>,
    pub(super) user_data: Option<Vec<u8>>,
}

impl Assignment {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let r = &mut Reader::new(bytes);
        i16::decode(r, FIXED)?;
        Ok(Self { partitions: partitions(r)?, user_data: Wire::decode(r, FIXED)? })
    }

    /// In this version, or the newest one; they differ in the number alone.
    pub(super) fn encode(partitions: &BTreeMap<String, Vec<i32>>, version: i16) -> Vec<u8> {
        let mut out = Vec::new();
        version.clamp(0, NEWEST).encode(&mut out, FIXED);
        (partitions.len() as i32).encode(&mut out, FIXED);
        for (topic, indexes) in partitions {
            topic.encode(&mut out, FIXED);
            indexes.encode(&mut out, FIXED);
        }
        None::<Vec<u8>>.encode(&mut out, FIXED);
        out
    }
}

fn partitions(r: &mut Reader<'_>) -> Result<Vec<(String, i32)>, DecodeError> {
    let mut partitions = Vec::new();
    for _ in 0..i32::decode(r, FIXED)? {
        let topic = String::decode(r, FIXED)?;
        let indexes = Vec::<i32>::decode(r, FIXED)?;
        partitions.extend(indexes.into_iter().map(|index| (topic.clone(), index)));
    }
    Ok(partitions)
}
