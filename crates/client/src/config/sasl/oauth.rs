//! Where bearer tokens come from, as properties say it: a file, an OpenID provider, or this client itself, for tests.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use ottla_protocol::Secret;

use super::{super::ssl::Ssl, jaas::Jaas, missing, wrong};
use crate::{
    error::BuildError,
    net::tokens::{OAuthToken, OAuthTokenError, TokenSource},
};

/// What was said of it.
#[derive(Debug, Clone)]
pub(in crate::config) struct OAuthOptions {
    pub(in crate::config) endpoint: Option<String>,
    pub(in crate::config) client_id: Option<String>,
    pub(in crate::config) client_secret: Option<Secret>,
    pub(in crate::config) scope: Option<String>,
    pub(in crate::config) urlencoded: bool,
    pub(in crate::config) connect_timeout: Duration,
    pub(in crate::config) read_timeout: Duration,
}

impl Default for OAuthOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            endpoint: None,
            client_id: None,
            client_secret: None,
            scope: None,
            urlencoded: false,
            connect_timeout: timeout,
            read_timeout: timeout,
        }
    }
}

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
/// Java's option of the login module, by which a client makes its tokens itself.
const UNSECURED: &str = "unsecuredLoginStringClaim_";

impl OAuthOptions {
    pub(super) fn source(&self, jaas: Option<&Jaas>, ssl: &Ssl) -> Result<TokenSource, BuildError> {
        if let Some(endpoint) = &self.endpoint {
            if let Some(path) = endpoint.strip_prefix("file:") {
                return of_file(path);
            }
            return match endpoint.starts_with("https://") || is_loopback(endpoint) {
                true => self.provider(endpoint, jaas, ssl),
                false => Err(wrong(ENDPOINT, format!("`{endpoint}`; expected https://..., or file:///PATH"))),
            };
        }
        let unsecured = jaas.and_then(Unsecured::of);
        let unsecured =
            unsecured.ok_or_else(|| missing(ENDPOINT, "it, or a provider of tokens in the program"))?;
        Ok(TokenSource::new(move || std::future::ready(Ok(unsecured.token(SystemTime::now())))))
    }
}

impl OAuthOptions {
    #[cfg(feature = "oidc")]
    fn provider(&self, endpoint: &str, jaas: Option<&Jaas>, ssl: &Ssl) -> Result<TokenSource, BuildError> {
        use crate::net::oidc::{Provider, Request};
        let of_jaas = |name: &str| jaas.and_then(|jaas| jaas.get(name)).map(str::to_owned);
        let (id, secret) = (
            "sasl.oauthbearer.client.credentials.client.id",
            "sasl.oauthbearer.client.credentials.client.secret",
        );
        let client_id = self.client_id.clone().or_else(|| of_jaas("clientId"));
        let client_secret = self.client_secret.clone().or_else(|| of_jaas("clientSecret").map(Secret::from));
        let request = Request {
            url: endpoint.to_owned(),
            client_id: client_id.ok_or_else(|| missing(id, "the client's id at the token endpoint"))?,
            client_secret: client_secret.ok_or_else(|| missing(secret, "the secret of that id"))?,
            scope: self.scope.clone().or_else(|| of_jaas("scope")),
            urlencoded: self.urlencoded,
            extensions: jaas.map_or_else(Vec::new, |jaas| {
                jaas.all("extension_").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }),
        };
        let authorities = crate::net::tls::authorities(&trusted(jaas, ssl)?)?;
        let provider = Provider::new(request, &authorities, self.connect_timeout, self.read_timeout);
        Ok(TokenSource::new(move || provider.clone().token()))
    }

    #[cfg(not(feature = "oidc"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn provider(&self, _: &str, _: Option<&Jaas>, _: &Ssl) -> Result<TokenSource, BuildError> {
        let why = "this build does not ask OpenID providers: enable the feature `oidc` of the crate";
        use crate::error::{BuildErrorKind, Details as _};
        let error = BuildError::new(BuildErrorKind::UnsupportedProperty).property(ENDPOINT);
        Err(error.detail(why))
    }
}

/// Who may have signed the provider's certificate: as the login module's options say, where Java looks for it and nowhere
/// else, or as for brokers.
#[cfg(feature = "oidc")]
fn trusted(jaas: Option<&Jaas>, ssl: &Ssl) -> Result<Ssl, BuildError> {
    const PREFIX: &str = "ssl.truststore.";
    let mut own = Ssl::default();
    let mut is_said = false;
    for (name, value) in jaas.into_iter().flat_map(|jaas| jaas.all(PREFIX)) {
        is_said |= own.take_any(&format!("{PREFIX}{name}"), value)?;
    }
    Ok(if is_said { own } else { ssl.clone() })
}

/// Whether a secret that goes there unencrypted stays on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// A file that holds a token. Another program renews it, so it is read for each connection.
fn of_file(path: &str) -> Result<TokenSource, BuildError> {
    let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
    if !path.is_absolute() {
        return Err(wrong(ENDPOINT, "after `file://` a whole path is expected, which begins with a slash"));
    }
    Ok(TokenSource::new(move || std::future::ready(read(&path))))
}

fn read(path: &std::path::Path) -> Result<OAuthToken, OAuthTokenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| OAuthTokenError::Refused(format!("{}: {error}", path.display())))?;
    match text.trim() {
        // Whoever renews it may be in the middle of that.
        "" => Err(OAuthTokenError::Unavailable(format!("{}: it is empty", path.display()))),
        token => Ok(OAuthToken::new(token)),
    }
}

/// A token that nobody has signed, for brokers that are set up for it: for development and tests.
#[derive(Debug, Clone)]
struct Unsecured {
    claims: Vec<(String, String)>,
    scope: Option<String>,
    lifetime: Duration,
    extensions: Vec<(String, String)>,
}

impl Unsecured {
    fn of(jaas: &Jaas) -> Option<Self> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let claims: Vec<_> = jaas.all(UNSECURED).map(owned).collect();
        let lifetime = jaas.get("unsecuredLoginLifetimeSeconds").and_then(|seconds| seconds.parse().ok());
        let is_named = claims.iter().any(|(name, _)| name == "sub");
        is_named.then(|| Self {
            claims,
            scope: jaas.get("unsecuredLoginScope").map(str::to_owned),
            // Java's default: an hour.
            lifetime: Duration::from_secs(lifetime.unwrap_or(3600)),
            extensions: jaas.all("unsecuredLoginExtension_").map(owned).collect(),
        })
    }

    fn token(&self, now: SystemTime) -> OAuthToken {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let exp = now + self.lifetime.as_secs();
        // The end that the token itself tells, in whole seconds.
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(exp);
        let mut claims = format!(r#"{{"iat":{now},"exp":{exp}"#);
        let scope = self.scope.as_deref().map(|scope| ("scope", scope));
        let named = self.claims.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in named.chain(scope) {
            claims.push_str(&format!(",{}:{}", quoted(name), quoted(value)));
        }
        claims.push('}');
        let header = BASE64_URL.encode(r#"{"alg":"none"}"#);
        let token = OAuthToken::new(format!("{header}.{}.", BASE64_URL.encode(claims))).expires_at(end);
        self.extensions.iter().fold(token, |token, (name, value)| token.extension(name, value))
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
