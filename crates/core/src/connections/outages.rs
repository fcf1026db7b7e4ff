//! Brokers that are out of reach. The log is told once when that begins and once when it is over, however many connections
//! to a broker there are, and however often they are tried.

use std::time::{Duration, Instant};

use super::{
    Address, Connections, Kind, Target,
    link::{Link, State},
};
use crate::log;

/// How long nothing may have failed before an outage is told as over. Otherwise a broker that answers some requests and
/// fails at others would be told as lost and back with each of them.
const CALM: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Outage {
    address: Address,
    since: Instant,
    last: Instant,
    /// The first answer since the last failure.
    answered: Option<Instant>,
}

impl Connections {
    /// A connection to this address failed. Whether an outage begins with that.
    pub(super) fn failed(&mut self, address: &Address, now: Instant) -> bool {
        let is_used = |outage: &Outage| self.links.values().any(|link| link.address == outage.address);
        self.outages.retain(is_used);
        match self.outages.iter_mut().find(|outage| outage.address == *address) {
            Some(outage) => {
                (outage.last, outage.answered) = (now, None);
                false
            }
            None => {
                let address = address.clone();
                self.outages.push(Outage { address, since: now, last: now, answered: None });
                true
            }
        }
    }

    /// A connection is of use.
    pub(super) fn answered(&mut self, key: (Target, Kind), now: Instant) {
        if self.outages.is_empty() {
            return;
        }
        if let Some(link) = self.links.get_mut(&key) {
            link.failed = false;
            for outage in self.outages.iter_mut().filter(|outage| outage.address == link.address) {
                outage.answered.get_or_insert(now);
            }
        }
        self.settle_outages(now);
    }

    /// Tells the outages that are over.
    pub(super) fn settle_outages(&mut self, now: Instant) {
        let links = &self.links;
        self.outages.retain(|Outage { address, since, last, answered }| {
            let Some(answered) = answered.filter(|_| *last + CALM <= now) else { return true };
            let in_vain = |((target, kind), link): (&(Target, Kind), &Link)| {
                // Addresses that the user gave are tried only where no other broker can be asked.
                link.address == *address && matches!(target, Target::Node(_)) && link.is_in_vain(*kind)
            };
            if links.iter().any(in_vain) {
                return true;
            }
            let after = answered.saturating_duration_since(*since);
            let after = format_args!("{after:.1?}");
            tracing::info!(target: log::CONNECTION, %address, %after, "connected again");
            false
        });
    }
}

impl Link {
    /// Whether it failed and is tried again, or waits for the first answer since.
    fn is_in_vain(&self, kind: Kind) -> bool {
        self.failed
            && match self.state {
                State::Closed { retry_at } => retry_at.is_some(),
                State::Connecting { .. } | State::Asking { .. } | State::Authenticating { .. } => true,
                // JoinGroup is held for as long as the coordinator likes.
                State::Ready { .. } => kind != Kind::Join && !self.in_flight.is_empty(),
            }
    }
}
