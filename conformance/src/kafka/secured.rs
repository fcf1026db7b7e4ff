//! One node with TLS, SASL and authorization, and a listener for each way in and for each certificate that is to be refused.
//!
//! The nodes' own traffic is SASL PLAIN as a super user: without it, nobody in particular would have to be one.
//!
//! OAUTHBEARER takes tokens that nobody has signed, but for the listeners whose names begin with `Signed`: they take those of
//! the node's own [OpenID provider](OpenId), by its public keys. Where there is no Node, there are none of these listeners.

use std::net::SocketAddr;

use super::{
    Access, Certificates, Cluster, Config, Java, Mechanism, OpenId, Scope, Tools, Unavailable, User,
};
use crate::process::ProcessError;
use crate::proxy::Proxy;

/// What the names of the topics, groups and transactional ids begin with that [`User::Alice`], clients with the client's
/// certificate, and clients that nobody knows may use.
pub const OPEN: &str = "open";

/// How long a session lasts where it has to be renewed.
pub const SESSION_MS: u32 = 4000;

/// The same at [`Listener::SignedRenewed`].
pub const TOKEN_SESSION_MS: u32 = 20_000;

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
    /// SASL with signed tokens.
    Signed,
    /// SASL with signed tokens over TLS.
    SignedTls,
    /// SASL with signed tokens over TLS that asks for a client certificate.
    SignedMutual,
    /// The same for [`TOKEN_SESSION_MS`], with a certificate of its own, `renewed-server.pem`, and behind a proxy.
    SignedRenewed,
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
    const NAMED: [Self; 12] = [
        Self::Tls,
        Self::Mutual,
        Self::Sasl,
        Self::SaslTls,
        Self::SaslMutual,
        Self::SaslTlsRenewed,
        Self::OneMechanism,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::UnknownAuthority,
        Self::SelfSigned,
    ];

    const SIGNED: [Self; 4] = [Self::Signed, Self::SignedTls, Self::SignedMutual, Self::SignedRenewed];

    /// Its name, as the node's settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "CLIENT",
            Self::Tls => "TLS",
            Self::Mutual => "MUTUAL",
            Self::Sasl => "SASL",
            Self::SaslTls => "SASLTLS",
            Self::SaslMutual => "SASLMUTUAL",
            Self::Signed => "SIGNED",
            Self::SignedTls => "SIGNEDTLS",
            Self::SignedMutual => "SIGNEDMUTUAL",
            Self::SignedRenewed => "SIGNEDRENEWED",
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
            Self::Sasl | Self::Signed | Self::OneMechanism => "SASL_PLAINTEXT",
            Self::SaslTls | Self::SaslMutual | Self::SaslTlsRenewed => "SASL_SSL",
            Self::SignedTls | Self::SignedMutual | Self::SignedRenewed => "SASL_SSL",
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
            Self::SignedRenewed => "renewed-server.pem",
            _ => "server.pem",
        }
    }

    fn mechanisms(self) -> &'static [Mechanism] {
        match self {
            Self::OneMechanism => &[Mechanism::Scram512],
            Self::Signed | Self::SignedTls | Self::SignedMutual | Self::SignedRenewed => {
                &[Mechanism::OAuthBearer]
            }
            _ => &Mechanism::ALL,
        }
    }

    fn is_mutual(self) -> bool {
        matches!(self, Self::Mutual | Self::SaslMutual | Self::SignedMutual | Self::SignedRenewed)
    }

    /// How long a session lasts, where that is bounded.
    fn session_ms(self) -> Option<u32> {
        match self {
            Self::SaslTlsRenewed => Some(SESSION_MS),
            Self::SignedRenewed => Some(TOKEN_SESSION_MS),
            _ => None,
        }
    }

    fn prefix(self) -> String {
        format!("listener.name.{}", self.name().to_lowercase())
    }

    /// The server's settings for it.
    pub fn configure(self, mut config: Config, certificates: &Certificates) -> Config {
        config = match self {
            Self::SignedRenewed => config.listener_behind_a_proxy(self.name(), self.protocol()),
            _ => config.listener(self.name(), self.protocol()),
        };
        let prefix = self.prefix();
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
        if let Some(session) = self.session_ms() {
            for mechanism in self.mechanisms() {
                let mechanism = mechanism.name().to_lowercase();
                config = config.set(&format!("{prefix}.{mechanism}.connections.max.reauth.ms"), session);
            }
        }
        config
    }

    /// The same for one that takes signed tokens alone.
    fn configure_signed(self, config: Config, certificates: &Certificates, openid: &OpenId) -> Config {
        const VALIDATOR: &str =
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
        let prefix = format!("{}.oauthbearer", self.prefix());
        let trusted = certificates.path("ca.crt").display().to_string();
        // The server logs in, too, though it opens no connection here: Kafka's default for that takes no other option alone.
        let jaas = format!(
            "{} required unsecuredLoginStringClaim_sub=\"admin\" ssl.truststore.type=\"PEM\" \
             ssl.truststore.location=\"{trusted}\";",
            Mechanism::OAuthBearer.module()
        );
        self.configure(config, certificates)
            .set(&format!("{prefix}.sasl.jaas.config"), jaas)
            .set(&format!("{prefix}.sasl.server.callback.handler.class"), VALIDATOR)
            .set(&format!("{prefix}.sasl.oauthbearer.jwks.endpoint.url"), openid.keys_url())
            .set(&format!("{prefix}.sasl.oauthbearer.expected.issuer"), openid.issuer())
            .set(&format!("{prefix}.sasl.oauthbearer.expected.audience"), OpenId::AUDIENCE)
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
    openid: Result<OpenId, Unavailable>,
}

impl Secured {
    /// Makes certificates, starts the node, and lets in whom [`OPEN`] tells.
    pub(super) fn start(java: &Java, version: &'static str) -> Result<Self, Unavailable> {
        let certificates = Certificates::make(version)?;
        certificates.make_with_openssl()?;
        let openid = OpenId::start(&certificates);
        let cluster = Cluster::start_on(java, Self::config(&certificates, openid.as_ref().ok()))?;
        let secured = Self { version, cluster, certificates, openid };
        let principals = ["User:alice", "User:ANONYMOUS", "User:CN=client"];
        let allowed = secured.tools(User::Admin).and_then(|tools| {
            tools
                .allow(&principals, OPEN)
                .map_err(|error: ProcessError| Unavailable::Failed(error.to_string()))
        });
        allowed.map(|()| secured)
    }

    fn config(certificates: &Certificates, openid: Option<&OpenId>) -> Config {
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
        if let Some(openid) = openid {
            for listener in Listener::SIGNED {
                config = listener.configure_signed(config, certificates, openid);
            }
            config = config.jvm(openid.allowed_urls());
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

    /// The provider of signed tokens.
    pub fn openid(&self) -> Result<&OpenId, Unavailable> {
        self.openid.as_ref().map_err(Clone::clone)
    }

    /// The proxy before [`Listener::SignedRenewed`].
    pub fn proxy(&self) -> Result<&Proxy, Unavailable> {
        self.cluster.proxy_of_listener(1, Listener::SignedRenewed.name())
    }

    /// Has the node read a listener's certificate again, whose file has another by now.
    pub fn read_certificate_again(&self, listener: Listener) -> Result<(), Unavailable> {
        let (key, file) = (format!("{}.ssl.keystore.location", listener.prefix()), listener.certificate());
        let file = self.certificates.path(file).display().to_string();
        let failed = |error: ProcessError| Unavailable::Failed(error.to_string());
        self.tools(User::Admin)?.set_broker(1, &key, &file).map_err(failed)
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

    /// The same with tokens that the provider has signed.
    pub fn signed(&self, listener: Listener, user: User, scope: Scope) -> Result<Access, Unavailable> {
        let named = (user.name(), user.password());
        Ok(self.java(listener, None)?.tokens(self.openid()?, &self.certificates, named, scope))
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
        let tools = Tools::new(bootstrap)?.with_properties(access.file(&self.certificates).map_err(failed)?);
        Ok(match &self.openid {
            Ok(openid) => tools.with_jvm(openid.allowed_urls()),
            Err(_) => tools,
        })
    }

    pub(super) fn shut_down(&self) {
        self.cluster.shut_down();
        if let Ok(openid) = &self.openid {
            openid.shut_down();
        }
        let _ = std::fs::remove_dir_all(self.certificates.dir());
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.shut_down();
    }
}
