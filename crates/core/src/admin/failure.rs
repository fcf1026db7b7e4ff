//! Why an operation fails, as a whole or in part.

use std::{fmt, time::Duration};

use ottla_protocol::{ApiKey, ErrorCode};

use crate::{cause::Cause, connections::RefusedConnection, words};

/// Why an operation failed, as a whole or for one group or partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// `default.api.timeout.ms` passed. A change may have been made all the same.
    TimedOut {
        /// How long the operation waited.
        waited: Duration,
        /// The last obstacle.
        cause: Option<Cause>,
    },
    /// A broker refused.
    Refused(Refusal),
    /// A broker that is needed has refused the connection for good.
    Connection(RefusedConnection),
    /// The broker does not speak the API, or in no version that does what is asked.
    Unsupported(ApiKey),
    /// The client was closed.
    Closed,
}

impl Failure {
    /// A broker refused with this error, and no word on it.
    pub(super) fn of(error: ErrorCode) -> Self {
        Self::Refused(Refusal { error, message: None })
    }

    /// Whether a broker refused with this error.
    #[cfg(test)]
    pub(super) fn is(&self, error: ErrorCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.error == error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { waited, cause: None } => write!(f, "not done in {waited:?}"),
            Self::TimedOut { waited, cause: Some(cause) } => {
                write!(f, "not done in {waited:?}; the last obstacle: {cause}")
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Connection(refused) => refused.fmt(f),
            Self::Unsupported(key) => {
                write!(f, "the broker does not support {key:?}, or not what is asked of it")
            }
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl std::error::Error for Failure {}

/// A broker's refusal, and its own words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error.
    pub error: ErrorCode,
    /// What the broker says about it.
    pub message: Option<String>,
}

impl Refusal {
    /// What a broker answered, of its words as many as are kept.
    pub(super) fn told(error: ErrorCode, message: Option<String>) -> Self {
        Self { error, message: message.map(words::heard) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.error),
            None => self.error.fmt(f),
        }
    }
}
