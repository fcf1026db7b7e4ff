//! Tokens for OAUTHBEARER: where they come from, and the one that is at hand.
//!
//! A token is fetched when a connection authenticates and the one at hand is near its end. Connections that ask at the same
//! time share one fetch.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ottla_core::{SaslFailure, Token};
use ottla_protocol::Secret;
use tokio::sync::Mutex;

/// A bearer token, for SASL's mechanism OAUTHBEARER: a JWT, for the validators that brokers come with.
///
/// A broker holds a connection open for as long as the token lives, and no longer. The client fetches another before that.
#[derive(Debug, Clone)]
pub struct OAuthToken {
    token: Secret,
    expires_at: Option<SystemTime>,
    extensions: Vec<(String, String)>,
}

impl OAuthToken {
    /// A token as it was issued. Where nothing is said of its end, it is used once for each connection.
    pub fn new(token: impl Into<String>) -> Self {
        Self { token: token.into().into(), expires_at: None, extensions: Vec::new() }
    }

    /// When it ends: until near then it is kept and used for other connections, too.
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.expires_at = Some(end);
        self
    }

    /// Adds an extension (KIP-342): a name of letters, and a value of printable ASCII.
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }

    /// Whether so much of its life is left that it may be used for another connection.
    fn is_fresh(&self, fetched: SystemTime, now: SystemTime) -> bool {
        let Some(end) = self.expires_at else { return false };
        let life = end.duration_since(fetched).unwrap_or_default();
        // As Java does by default: another is fetched after eight parts of ten.
        let rest = end.duration_since(now).unwrap_or_default();
        rest > life / 5
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthTokenError {
    /// The provider refuses, and would again: the credentials are wrong, say. The call that needs the connection fails with
    /// this text.
    Refused(String),
    /// There is none for now, as the provider cannot be reached, say. The client tries again, and `explain()` tells this text.
    Unavailable(String),
}

impl fmt::Display for OAuthTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

impl std::error::Error for OAuthTokenError {}

impl From<OAuthTokenError> for SaslFailure {
    fn from(error: OAuthTokenError) -> Self {
        match error {
            OAuthTokenError::Refused(why) => Self::NoToken(why),
            OAuthTokenError::Unavailable(why) => Self::TokenUnavailable(why),
        }
    }
}

type Fetching = Pin<Box<dyn Future<Output = Result<OAuthToken, OAuthTokenError>> + Send>>;

/// Where tokens come from. Clones share the token at hand.
#[derive(Clone)]
pub(crate) struct TokenSource {
    fetch: Arc<dyn Fn() -> Fetching + Send + Sync>,
    at_hand: Arc<Mutex<Option<(SystemTime, OAuthToken)>>>,
}

impl TokenSource {
    pub(crate) fn new<P, R>(provider: P) -> Self
    where
        P: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<OAuthToken, OAuthTokenError>> + Send + 'static,
    {
        Self { fetch: Arc::new(move || Box::pin(provider())), at_hand: Arc::default() }
    }

    /// The token at hand, or a new one. It has `within` to come.
    pub(crate) async fn token(&self, within: Duration) -> Result<Token, SaslFailure> {
        // Held while a token is fetched, as whoever else wants one waits for the same.
        let mut at_hand = self.at_hand.lock().await;
        let now = SystemTime::now();
        if let Some((_, token)) = at_hand.as_ref().filter(|(fetched, token)| token.is_fresh(*fetched, now)) {
            return Ok(token.into());
        }
        match tokio::time::timeout(within, (self.fetch)()).await {
            Ok(fetched) => {
                let (_, token) = at_hand.insert((now, fetched?));
                Ok((&*token).into())
            }
            Err(_) => Err(SaslFailure::TokenUnavailable(format!("the provider gave none in {within:.1?}"))),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

impl From<&OAuthToken> for Token {
    fn from(token: &OAuthToken) -> Self {
        Self { token: token.token.clone(), extensions: token.extensions.clone() }
    }
}
