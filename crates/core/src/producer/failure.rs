//! The outcomes of a record: it is delivered, or it is not, for one of these reasons.

use std::{fmt, time::Duration};

use ottla_protocol::{ErrorCode, Timestamp};

use super::TransactionFailure;
use crate::{
    cause::Cause,
    connections::RefusedConnection,
    ids::{TOPIC_NAME, TopicPartition},
};

/// A record that is delivered, by what [`Acks`](super::Acks) asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The partition that it went to.
    pub partition: i32,
    /// Its offset. `None` where the broker has the record from an attempt whose answer was lost, and does not know
    /// the offset any more; and always without acknowledgements, where Java tells -1.
    pub offset: Option<i64>,
    /// Its timestamp: the broker's where the topic is set to that, else the record's. `None` where that was sent as -1.
    pub timestamp: Option<Timestamp>,
}

/// Why a record is not known to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// There is no such topic, and none came about in time.
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// No topic can have this name.
    InvalidTopic {
        /// The name.
        topic: String,
    },
    /// The topic has no such partition.
    UnknownPartition {
        /// The partition asked for.
        at: TopicPartition,
        /// How many there are.
        count: i32,
    },
    /// The topic cannot be used.
    Topic {
        /// Its name.
        topic: String,
        /// The broker's answer.
        error: ErrorCode,
    },
    /// No broker told about the topic within `max.block.ms`.
    MetadataTimeout {
        /// The topic's name.
        topic: String,
        /// How long the send waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
    /// No room came free within `max.block.ms`: brokers take less than is sent.
    BufferFull {
        /// How long the send waited.
        waited: Duration,
        /// `buffer.memory`.
        limit: usize,
    },
    /// The program's partitioner chose no partition.
    NotPlaced {
        /// The topic.
        topic: String,
        /// What it did instead.
        why: String,
    },
    /// The record is larger than a request, or the whole buffer, may be.
    TooLarge {
        /// The most bytes that the record takes.
        size: usize,
        /// `max.request.size` or `buffer.memory`.
        limit: usize,
    },
    /// The broker refused the batch that the record is in. With `MESSAGE_TOO_LARGE` the record was alone in it: a batch of several
    /// is split.
    Refused {
        /// Where it was to go.
        at: TopicPartition,
        /// The broker's answer.
        error: ErrorCode,
        /// The broker's own words about it.
        message: Option<String>,
    },
    /// Not acknowledged within `delivery.timeout.ms`.
    DeliveryTimeout {
        /// Where it was to go.
        at: TopicPartition,
        /// Whether the record was sent at all. If so, a broker may have it.
        sent: bool,
        /// How long the record waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
    /// Not acknowledged in as many attempts as `retries` allows. A broker may have it.
    RetriesExhausted {
        /// Where it was to go.
        at: TopicPartition,
        /// How often it was sent.
        attempts: u32,
        /// Why the last attempt failed.
        cause: Cause,
    },
    /// No broker gives this producer an identity.
    Identity {
        /// The broker's answer.
        error: ErrorCode,
    },
    /// A broker that is needed has refused the connection for good.
    Connection {
        /// The topic that the record was to go to.
        topic: String,
        /// Which, and why.
        refused: RefusedConnection,
    },
    /// The broker does not speak an API that is needed.
    Unsupported {
        /// Where it was to go.
        at: TopicPartition,
        /// The API that the broker does not speak.
        cause: Cause,
    },
    /// The record's transaction was aborted.
    Aborted,
    /// The record's transaction can only be aborted, or its producer has failed.
    Doomed(Box<TransactionFailure>),
    /// The transaction has ended, or none has begun.
    NoTransaction,
    /// The producer was closed before the record was acknowledged.
    Closed,
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTopic { topic } => write!(f, "`{topic}`: expected {TOPIC_NAME}"),
            Self::UnknownTopic { topic } => write!(f, "there is no topic `{topic}`; create it first"),
            Self::UnknownPartition { at, count } => {
                write!(f, "topic `{}` has no partition {}: there are {count}, from 0", at.topic, at.partition)
            }
            Self::Topic { topic, error } => write!(f, "topic `{topic}` cannot be used: {error}"),
            Self::MetadataTimeout { topic, waited, .. } => {
                write!(f, "no broker told about topic `{topic}` in {waited:?}")
            }
            Self::BufferFull { waited, limit } => {
                write!(
                    f,
                    "no room in the buffer of {limit} bytes for {waited:?}; send less, or set buffer.memory higher"
                )
            }
            Self::NotPlaced { topic, why } => write!(f, "topic `{topic}`: the partitioner {why}"),
            Self::TooLarge { size, limit } => {
                write!(
                    f,
                    "a record of {size} bytes is more than the {limit} bytes of max.request.size or buffer.memory"
                )
            }
            Self::Refused { at, error, message: None } => write!(f, "{at} refused: {error}"),
            Self::Refused { at, error, message: Some(message) } => {
                write!(f, "{at} refused: {error}: {message}")
            }
            Self::DeliveryTimeout { at, waited, sent: true, .. } => {
                write!(f, "{at}: not acknowledged in {waited:?}; a broker may have it all the same")
            }
            Self::DeliveryTimeout { at, waited, sent: false, .. } => {
                write!(f, "{at}: could not be sent in {waited:?}")
            }
            Self::RetriesExhausted { at, attempts, cause } => {
                write!(
                    f,
                    "{at}: not acknowledged, sent {attempts} times; a broker may have it all the same; at last: {cause}"
                )
            }
            Self::Connection { topic, refused } => write!(f, "topic `{topic}`: {refused}"),
            Self::Identity { error } => write!(f, "no producer id: {error}"),
            Self::Unsupported { at, cause } => write!(f, "{at}: {cause}"),
            Self::Aborted => f.write_str("the record's transaction was aborted"),
            Self::Doomed(failure) => failure.fmt(f),
            Self::NoTransaction => f.write_str("no transaction is open; begin one first"),
            Self::Closed => f.write_str("the producer was closed before the record was acknowledged"),
        }?;
        match self {
            Self::MetadataTimeout { cause: Some(cause), .. }
            | Self::DeliveryTimeout { cause: Some(cause), .. } => {
                write!(f, "; the last obstacle: {cause}")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for SendFailure {}
