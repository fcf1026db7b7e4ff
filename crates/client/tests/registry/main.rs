//! Schemas out of a registry, and what is read by them: against a registry on a local socket that answers as each test says.

#![expect(clippy::unwrap_used, reason = "tests' helpers")]

#[expect(dead_code, reason = "this target produces by itself")]
#[path = "../common/mod.rs"]
mod common;
mod stub;

mod asking;
mod avro;
mod json;
mod json_schema;
mod processing;
mod protobuf;

use common::PATIENCE;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}
