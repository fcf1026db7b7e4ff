//! How a schema and what it refers to are fetched: asked again while that may help, and bounded.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use ottla_core::{Backoff, bounded, wire_format::SchemaId};
use serde_json::Value;

use super::{
    Referenced, Schema, SchemaRegistryError, SchemaRegistryErrorKind as Kind, SchemaType, http::Http,
};
use crate::net::{clock, https::urlencode};

/// How many others a schema may refer to, directly or not.
const REFERENCES_MAX: usize = 200;
/// How deep.
const DEPTH_MAX: usize = 20;
/// How often a request is made that the registry fails at by itself.
const INTERNAL_MAX: u32 = 3;

#[derive(Debug)]
pub(super) struct Limits {
    pub(super) request_timeout: Duration,
    pub(super) total_timeout: Duration,
    pub(super) backoff: Backoff,
    /// Of a schema and all that it refers to.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) http: Http,
    pub(super) limits: Limits,
}

/// A schema's answer.
struct Answer {
    schema_type: SchemaType,
    text: String,
    references: Vec<Reference>,
}

struct Reference {
    name: String,
    subject: String,
    version: i64,
}

impl Reference {
    fn path(&self) -> String {
        format!("/subjects/{}/versions/{}?deleted=true", urlencode(&self.subject), self.version)
    }
}

impl Fetcher {
    /// The schema of this id. Blocks, for the total time at the most.
    ///
    /// `wait` waits for so long, and says whether somebody still wants an answer.
    pub(super) fn fetch(
        &self,
        id: SchemaId,
        wait: &dyn Fn(Duration) -> bool,
    ) -> Result<Schema, SchemaRegistryError> {
        let get = |turn, path: &str, timeout| self.http.get(turn, path, timeout);
        Fetch::new(&get, &self.limits, wait).schema(id)
    }
}

/// Asks the registry at its so manieth address for a path, for so long at the most.
pub(super) type Get<'a> = &'a dyn Fn(usize, &str, Duration) -> Result<Value, SchemaRegistryError>;

/// One schema being fetched.
pub(super) struct Fetch<'a> {
    get: Get<'a>,
    limits: &'a Limits,
    wait: &'a dyn Fn(Duration) -> bool,
    deadline: Instant,
    rng: fastrand::Rng,
    seen: HashSet<(String, String, i64)>,
    found: Vec<Referenced>,
    bytes: usize,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(get: Get<'a>, limits: &'a Limits, wait: &'a dyn Fn(Duration) -> bool) -> Self {
        let deadline = clock::now().mono + bounded(limits.total_timeout);
        let rng = fastrand::Rng::new();
        Self { get, limits, wait, deadline, rng, seen: HashSet::new(), found: Vec::new(), bytes: 0 }
    }

    pub(super) fn schema(mut self, id: SchemaId) -> Result<Schema, SchemaRegistryError> {
        let path = match id {
            SchemaId::Id(id) => format!("/schemas/ids/{id}"),
            SchemaId::Guid(_) => format!("/schemas/guids/{id}"),
        };
        let answer = self.ask(&path)?;
        self.follow(&answer.references, 0)?;
        Ok(Schema::new(answer.schema_type, answer.text, self.found))
    }

    /// What these refer to, and then they themselves. Who refers to each other is followed once.
    fn follow(&mut self, references: &[Reference], depth: usize) -> Result<(), SchemaRegistryError> {
        for reference in references {
            let Reference { name, subject, version } = reference;
            if !self.seen.insert((name.clone(), subject.clone(), *version)) {
                continue;
            }
            let path = reference.path();
            if depth >= DEPTH_MAX || self.seen.len() > REFERENCES_MAX {
                return Err(too_large(&path, "the schema refers to too many others"));
            }
            let answer = self.ask(&path)?;
            self.follow(&answer.references, depth + 1)?;
            self.found.push(Referenced { name: name.clone(), text: answer.text });
        }
        Ok(())
    }

    fn ask(&mut self, path: &str) -> Result<Answer, SchemaRegistryError> {
        let mut failures = 0;
        let mut before = None;
        let answer = loop {
            let left = self.deadline.saturating_duration_since(clock::now().mono);
            if left.is_zero() {
                let why = "the schema's other requests have taken all the time there is";
                return Err(SchemaRegistryError::new(Kind::Unavailable, path, why));
            }
            let timeout = self.limits.request_timeout.min(left);
            let turn = usize::try_from(failures).unwrap_or_default();
            let error = match (self.get)(turn, path, timeout) {
                Ok(answer) => break answer,
                Err(error) if error.kind() != Kind::Unavailable => return Err(error),
                // One that was cut short tells less than the one before it.
                Err(error) if timeout < self.limits.request_timeout && error.status().is_none() => {
                    before.unwrap_or(error)
                }
                Err(error) => error,
            };
            failures += 1;
            if is_internal(&error) && failures >= INTERNAL_MAX {
                return Err(error);
            }
            let pause = self.limits.backoff.after(failures, &mut self.rng);
            let is_over = clock::now().mono + bounded(pause) >= self.deadline;
            if is_over || !(self.wait)(pause) {
                return Err(error);
            }
            before = Some(error);
        };
        let answer = read(&answer).ok_or_else(|| {
            SchemaRegistryError::new(Kind::Malformed, path, "the answer is no registry's").answered(200, None)
        })?;
        self.bytes = self.bytes.saturating_add(answer.text.len());
        if self.bytes > self.limits.bytes {
            return Err(too_large(path, "the schema and what it refers to are too long"));
        }
        Ok(answer)
    }
}

fn too_large(path: &str, why: &str) -> SchemaRegistryError {
    SchemaRegistryError::new(Kind::TooLarge, path, why)
}

/// Whether the registry failed at this very request, which may never pass: as it says, with a code that is none of those for a store
/// or a leader that is away (Confluent's 50001 to 50003).
fn is_internal(error: &SchemaRegistryError) -> bool {
    error.status() == Some(500) && error.error_code().is_some_and(|code| !(50_001..=50_003).contains(&code))
}

fn read(answer: &Value) -> Option<Answer> {
    // A registry leaves Avro's name out.
    let schema_type = match answer.get("schemaType") {
        None | Some(Value::Null) => SchemaType::Avro,
        Some(name) => SchemaType::of(name.as_str()?),
    };
    let references = match answer.get("references") {
        None | Some(Value::Null) => Vec::new(),
        Some(references) => {
            let references = references.as_array()?.iter();
            references.map(reference).collect::<Option<_>>()?
        }
    };
    Some(Answer { schema_type, text: answer.get("schema")?.as_str()?.to_owned(), references })
}

fn reference(told: &Value) -> Option<Reference> {
    let text = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
    Some(Reference {
        name: text("name")?,
        subject: text("subject")?,
        version: told.get("version")?.as_i64()?,
    })
}
