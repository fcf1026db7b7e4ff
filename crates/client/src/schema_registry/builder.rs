//! How a registry is asked.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use ottla_core::Backoff;
use ottla_protocol::Secret;

use super::{
    Handle, SchemaRegistry,
    fetching::{Fetcher, Limits},
    flights::Flights,
    http::Http,
};
use crate::{
    config::{ssl::Ssl, wrong},
    error::BuildError,
    net::{https, tls},
};

/// Builds a [`SchemaRegistry`].
#[derive(Debug, Clone)]
#[must_use = "nothing is built until `build`"]
pub struct SchemaRegistryBuilder {
    urls: Vec<String>,
    authorization: Option<Secret>,
    authorities: Option<Secret>,
    request_timeout: Duration,
    total_timeout: Duration,
    backoff: Backoff,
    answer_max: usize,
    schemas_max: usize,
}

impl SchemaRegistryBuilder {
    pub(super) fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            authorization: None,
            authorities: None,
            request_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(200), most: Duration::from_secs(4) },
            answer_max: 1 << 20,
            schemas_max: 1000,
        }
    }

    /// A user and a password, for `Authorization: Basic`. Over `http` they are read by whoever is on the way.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let both = Secret::from(format!("{user}:{password}"));
        self.authorization = Some(Secret::from(format!("Basic {}", BASE64.encode(both.expose()))));
        self
    }

    /// A token, for `Authorization: Bearer`. In place of [`basic_auth`](Self::basic_auth).
    pub fn bearer_token(mut self, token: &str) -> Self {
        self.authorization = Some(Secret::from(format!("Bearer {token}")));
        self
    }

    /// Who may have signed the registry's certificate: certificates in PEM. Default: those that the system trusts.
    pub fn certificate_authorities(mut self, pem: &str) -> Self {
        self.authorities = Some(Secret::from(pem.to_owned()));
        self
    }

    /// How long one request may take, connection and answer together. Default 10 s. Python's client waits for ever.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a schema is asked for in all: what may pass is asked again until then, with a back-off. Default 30 s. Python's client
    /// asks four times.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// The wait after the first failure, and the longest. Default 200 ms and 4 s, each within 20 %.
    pub fn retry_backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = Backoff { first, most };
        self
    }

    /// The longest answer that is read, in bytes. Default 1 MiB. A schema with all that it refers to may have eight times as much.
    pub fn answer_max(mut self, bytes: usize) -> Self {
        self.answer_max = bytes;
        self
    }

    /// How many schemas are kept. Default 1,000. Beyond them, and beyond 64 MiB of their texts, the one that was asked for first is
    /// dropped.
    pub fn schemas_max(mut self, schemas: usize) -> Self {
        self.schemas_max = schemas.max(1);
        self
    }

    /// The client. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// There is no address, one is neither `http` nor `https`, or certificates do not read.
    pub fn build(self) -> Result<SchemaRegistry, BuildError> {
        const URL: &str = "schema.registry.url";
        if self.urls.is_empty() {
            return Err(wrong(URL, "an address is needed, such as http://localhost:8081"));
        }
        for url in &self.urls {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            if rest.is_none_or(str::is_empty) {
                return Err(wrong(
                    URL,
                    format!("`{url}` is no address that begins with http:// or https://"),
                ));
            }
        }
        let is_secured = self.urls.iter().any(|url| url.starts_with("https://"));
        let authorities = match is_secured || self.authorities.is_some() {
            true => tls::authorities(&Ssl { authorities: self.authorities, ..Ssl::default() })?,
            false => Vec::new(),
        };
        let agent = https::agent(&authorities, self.request_timeout, self.request_timeout);
        let urls = self.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        let http = Http { agent, urls, authorization: self.authorization, answer_max: self.answer_max };
        let limits = Limits {
            request_timeout: self.request_timeout,
            total_timeout: self.total_timeout,
            backoff: self.backoff,
            bytes: self.answer_max.saturating_mul(8),
        };
        let flights = Flights::new(Fetcher { http, limits }, self.schemas_max);
        Ok(SchemaRegistry(Arc::new(Handle(Arc::new(flights)))))
    }
}
