//! The messages that members of a classic group send each other. They travel as bytes inside JoinGroup and SyncGroup, and the
//! coordinator passes them on unread. Their version stands in front of them.

use crate::{
    api::Message,
    codec::{DecodeError, DecodeErrorKind, MessageSchema, Reader, Version, Wire, message::messages},
};

messages! {
    ConsumerProtocolSubscription(versions 0..=3, flexible 32767..) {
        topics: Vec<String>,
        user_data: Option<Vec<u8>>,
        /// KIP-429.
        owned_partitions: Vec<ConsumerProtocolTopicPartition> [1..],
        generation_id: i32 [2..] = -1,
        /// KIP-881.
        rack_id: Option<String> [3..],
    }

    ConsumerProtocolAssignment(versions 0..=3, flexible 32767..) {
        assigned_partitions: Vec<ConsumerProtocolTopicPartition>,
        user_data: Option<Vec<u8>>,
    }

    ConsumerProtocolTopicPartition {
        topic: String,
        partitions: Vec<i32>,
    }
}

/// What a test compares with Kafka's schema files, which have these messages too.
pub const EMBEDDED: [MessageSchema; 2] =
    [ConsumerProtocolSubscription::SCHEMA, ConsumerProtocolAssignment::SCHEMA];

/// The version in front.
const PREFIX: Version = Version { number: 0, flexible: false, nullable: false };

/// A message with its version in front. A reader that knows only older versions can read it too, as it ignores the fields
/// behind its own.
pub fn encode_embedded<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let version = version.clamp(M::VERSIONS.min, M::VERSIONS.max);
    let mut out = Vec::new();
    version.encode(&mut out, PREFIX);
    message.encode(&mut out, M::version(version));
    out
}

/// Reads any version. Fields of versions that are not known here are ignored.
pub fn decode_embedded<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let r = &mut Reader::new(bytes);
    let version = i16::decode(r, PREFIX)?;
    M::decode(r, M::version(version.clamp(M::VERSIONS.min, M::VERSIONS.max)))
}

/// The longest name that a topic may have.
const LONGEST_NAME: usize = 249;

/// Each partition with its topic's name. A name that no topic may have is refused where it is longer than any: it would be there once for
/// each partition, which takes four bytes here.
pub fn each_partition(
    topics: Vec<ConsumerProtocolTopicPartition>,
) -> Result<impl Iterator<Item = (String, i32)>, DecodeError> {
    if topics.iter().any(|topic| topic.topic.len() > LONGEST_NAME) {
        let kind = DecodeErrorKind::Inconsistent("a topic's name is longer than 249 bytes");
        return Err(DecodeError { field: "topic", offset: 0, kind });
    }
    Ok(topics.into_iter().flat_map(|ConsumerProtocolTopicPartition { topic, partitions }| {
        partitions.into_iter().map(move |partition| (topic.clone(), partition))
    }))
}
