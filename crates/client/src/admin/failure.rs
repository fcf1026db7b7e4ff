//! From what the core says of an operation to the error that users get.

use ottla_core::{
    Cause, TopicPartition,
    admin::{Failure, Refusal},
};
use ottla_protocol::ErrorCode;

use crate::error::{AdminError, AdminErrorKind as Kind, Details as _};

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut { waited, cause } => {
                let error = Self::new(Kind::TimedOut);
                match cause {
                    None => error.detail(format!("waited {waited:.1?}")),
                    Some(Cause::Broker { address: Some(address), error: code }) => {
                        error.address(address).broker(code).detail(format!("waited {waited:.1?}"))
                    }
                    Some(Cause::Connection { address, why }) => {
                        let detail = format!("waited {waited:.1?}; last {why}");
                        error.address(address).detail(detail).disconnected_by(why)
                    }
                    Some(cause) => error.detail(format!("waited {waited:.1?}; last {cause}")),
                }
            }
            Failure::Refused(refusal) => of(refusal),
            Failure::Connection(refused) => Self::new(Kind::Connection).refused_by(refused),
            Failure::Unsupported(key) => Self::new(Kind::Unsupported).api(key),
            Failure::Closed => Self::new(Kind::Closed),
            other => Self::new(Kind::Broker).detail(other.to_string()),
        }
    }
}

fn of(refusal: Refusal) -> AdminError {
    let kind = match refusal.error {
        ErrorCode::TopicAlreadyExists => Kind::TopicExists,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => Kind::UnknownTopic,
        ErrorCode::GroupIdNotFound => Kind::UnknownGroup,
        ErrorCode::InvalidTopicException
        | ErrorCode::InvalidPartitions
        | ErrorCode::InvalidReplicationFactor
        | ErrorCode::InvalidReplicaAssignment
        | ErrorCode::InvalidConfig
        | ErrorCode::InvalidGroupId
        | ErrorCode::InvalidRequest
        | ErrorCode::PolicyViolation => Kind::InvalidRequest,
        _ => Kind::Broker,
    };
    AdminError::new(kind).broker(refusal.error).detail(refusal.message.unwrap_or_default())
}

pub(super) fn of_topic(topic: &str, error: ErrorCode) -> AdminError {
    of_change(topic, Refusal { error, message: None })
}

pub(super) fn of_change(topic: &str, refusal: Refusal) -> AdminError {
    of(refusal).topic(topic)
}

pub(super) fn of_partition(at: &TopicPartition, failure: Failure) -> AdminError {
    AdminError::from(failure).partition(at.clone())
}
