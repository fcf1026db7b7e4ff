//! What the targets of `fuzz/` reach of what is this module's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use std::{cell::RefCell, time::Duration};

use ottla_core::Backoff;

use super::{
    Referenced, Schema, SchemaId, SchemaRegistry, SchemaRegistryError, SchemaRegistryErrorKind as Kind,
    SchemaType,
    fetching::{Fetch, Limits},
    http,
};
use crate::error::BuildError;

/// The schema that a registry with these answers, statuses and bodies, has; of which so many bytes are believed.
pub fn answers(
    answers: impl IntoIterator<Item = (u16, Vec<u8>)>,
    bytes: usize,
) -> Result<Schema, SchemaRegistryError> {
    let answers = RefCell::new(answers.into_iter());
    let get = |_: usize, path: &str, _: Duration| match answers.borrow_mut().next() {
        Some((status, body)) => http::answered(path, status, &body),
        None => Err(SchemaRegistryError::new(Kind::NotFound, path, "there are no more")),
    };
    let minute = Duration::from_secs(60);
    let limits = Limits {
        request_timeout: minute,
        total_timeout: minute,
        backoff: Backoff { first: Duration::ZERO, most: Duration::ZERO },
        bytes,
    };
    Fetch::new(&get, &limits, &|_| false).schema(SchemaId::Id(1))
}

/// A registry that is never asked.
pub fn registry() -> Result<SchemaRegistry, BuildError> {
    SchemaRegistry::builder(["http://localhost"]).build()
}

/// Has it know this one schema.
pub fn know(registry: &SchemaRegistry, schema_type: SchemaType, text: &str, references: &[(&str, &str)]) {
    let referenced =
        |(name, text): &(&str, &str)| Referenced { name: (*name).to_owned(), text: (*text).to_owned() };
    let references = references.iter().map(referenced).collect();
    registry.0.0.know(SchemaId::Id(1), Schema::new(schema_type, text.to_owned(), references));
}
