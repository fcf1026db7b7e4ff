//! Metrics that a client pushes to brokers which ask for them (KIP-714).
//!
//! A broker that speaks the two APIs is asked what it subscribes to, over a connection that there is already. What it wants is pushed
//! over one of its own ([`Kind::Telemetry`]): a plug-in of the broker's, which takes as long as it likes, is called before the answer, and
//! nothing else is to wait behind it. Nobody waits for either answer but a close, for a bounded time.
//!
//! ```text
//!         asked              wants metrics               interval over
//! Wanted ───────> Asking ──────────────────> Subscribed ───────────────> Pushing
//!   ^  ^            │                            ^                         │  │
//!   │  └────────────┘ wants none, refused        └──────── taken ──────────┘  │
//!   └────────────────────────────────────────── refused, lost ────────────────┘
//!
//! Subscribed, Pushing ── close ──> Ending ── answered, or time is up ──> Off       any ── refused for good ──> Off
//! ```

mod metrics;
mod otlp;
mod subscription;
#[cfg(test)]
pub(crate) mod tests;
mod took;

use std::time::{Duration, Instant};

use ottla_protocol::{
    ApiKey, ClientInstanceId, ErrorCode, Now,
    messages::{
        GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, PushTelemetryRequest,
        PushTelemetryResponse,
    },
    records::Compression,
};

use crate::{
    connections::{Connections, Kind, LinkStatus, Target},
    deadline::Earliest,
    ids::RequestId,
    log,
};

pub use metrics::{LACKING, METRICS, PushedMetric, REQUIRED};
pub(crate) use metrics::{Recent, Resource, Sample};
pub(crate) use took::Took;

use metrics::Ledger;
use subscription::{DEFAULT_INTERVAL, Subscription};

/// How long a close waits for the last push to be answered.
const TO_END: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Telemetry {
    state: State,
    id: ClientInstanceId,
    /// The broker that is asked and told, until it is lost.
    broker: Option<Target>,
    subscription: Option<Subscription>,
    refused_codecs: Vec<Compression>,
    ledger: Ledger,
    /// What was refused, to be told with the next push.
    untold: Recent,
    rng: fastrand::Rng,
}

#[derive(Debug)]
enum State {
    /// Any broker is to be asked once it is time.
    Wanted {
        at: Instant,
    },
    Asking(RequestId),
    /// The next push is at this time.
    Subscribed {
        at: Instant,
    },
    Pushing {
        request: RequestId,
        codec: Compression,
        told: Box<(Sample, Recent, Now)>,
    },
    /// The last push is to be sent, or is not answered yet.
    Ending {
        until: Instant,
        request: Option<RequestId>,
    },
    Off,
}

/// What is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Question(Target),
    Push(Target),
}

/// What follows an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    AskAtOnce,
    AskLater,
    Off,
}

impl Telemetry {
    /// A client that has asked nobody yet. `seed` decides who is asked, and when the first push is.
    pub(crate) fn new(seed: u64, now: Now) -> Self {
        Self {
            state: State::Wanted { at: now.mono },
            id: ClientInstanceId::ZERO,
            broker: None,
            subscription: None,
            refused_codecs: Vec::new(),
            ledger: Ledger::new(now),
            untold: Recent::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The id that a broker has given; `None` where none has yet.
    pub(crate) fn client_instance_id(&self) -> Option<ClientInstanceId> {
        Some(self.id).filter(|id| *id != ClientInstanceId::ZERO)
    }

    /// What is due and can be sent. What cannot waits for a connection.
    pub(crate) fn due(&mut self, connections: &mut Connections, now: Now) -> Option<Due> {
        match self.state {
            State::Wanted { at } if at <= now.mono => self.any_broker(connections, now).map(Due::Question),
            State::Subscribed { at } if at <= now.mono => self.push_to(connections, now).map(Due::Push),
            State::Ending { until, request: None } if until > now.mono => {
                self.push_to(connections, now).map(Due::Push)
            }
            _ => None,
        }
    }

    /// A broker that is connected to and speaks the APIs: the one that was asked before, or any. Where those that are connected to
    /// do not, others are looked for an interval later.
    fn any_broker(&mut self, connections: &mut Connections, now: Now) -> Option<Target> {
        let ready: Vec<Target> = connections.standing(Kind::Main).collect();
        if ready.is_empty() {
            return None;
        }
        let speaks = |target: &Target| {
            let version = |key| connections.version(*target, Kind::Main, key, i16::MAX);
            version(ApiKey::GetTelemetrySubscriptions).and(version(ApiKey::PushTelemetry)).is_ok()
        };
        let able: Vec<Target> = ready.into_iter().filter(speaks).collect();
        let Some(first) = able.first() else {
            self.state = State::Wanted { at: now.mono + DEFAULT_INTERVAL };
            return None;
        };
        // An address that the user gave is that of a broker which may have a name by now: it is asked where none is connected to by its
        // name, as at the begin, and is pushed to then until it is lost.
        let named = |target: &&Target| matches!(target, Target::Node(_));
        let before = self.broker.filter(|target| named(&target) && able.contains(target));
        let nodes: Vec<&Target> = able.iter().filter(named).collect();
        let target = before.unwrap_or_else(|| match nodes.len() {
            0 => *first,
            many => nodes.get(self.rng.usize(..many)).map_or(*first, |target| **target),
        });
        self.broker = Some(target);
        connections.may_send(target, Kind::Main, now).then_some(target)
    }

    /// The broker, once a connection for pushes stands. One that comes to nothing is not waited for.
    fn push_to(&mut self, connections: &mut Connections, now: Now) -> Option<Target> {
        let target = self.broker?;
        match connections.status(target, Kind::Telemetry, now.mono) {
            LinkStatus::Retrying { .. } | LinkStatus::Refused { .. } => self.lost(now),
            LinkStatus::Unopened => {
                let is_begun = connections.open_beside(target, Kind::Main, Kind::Telemetry, now);
                if !is_begun {
                    self.lost(now);
                }
            }
            _ if connections.may_send(target, Kind::Telemetry, now) => {
                let version = connections.version(target, Kind::Telemetry, ApiKey::PushTelemetry, i16::MAX);
                match version {
                    Ok(_) => return Some(target),
                    Err(_) => self.lost(now),
                }
            }
            _ => {}
        }
        None
    }

    /// Asks what the broker wants.
    pub(crate) fn ask(&mut self, target: Target, connections: &mut Connections, now: Now) -> RequestId {
        let request = GetTelemetrySubscriptionsRequest { client_instance_id: self.id };
        let id = connections.send(target, Kind::Main, 0, request, None, now);
        self.state = State::Asking(id);
        id
    }

    /// Pushes what the broker wants, of what the client is now.
    pub(crate) fn push(
        &mut self,
        target: Target,
        (mut sample, mut recent): (Sample, Recent),
        resource: &Resource,
        connections: &mut Connections,
        now: Now,
    ) -> Option<RequestId> {
        recent.join(std::mem::take(&mut self.untold));
        let subscription = self.subscription.as_ref()?;
        let metrics = self.ledger.payload(subscription, resource, (&sample, &recent), now);
        sample.stats.partitions = Vec::new();
        let codec =
            if metrics.is_empty() { Compression::None } else { subscription.codec(&self.refused_codecs) };
        let request = PushTelemetryRequest {
            client_instance_id: self.id,
            subscription_id: subscription.id,
            terminating: matches!(self.state, State::Ending { .. }),
            compression_type: codec.id() as i8,
            metrics,
        };
        let request = connections.send(target, Kind::Telemetry, 0, request, None, now);
        match &mut self.state {
            State::Ending { request: sent, .. } => *sent = Some(request),
            state => *state = State::Pushing { request, codec, told: Box::new((sample, recent, now)) },
        }
        Some(request)
    }

    /// What a broker wants.
    pub(crate) fn handle_subscription(
        &mut self,
        id: RequestId,
        response: &GetTelemetrySubscriptionsResponse,
        now: Now,
    ) {
        if !matches!(self.state, State::Asking(asked) if asked == id) {
            return;
        }
        if !response.error_code.is_ok() {
            // To ask at once what was just refused would have no end.
            return match follows(response.error_code) {
                Follows::Off => self.refused_for_good(response.error_code),
                Follows::AskAtOnce | Follows::AskLater => self.ask_later(now),
            };
        }
        if response.client_instance_id != ClientInstanceId::ZERO {
            self.id = response.client_instance_id;
        }
        let subscription = Subscription::new(response);
        let Some(id) = self.client_instance_id() else { return self.ask_later(now) };
        if !subscription.wants_any {
            self.state = State::Wanted { at: now.mono + subscription.interval };
            self.subscription = None;
            return;
        }
        let (interval, subscription_id) = (subscription.interval, subscription.id);
        tracing::debug!(target: log::TELEMETRY, client = %id, subscription = subscription_id, ?interval, "subscribed");
        // Clients that begin together do not push together.
        let first = interval.mul_f64(0.5 + self.rng.f64());
        self.state = State::Subscribed { at: now.mono + first };
        self.subscription = Some(subscription);
    }

    /// What became of a push. What was refused is told with the next.
    pub(crate) fn handle_pushed(&mut self, id: RequestId, response: &PushTelemetryResponse, now: Now) {
        let State::Pushing { request, codec, .. } = self.state else { return self.handle_ended(id) };
        if request != id {
            return;
        }
        let error = response.error_code;
        if error.is_ok() {
            self.count_as_told();
            self.state = State::Subscribed { at: now.mono + self.interval() };
            return;
        }
        if error == ErrorCode::UnsupportedCompressionType && !self.refused_codecs.contains(&codec) {
            self.refused_codecs.push(codec);
        }
        if let State::Pushing { told, .. } = std::mem::replace(&mut self.state, State::Off) {
            self.untold = told.1;
        }
        match follows(error) {
            Follows::Off => self.refused_for_good(error),
            Follows::AskLater => self.ask_later(now),
            Follows::AskAtOnce => self.state = State::Wanted { at: now.mono },
        }
    }

    /// The push that is on its way.
    fn count_as_told(&mut self) {
        if let State::Pushing { told, .. } = std::mem::replace(&mut self.state, State::Off) {
            let (sample, _, at) = *told;
            self.ledger.tells(sample, at);
        }
    }

    fn handle_ended(&mut self, id: RequestId) {
        if matches!(self.state, State::Ending { request: Some(request), .. } if request == id) {
            self.state = State::Off;
        }
    }

    /// A question or a push came to nothing. Whether the push was taken is not known: it is not told twice.
    pub(crate) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        match self.state {
            State::Asking(asked) if asked == id => self.lost(now),
            State::Pushing { request, .. } if request == id => {
                self.count_as_told();
                self.lost(now);
            }
            _ => self.handle_ended(id),
        }
    }

    /// The broker is not to be relied on: any is asked an interval later. A close does not look for another.
    fn lost(&mut self, now: Now) {
        self.broker = None;
        match self.state {
            State::Ending { .. } => self.state = State::Off,
            _ => self.ask_later(now),
        }
    }

    fn ask_later(&mut self, now: Now) {
        self.state = State::Wanted { at: now.mono + self.interval() };
    }

    fn interval(&self) -> Duration {
        self.subscription.as_ref().map_or(DEFAULT_INTERVAL, |subscription| subscription.interval)
    }

    fn refused_for_good(&mut self, error: ErrorCode) {
        tracing::warn!(target: log::TELEMETRY, %error, "refused for good");
        self.state = State::Off;
    }

    /// The client closes, by `deadline`: whoever subscribes is told once more.
    pub(crate) fn end(&mut self, deadline: Instant, now: Now) {
        match self.state {
            State::Ending { .. } => {}
            State::Subscribed { .. } | State::Pushing { .. } => {
                self.count_as_told();
                let until = deadline.min(now.mono + TO_END);
                self.state = State::Ending { until, request: None };
            }
            State::Wanted { .. } | State::Asking(_) | State::Off => self.state = State::Off,
        }
    }

    /// Whether a close need not wait for it.
    pub(crate) fn has_ended(&self, now: Now) -> bool {
        match self.state {
            State::Ending { until, .. } => until <= now.mono,
            _ => true,
        }
    }

    pub(crate) fn deadlines(&self, earliest: &mut Earliest) {
        match self.state {
            State::Wanted { at } | State::Subscribed { at } | State::Ending { until: at, .. } => {
                earliest.consider(at);
            }
            State::Asking(_) | State::Pushing { .. } | State::Off => {}
        }
    }
}

/// As Java has it; but what passes by itself does not end it for good.
fn follows(error: ErrorCode) -> Follows {
    match error {
        ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType => Follows::AskAtOnce,
        ErrorCode::TelemetryTooLarge => Follows::AskLater,
        error if error.is_retriable() => Follows::AskLater,
        _ => Follows::Off,
    }
}
