//! From what the core says of a record to the error that users get.

use ottla_core::{
    Cause,
    producer::{SendFailure, Unclaimed},
};
use ottla_protocol::ErrorCode;

use crate::error::{SendError, SendErrorKind as Kind};

impl From<SendFailure> for SendError {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::UnknownTopic { topic } => Self::new(Kind::UnknownTopic).topic(topic),
            SendFailure::UnknownPartition { at, count } => {
                Self::new(Kind::UnknownPartition).partition(at).detail(format!("there are {count}, from 0"))
            }
            SendFailure::Topic { topic, error } => Self::new(Kind::Broker).topic(topic).broker(error),
            SendFailure::MetadataTimeout { topic, waited, cause } => {
                obstacle(Self::new(Kind::MetadataTimeout).topic(topic), format!("waited {waited:.1?}"), cause)
            }
            SendFailure::BufferFull { waited, limit } => Self::new(Kind::BufferFull)
                .detail(format!("waited {waited:.1?}; buffer_memory is {limit} bytes")),
            SendFailure::TooLarge { size, limit } => {
                Self::new(Kind::TooLarge).detail(format!("{size} bytes, of {limit} at the most"))
            }
            SendFailure::Refused { at, error, message } => {
                let kind = match error {
                    ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => Kind::TooLarge,
                    _ => Kind::Broker,
                };
                Self::new(kind).partition(at).broker(error).detail(message.unwrap_or_default())
            }
            SendFailure::DeliveryTimeout { at, waited, cause } => {
                obstacle(Self::new(Kind::TimedOut).partition(at), format!("waited {waited:.1?}"), cause)
            }
            SendFailure::Identity { error } => Self::new(Kind::Identity).broker(error),
            SendFailure::Unsupported { at, cause } => {
                Self::new(Kind::Unsupported).partition(at).detail(cause.to_string())
            }
            SendFailure::Closed => Self::new(Kind::Closed),
            other => Self::new(Kind::Broker).detail(other.to_string()),
        }
    }
}

fn obstacle(error: SendError, waited: String, cause: Option<Cause>) -> SendError {
    match cause {
        Some(cause) => error.detail(format!("{waited}; last {cause}")),
        None => error.detail(waited),
    }
}

/// Of several failures the first, with their count.
pub(super) fn of_many(Unclaimed { count, first }: Unclaimed) -> SendError {
    let error = SendError::from(first);
    match count {
        1 => error,
        count => SendError::new(error.kind()).detail(format!("{count} records")).because(error),
    }
}
