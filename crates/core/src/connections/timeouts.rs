//! How long a connection may take, and stand idle.

use std::time::Duration;

use ottla_protocol::{ApiKey, Now};

use super::{Connections, Target, Unanswered, link::State};
use crate::{deadline::Earliest, disconnected::Disconnected, ids::NodeId, log, machine::Outbound};

/// Where any broker will do: how long one connection may take to set up before another is tried beside it.
pub(crate) const HEAD_START: Duration = Duration::from_millis(250);

impl Connections {
    /// Ends connections that took too long, or were idle for too long. Returns the requests left unanswered.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<Unanswered> {
        if !self.outages.is_empty() {
            self.settle_outages(now.mono);
        }
        let mut ended = Vec::new();
        for ((target, kind), link) in &mut self.links {
            link.throttled_until = link.throttled_until.filter(|until| *until > now.mono);
            let overdue = link.in_flight.iter().find(|request| request.deadline <= now.mono);
            match link.state {
                State::Closed { retry_at: Some(at) } if at <= now.mono => {
                    link.state = State::Closed { retry_at: None }
                }
                State::Connecting { conn, since } if since + self.config.setup_timeout <= now.mono => {
                    ended.push((conn, Disconnected::ConnectTimedOut));
                }
                State::Authenticating { conn, since, renewing: false, .. }
                    if since + self.config.setup_timeout <= now.mono =>
                {
                    ended.push((conn, Disconnected::ConnectTimedOut));
                }
                State::Asking { conn, .. }
                | State::Authenticating { conn, .. }
                | State::Ready { conn, .. }
                    if overdue.is_some() =>
                {
                    let key = overdue.map_or(ApiKey::ApiVersions, |request| request.key);
                    ended.push((conn, Disconnected::TimedOut(key)));
                }
                State::Ready { conn, .. }
                    if link.in_flight.is_empty() && link.last_used + self.config.max_idle <= now.mono =>
                {
                    link.state = State::Closed { retry_at: None };
                    self.out.push_back(Outbound::Close { conn });
                    let (address, node) = (&link.address, target.node());
                    tracing::debug!(target: log::CONNECTION, %address, node, ?kind, "closed: idle");
                }
                _ => {}
            }
        }
        let mut unanswered = Vec::new();
        for (conn, why) in ended {
            self.out.push_back(Outbound::Close { conn });
            unanswered.extend(self.handle_disconnected(conn, why, now));
        }
        unanswered
    }

    /// Lets go of brokers that are none any more. Connections to them that nothing waits for are closed; otherwise a cluster that
    /// names others each time would have one to each that it ever named.
    pub(crate) fn forget_others(&mut self, is_known: impl Fn(NodeId) -> bool) {
        let out = &mut self.out;
        self.links.retain(|(target, kind), link| {
            let Target::Node(node) = target else { return true };
            match link.state {
                _ if is_known(*node) => true,
                State::Closed { retry_at: None } => link.refused,
                State::Ready { conn, .. } if link.in_flight.is_empty() => {
                    out.push_back(Outbound::Close { conn });
                    let address = &link.address;
                    tracing::debug!(target: log::CONNECTION, %address, node = node.0, ?kind, "closed: no broker");
                    false
                }
                _ => true,
            }
        });
    }

    /// When [`Connections::handle_timeout`] has something to do, or a connection may be tried again.
    pub fn deadlines(&self, earliest: &mut Earliest) {
        for link in self.links.values() {
            earliest.consider(link.throttled_until);
            earliest.consider(link.in_flight.iter().map(|request| request.deadline).min());
            match link.state {
                State::Closed { retry_at } => earliest.consider(retry_at),
                State::Connecting { since, .. } => {
                    earliest.consider(since + self.config.setup_timeout);
                    earliest.consider(since + HEAD_START);
                }
                State::Asking { since, .. } => earliest.consider(since + HEAD_START),
                State::Authenticating { since, renewing: false, .. } => {
                    earliest.consider(since + self.config.setup_timeout);
                    earliest.consider(since + HEAD_START);
                }
                State::Authenticating { .. } => {}
                State::Ready { .. } if link.in_flight.is_empty() => {
                    earliest.consider(link.last_used + self.config.max_idle);
                }
                State::Ready { .. } => {}
            }
        }
    }
}
