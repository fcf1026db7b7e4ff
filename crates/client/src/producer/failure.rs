//! From what the core says of a record to the error that users get.

use ottla_core::{
    Cause,
    producer::{SendFailure, TransactionFailure, Unclaimed},
};
use ottla_protocol::ErrorCode;

use crate::error::{Context, Details as _, SendError, SendErrorKind as Kind, TransactionError};

impl From<SendFailure> for SendError {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::InvalidTopic { topic } => Self::new(Kind::InvalidTopic).topic(topic),
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
            SendFailure::NotPlaced { topic, why } => {
                Self::new(Kind::NotPlaced).topic(topic).detail(format!("it {why}"))
            }
            SendFailure::TooLarge { size, limit } => {
                Self::new(Kind::TooLarge).detail(format!("{size} bytes, of {limit} at the most"))
            }
            SendFailure::Refused { at, error, message } => {
                let kind = match error {
                    ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => Kind::TooLarge,
                    ErrorCode::InvalidRecord | ErrorCode::InvalidTimestamp => Kind::InvalidRecord,
                    _ => Kind::Broker,
                };
                Self::new(kind).partition(at).broker(error).detail(message.unwrap_or_default())
            }
            SendFailure::DeliveryTimeout { at, sent, waited, cause } => {
                let kind = if sent { Kind::TimedOut } else { Kind::NotSent };
                obstacle(Self::new(kind).partition(at), format!("waited {waited:.1?}"), cause)
            }
            SendFailure::RetriesExhausted { at, attempts, cause } => obstacle(
                Self::new(Kind::RetriesExhausted).partition(at),
                format!("sent {attempts} times"),
                Some(cause),
            ),
            SendFailure::Connection { topic, refused } => {
                Self::new(Kind::Connection).topic(topic).refused_by(refused)
            }
            SendFailure::Identity { error } => Self::new(Kind::Identity).broker(error),
            SendFailure::Unsupported { at, cause } => {
                Self::new(Kind::Unsupported).partition(at).detail(cause.to_string())
            }
            SendFailure::Aborted => Self::new(Kind::Aborted),
            SendFailure::NoTransaction => Self::new(Kind::NoTransaction),
            SendFailure::Doomed(failure) => {
                let kind = match *failure {
                    TransactionFailure::Fatal(_) => Kind::NoFurtherTransaction,
                    _ => Kind::Aborted,
                };
                Self::new(kind).because(TransactionError::from(*failure))
            }
            SendFailure::Closed => Self::new(Kind::Closed),
            other => Self::new(Kind::Broker).detail(other.to_string()),
        }
    }
}

/// Of a record for this topic.
pub(super) fn of_record(failure: SendFailure, topic: &str) -> SendError {
    let error = SendError::from(failure);
    match error.context() {
        Context { topic: None, partition: None, .. } => error.topic(topic),
        _ => error,
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
        count => error.detail_before(format!("{count} records; of the first")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timeout(sent: bool) -> SendFailure {
        let (waited, cause) = (Duration::from_secs(3), Some(Cause::NoLeader(("t", 0).into())));
        SendFailure::DeliveryTimeout { at: ("t", 0).into(), sent, waited, cause }
    }

    #[test]
    fn several_failures_are_told_by_the_first_and_their_count() {
        let error = of_many(Unclaimed { count: 7, first: timeout(true) });
        assert_eq!(
            error.to_string(),
            "partition t-0: not acknowledged within delivery.timeout (7 records; of the first: waited 3.0s; last t-0 \
             has no leader); send again; it may be in the log already"
        );
        assert_eq!(error.context().partition, Some(("t", 0).into()));
    }

    #[test]
    fn a_record_that_is_not_taken_is_told_with_its_topic() {
        let error = of_record(SendFailure::TooLarge { size: 9, limit: 8 }, "orders");
        assert_eq!(error.context().topic.as_deref(), Some("orders"));
        let elsewhere = of_record(timeout(false), "orders");
        assert_eq!(elsewhere.context().topic, None, "its partition says it");
    }

    #[test]
    fn what_was_never_sent_is_not_said_to_be_perhaps_in_the_log() {
        let error = SendError::from(timeout(false));
        assert_eq!(error.kind(), Kind::NotSent);
        assert!(!error.to_string().contains("in the log"), "{error}");
    }

    #[test]
    fn a_record_that_the_topic_does_not_take_has_a_next_step() {
        for code in [ErrorCode::InvalidRecord, ErrorCode::InvalidTimestamp] {
            let at = ("t", 0).into();
            let error =
                SendError::from(SendFailure::Refused { at, error: code, message: Some("no key".into()) });
            assert_eq!(error.kind(), Kind::InvalidRecord);
            assert!(
                error.to_string().contains("no key") && error.to_string().contains("wants keys"),
                "{error}"
            );
        }
    }
}
