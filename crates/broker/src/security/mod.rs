//! Who may connect, and who may do what: SASL by [`Sasl`], authorization by [`Authorizer`].
//!
//! Like the rest of the cluster it reads no clock and draws what is random from the configured seed. What each case is
//! answered is what Kafka 4.4 answers; `tests/sasl.rs` has a row for each.

pub(crate) mod acls;
mod credentials;
mod oauthbearer;
mod plain;
mod refusal;
mod scram;
mod session;

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use ottla_protocol::Secret;

pub(crate) use acls::CLUSTER;
pub use acls::{Acl, Authorizer, Operation, ResourceType};
pub(crate) use credentials::Credentials;
pub(crate) use session::Session;

/// Whom a client is taken for that has told nobody who it is.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";

/// How clients authenticate by SASL: on every broker of the cluster, before they may ask anything else.
///
/// ```
/// use ottla_broker::{Config, Sasl, SaslMechanism};
///
/// let sasl = Sasl::new([SaslMechanism::Plain, SaslMechanism::ScramSha256]).user("alice", "open sesame");
/// let config = Config { sasl: Some(sasl), ..Config::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Sasl {
    /// Kafka's `sasl.enabled.mechanisms`; refusals list them in this order.
    pub mechanisms: Vec<SaslMechanism>,
    /// Users and their passwords, for PLAIN and for SCRAM alike. OAUTHBEARER has no users: its tokens say who they are of.
    pub users: BTreeMap<String, Secret>,
    /// Kafka's `connections.max.reauth.ms`: after which a connection has to authenticate anew (KIP-368). None by default, as
    /// in Kafka. What is left of an OAUTHBEARER token bounds it, and holds also where this is none.
    pub connections_max_reauth: Option<Duration>,
    /// Kafka's `connection.failed.authentication.delay.ms`: how late a refusal is told; 100 ms.
    pub failed_authentication_delay: Duration,
    /// The iterations of SCRAM; 4096. Each user's keys are computed once, when the cluster is made.
    pub scram_iterations: u32,
}

impl Sasl {
    /// With these mechanisms and no users, and Kafka's defaults otherwise.
    pub fn new(mechanisms: impl IntoIterator<Item = SaslMechanism>) -> Self {
        Self {
            mechanisms: mechanisms.into_iter().collect(),
            users: BTreeMap::new(),
            connections_max_reauth: None,
            failed_authentication_delay: Duration::from_millis(100),
            scram_iterations: 4096,
        }
    }

    /// And this user.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// RFC 4616: the password as it is.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
    /// RFC 7628, with unsecured tokens (`alg` none) as Kafka takes them where nothing else is configured: anybody can write
    /// one, so it is for tests alone.
    OAuthBearer,
}

impl SaslMechanism {
    /// Every one.
    pub const ALL: &[Self] = &[Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SaslMechanism {
    type Err = String;

    /// By its name on the wire.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|mechanism| mechanism.name() == name).ok_or_else(|| {
            let known = Self::ALL.iter().map(|known| known.name()).collect::<Vec<_>>().join(", ");
            format!("`{name}` is no mechanism of SASL that is known here; these are: {known}")
        })
    }
}

/// What a mechanism says to a client's message.
enum Step {
    /// This, and the client has the word.
    Continue(Vec<u8>),
    /// The client is this user; the last word, and for how long it holds, where the mechanism knows.
    Done { user: String, answer: Vec<u8>, lifetime: Option<Duration> },
    /// No, and why.
    Refused(String),
    /// No, and the client is not told more than that.
    Invalid,
}

/// Whether they are equal, in a time that does not tell where they differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
