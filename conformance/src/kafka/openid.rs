//! An OpenID provider in a process of its own: `openid/provider.mjs`, on packages that npm fetches once.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Certificates, Unavailable, User};
use crate::process::Process;
use crate::wait::until;
use crate::{npm, ports};

/// What npm and Node are given.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../openid/package.json")),
    ("package-lock.json", include_str!("../../openid/package-lock.json")),
    (PROGRAM, include_str!("../../openid/provider.mjs")),
];
const PROGRAM: &str = "provider.mjs";

const START_WITHIN: Duration = Duration::from_secs(60);

/// What a token is to be good for: the one scope that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The cluster, for ten minutes.
    Kafka,
    /// The cluster, for half a minute.
    Brief,
    /// The cluster, until more than an hour ago.
    Expired,
    /// Another audience than the cluster.
    Elsewhere,
}

impl Scope {
    /// As the provider knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Brief => "brief",
            Self::Expired => "expired",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A running provider. Its clients are the cluster's users, with their passwords.
#[derive(Debug)]
pub struct OpenId {
    port: u16,
    process: Mutex<Option<Process>>,
}

impl OpenId {
    /// Whom tokens for the cluster are for.
    pub(super) const AUDIENCE: &str = "kafka";

    /// Starts it; returns when it listens.
    pub(super) fn start(certificates: &Certificates) -> Result<Self, Unavailable> {
        let folder = npm::fetched("openid", "OpenID provider", &FILES)?;
        let failed = |why: String| Unavailable::Failed(format!("the OpenID provider: {why}"));
        let port = ports::free().map_err(|error| failed(error.to_string()))?;
        let secrets = User::ALL.map(|user| (user.name().to_owned(), user.password().into()));
        let clients = serde_json::Value::Object(secrets.into_iter().collect());
        let mut node = Command::new("node");
        node.arg(PROGRAM).arg(port.to_string()).arg(certificates.path("openid.pem"));
        node.arg(clients.to_string()).current_dir(folder);
        let mut process = Process::spawn(&node).map_err(|error| failed(error.to_string()))?;
        let is_ready = |process: &Process| process.lines().iter().any(|line| line == "ready");
        let waited = until(START_WITHIN, "that it listens", || is_ready(&process) || !process.is_running());
        match waited {
            Ok(()) if is_ready(&process) => Ok(Self { port, process: Mutex::new(Some(process)) }),
            Ok(()) => Err(failed(format!("it has ended: {}", process.stderr()))),
            Err(late) => Err(failed(format!("{late}: {}", process.stderr()))),
        }
    }

    /// Who it says that it is.
    pub(super) fn issuer(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Where its public keys are.
    pub(super) fn keys_url(&self) -> String {
        format!("{}/jwks", self.issuer())
    }

    /// Where tokens are to be had.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.issuer())
    }

    /// For the JVM: Kafka asks nobody for tokens or keys who is not named.
    pub(super) fn allowed_urls(&self) -> String {
        format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={},{}", self.keys_url(), self.token_url())
    }

    pub(super) fn shut_down(&self) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
