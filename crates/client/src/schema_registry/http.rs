//! One request to the registry, and what its answer says.

use std::time::Duration;

use ottla_protocol::Secret;
use serde_json::Value;
use ureq::{Agent, Error};

use super::{SchemaRegistryError, SchemaRegistryErrorKind as Kind};
use crate::net::https;

const ACCEPT: &str =
    "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json";

/// How much of what an answer says is told.
const TOLD_MAX: usize = 300;

/// Whom to ask, as whom.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) agent: Agent,
    pub(super) urls: Vec<String>,
    pub(super) authorization: Option<Secret>,
    pub(super) answer_max: usize,
}

impl Http {
    /// Asks the registry at its `turn`th address for this path. Blocks, for `timeout` at the most.
    pub(super) fn get(
        &self,
        turn: usize,
        path: &str,
        timeout: Duration,
    ) -> Result<Value, SchemaRegistryError> {
        let base = self.urls.get(turn % self.urls.len().max(1)).map_or("", String::as_str);
        let url = format!("{base}{path}");
        let failed = |why: Error| {
            let kind = match why {
                Error::BodyExceedsLimit(_) => Kind::TooLarge,
                _ if https::stands(&why) => Kind::Refused,
                _ => Kind::Unavailable,
            };
            SchemaRegistryError::new(kind, &url, why.to_string())
        };
        let mut request = self.agent.get(&url).header("Accept", ACCEPT);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.expose());
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut response = request.call().map_err(failed)?;
        let status = response.status().as_u16();
        let limit = u64::try_from(self.answer_max).unwrap_or(u64::MAX);
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        // What a proxy says with its error may be longer than any schema.
        let body = match body {
            Err(Error::BodyExceedsLimit(_)) if status != 200 => Vec::new(),
            body => body.map_err(failed)?,
        };
        answered(&url, status, &body)
    }
}

/// What an answer says: JSON, or why not.
pub(super) fn answered(url: &str, status: u16, body: &[u8]) -> Result<Value, SchemaRegistryError> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    if status == 200 {
        let malformed = || SchemaRegistryError::new(Kind::Malformed, url, "the answer is no JSON");
        return answer.ok_or_else(|| malformed().answered(status, None));
    }
    let error_code = answer.as_ref().and_then(|answer| answer.get("error_code")?.as_i64());
    let message = answer.as_ref().and_then(|answer| answer.get("message")?.as_str());
    let kind = match status {
        401 | 403 => Kind::Unauthorized,
        404 if error_code.is_some_and(|code| code > 0) => Kind::NotFound,
        404 => Kind::NoEndpoint,
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Kind::Unavailable,
        _ => Kind::Refused,
    };
    let told = message.unwrap_or("the answer says no more").chars().take(TOLD_MAX);
    Err(SchemaRegistryError::new(kind, url, told.collect::<String>()).answered(status, error_code))
}
