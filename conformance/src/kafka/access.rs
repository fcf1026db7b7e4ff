//! How a client gets into a secured cluster: its properties, by Java's names and by librdkafka's.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{Certificates, OpenId, Scope};

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN.
    Plain,
    /// SCRAM-SHA-256.
    Scram256,
    /// SCRAM-SHA-512.
    Scram512,
    /// OAUTHBEARER, with tokens that nobody has signed.
    OAuthBearer,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Scram256, Self::Scram512, Self::OAuthBearer];

    /// Its name, as properties have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Plain => "org.apache.kafka.common.security.plain.PlainLoginModule",
            Self::Scram256 | Self::Scram512 => "org.apache.kafka.common.security.scram.ScramLoginModule",
            Self::OAuthBearer => "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
        }
    }

    /// A line for `sasl.jaas.config`.
    pub fn jaas(self, user: &str, password: &str) -> String {
        let module = self.module();
        match self {
            Self::OAuthBearer => format!("{module} required unsecuredLoginStringClaim_sub=\"{user}\";"),
            _ => format!("{module} required username=\"{user}\" password=\"{password}\";"),
        }
    }
}

/// What fetches tokens for Java's clients.
pub const TOKEN_HANDLER: &str =
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";

/// A user of the secured cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// A super user.
    Admin,
    /// May do everything with what begins with [`OPEN`](super::OPEN).
    Alice,
    /// May do nothing.
    Bob,
}

impl User {
    pub(crate) const ALL: [Self; 3] = [Self::Admin, Self::Alice, Self::Bob];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }

    /// The password, the same for each mechanism, and the secret of the OpenID provider's client of this name.
    pub fn password(self) -> &'static str {
        match self {
            Self::Admin => "admin-secret",
            Self::Alice => "alice-secret",
            Self::Bob => "bob-secret",
        }
    }
}

/// A token for OAUTHBEARER that nobody has signed, issued two hours ago, which ends so many seconds from now.
pub fn unsigned_token(subject: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let claims = format!(r#"{{"sub":"{subject}","iat":{},"exp":{}}}"#, now - 7200, now + seconds);
    let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.")
}

/// A client's properties, in order; each key once.
#[derive(Debug, Clone, Default)]
pub struct Access(Vec<(String, String)>);

impl Access {
    /// By Java's names: over TLS or not, with the client's certificate or not.
    pub(crate) fn java(
        bootstrap: &str,
        protocol: &str,
        certificates: &Certificates,
        has_certificate: bool,
        sasl: Option<(Mechanism, User)>,
    ) -> Self {
        let file = |name| certificates.path(name).display().to_string();
        let mut access =
            Self::default().set("bootstrap.servers", bootstrap).set("security.protocol", protocol);
        if protocol.ends_with("SSL") {
            access = access.set("ssl.truststore.type", "PEM").set("ssl.truststore.location", file("ca.crt"));
        }
        if has_certificate {
            access = access.with_certificate(certificates, "client.pem");
        }
        match sasl {
            Some((mechanism, user)) => access.sasl(mechanism, user.name(), user.password()),
            None => access,
        }
    }

    /// The same by librdkafka's names.
    pub(crate) fn librdkafka(
        bootstrap: &str,
        protocol: &str,
        certificates: &Certificates,
        has_certificate: bool,
        sasl: Option<(Mechanism, User)>,
    ) -> Self {
        let file = |name| certificates.path(name).display().to_string();
        let mut access =
            Self::default().set("bootstrap.servers", bootstrap).set("security.protocol", protocol);
        if protocol.ends_with("SSL") {
            access = access.set("ssl.ca.location", file("ca.crt"));
        }
        if has_certificate {
            access = access.set("ssl.certificate.location", file("client.crt"));
            access = access.set("ssl.key.location", file("client.key"));
        }
        let Some((mechanism, user)) = sasl else { return access };
        access = access.set("sasl.mechanisms", mechanism.name());
        match mechanism {
            Mechanism::OAuthBearer => access
                .set("enable.sasl.oauthbearer.unsecure.jwt", "true")
                .set("sasl.oauthbearer.config", format!("principal={}", user.name())),
            _ => access.set("sasl.username", user.name()).set("sasl.password", user.password()),
        }
    }

    /// Another user, by Java's names, be it one that is not there.
    pub fn sasl(self, mechanism: Mechanism, user: &str, password: &str) -> Self {
        let jaas = mechanism.jaas(user, password);
        self.set("sasl.mechanism", mechanism.name()).set("sasl.jaas.config", jaas)
    }

    /// Tokens that an OpenID provider has signed, by Java's names: a client's id, its secret, and what the tokens are to be
    /// good for. Java takes the authority of the provider's certificate from the login module's options alone.
    pub fn tokens(
        self,
        openid: &OpenId,
        certificates: &Certificates,
        (client, secret): (&str, &str),
        scope: Scope,
    ) -> Self {
        let module = Mechanism::OAuthBearer.module();
        let trusted = certificates.path("ca.crt").display().to_string();
        self.set("sasl.mechanism", Mechanism::OAuthBearer.name())
            .set("sasl.login.callback.handler.class", TOKEN_HANDLER)
            .set("sasl.oauthbearer.token.endpoint.url", openid.token_url())
            .set("sasl.oauthbearer.client.credentials.client.id", client)
            .set("sasl.oauthbearer.client.credentials.client.secret", secret)
            .set("sasl.oauthbearer.scope", scope.name())
            .set(
                "sasl.jaas.config",
                format!(
                    "{module} required ssl.truststore.type=\"PEM\" ssl.truststore.location=\"{trusted}\";"
                ),
            )
    }

    /// A client certificate and its key, by Java's names, from one of the cluster's files.
    pub fn with_certificate(self, certificates: &Certificates, file: &str) -> Self {
        let file = certificates.path(file).display().to_string();
        self.set("ssl.keystore.type", "PEM").set("ssl.keystore.location", file)
    }

    /// Sets a property, in place of what it was.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    /// Takes a property away.
    pub fn without(mut self, key: &str) -> Self {
        self.0.retain(|(known, _)| known != key);
        self
    }

    /// Keys and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// One value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The text of a properties file. No value of ours has a backslash, which alone would have to be escaped.
    pub fn text(&self) -> String {
        self.pairs().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// A properties file in the certificates' folder, which goes with them.
    pub fn file(&self, certificates: &Certificates) -> io::Result<PathBuf> {
        static WRITTEN: AtomicU32 = AtomicU32::new(0);
        let name = format!("client-{}.properties", WRITTEN.fetch_add(1, Ordering::Relaxed));
        let file = certificates.path(&name);
        fs::write(&file, self.text()).map(|()| file)
    }
}
