//! From what the core says of a transaction to the error that users get.

use ottla_core::{
    Cause,
    producer::{AbortCause, FatalCause, TransactionFailure},
};
use ottla_protocol::ErrorCode;

use crate::error::{
    AbortedError, AbortedErrorKind, BuildError, BuildErrorKind, Details as _, FatalError, FatalErrorKind,
    SendError, TransactionError, UnansweredError, UnansweredErrorKind,
};

impl From<TransactionFailure> for TransactionError {
    fn from(failure: TransactionFailure) -> Self {
        match failure {
            TransactionFailure::Aborted(cause) => Self::Aborted(cause.into()),
            TransactionFailure::Fatal(cause) => Self::Fatal(cause.into()),
            TransactionFailure::Unanswered { waited, cause } => {
                let error = UnansweredError::new(UnansweredErrorKind::TimedOut);
                Self::Unanswered(error.detail(with_obstacle(format!("waited {waited:.1?}"), cause)))
            }
        }
    }
}

impl From<AbortCause> for AbortedError {
    fn from(cause: AbortCause) -> Self {
        use AbortedErrorKind as Kind;
        match cause {
            AbortCause::Asked => Self::new(Kind::Ended),
            AbortCause::Record(failure) => {
                let source = SendError::from(*failure);
                Self::new(Kind::Record).because(source)
            }
            AbortCause::Partition { at, error } => Self::new(Kind::Partition).partition(at).broker(error),
            AbortCause::Offsets { group, at, error } => {
                let kind = match error {
                    ErrorCode::IllegalGeneration
                    | ErrorCode::UnknownMemberId
                    | ErrorCode::StaleMemberEpoch
                    | ErrorCode::FencedMemberEpoch => Kind::NotMember,
                    ErrorCode::FencedInstanceId => Kind::MemberFenced,
                    _ => Kind::Offsets,
                };
                let error_of = Self::new(kind).needs(crate::error::AclOperation::Read).group(group);
                match at {
                    Some(at) => error_of.partition(at),
                    None => error_of,
                }
                .broker(error)
            }
            AbortCause::Gone { group, at } => Self::new(Kind::Gone).group(group).partition(at),
            AbortCause::OffsetsTimedOut { group, waited, cause } => Self::new(Kind::Offsets)
                .group(group)
                .detail(with_obstacle(format!("waited {waited:.1?}"), cause)),
            AbortCause::EndedByCoordinator => Self::new(Kind::EndedByCoordinator),
            AbortCause::Told { api, error } => Self::new(Kind::Broker).api(api).broker(error),
            other => Self::new(Kind::Broker).detail(other.to_string()),
        }
    }
}

impl From<FatalCause> for FatalError {
    fn from(cause: FatalCause) -> Self {
        use FatalErrorKind as Kind;
        match cause {
            FatalCause::Fenced { api, error, in_doubt } => {
                let fenced = Self::new(if in_doubt { Kind::FencedInDoubt } else { Kind::Fenced });
                fenced.api(api).broker(error)
            }
            FatalCause::Refused { api, error } => Self::new(Kind::Broker).api(api).broker(error),
            FatalCause::Unsupported(api) => Self::new(Kind::Unsupported).api(api),
            FatalCause::Connection(refused) => Self::new(Kind::Connection).refused_by(refused),
            FatalCause::Closed => Self::new(Kind::Closed),
            other => Self::new(Kind::Broker).detail(other.to_string()),
        }
    }
}

/// Why the transactional id could not be claimed.
pub(super) fn of_build(failure: TransactionFailure) -> BuildError {
    match failure {
        TransactionFailure::Fatal(FatalCause::Connection(refused)) => BuildError::refused(refused),
        TransactionFailure::Fatal(FatalCause::Refused { api, error }) => {
            let refused = BuildError::new(BuildErrorKind::Broker).api(api);
            let refused = match error {
                ErrorCode::InvalidTransactionTimeout => refused
                    .property("transaction.timeout.ms")
                    .detail("0, or more than the broker's transaction.max.timeout.ms"),
                _ => refused,
            };
            refused.needs(crate::error::AclOperation::Write).broker(error)
        }
        TransactionFailure::Unanswered { waited, cause } => {
            let waited = format!("no coordinator has answered for {waited:.1?}");
            BuildError::new(BuildErrorKind::Unreachable).detail(with_obstacle(waited, cause))
        }
        other => BuildError::new(BuildErrorKind::Broker).detail(other.to_string()),
    }
}

fn with_obstacle(waited: String, cause: Option<Cause>) -> String {
    match cause {
        Some(cause) => format!("{waited}; last {cause}"),
        None => waited,
    }
}
