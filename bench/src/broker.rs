//! The Kafka that is measured with: one that runs already, or one node started for this, with TLS or without.

use std::path::PathBuf;

use anyhow::Result;
use ottla_conformance::kafka::{Certificates, Cluster, Config, Listener, Tools};

/// A Kafka; one started for this ends when it is dropped.
pub(crate) struct Broker {
    /// They do without TLS.
    pub(crate) tools: Tools,
    /// For the clients that are measured.
    pub(crate) bootstrap: String,
    /// Who has signed the broker's certificate, where clients are to speak TLS.
    pub(crate) authority: Option<PathBuf>,
    certificates: Option<Certificates>,
    _cluster: Option<Cluster>,
}

impl Broker {
    pub(crate) fn running(bootstrap: &str) -> Result<Self> {
        let (tools, bootstrap) = (Tools::new(bootstrap)?, bootstrap.to_owned());
        Ok(Self { tools, bootstrap, authority: None, certificates: None, _cluster: None })
    }

    pub(crate) fn plain() -> Result<Self> {
        Self::started(Config::new(1))
    }

    /// One that runs already, or one started for this that compiles as servers do.
    pub(crate) fn of(bootstrap: Option<&str>) -> Result<Self> {
        bootstrap.map_or_else(|| Self::started(Config::new(1).optimized()), Self::running)
    }

    fn started(config: Config) -> Result<Self> {
        let cluster = Cluster::start(config)?;
        let (tools, bootstrap) = (cluster.tools(), cluster.bootstrap());
        Ok(Self { tools, bootstrap, authority: None, certificates: None, _cluster: Some(cluster) })
    }

    /// Clients speak TLS 1.3.
    pub(crate) fn with_tls(config: Config) -> Result<Self> {
        let certificates = Certificates::make("bench")?;
        let config = Listener::Tls.configure(config, &certificates);
        let versions = format!("listener.name.{}.ssl.enabled.protocols", Listener::Tls.name().to_lowercase());
        let cluster = Cluster::start(config.set(&versions, "TLSv1.3"))?;
        Ok(Self {
            tools: cluster.tools(),
            bootstrap: cluster.listener(1, Listener::Tls.name())?.to_string(),
            authority: Some(certificates.path("ca.crt")),
            certificates: Some(certificates),
            _cluster: Some(cluster),
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(certificates) = &self.certificates {
            // What stays is removed by a later run.
            let _ = std::fs::remove_dir_all(certificates.dir());
        }
    }
}
