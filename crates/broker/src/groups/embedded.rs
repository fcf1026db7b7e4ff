//! What a coordinator reads and writes of the messages that members of a classic group send each other. It reads them only
//! where classic members are in a group of the consumer protocol.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{
    DecodeError,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition,
        decode_embedded, each_partition, encode_embedded,
    },
};

/// A member's wishes, as far as a coordinator needs them.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<String>,
    pub(super) owned: Vec<(String, i32)>,
    pub(super) rack: Option<String>,
}

impl Subscription {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: ConsumerProtocolSubscription = decode_embedded(bytes)?;
        Ok(Self {
            topics: message.topics.into_iter().collect(),
            owned: each_partition(message.owned_partitions)?.collect(),
            rack: message.rack_id,
        })
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
        let message: ConsumerProtocolAssignment = decode_embedded(bytes)?;
        Ok(Self {
            partitions: each_partition(message.assigned_partitions)?.collect(),
            user_data: message.user_data,
        })
    }

    /// In this version, or the newest one; they differ in the number alone.
    pub(super) fn encode(partitions: &BTreeMap<String, Vec<i32>>, version: i16) -> Vec<u8> {
        let topic = |(topic, partitions): (&String, &Vec<i32>)| ConsumerProtocolTopicPartition {
            topic: topic.clone(),
            partitions: partitions.clone(),
        };
        let assigned_partitions = partitions.iter().map(topic).collect();
        encode_embedded(&ConsumerProtocolAssignment { assigned_partitions, user_data: None }, version)
    }
}
