//! Why a transaction fails: it is to be aborted, or the producer is of no use any more.

use std::{fmt, time::Duration};

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{cause::Cause, connections::RefusedConnection, ids::TopicPartition, producer::SendFailure};

/// Why a transaction was not committed, or could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionFailure {
    /// The transaction is, or will be, aborted. The producer goes on with the next one.
    Aborted(AbortCause),
    /// The producer is of no use any more: it is to be built anew, where that makes sense.
    Fatal(FatalCause),
    /// No answer within `max.block.ms`. The producer goes on trying.
    Unanswered {
        /// How long was waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
}

/// Why a transaction can only be aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortCause {
    /// Somebody asked for it.
    Asked,
    /// A record of it was not delivered.
    Record(Box<SendFailure>),
    /// The partition cannot be added to it.
    Partition {
        /// Which.
        at: TopicPartition,
        /// The coordinator's answer.
        error: ErrorCode,
    },
    /// Offsets that belong to it were refused: the member has left the group's generation, for example.
    Offsets {
        /// The group.
        group: String,
        /// The partition, where the answer was about one.
        at: Option<TopicPartition>,
        /// The coordinator's answer.
        error: ErrorCode,
    },
    /// Offsets that belong to it are of a topic that is deleted, or was made anew under its name since.
    Gone {
        /// The group.
        group: String,
        /// The first such partition.
        at: TopicPartition,
    },
    /// Offsets that belong to it were not taken within `delivery.timeout.ms`.
    OffsetsTimedOut {
        /// The group.
        group: String,
        /// How long was waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
    /// The coordinator had ended it by itself: it was open for longer than `transaction.timeout.ms`, or a newer producer is
    /// claiming its transactional id at this moment. Brokers answer both in the same way (KIP-890).
    EndedByCoordinator,
    /// A broker says that it has to be aborted (KIP-890), or does not know this producer any more.
    Told {
        /// What was asked.
        api: ApiKey,
        /// The answer.
        error: ErrorCode,
    },
}

/// Why a producer has no further transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatalCause {
    /// A newer producer with the same transactional id took over; or, up to `transaction.version` 1, the coordinator
    /// ended a transaction that was open for too long, which looks the same.
    Fenced {
        /// What was asked.
        api: ApiKey,
        /// The answer.
        error: ErrorCode,
        /// A commit was sent before, and not answered: it may have happened.
        in_doubt: bool,
    },
    /// The coordinator refuses for good.
    Refused {
        /// What was asked.
        api: ApiKey,
        /// The answer.
        error: ErrorCode,
    },
    /// The coordinator does not speak an API that is needed.
    Unsupported(ApiKey),
    /// A broker that is needed has refused the connection for good.
    Connection(RefusedConnection),
    /// The producer is closed.
    Closed,
}

impl From<AbortCause> for TransactionFailure {
    fn from(cause: AbortCause) -> Self {
        Self::Aborted(cause)
    }
}

impl From<FatalCause> for TransactionFailure {
    fn from(cause: FatalCause) -> Self {
        Self::Fatal(cause)
    }
}

impl TransactionFailure {
    /// What a record's failure means for its transaction.
    pub(super) fn of_record(failure: &SendFailure) -> Self {
        let api = ApiKey::Produce;
        match failure {
            SendFailure::Refused { error: error @ ErrorCode::ProducerFenced, .. } => {
                FatalCause::Fenced { api, error: *error, in_doubt: false }.into()
            }
            SendFailure::Refused { error, .. } if *error == ErrorCode::TransactionalIdAuthorizationFailed => {
                FatalCause::Refused { api, error: *error }.into()
            }
            // Of a zombie, or of a transaction that timed out: the answer to the abort tells which.
            SendFailure::Refused { error: error @ ErrorCode::InvalidProducerEpoch, .. }
            | SendFailure::Refused { error: error @ ErrorCode::TransactionAbortable, .. } => {
                AbortCause::Told { api, error: *error }.into()
            }
            other => AbortCause::Record(Box::new(other.clone())).into(),
        }
    }
}

impl fmt::Display for TransactionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(cause) => write!(f, "the transaction is aborted: {cause}"),
            Self::Fatal(cause) => cause.fmt(f),
            Self::Unanswered { waited, cause: None } => write!(f, "no answer in {waited:.1?}"),
            Self::Unanswered { waited, cause: Some(cause) } => {
                write!(f, "no answer in {waited:.1?}; the last obstacle: {cause}")
            }
        }
    }
}

impl fmt::Display for AbortCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as was asked for"),
            Self::Record(failure) => write!(f, "a record was not delivered: {failure}"),
            Self::Partition { at, error } => write!(f, "{at} cannot be added: {error}"),
            Self::Offsets { group, at: None, error } => write!(f, "offsets of group `{group}`: {error}"),
            Self::Offsets { group, at: Some(at), error } => {
                write!(f, "offsets of group `{group}` for {at}: {error}")
            }
            Self::Gone { group, at } => {
                write!(f, "offsets of group `{group}` for {at}: the topic that was read is gone")
            }
            Self::OffsetsTimedOut { group, waited, cause } => {
                write!(f, "offsets of group `{group}` were not taken in {waited:.1?}")?;
                cause.as_ref().map_or(Ok(()), |cause| write!(f, "; the last obstacle: {cause}"))
            }
            Self::EndedByCoordinator => f.write_str(
                "the coordinator had ended it: it was open for longer than transaction.timeout.ms, or a newer producer is \
                 claiming its transactional.id",
            ),
            Self::Told { api, error } => write!(f, "{api:?} was answered {error}"),
        }
    }
}

impl fmt::Display for FatalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { api, error, in_doubt } => {
                let doubt =
                    if *in_doubt { "; the commit that was sent before may have happened" } else { "" };
                write!(f, "a newer producer has this transactional id: {api:?} was answered {error}{doubt}")
            }
            Self::Refused { api, error } => write!(f, "{api:?} was answered {error}"),
            Self::Unsupported(api) => write!(f, "the coordinator does not support {api:?}"),
            Self::Connection(refused) => refused.fmt(f),
            Self::Closed => f.write_str("the producer is closed"),
        }
    }
}
