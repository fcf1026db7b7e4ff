//! One connection: what it is doing, and what became of it before.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use ottla_protocol::{ApiKey, codec::Versions};

use super::Address;
use crate::{
    disconnected::{Disconnected, SaslFailure, TlsFailure},
    ids::{ConnId, RequestId},
    sasl::Login,
    telemetry::Took,
};

/// So often in a row a broker closes a connection too early before that is believed to be no accident.
const SUSPECT_AFTER: u32 = 3;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: Address,
    pub(super) state: State,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) last_used: Instant,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Disconnected>,
    /// The connection failed, and no request was answered since.
    pub(super) failed: bool,
    /// How often in a row the broker closed it too early.
    suspicions: u32,
    /// A request of a user's was answered on this very connection.
    pub(super) answered: bool,
    /// It is not tried again until somebody has been told.
    pub(super) refused: bool,
    pub(super) throttled_until: Option<Instant>,
    /// When to authenticate anew (KIP-368).
    pub(super) renew_at: Option<Instant>,
    /// How long answers took lately.
    pub(super) answers: Took,
}

#[derive(Debug)]
pub(super) enum State {
    Closed {
        retry_at: Option<Instant>,
    },
    Connecting {
        conn: ConnId,
        since: Instant,
    },
    Asking {
        conn: ConnId,
        since: Instant,
        version: i16,
    },
    /// The broker is told who the client is; `renewing` where it knew, and is told again.
    Authenticating {
        conn: ConnId,
        since: Instant,
        broker: Introduction,
        login: Login,
        renewing: bool,
    },
    Ready {
        conn: ConnId,
        broker: Introduction,
    },
}

/// What a broker says of itself before anything else.
#[derive(Debug, Default)]
pub(super) struct Introduction {
    /// API keys, and what the broker speaks of each.
    pub(super) versions: Vec<(i16, Versions)>,
    /// The finalized level of `transaction.version`; 0 where none is told.
    pub(super) transaction_version: i16,
}

impl Introduction {
    /// What the broker speaks of an API, where it has it.
    pub(super) fn versions_of(&self, key: ApiKey) -> Option<Versions> {
        self.versions.iter().find(|(theirs, _)| *theirs == key as i16).map(|(_, versions)| *versions)
    }
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: RequestId,
    pub(super) key: ApiKey,
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
}

impl InFlight {
    /// Whether a user's call, or what the machine does for it, waits for the answer.
    pub(super) fn is_asked_for(&self) -> bool {
        !matches!(self.key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
    }
}

impl Link {
    pub(super) fn new(address: Address, now: Instant) -> Self {
        Self {
            address,
            state: State::Closed { retry_at: None },
            in_flight: VecDeque::new(),
            last_used: now,
            failures: 0,
            last_failure: None,
            failed: false,
            suspicions: 0,
            answered: false,
            refused: false,
            throttled_until: None,
            renew_at: None,
            answers: Took::default(),
        }
    }

    /// Why it came to nothing the last time, until it is made.
    pub(super) fn failure_so_far(&self) -> Option<&Disconnected> {
        self.last_failure.as_ref().filter(|_| self.failures > 0)
    }

    /// Its name for the driver, unless it is closed.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Closed { .. } => None,
            State::Connecting { conn, .. }
            | State::Asking { conn, .. }
            | State::Authenticating { conn, .. }
            | State::Ready { conn, .. } => Some(conn),
        }
    }

    /// Since when it is being set up, where it is.
    pub(super) fn begun(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { since, .. } | State::Asking { since, .. } => Some(since),
            State::Authenticating { since, renewing: false, .. } => Some(since),
            _ => None,
        }
    }

    /// What an end means at this point of a connection's life.
    pub(super) fn interpret(&self, why: Disconnected) -> Disconnected {
        match (why, &self.state) {
            (Disconnected::Closed, State::Asking { .. }) => Disconnected::ClosedUnanswered,
            (Disconnected::Closed, State::Authenticating { .. }) => Disconnected::Sasl(SaslFailure::Closed),
            (Disconnected::Closed, State::Ready { .. }) if !self.answered && !self.in_flight.is_empty() => {
                Disconnected::ClosedAtOnce
            }
            (why, _) => why,
        }
    }

    /// It ended. Whether that is a refusal, rather than something that passes by itself. What may also befall a client behind
    /// a proxy is one only as long as no broker has been `reached`, ever.
    pub(super) fn is_refusal(&mut self, why: &Disconnected, reached: bool) -> bool {
        let suspect = matches!(
            why,
            Disconnected::ClosedUnanswered
                | Disconnected::ClosedAtOnce
                | Disconnected::Tls(TlsFailure::Closed)
        );
        self.suspicions = if suspect { self.suspicions + 1 } else { 0 };
        let never_kafka = matches!(why, Disconnected::NotKafka(_));
        why.is_final() || !reached && (never_kafka || self.suspicions >= SUSPECT_AFTER)
    }

    /// When a session that lasts so long is to be renewed: after 85 to 95 parts of a hundred, as Java does.
    pub(super) fn session_began(
        &mut self,
        lifetime: Option<Duration>,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) {
        self.renew_at = lifetime.map(|lifetime| now + lifetime.mul_f64(0.85 + rng.f64() * 0.1));
    }
}
