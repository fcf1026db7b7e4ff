//! How a client authenticates: from properties to what the core goes by.
//!
//! Names and passwords come by Java's `sasl.jaas.config`, or by librdkafka's `sasl.username` and `sasl.password`.

#[cfg(ottla_fuzzing)]
pub(super) mod fuzzing;
mod jaas;
mod oauth;
#[cfg(test)]
mod tests;

use ottla_core::{Credentials, SaslConfig, ScramHash};
use ottla_protocol::Secret;

use self::{jaas::Jaas, oauth::OAuthOptions};
use super::{
    property::{JavaDefault::*, Property, properties},
    ssl::Ssl,
    value::{millis, secret, text_or_none, truth, wrong},
};
use crate::{
    error::{BuildError, BuildErrorKind, Details as _},
    net::tokens::TokenSource,
};

properties! {
    Sasl;
    "sasl.jaas.config": "a login module and its options, as Java reads them", "", Same,
        "Who the client is: `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"...\" password=\"...\";`, or the same with `ScramLoginModule` or `OAuthBearerLoginModule`",
        jaas = secret;
    "sasl.login.callback.handler.class": "OAuthBearerLoginCallbackHandler", "", Same,
        "Java's files for OAUTHBEARER name this class, with its package; here it changes nothing",
         = login_handler;
    "sasl.login.connect.timeout.ms": "ms", "10000", Other(""),
        "How long connecting to the token endpoint may take",
        oauth.connect_timeout = millis;
    "sasl.login.read.timeout.ms": "ms", "10000", Other(""),
        "How long its answer may take then",
        oauth.read_timeout = millis;
    "sasl.mechanism": "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", "", Other("GSSAPI"),
        "How the client authenticates, where `security.protocol` begins with SASL. Required then",
        mechanism = text_or_none;
    "sasl.oauthbearer.client.credentials.client.id": "text", "", Same,
        "The client's id at the token endpoint",
        oauth.client_id = text_or_none;
    "sasl.oauthbearer.client.credentials.client.secret": "text", "", Same,
        "The secret that goes with it",
        oauth.client_secret = secret;
    "sasl.oauthbearer.header.urlencode": "true, false", "false", Same,
        "Whether id and secret are encoded as in a URL, as RFC 6749 has it, before they go into the header",
        oauth.urlencoded = truth;
    "sasl.oauthbearer.scope": "words with blanks between", "", Same,
        "What the token is to be good for",
        oauth.scope = text_or_none;
    "sasl.oauthbearer.token.endpoint.url": "URL", "", Same,
        "Where tokens come from: `https:` of an OpenID provider, or `file:` of a file that holds one, which is read for each connection",
        oauth.endpoint = text_or_none;
}

/// librdkafka's names, each with what becomes of it.
pub(super) mod librdkafka {
    use super::{BuildError, Sasl, secret, text_or_none};

    /// Sets the property, if it is one of librdkafka's.
    pub(in crate::config) fn take(sasl: &mut Sasl, key: &str, value: &str) -> Result<bool, BuildError> {
        match key {
            "sasl.mechanisms" => sasl.mechanism = text_or_none(key, value)?,
            "sasl.username" => sasl.username = text_or_none(key, value)?,
            "sasl.password" => sasl.password = secret(key, value)?,
            "sasl.oauthbearer.client.id" => sasl.oauth.client_id = text_or_none(key, value)?,
            "sasl.oauthbearer.client.secret" => sasl.oauth.client_secret = secret(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Java's own class for tokens, of whichever of its two packages. Another is a program of the user's, which is not run here.
fn login_handler(key: &str, text: &str) -> Result<(), BuildError> {
    match text.trim().rsplit('.').next() {
        Some("OAuthBearerLoginCallbackHandler" | "") => Ok(()),
        _ => {
            let error = BuildError::new(BuildErrorKind::UnsupportedProperty).property(key);
            Err(error.detail("Java's classes are not run; give the builder an oauth_token_provider"))
        }
    }
}

/// What was said of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sasl {
    pub(super) mechanism: Option<String>,
    pub(super) jaas: Option<Secret>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) oauth: OAuthOptions,
    /// The user's own provider of tokens.
    pub(super) tokens: Option<TokenSource>,
}

/// [`Sasl`], valid.
#[derive(Debug, Clone)]
pub(crate) struct Authentication {
    pub(crate) sasl: SaslConfig,
    pub(crate) tokens: Option<TokenSource>,
}

impl Authentication {
    /// Whether brokers are shown the password as it is.
    pub(crate) fn shows_password(&self) -> bool {
        matches!(self.sasl.credentials, Credentials::Plain { .. })
    }
}

const MECHANISM: &str = "sasl.mechanism";
const JAAS: &str = "sasl.jaas.config";

impl Sasl {
    /// Sets the property, if it is one of Kafka's or of librdkafka's.
    pub(super) fn take_any(&mut self, key: &str, value: &str) -> Result<bool, BuildError> {
        Ok(self.take(key, value)? || librdkafka::take(self, key, value)?)
    }

    /// What the client authenticates by, where it does.
    pub(super) fn parse(&self, ssl: &Ssl) -> Result<Authentication, BuildError> {
        let jaas = self.jaas.as_ref().map(|line| {
            let text = line.expose_text().unwrap_or_default();
            Jaas::parse(text).map_err(|why| wrong(JAAS, format!("the line does not read as a module: {why}")))
        });
        let jaas = jaas.transpose()?;
        let mechanism = self.mechanism.clone().or_else(|| self.implied(jaas.as_ref()));
        let mechanism = mechanism
            .ok_or_else(|| missing(MECHANISM, "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"))?;
        let (credentials, tokens) = match mechanism.to_uppercase().as_str() {
            "PLAIN" => {
                let (username, password) = self.named(jaas.as_ref(), "PlainLoginModule")?;
                (Credentials::Plain { username, password }, None)
            }
            name @ ("SCRAM-SHA-256" | "SCRAM-SHA-512") => {
                let hash = if name.ends_with("256") { ScramHash::Sha256 } else { ScramHash::Sha512 };
                let (username, password) = self.named(jaas.as_ref(), "ScramLoginModule")?;
                let of_token = jaas.as_ref().and_then(|jaas| jaas.get("tokenauth"));
                let delegation_token = of_token.is_some_and(|value| value.eq_ignore_ascii_case("true"));
                (Credentials::Scram { hash, username, password, delegation_token }, None)
            }
            "OAUTHBEARER" => {
                self.check_module(jaas.as_ref(), "OAuthBearerLoginModule")?;
                let own = self.tokens.clone().map(Ok);
                let tokens = own.unwrap_or_else(|| self.oauth.source(jaas.as_ref(), ssl))?;
                (Credentials::OAuthBearer, Some(tokens))
            }
            "GSSAPI" => {
                let error = BuildError::new(BuildErrorKind::UnsupportedProperty).property(MECHANISM);
                return Err(error.detail("GSSAPI (Kerberos) is not built in"));
            }
            other => {
                return Err(BuildError::invalid(
                    MECHANISM,
                    other,
                    "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
                ));
            }
        };
        Ok(Authentication { sasl: SaslConfig { credentials, nonce }, tokens })
    }

    /// Java wants the mechanism to be said. A provider of tokens leaves no doubt, nor does the module for tokens.
    fn implied(&self, jaas: Option<&Jaas>) -> Option<String> {
        let bearer =
            self.tokens.is_some() || jaas.is_some_and(|jaas| jaas.module == "OAuthBearerLoginModule");
        bearer.then(|| "OAUTHBEARER".to_owned())
    }

    /// A name and a password.
    fn named(&self, jaas: Option<&Jaas>, module: &str) -> Result<(String, Secret), BuildError> {
        self.check_module(jaas, module)?;
        let Some(jaas) = jaas else {
            let hint = format!(
                "`...{module} required username=\"...\" password=\"...\";`, or set sasl.username and sasl.password"
            );
            let username = self.username.clone().ok_or_else(|| missing(JAAS, &hint))?;
            let password = self
                .password
                .clone()
                .ok_or_else(|| missing("sasl.password", "the password of sasl.username"))?;
            return Ok((username, password));
        };
        let option =
            |name: &str| jaas.get(name).ok_or_else(|| wrong(JAAS, format!("its option `{name}` is missing")));
        Ok((option("username")?.to_owned(), option("password")?.into()))
    }

    fn check_module(&self, jaas: Option<&Jaas>, module: &str) -> Result<(), BuildError> {
        match jaas {
            Some(jaas) if jaas.module != module => {
                let mechanism = self.mechanism.as_deref().unwrap_or_default();
                Err(wrong(JAAS, format!("it names {}, and {mechanism} takes {module}", jaas.module)))
            }
            _ => Ok(()),
        }
    }
}

fn missing(key: &str, what: &str) -> BuildError {
    BuildError::new(BuildErrorKind::MissingProperty).property(key).detail(format!("give {what}"))
}

/// Text that nobody can foresee, and that comes once.
fn nonce() -> String {
    let mut random = [0; 18];
    // Where the system has no randomness to give, a text that is new each time will do: a broker adds its own.
    if getrandom::fill(&mut random).is_err() {
        fastrand::Rng::new().fill(&mut random);
    }
    base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, random)
}
