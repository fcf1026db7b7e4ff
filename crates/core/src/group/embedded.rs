//! Subscriptions and assignments, as the members of a classic group send them to each other through the
//! coordinator, which passes them on as bytes. They have Java's form, so that a group can mix clients.

use ottla_protocol::{
    DecodeError,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition,
        decode_embedded, each_partition, encode_embedded,
    },
};

use crate::ids::{TopicPartition, numbers_by_topic};

/// The version in which both are written.
const VERSION: i16 = 3;

/// A member's subscription: the topics that it wants, and the partitions that it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Assignment {
    /// The member's partitions.
    pub partitions: Vec<TopicPartition>,
    /// Data of the assignor for the member.
    pub user_data: Option<Vec<u8>>,
}

impl Subscription {
    /// To these topics, of a member that owns nothing and had no assignment yet: its fields are there to be set.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        Self { topics, user_data: None, owned: Vec::new(), generation_id: -1, rack: None }
    }

    /// Encodes in version 3. A member that knows only older versions can read it too, as it ignores the fields
    /// behind its own.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = ConsumerProtocolSubscription {
            topics: self.topics.clone(),
            user_data: self.user_data.clone(),
            owned_partitions: by_topic(&self.owned),
            generation_id: self.generation_id,
            rack_id: self.rack.clone(),
        };
        encode_embedded(&message, VERSION)
    }

    /// Reads any version; fields of newer ones are ignored.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: ConsumerProtocolSubscription = decode_embedded(bytes)?;
        Ok(Self {
            topics: message.topics,
            user_data: message.user_data,
            owned: flat(message.owned_partitions)?,
            generation_id: message.generation_id,
            rack: message.rack_id,
        })
    }
}

impl Default for Subscription {
    /// To no topic.
    fn default() -> Self {
        Self::new::<String>([])
    }
}

impl Assignment {
    /// These partitions, without data of the assignor.
    pub fn new<P: Into<TopicPartition>>(partitions: impl IntoIterator<Item = P>) -> Self {
        Self { partitions: partitions.into_iter().map(Into::into).collect(), user_data: None }
    }

    /// Encodes in version 3, whose fields are those of version 0.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = ConsumerProtocolAssignment {
            assigned_partitions: by_topic(&self.partitions),
            user_data: self.user_data.clone(),
        };
        encode_embedded(&message, VERSION)
    }

    /// Reads any version. Empty bytes are an empty assignment.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let message: ConsumerProtocolAssignment = decode_embedded(bytes)?;
        Ok(Self { partitions: flat(message.assigned_partitions)?, user_data: message.user_data })
    }
}

/// In order, each topic once.
pub(super) fn by_topic(partitions: &[TopicPartition]) -> Vec<ConsumerProtocolTopicPartition> {
    let topic = |(topic, mut partitions): (&str, Vec<i32>)| {
        partitions.sort_unstable();
        ConsumerProtocolTopicPartition { topic: topic.to_owned(), partitions }
    };
    numbers_by_topic(partitions).into_iter().map(topic).collect()
}

pub(super) fn flat(topics: Vec<ConsumerProtocolTopicPartition>) -> Result<Vec<TopicPartition>, DecodeError> {
    Ok(each_partition(topics)?.map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What others send is read by the leader, and by whoever describes the group.
    #[test]
    fn a_name_that_is_longer_than_any_topics_is_not_there_once_for_each_partition() {
        for (length, is_read) in [(249, true), (250, false)] {
            let owned = vec![TopicPartition::new("x".repeat(length), 0)];
            let assignment = Assignment { partitions: owned.clone(), user_data: None };
            assert_eq!(Assignment::decode(&assignment.encode()).is_ok(), is_read, "{length}");
            let subscription = Subscription { owned, ..Subscription::new(["t"]) };
            assert_eq!(Subscription::decode(&subscription.encode()).is_ok(), is_read, "{length}");
        }
    }
}
