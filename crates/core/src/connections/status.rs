//! How it stands with a connection, as it is told.

use std::time::Instant;

use crate::disconnected::Disconnected;

/// How far a connection has come that is being set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SetupStage {
    /// There is no answer from the address yet, or TLS is being agreed upon.
    Connecting,
    /// The broker is asked which versions it speaks.
    AskingVersions,
    /// The broker is told who the client is.
    Authenticating,
    /// The provider of tokens is waited for.
    AwaitingToken,
}

/// Connections to brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionStats {
    /// How many can be used.
    pub open: u64,
    /// How many were begun, those that came to nothing included.
    pub begun: u64,
}

impl std::fmt::Display for SetupStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::AskingVersions => "waiting to be told what the broker speaks",
            Self::Authenticating => "authenticating",
            Self::AwaitingToken => "waiting for a token of the provider",
        })
    }
}

/// How it stands with a connection, for those who ask why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkStatus {
    /// It can be used.
    Ready,
    /// Not asked for yet.
    Unopened,
    /// Being set up.
    Connecting {
        /// Since when.
        since: Instant,
        /// How far it has come.
        stage: SetupStage,
    },
    /// It failed, and is tried again.
    Retrying {
        /// When.
        at: Instant,
        /// How often it failed in a row.
        failures: u32,
        /// Why, the last time.
        why: Disconnected,
    },
    /// It was refused in a way that does not pass by itself. It is tried again once a call has told so.
    Refused {
        /// Why.
        why: Disconnected,
    },
    /// The broker asked for a pause.
    Throttled {
        /// Until when.
        until: Instant,
    },
}
