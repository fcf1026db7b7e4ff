//! Bearer tokens of an OpenID provider: the grant of client credentials over HTTPS (KIP-768, RFC 6749).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use ottla_protocol::Secret;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use ureq::Agent;

use super::{
    https::{self, urlencode},
    tokens::{OAuthToken, OAuthTokenError},
};

/// The longest answer that is read.
const LONGEST: u64 = 1 << 20;

/// A client of such a provider.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    agent: Agent,
    request: Arc<Request>,
}

/// What it is asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) scope: Option<String>,
    /// Whether id and secret are encoded as in a URL before they are as in a header, as RFC 6749 has it, and few providers do.
    pub(crate) urlencoded: bool,
    /// What the broker is told beside the token (KIP-342).
    pub(crate) extensions: Vec<(String, String)>,
}

impl Provider {
    /// `authorities` are those that may sign the provider's certificate.
    pub(crate) fn new(
        request: Request,
        authorities: &[CertificateDer<'static>],
        connect_timeout: Duration,
        read_timeout: Duration,
    ) -> Self {
        let agent = https::agent(authorities, connect_timeout, connect_timeout + read_timeout);
        Self { agent, request: Arc::new(request) }
    }

    /// Fetches a token, in a thread of its own: it blocks.
    pub(crate) async fn token(self) -> Result<OAuthToken, OAuthTokenError> {
        let fetched = tokio::task::spawn_blocking(move || self.fetch()).await;
        fetched.unwrap_or_else(|why| Err(OAuthTokenError::Unavailable(why.to_string())))
    }

    fn fetch(&self) -> Result<OAuthToken, OAuthTokenError> {
        let Request { url, client_id, client_secret, scope, urlencoded, extensions } = &*self.request;
        let unavailable = |why: &dyn std::fmt::Display| OAuthTokenError::Unavailable(format!("{url}: {why}"));
        let secret = client_secret.expose_text().unwrap_or_default();
        let named = match urlencoded {
            true => Secret::from(format!("{}:{}", urlencode(client_id), urlencode(secret))),
            false => Secret::from(format!("{client_id}:{secret}")),
        };
        let authorization = Secret::from(format!("Basic {}", BASE64.encode(named.expose())));
        let form = [("grant_type", Some("client_credentials")), ("scope", scope.as_deref())];
        let form = form.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let asked = SystemTime::now();
        let request = self.agent.post(url).header("Accept", "application/json");
        let request = request.header("Authorization", authorization.expose());
        let mut response = request.send_form(form).map_err(|why| match why {
            why if https::is_untrusted(&why) => {
                let hint = "its authority may be named in ssl.truststore.location, or so in sasl.jaas.config";
                OAuthTokenError::Refused(format!("{url}: {why}; {hint}"))
            }
            why if https::stands(&why) => OAuthTokenError::Refused(format!("{url}: {why}")),
            why => unavailable(&why),
        })?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_string();
        let body = Secret::from(body.map_err(|why| unavailable(&why))?);
        let answer: Option<Value> = serde_json::from_slice(body.expose()).ok();
        let said = |name: &str| Some(answer.as_ref()?.get(name)?.as_str()?.to_owned());
        match status {
            200..=299 => {}
            // It asks for patience.
            408 | 425 | 429 => return Err(unavailable(&format_args!("HTTP status {status}"))),
            400..=499 => {
                let why = [said("error"), said("error_description")].into_iter().flatten();
                let why: Vec<String> = std::iter::once(format!("HTTP status {status}")).chain(why).collect();
                return Err(OAuthTokenError::Refused(format!("{url}: {}", why.join(", "))));
            }
            _ => return Err(unavailable(&format_args!("HTTP status {status}"))),
        }
        let Some(token) = said("access_token").filter(|token| !token.is_empty()) else {
            let why = format!("{url}: its answer has no access_token: it may be no token endpoint");
            return Err(OAuthTokenError::Refused(why));
        };
        let lifetime = answer.as_ref().and_then(|answer| answer.get("expires_in")?.as_u64());
        let end = lifetime.map(|seconds| asked + Duration::from_secs(seconds)).or_else(|| end_of(&token));
        let token = extensions
            .iter()
            .fold(OAuthToken::new(token), |token, (name, value)| token.extension(name, value));
        Ok(match end {
            Some(end) => token.expires_at(end),
            None => token,
        })
    }
}

/// When a JWT ends, by what it says itself.
fn end_of(token: &str) -> Option<SystemTime> {
    let claims = token.split('.').nth(1)?;
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let seconds = serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_f64()?;
    Some(SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_says_when_it_ends() {
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"a","exp":1800000000}"#);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(end_of(&format!("e30.{claims}.sig")), Some(end));
        for token in ["", "a", "a.b.c", "a.e30.c", "opaque"] {
            assert_eq!(end_of(token), None, "{token}");
        }
    }
}
