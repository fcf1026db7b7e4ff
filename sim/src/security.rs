//! Authentication, where a seed has it: sessions end under fetches, joins and commits, tokens are late or cannot be had, and
//! for a while the password is wrong.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use ottla_broker::{Sasl, SaslMechanism};
use ottla_core::{Credentials, Done, Errand, SaslConfig, SaslFailure, ScramHash, Token};
use ottla_protocol::Now;

use crate::dice::{Dice, ms, secs};

const USER: &str = "alice";
const PASSWORD: &str = "open sesame";
/// What it is while nobody knows it.
const ANOTHER: &str = "another";

/// How the clients of a seed authenticate.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    mechanism: SaslMechanism,
    /// How long a session, or a token, lasts.
    lifetime: Duration,
    /// How long a token takes to come, and how often there is none.
    token_takes: Duration,
    no_token: f64,
    dice: Dice,
}

impl Security {
    pub(crate) fn draw(d: &mut Dice) -> Option<Self> {
        if !d.chance(0.3) {
            return None;
        }
        // SCRAM takes real time: milliseconds for each connection.
        let mechanisms = [SaslMechanism::Plain, SaslMechanism::OAuthBearer];
        let mechanism = if d.chance(0.03) { SaslMechanism::ScramSha256 } else { d.pick(&mechanisms) };
        Some(Self {
            mechanism,
            lifetime: d.pick(&[secs(2), secs(3), secs(5), secs(20)]),
            token_takes: d.time(ms(1)..=ms(300)),
            no_token: d.pick(&[0.0, 0.05, 0.2]),
            dice: d.fork(),
        })
    }

    /// How long a connection waits for its token.
    pub(crate) fn slowest(&self) -> Duration {
        if self.has_password() { Duration::ZERO } else { self.token_takes }
    }

    /// Whether there always is one.
    pub(crate) fn has_tokens(&self) -> bool {
        self.no_token == 0.0
    }

    /// Sessions last, and tokens come soon.
    pub(crate) fn hold(&mut self) {
        (self.lifetime, self.token_takes) = (secs(20), ms(5));
    }

    /// Nothing goes wrong.
    pub(crate) fn calm(&mut self) {
        self.no_token = 0.0;
    }

    /// Whether the broker compares passwords.
    pub(crate) fn has_password(&self) -> bool {
        self.mechanism != SaslMechanism::OAuthBearer
    }

    pub(crate) fn broker(&self) -> Sasl {
        let mut sasl = Sasl::new([self.mechanism]).user(USER, PASSWORD);
        sasl.connections_max_reauth = Some(self.lifetime);
        sasl
    }

    pub(crate) fn client(&self) -> SaslConfig {
        let (username, password) = (USER.to_owned(), PASSWORD.into());
        let credentials = match self.mechanism {
            SaslMechanism::Plain => Credentials::Plain { username, password },
            SaslMechanism::OAuthBearer => Credentials::OAuthBearer,
            _ => Credentials::Scram { hash: ScramHash::Sha256, username, password, delegation_token: false },
        };
        // A seed contains the same each time.
        SaslConfig { credentials, nonce: || "nonce".to_owned() }
    }

    /// What the driver brings from an errand, and how long it takes.
    pub(crate) fn run(&mut self, errand: Errand, now: Now) -> (Duration, Done) {
        match errand {
            Errand::Derive(derivation) => (ms(3), Done::Derived(derivation.run())),
            _ if self.dice.chance(self.no_token) => {
                (self.token_takes, Done::Token(Err(SaslFailure::TokenUnavailable("503".to_owned()))))
            }
            _ => (self.token_takes, Done::Token(Ok(self.token(now)))),
        }
    }

    fn token(&self, now: Now) -> Token {
        let issued = now.wall.0.div_euclid(1000);
        let end = issued + self.lifetime.as_secs() as i64 + 1;
        let claims = format!(r#"{{"sub":"{USER}","iat":{issued},"exp":{end}}}"#);
        let parts = [r#"{"alg":"none"}"#, &claims].map(|part| BASE64_URL.encode(part));
        Token { token: format!("{}.{}.", parts[0], parts[1]).into(), extensions: Vec::new() }
    }

    /// The user's password, which is not always the one that clients know.
    pub(crate) fn password(is_right: bool) -> (&'static str, &'static str) {
        (USER, if is_right { PASSWORD } else { ANOTHER })
    }
}
