//! What a consumer pushes to brokers that ask for it: [`Telemetry`](crate::telemetry) decides when, here is what of.

use ottla_protocol::{ClientInstanceId, Now, Response};

use super::{Consumer, Pending};
use crate::{
    ids::RequestId,
    telemetry::{Due, Recent, Resource, Sample},
};

impl<F: Clone> Consumer<F> {
    /// The id that a broker gave this client for its metrics: `Ok(None)` where none has yet, an error where it pushes none.
    pub fn client_instance_id(&self) -> Result<Option<ClientInstanceId>, MetricsPushIsOff> {
        self.telemetry.as_ref().map(|telemetry| telemetry.client_instance_id()).ok_or(MetricsPushIsOff)
    }

    /// Asks and pushes what is due. Returns whether it has ended by that.
    pub(super) fn step_telemetry(&mut self, now: Now) -> bool {
        let Some(telemetry) = &mut self.telemetry else { return false };
        let had_ended = telemetry.has_ended(now);
        let sent = match telemetry.due(&mut self.hub.connections, now) {
            None => return !had_ended && telemetry.has_ended(now),
            Some(Due::Question(target)) => Some(telemetry.ask(target, &mut self.hub.connections, now)),
            Some(Due::Push(target)) => {
                let resource = self.resource();
                let sample = Sample { stats: self.stats(now), connected: self.hub.connections.connected() };
                let recent = self.recent();
                let (connections, telemetry) = (&mut self.hub.connections, self.telemetry.as_mut());
                telemetry.and_then(|it| it.push(target, (sample, recent), &resource, connections, now))
            }
        };
        sent.into_iter().for_each(|id| self.hub.expect(id, Pending::Telemetry));
        false
    }

    pub(super) fn handle_telemetry(&mut self, id: RequestId, response: &Response, now: Now) {
        let Some(telemetry) = &mut self.telemetry else { return };
        match response {
            Response::GetTelemetrySubscriptions(response) => {
                telemetry.handle_subscription(id, response, now);
                // Somebody may wait for the client's id.
                self.hub.wake = true;
            }
            Response::PushTelemetry(response) => telemetry.handle_pushed(id, response, now),
            _ => debug_assert!(false, "the answer is of another API than the request"),
        }
    }

    /// As Java names it. The client's own id is in each request's header.
    fn resource(&self) -> Resource {
        let mut resource = Resource::new();
        let mut add = |name, value: &str| {
            if !value.is_empty() {
                resource.push((name, value.to_owned()));
            }
        };
        add("client_rack", self.fetcher.rack());
        if let Some(group) = &self.group {
            let config = group.membership.config();
            add("group_id", &config.id);
            add("group_instance_id", config.instance_id.as_deref().unwrap_or_default());
            add("group_member_id", group.membership.member_id());
        }
        resource
    }

    fn recent(&mut self) -> Recent {
        let mut recent = Recent {
            fetches: self.fetcher.recent.take(),
            nodes: self.hub.connections.take_answers(),
            ..Recent::default()
        };
        if let Some(group) = &mut self.group {
            recent.commits = group.commits.recent.take();
            recent.rebalances = group.handover.rebalances.recent.take();
        }
        recent
    }
}

/// `enable.metrics.push` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsPushIsOff;
