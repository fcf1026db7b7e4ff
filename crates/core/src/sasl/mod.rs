//! Authentication by SASL: what a client says, and what it believes. One file a mechanism.
//!
//! A [`Login`] is stepped by answers. What takes long is an [`Errand`] for the driver, outside any lock: deriving a key, or
//! coming by a token.

mod oauthbearer;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ottla_protocol::{
    ErrorCode, Request, Response, Secret,
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
    },
};

use crate::{disconnected::SaslFailure, words};
pub use {oauthbearer::Token, scram::Derivation, scram::ScramHash};

/// So many of a listener's mechanisms are told where it does not have the one that was asked for. Kafka has five.
const MOST_MECHANISMS: usize = 16;

/// How a client authenticates.
#[derive(Debug, Clone)]
pub struct SaslConfig {
    /// By what.
    pub credentials: Credentials,
    /// Random text for SCRAM, different each time: letters, digits and the like, without a comma.
    pub nonce: fn() -> String,
}

/// By what a client authenticates: one variant a mechanism.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A password that the broker is shown (RFC 4616).
    Plain {
        /// Who.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A password that neither side shows, and both prove to know (RFC 5802, RFC 7677).
    Scram {
        /// Of SCRAM-SHA-256, or SCRAM-SHA-512.
        hash: ScramHash,
        /// Who; or the id of a delegation token.
        username: String,
        /// The password; or the HMAC of a delegation token, in base64.
        password: Secret,
        /// Whether it is a delegation token's (KIP-48).
        delegation_token: bool,
    },
    /// A token that somebody else issues (RFC 7628): the driver is asked for it.
    OAuthBearer,
}

impl Credentials {
    /// The name of the mechanism, as brokers know it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash, .. } => hash.mechanism(),
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// What the driver is to do for a connection that authenticates, without holding up anything else.
#[derive(Debug)]
#[non_exhaustive]
pub enum Errand {
    /// Derive a key: milliseconds of computing.
    Derive(Derivation),
    /// Come by a token.
    FetchToken,
}

/// What came of an [`Errand`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Done {
    /// The key.
    Derived(Secret),
    /// The token, or why there is none.
    Token(Result<Token, SaslFailure>),
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Request),
    Run(Errand),
    /// The broker knows the client now; where there is an end to that, after so long.
    Over(Option<Duration>),
    Failed(SaslFailure),
}

/// One connection's authentication.
#[derive(Debug)]
pub(crate) struct Login {
    mechanism: &'static str,
    exchange: Exchange,
    awaits_token: bool,
}

#[derive(Debug)]
enum Exchange {
    Plain(Secret),
    Scram(scram::Scram),
    OAuthBearer(oauthbearer::OAuthBearer),
}

/// What a mechanism says next.
#[derive(Debug)]
enum Said {
    Message(Secret),
    Run(Errand),
    /// Nothing, if the broker has nothing against it.
    Nothing,
}

impl Login {
    /// The mechanism is asked for first.
    pub(crate) fn begin(config: &SaslConfig) -> (Self, Request) {
        let credentials = &config.credentials;
        let exchange = match credentials {
            Credentials::Plain { username, password } => Exchange::Plain(plain::message(username, password)),
            Credentials::Scram { hash, username, password, delegation_token } => {
                let nonce = (config.nonce)();
                Exchange::Scram(scram::Scram::new(*hash, username, password, *delegation_token, nonce))
            }
            Credentials::OAuthBearer => Exchange::OAuthBearer(oauthbearer::OAuthBearer::default()),
        };
        let mechanism = credentials.mechanism();
        let request = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
        (Self { mechanism, exchange, awaits_token: false }, request.into())
    }

    /// Whether it waits for the driver to come by a token.
    pub(crate) fn awaits_token(&self) -> bool {
        self.awaits_token
    }

    /// The broker answered.
    pub(crate) fn handle_response(&mut self, response: Response) -> Step {
        match response {
            Response::SaslHandshake(response) => self.handshaken(response),
            Response::SaslAuthenticate(response) => self.heard(response),
            other => bad(format!("it answers {:?}", other.key())),
        }
    }

    /// The driver is back.
    pub(crate) fn handle_done(&mut self, done: Done) -> Step {
        self.awaits_token = false;
        let said = match (&mut self.exchange, done) {
            (Exchange::Scram(scram), Done::Derived(key)) => scram.derived(&key),
            (Exchange::OAuthBearer(exchange), Done::Token(Ok(token))) => exchange.first(&token),
            (_, Done::Token(Err(failure))) => Err(failure),
            _ => Err(SaslFailure::BadServer("it speaks out of turn".to_owned())),
        };
        said.map_or_else(Step::Failed, say)
    }

    fn handshaken(&mut self, response: SaslHandshakeResponse) -> Step {
        match response.error_code {
            ErrorCode::None => {}
            ErrorCode::UnsupportedSaslMechanism => {
                let mechanism = self.mechanism.to_owned();
                let enabled =
                    response.mechanisms.into_iter().take(MOST_MECHANISMS).map(words::heard).collect();
                return Step::Failed(SaslFailure::UnsupportedMechanism { mechanism, enabled });
            }
            // So answers a listener without SASL; and, to one that authenticates anew, one that did so within the last second.
            ErrorCode::IllegalSaslState => return Step::Failed(SaslFailure::NotAskedFor),
            error => return Step::Failed(SaslFailure::Refused(error.to_string())),
        }
        match &mut self.exchange {
            Exchange::Plain(message) => say(Said::Message(std::mem::take(message))),
            Exchange::Scram(scram) => say(Said::Message(scram.first())),
            Exchange::OAuthBearer(_) => {
                self.awaits_token = true;
                Step::Run(Errand::FetchToken)
            }
        }
    }

    fn heard(&mut self, response: SaslAuthenticateResponse) -> Step {
        match response.error_code {
            ErrorCode::None => {}
            error => {
                let why = response.error_message.filter(|why| !why.is_empty());
                let why = why.map_or_else(|| error.to_string(), words::heard);
                return Step::Failed(SaslFailure::Refused(why));
            }
        }
        let bytes = response.auth_bytes;
        let said = match &mut self.exchange {
            Exchange::Plain(_) => Ok(Said::Nothing),
            Exchange::Scram(scram) => scram.heard(&bytes),
            Exchange::OAuthBearer(exchange) => exchange.heard(&bytes),
        };
        match said {
            Ok(Said::Nothing) => {
                let lifetime = u64::try_from(response.session_lifetime_ms).ok().filter(|ms| *ms > 0);
                Step::Over(lifetime.map(Duration::from_millis))
            }
            Ok(said) => say(said),
            Err(failure) => Step::Failed(failure),
        }
    }
}

fn say(said: Said) -> Step {
    match said {
        Said::Message(auth_bytes) => Step::Send(SaslAuthenticateRequest { auth_bytes }.into()),
        Said::Run(errand) => Step::Run(errand),
        Said::Nothing => bad("it ends early".to_owned()),
    }
}

fn bad(why: String) -> Step {
    Step::Failed(SaslFailure::BadServer(why))
}
