//! Flags of `ottla broker`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ottla_broker::{Acl, SaslMechanism};

const SECURITY: &str = "Security";

#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Where the first broker listens; the others take the ports after it, or free ones with port 0
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub(crate) listen: String,
    /// How many brokers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) brokers: u32,
    /// A topic to begin with; repeatable
    #[arg(long = "topic", value_name = "NAME:PARTITIONS")]
    pub(crate) topics: Vec<String>,
    /// Listen on an address that others can reach: without --sasl-mechanism, or --tls-client-ca, they may do everything
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// With --allow-remote: the host that clients are told to connect to [default: that of --listen]
    #[arg(long, value_name = "HOST", requires = "allow_remote")]
    pub(crate) advertised_host: Option<String>,
    /// Keep topics, records, transactions and offsets in this directory, which one broker at a time may have open: they survive
    /// the process, killed or not, though not a machine that fails [default: all is in memory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) security: Security,
}

/// Who may connect to the broker, and who may do what.
#[derive(Debug, Args)]
#[command(next_help_heading = SECURITY)]
pub(crate) struct Security {
    /// Clients authenticate by SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured tokens, for tests);
    /// repeatable, or a list with commas
    #[arg(long = "sasl-mechanism", value_name = "MECHANISM", value_delimiter = ',')]
    pub(crate) sasl_mechanisms: Vec<SaslMechanism>,
    /// The users, one NAME:PASSWORD a line; lines that begin with # do not count
    #[arg(long, value_name = "FILE", requires = "sasl_mechanisms")]
    pub(crate) users: Option<PathBuf>,
    /// A user; repeatable. Others on this machine can see the password: --users is better
    #[arg(long = "user", value_name = "NAME:PASSWORD", requires = "sasl_mechanisms")]
    pub(crate) more_users: Vec<ottla_broker::Secret>,
    /// After how long a connection has to authenticate anew (connections.max.reauth.ms) [default: never]
    #[arg(long, value_name = "MS", requires = "sasl_mechanisms", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_reauth_ms: Option<u64>,
    /// Speak TLS, with this certificate: PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of --tls-cert: PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities of clients' certificates: PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Whether clients need a certificate: none, requested or required [default: required with --tls-client-ca, else none]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub(crate) tls_client_auth: Option<TlsClientAuth>,
    /// What somebody may do, and others may not; repeatable: User:alice:READ:topic:orders, User:*:ALL:group:billing-*
    #[arg(long = "acl", value_name = "PRINCIPAL:OPERATION:RESOURCE:NAME")]
    pub(crate) acls: Vec<Acl>,
    /// Who may do everything, such as User:admin; repeatable
    #[arg(long = "super-user", value_name = "PRINCIPAL")]
    pub(crate) super_users: Vec<String>,
}

/// Kafka's `ssl.client.auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsClientAuth {
    /// They are not asked for one
    None,
    /// One that they have is checked
    Requested,
    /// They need one
    Required,
}
