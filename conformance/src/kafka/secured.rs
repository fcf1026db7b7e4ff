//! One node with TLS, SASL and authorization, and a listener for each way in and for each certificate that is to be refused.
//!
//! The nodes' own traffic is SASL PLAIN as a super user: without it, nobody in particular would have to be one.
//!
//! OAUTHBEARER takes tokens that nobody has signed. For signed ones, a listener's JAAS line loses its `unsecured...` option,
//! `listener.name.L.oauthbearer.sasl.server.callback.handler.class` is Kafka's `OAuthBearerValidatorCallbackHandler`,
//! `listener.name.L.oauthbearer.sasl.oauthbearer.jwks.endpoint.url` and `...expected.audience` are set, and the server is
//! started with `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=URL`.

use std::net::SocketAddr;

use super::{Access, Certificates, Cluster, Config, Java, Mechanism, Tools, Unavailable, User};
use crate::process::ProcessError;

/// What the names of the topics, groups and transactional ids begin with that [`User::Alice`], clients with the client's
/// certificate, and clients that nobody knows may use.
pub const OPEN: &str = "open";

/// How long a session lasts where it has to be renewed.
pub const SESSION_MS: u32 = 4000;

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Neither TLS nor SASL.
    Plaintext,
    /// TLS.
    Tls,
    /// TLS that asks for a client certificate.
    Mutual,
    /// SASL.
    Sasl,
    /// SASL over TLS.
    SaslTls,
    /// SASL over TLS that asks for a client certificate.
    SaslMutual,
    /// SASL, for [`SESSION_MS`].
    SaslRenewed,
    /// SASL over TLS, for [`SESSION_MS`].
    SaslTlsRenewed,
    /// SASL with SCRAM-SHA-512 alone.
    OneMechanism,
    /// TLS with a certificate of the past.
    Expired,
    /// TLS with a certificate of the future.
    NotYetValid,
    /// TLS with another host's certificate.
    WrongHost,
    /// TLS with a certificate of an authority that no client trusts.
    UnknownAuthority,
    /// TLS with a certificate that has signed itself.
    SelfSigned,
}

impl Listener {
    const NAMED: [Self; 13] = [
        Self::Tls,
        Self::Mutual,
        Self::Sasl,
        Self::SaslTls,
        Self::SaslMutual,
        Self::SaslRenewed,
        Self::SaslTlsRenewed,
        Self::OneMechanism,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::UnknownAuthority,
        Self::SelfSigned,
    ];

    /// Its name, as the node's settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "CLIENT",
            Self::Tls => "TLS",
            Self::Mutual => "MUTUAL",
            Self::Sasl => "SASL",
            Self::SaslTls => "SASLTLS",
            Self::SaslMutual => "SASLMUTUAL",
            Self::SaslRenewed => "SASLRENEWED",
            Self::SaslTlsRenewed => "SASLTLSRENEWED",
            Self::OneMechanism => "ONEMECHANISM",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOTYETVALID",
            Self::WrongHost => "WRONGHOST",
            Self::UnknownAuthority => "UNKNOWNAUTHORITY",
            Self::SelfSigned => "SELFSIGNED",
        }
    }

    /// As `security.protocol` has it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Sasl | Self::SaslRenewed | Self::OneMechanism => "SASL_PLAINTEXT",
            Self::SaslTls | Self::SaslMutual | Self::SaslTlsRenewed => "SASL_SSL",
            _ => "SSL",
        }
    }

    fn certificate(self) -> &'static str {
        match self {
            Self::Expired => "expired.pem",
            Self::NotYetValid => "not-yet-valid.pem",
            Self::WrongHost => "wrong-host.pem",
            Self::UnknownAuthority => "unknown-authority.pem",
            Self::SelfSigned => "self-signed.pem",
            _ => "server.pem",
        }
    }

    fn mechanisms(self) -> &'static [Mechanism] {
        match self {
            Self::OneMechanism => &[Mechanism::Scram512],
            _ => &Mechanism::ALL,
        }
    }

    fn is_mutual(self) -> bool {
        matches!(self, Self::Mutual | Self::SaslMutual)
    }

    fn is_renewed(self) -> bool {
        matches!(self, Self::SaslRenewed | Self::SaslTlsRenewed)
    }

    /// The server's settings for it.
    pub fn configure(self, mut config: Config, certificates: &Certificates) -> Config {
        config = config.listener(self.name(), self.protocol());
        let prefix = format!("listener.name.{}", self.name().to_lowercase());
        if self.protocol().ends_with("SSL") {
            let file = |name| certificates.path(name).display().to_string();
            config = config
                .set(&format!("{prefix}.ssl.keystore.type"), "PEM")
                .set(&format!("{prefix}.ssl.keystore.location"), file(self.certificate()))
                .set(&format!("{prefix}.ssl.truststore.type"), "PEM")
                .set(&format!("{prefix}.ssl.truststore.location"), file("ca.crt"))
                .set(
                    &format!("{prefix}.ssl.client.auth"),
                    if self.is_mutual() { "required" } else { "none" },
                );
        }
        if self.protocol().starts_with("SASL") {
            config = with_mechanisms(config, &prefix, self.mechanisms());
        }
        if self.is_renewed() {
            for mechanism in self.mechanisms() {
                let mechanism = mechanism.name().to_lowercase();
                config = config.set(&format!("{prefix}.{mechanism}.connections.max.reauth.ms"), SESSION_MS);
            }
        }
        config
    }
}

/// Mechanisms of SASL at a listener, with what each is to know.
fn with_mechanisms(mut config: Config, prefix: &str, mechanisms: &[Mechanism]) -> Config {
    let names: Vec<&str> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
    config = config.set(&format!("{prefix}.sasl.enabled.mechanisms"), names.join(","));
    for mechanism in mechanisms {
        let options = match mechanism {
            Mechanism::Plain => {
                let admin = User::Admin;
                let users = User::ALL.map(|user| format!(" user_{}=\"{}\"", user.name(), user.password()));
                format!(" username=\"{}\" password=\"{}\"{}", admin.name(), admin.password(), users.concat())
            }
            Mechanism::OAuthBearer => " unsecuredLoginStringClaim_sub=\"admin\"".to_owned(),
            Mechanism::Scram256 | Mechanism::Scram512 => String::new(),
        };
        let key = format!("{prefix}.{}.sasl.jaas.config", mechanism.name().to_lowercase());
        config = config.set(&key, format!("{} required{options};", mechanism.module()));
    }
    config
}

/// A running node, with what its clients need.
#[derive(Debug)]
pub struct Secured {
    version: &'static str,
    cluster: Cluster,
    certificates: Certificates,
}

impl Secured {
    /// Makes certificates, starts the node, and lets in whom [`OPEN`] tells.
    pub(super) fn start(java: &Java, version: &'static str) -> Result<Self, Unavailable> {
        let certificates = Certificates::make(version)?;
        certificates.make_with_openssl()?;
        let cluster = Cluster::start_on(java, Self::config(&certificates))?;
        let secured = Self { version, cluster, certificates };
        let principals = ["User:alice", "User:ANONYMOUS", "User:CN=client"];
        let allowed = secured.tools(User::Admin).and_then(|tools| {
            tools
                .allow(&principals, OPEN)
                .map_err(|error: ProcessError| Unavailable::Failed(error.to_string()))
        });
        allowed.map(|()| secured)
    }

    fn config(certificates: &Certificates) -> Config {
        let mut config = Config::new(1)
            .inside("SASL_PLAINTEXT")
            .set("sasl.mechanism.inter.broker.protocol", "PLAIN")
            .set("sasl.mechanism.controller.protocol", "PLAIN")
            .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .set("super.users", "User:admin");
        for listener in ["listener.name.broker", "listener.name.controller"] {
            config = with_mechanisms(config, listener, &[Mechanism::Plain]);
        }
        for listener in Listener::NAMED {
            config = listener.configure(config, certificates);
        }
        for mechanism in [Mechanism::Scram256, Mechanism::Scram512] {
            for user in User::ALL {
                config = config.scram_user(mechanism.name(), user.name(), user.password());
            }
        }
        config
    }

    /// The release of Kafka.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The node.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The keys and certificates of the node and its clients.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Where a listener is.
    pub fn address(&self, listener: Listener) -> Result<SocketAddr, Unavailable> {
        match listener {
            Listener::Plaintext => self.cluster.address(1),
            named => self.cluster.listener(1, named.name()),
        }
    }

    /// A client's properties by Java's names.
    pub fn java(&self, listener: Listener, sasl: Option<(Mechanism, User)>) -> Result<Access, Unavailable> {
        let (bootstrap, protocol) = (self.address(listener)?.to_string(), listener.protocol());
        Ok(Access::java(&bootstrap, protocol, &self.certificates, listener.is_mutual(), sasl))
    }

    /// A client's properties by librdkafka's names.
    pub fn librdkafka(
        &self,
        listener: Listener,
        sasl: Option<(Mechanism, User)>,
    ) -> Result<Access, Unavailable> {
        let (bootstrap, protocol) = (self.address(listener)?.to_string(), listener.protocol());
        Ok(Access::librdkafka(&bootstrap, protocol, &self.certificates, listener.is_mutual(), sasl))
    }

    /// The tools of the newest Kafka, as a user.
    pub fn tools(&self, user: User) -> Result<Tools, Unavailable> {
        self.tools_with(&self.java(Listener::Sasl, Some((Mechanism::Plain, user)))?)
    }

    /// The tools of the newest Kafka, with these properties.
    pub fn tools_with(&self, access: &Access) -> Result<Tools, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::Failed(format!("a file of properties: {error}"));
        let bootstrap = access.get("bootstrap.servers").unwrap_or_default();
        Ok(Tools::new(bootstrap)?.with_properties(access.file(&self.certificates).map_err(failed)?))
    }

    pub(super) fn shut_down(&self) {
        self.cluster.shut_down();
        let _ = std::fs::remove_dir_all(self.certificates.dir());
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.shut_down();
    }
}
