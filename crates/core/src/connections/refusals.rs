//! Connections that were refused for good: whoever needs one is told, and nothing is tried again before that. An account is
//! not locked by a client whose user does not look.

use std::fmt;

use ottla_protocol::Now;

use super::{Address, Connections, Kind, LinkStatus, State, Target};
use crate::disconnected::Disconnected;

/// A connection that trying again cannot bring about: somebody has to change something first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedConnection {
    /// Where to.
    pub address: Address,
    /// Why.
    pub why: Disconnected,
}

impl fmt::Display for RefusedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

impl Connections {
    /// The next refusal that nobody was told of.
    pub(crate) fn take_refusal(&mut self) -> Option<(Target, Kind, RefusedConnection)> {
        self.refusals.pop_front()
    }

    /// The refusal that keeps this connection from coming about.
    pub(crate) fn refusal(&self, target: Target, kind: Kind, now: Now) -> Option<RefusedConnection> {
        match self.status(target, kind, now.mono) {
            LinkStatus::Refused { why } => {
                let address = self.links.get(&(target, kind))?.address.clone();
                Some(RefusedConnection { address, why })
            }
            _ => None,
        }
    }

    /// A refusal that keeps a connection of this kind from coming about, whosever.
    pub(crate) fn refusal_of_any(&self, kind: Kind, now: Now) -> Option<RefusedConnection> {
        let mut targets = self.links.keys().filter(|(_, of)| *of == kind);
        targets.find_map(|(target, _)| self.refusal(*target, kind, now))
    }

    /// Somebody was told: what was refused is tried again when it is needed, after the usual wait.
    pub(crate) fn forgive(&mut self, now: Now) {
        self.refusals.clear();
        for link in self.links.values_mut().filter(|link| link.refused) {
            link.refused = false;
            if let State::Closed { retry_at } = &mut link.state {
                let wait = self.config.reconnect_backoff.after(link.failures, &mut self.rng);
                *retry_at = Some(now.mono + wait);
            }
        }
    }
}
