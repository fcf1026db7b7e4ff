//! Why a connection is no more, or came to nothing; and which of that passes by itself.

use std::fmt;

use ottla_protocol::{ApiKey, DecodeError, ErrorCode};

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Disconnected {
    /// The name could not be resolved.
    Unresolved(String),
    /// No address could be connected to.
    Refused(String),
    /// The broker closed the connection.
    Closed,
    /// The broker closed the connection when it was asked for its versions.
    ClosedUnanswered,
    /// The broker closed the connection at the first request.
    ClosedAtOnce,
    /// Reading or writing failed.
    Failed(String),
    /// The bytes that came are not Kafka's protocol; the text says what they look like.
    NotKafka(String),
    /// A response could not be read.
    Undecodable(ApiKey, DecodeError),
    /// No answer in time.
    TimedOut(ApiKey),
    /// It could not be set up in time.
    ConnectTimedOut,
    /// Another broker answers there, or another cluster (KIP-1242).
    Misrouted,
    /// The broker refused to tell its versions.
    Refusing(ErrorCode),
    /// TLS did not come about, or broke.
    Tls(TlsFailure),
    /// The client could not authenticate.
    Sasl(SaslFailure),
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => write!(f, "the name does not resolve: {why}"),
            Self::Refused(why) => write!(f, "cannot connect: {why}"),
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::ClosedUnanswered => f.write_str(
                "closed when it was asked what it speaks: this may be a listener for TLS or SASL, or no Kafka broker",
            ),
            Self::ClosedAtOnce => {
                f.write_str("closed at the first request: this may be a listener for SASL; check security.protocol")
            }
            Self::Failed(why) => write!(f, "the connection failed: {why}"),
            Self::NotKafka(why) => write!(f, "not a Kafka broker: {why}"),
            Self::Undecodable(key, error) => {
                write!(f, "the broker's {key:?} response cannot be read: {error}")
            }
            Self::TimedOut(key) => write!(f, "no answer to {key:?} in time"),
            Self::ConnectTimedOut => f.write_str("no connection in time"),
            Self::Misrouted => f.write_str("another broker, or another cluster, answers at this address"),
            Self::Refusing(error) => write!(f, "the broker refuses to tell what it speaks: {error}"),
            Self::Tls(failure) => write!(f, "TLS: {failure}"),
            Self::Sasl(failure) => write!(f, "SASL: {failure}"),
        }
    }
}

impl Disconnected {
    /// Whether trying again with the same configuration cannot help: somebody has to change something first.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Tls(failure) => failure.is_final(),
            Self::Sasl(failure) => failure.is_final(),
            _ => false,
        }
    }
}

/// Why TLS did not come about, or broke. The texts tell what was seen; none holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TlsFailure {
    /// No authority that is trusted here has signed the broker's certificate.
    UnknownAuthority(String),
    /// The broker's certificate is of the past.
    Expired(String),
    /// The broker's certificate is of the future.
    NotYetValid(String),
    /// The broker's certificate is for another host.
    WrongHost(String),
    /// The broker's certificate is refused for another reason.
    BadCertificate(String),
    /// The broker asks for a certificate, and none was given.
    CertificateRequired,
    /// The broker refuses the certificate that was given.
    CertificateRefused(String),
    /// What answers there does not speak TLS.
    NotTls(String),
    /// No version, or no cipher suite, is common to both.
    NothingInCommon(String),
    /// The broker closed the connection within the handshake.
    Closed,
    /// What was configured cannot be read, or does not fit together: it was changed since the client was built.
    Configuration(String),
    /// Anything else.
    Other(String),
}

impl TlsFailure {
    /// Whether trying again with the same configuration cannot help.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Closed | Self::Configuration(_) | Self::Other(_))
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority(why) => write!(
                f,
                "the broker's certificate is signed by nobody who is trusted here: {why}; name its authority in \
                 ssl.truststore.location"
            ),
            Self::Expired(why) => write!(f, "the broker's certificate has expired: {why}; it needs a new one"),
            Self::NotYetValid(why) => {
                write!(f, "the broker's certificate is not valid yet: {why}; compare the clocks")
            }
            Self::WrongHost(why) => write!(
                f,
                "the broker's certificate is for another host: {why}; connect by a name that it bears, or have it \
                 made for this one"
            ),
            Self::BadCertificate(why) => write!(f, "the broker's certificate is refused: {why}"),
            Self::CertificateRequired => f.write_str(
                "the broker asks for a client certificate: give ssl.keystore.location, or \
                 ssl.keystore.certificate.chain and ssl.keystore.key",
            ),
            Self::CertificateRefused(why) => write!(
                f,
                "the broker refuses the client certificate: {why}; it must be valid, for clients, and signed by an \
                 authority that the broker trusts"
            ),
            Self::NotTls(why) => {
                write!(f, "no TLS is spoken there: {why}; check the port, and security.protocol")
            }
            Self::NothingInCommon(why) => write!(
                f,
                "the broker and the client have nothing in common: {why}; check ssl.enabled.protocols and \
                 ssl.cipher.suites"
            ),
            Self::Closed => f.write_str(
                "the broker closed the connection within the handshake: this may be a listener without TLS; check \
                 the port, and security.protocol",
            ),
            Self::Configuration(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// Why a client could not authenticate. The texts are the broker's, the token provider's, or tell what was seen; none holds
/// a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SaslFailure {
    /// The listener does not have the mechanism.
    UnsupportedMechanism {
        /// That was asked for.
        mechanism: String,
        /// Those that it has.
        enabled: Vec<String>,
    },
    /// The listener asks for no authentication.
    NotAskedFor,
    /// The broker refused what was said.
    Refused(String),
    /// The broker did not prove that it knows the password, or does not keep to the mechanism.
    BadServer(String),
    /// There is no token, and asking again would not help.
    NoToken(String),
    /// There is no token for now.
    TokenUnavailable(String),
    /// The broker closed the connection while authenticating.
    Closed,
}

impl SaslFailure {
    /// Whether trying again with the same configuration cannot help.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::TokenUnavailable(_) | Self::Closed)
    }
}

impl fmt::Display for SaslFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedMechanism { mechanism, enabled } => write!(
                f,
                "the broker does not have {mechanism} on this listener; it has {}: check sasl.mechanism",
                enabled.join(", ")
            ),
            Self::NotAskedFor => f.write_str(
                "the broker asks for no authentication on this listener: check the port, and security.protocol",
            ),
            Self::Refused(why) => write!(f, "the broker refused it: {why}"),
            Self::BadServer(why) => write!(f, "the broker is not to be trusted: {why}"),
            Self::NoToken(why) => write!(f, "no token: {why}"),
            Self::TokenUnavailable(why) => write!(f, "no token yet: {why}"),
            Self::Closed => f.write_str("the broker closed the connection while the client authenticated"),
        }
    }
}
