//! Subscriptions and assignments, as the members of a classic group send them to each other through the
//! coordinator, which passes them on as bytes. They have Java's form (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment` of Kafka's schema files), so that a group can mix clients.

use ottla_protocol::codec::{DecodeError, Reader, Version, Wire};

use crate::ids::TopicPartition;

/// How all fields here are encoded: none of these formats has a flexible version.
pub(super) const FIXED: Version = Version { number: 0, flexible: false, nullable: true };

/// A member's subscription: the topics that it wants, and the partitions that it owns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// The topics subscribed to.
    pub topics: Vec<String>,
    /// Data of the member's assignor, which the same assignor of the leader reads.
    pub user_data: Option<Vec<u8>>,
    /// The partitions that the member owns while it joins (version 1, KIP-429).
    pub owned: Vec<TopicPartition>,
    /// The generation of the member's last assignment (version 2); -1 if unknown.
    pub generation_id: i32,
    /// The member's rack (version 3, KIP-881).
    pub rack: Option<String>,
}

/// The leader's assignment to one member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// The member's partitions.
    pub partitions: Vec<TopicPartition>,
    /// Data of the assignor for the member.
    pub user_data: Option<Vec<u8>>,
}

impl Subscription {
    /// Encodes in version 3. A member that knows only older versions can read it too, as it ignores the fields
    /// behind its own.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        3i16.encode(&mut out, FIXED);
        self.topics.encode(&mut out, FIXED);
        self.user_data.encode(&mut out, FIXED);
        put_partitions(&mut out, &self.owned);
        self.generation_id.encode(&mut out, FIXED);
        self.rack.encode(&mut out, FIXED);
        out
    }

    /// Reads any version; fields of newer ones are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let version = i16::decode(r, FIXED)?;
        let topics = Wire::decode(r, FIXED)?;
        let user_data = Wire::decode(r, FIXED)?;
        let owned = if version >= 1 { partitions(r)? } else { Vec::new() };
        let generation_id = if version >= 2 { i32::decode(r, FIXED)? } else { -1 };
        let rack = if version >= 3 { Wire::decode(r, FIXED)? } else { None };
        Ok(Self { topics, user_data, owned, generation_id, rack })
    }
}

impl Assignment {
    /// Encodes in version 3, whose fields are those of version 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        3i16.encode(&mut out, FIXED);
        put_partitions(&mut out, &self.partitions);
        self.user_data.encode(&mut out, FIXED);
        out
    }

    /// Reads any version. Empty bytes are an empty assignment.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let r = &mut Reader::new(bytes);
        i16::decode(r, FIXED)?;
        Ok(Self { partitions: partitions(r)?, user_data: Wire::decode(r, FIXED)? })
    }
}

pub(super) fn put_partitions(out: &mut Vec<u8>, partitions: &[TopicPartition]) {
    let mut sorted: Vec<_> = partitions.iter().collect();
    sorted.sort();
    let topics: Vec<&[&TopicPartition]> = sorted.chunk_by(|a, b| a.topic == b.topic).collect();
    (topics.len() as i32).encode(out, FIXED);
    for topic in topics {
        if let Some(first) = topic.first() {
            first.topic.encode(out, FIXED);
        }
        let numbers: Vec<i32> = topic.iter().map(|at| at.partition).collect();
        numbers.encode(out, FIXED);
    }
}

pub(super) fn partitions(r: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
    let mut partitions = Vec::new();
    for _ in 0..i32::decode(r, FIXED)? {
        let topic = String::decode(r, FIXED)?;
        let numbers = Vec::<i32>::decode(r, FIXED)?;
        partitions.extend(numbers.into_iter().map(|partition| TopicPartition::new(topic.clone(), partition)));
    }
    Ok(partitions)
}
