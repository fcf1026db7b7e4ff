//! Where a connection stands with SASL, and which of its requests are served there (KIP-43, KIP-152, KIP-368).
//!
//! ```text
//! New ── SaslHandshake ──> Exchanging ── SaslAuthenticate ──> Live ── SaslHandshake, once it has an end ──> Exchanging
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode, Now, Request, Secret,
    messages::{
        ApiVersionsResponse, MetadataResponse, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
};

use super::{Credentials, SaslMechanism, Step, oauthbearer, plain, scram};
use crate::{api::Outcome, connections::Connection};

/// Who authenticated anew may not do so again before.
const REAUTHENTICATION_REST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) enum Session {
    /// The listener asks for no authentication.
    #[default]
    Open,
    /// ApiVersions may be asked, once with success.
    New { knows_versions: bool },
    /// A mechanism is chosen. `before` is there while a connection authenticates anew.
    Exchanging { exchange: Exchange, before: Option<Live> },
    /// Everything may be asked.
    Live(Live),
}

/// Who has authenticated.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    mechanism: SaslMechanism,
    ends: Option<Instant>,
    /// When it last began to authenticate anew.
    renewed: Option<Instant>,
}

/// What a client and a mechanism say to each other.
#[derive(Debug)]
pub(crate) enum Exchange {
    Plain,
    Scram(SaslMechanism, scram::Exchange),
    OAuthBearer {
        refused: bool,
    },
    /// By another mechanism than before, which is not told until the client has said something.
    Changed,
    /// SaslHandshake 0 is followed by tokens without a header, which are not read here.
    Bare,
}

impl Exchange {
    fn new(mechanism: SaslMechanism, version: i16) -> Self {
        match mechanism {
            _ if version == 0 => Self::Bare,
            SaslMechanism::Plain => Self::Plain,
            SaslMechanism::OAuthBearer => Self::OAuthBearer { refused: false },
            scram => Self::Scram(scram, scram::Exchange::First),
        }
    }

    /// What the mechanism says, where there is one to say something.
    fn step(
        &mut self,
        token: &Secret,
        credentials: &mut Credentials,
        now: Now,
    ) -> Option<(SaslMechanism, Step)> {
        let token = token.expose();
        match self {
            Self::Plain => Some((SaslMechanism::Plain, plain::check(token, credentials))),
            Self::Scram(mechanism, scram) => Some((*mechanism, scram.step(*mechanism, token, credentials))),
            Self::OAuthBearer { refused } => {
                Some((SaslMechanism::OAuthBearer, oauthbearer::check(token, refused, now)))
            }
            Self::Changed | Self::Bare => None,
        }
    }
}

impl Session {
    /// Whether nobody has authenticated, or somebody does so anew: only short requests are read.
    pub(crate) const fn is_limited(&self) -> bool {
        matches!(self, Self::New { .. } | Self::Exchanging { .. })
    }

    /// Whether ApiVersions of an unknown version is answered.
    pub(crate) fn tells_versions(&self, now: Now) -> bool {
        match self {
            Self::Open => true,
            Self::New { knows_versions } => !knows_versions,
            Self::Exchanging { .. } => false,
            Self::Live(live) => !live.has_ended(now),
        }
    }
}

impl Live {
    fn has_ended(&self, now: Now) -> bool {
        self.ends.is_some_and(|ends| now.mono > ends)
    }

    fn may_renew(&self, now: Now) -> bool {
        let rests = |at: Instant| now.mono.saturating_duration_since(at) < REAUTHENTICATION_REST;
        self.ends.is_some() && !self.renewed.is_some_and(rests)
    }
}

impl Credentials {
    /// What becomes of a request before its API sees it: nothing, where it is to be served. With an error that a script forces,
    /// its API answers what would be answered here, and nothing is done.
    pub(crate) fn gate(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        version: i16,
        forced: Option<ErrorCode>,
        now: Now,
    ) -> Option<Outcome> {
        match &mut connection.session {
            Session::Open => None,
            Session::New { knows_versions } => match request {
                Request::ApiVersions(request) if !*knows_versions => {
                    *knows_versions =
                        forced.is_none() && crate::api::api_versions::is_valid(request, version);
                    None
                }
                Request::SaslHandshake(_) if forced.is_some() => None,
                Request::SaslHandshake(request) => Some(self.begin(connection, request, version)),
                _ => Some(Outcome::Close),
            },
            Session::Exchanging { exchange: Exchange::Bare, .. } => Some(Outcome::Close),
            Session::Exchanging { .. } => match request {
                Request::SaslAuthenticate(_) if forced.is_some() => None,
                Request::SaslAuthenticate(request) => {
                    Some(self.authenticate(connection, &request.auth_bytes, now))
                }
                other => Some(Outcome::Refuse(out_of_place(other))),
            },
            Session::Live(live) => match request {
                Request::SaslHandshake(_) if forced.is_some() && !live.has_ended(now) => None,
                Request::SaslHandshake(request) if live.may_renew(now) => {
                    Some(self.begin_anew(connection, request, version, now))
                }
                _ => live.has_ended(now).then_some(Outcome::Close),
            },
        }
    }

    fn enabled(&self, name: &str) -> Option<SaslMechanism> {
        self.sasl.mechanisms.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    fn begin(&self, connection: &mut Connection, request: &SaslHandshakeRequest, version: i16) -> Outcome {
        let mechanisms = self.sasl.mechanisms.iter().map(|mechanism| mechanism.name().to_owned()).collect();
        let Some(mechanism) = self.enabled(&request.mechanism) else {
            let error_code = ErrorCode::UnsupportedSaslMechanism;
            return Outcome::Refuse(Some(SaslHandshakeResponse { error_code, mechanisms }.into()));
        };
        let exchange = Exchange::new(mechanism, version);
        connection.session = Session::Exchanging { exchange, before: None };
        SaslHandshakeResponse { error_code: ErrorCode::None, mechanisms }.into()
    }

    fn begin_anew(
        &self,
        connection: &mut Connection,
        request: &SaslHandshakeRequest,
        version: i16,
        now: Now,
    ) -> Outcome {
        let Session::Live(live) = &connection.session else { return Outcome::Close };
        let before = Live { renewed: Some(now.mono), ..live.clone() };
        let Some(mechanism) = self.enabled(&request.mechanism) else { return Outcome::Close };
        let begun = self.begin(connection, request, version);
        if let Session::Exchanging { exchange, before: slot } = &mut connection.session {
            if mechanism != before.mechanism {
                *exchange = Exchange::Changed;
            }
            *slot = Some(before);
        }
        begun
    }

    fn authenticate(&mut self, connection: &mut Connection, token: &Secret, now: Now) -> Outcome {
        let Session::Exchanging { exchange, before } = &mut connection.session else { return Outcome::Close };
        let stepped = exchange.step(token, self, now);
        let Some((mechanism, step)) = stepped else { return Outcome::Refuse(None) };
        let (user, answer, of_token) = match step {
            Step::Continue(answer) => {
                return SaslAuthenticateResponse { auth_bytes: answer.into(), ..Default::default() }.into();
            }
            Step::Refused(text) => return refuse(text),
            Step::Invalid => {
                let what = if before.is_some() { "re-authentication" } else { "authentication" };
                return refuse(format!(
                    "Authentication failed during {what} due to invalid credentials with SASL mechanism {mechanism}"
                ));
            }
            Step::Done { user, answer, lifetime } => (user, answer, lifetime),
        };
        let principal = format!("User:{user}");
        if before.is_some() && *principal != *connection.principal {
            let was = connection.principal.strip_prefix("User:").unwrap_or_default();
            return refuse(format!(
                "Cannot change principals during re-authentication from User.{was}: User.{user}"
            ));
        }
        let most = self.sasl.connections_max_reauth.filter(|most| !most.is_zero());
        let lifetime = [of_token, most].into_iter().flatten().min();
        let ends = lifetime.and_then(|lifetime| now.mono.checked_add(lifetime));
        let renewed = before.take().and_then(|before| before.renewed);
        connection.session = Session::Live(Live { mechanism, ends, renewed });
        connection.principal = Arc::from(principal);
        SaslAuthenticateResponse {
            auth_bytes: answer.into(),
            session_lifetime_ms: lifetime
                .map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX)),
            ..Default::default()
        }
        .into()
    }
}

fn refuse(text: String) -> Outcome {
    tracing::debug!(text, "authentication refused");
    let error_code = ErrorCode::SaslAuthenticationFailed;
    Outcome::Refuse(Some(
        SaslAuthenticateResponse { error_code, error_message: Some(text), ..Default::default() }.into(),
    ))
}

/// The answer to what may not be asked between SaslHandshake and the last SaslAuthenticate. Kafka has one for each API; here
/// others than these two are closed without.
fn out_of_place(request: &Request) -> Option<ottla_protocol::Response> {
    let error_code = ErrorCode::IllegalSaslState;
    match request {
        Request::ApiVersions(_) => Some(ApiVersionsResponse { error_code, ..Default::default() }.into()),
        Request::Metadata(_) => Some(MetadataResponse { error_code, ..Default::default() }.into()),
        _ => None,
    }
}
