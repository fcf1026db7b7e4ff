//! What the client and the command line read beside what brokers send. The command line's own files are modules here, as it is no
//! library.
#![no_main]

mod failure;
mod formats;
mod key_stores;
mod properties;
mod registry;
mod reset;
mod values;

#[path = "../../../crates/cli/src/duration.rs"]
mod duration;
#[path = "../../../crates/cli/src/escapes.rs"]
#[expect(dead_code, reason = "not all of it is read here")]
mod escapes;
#[path = "../../../crates/cli/src/format.rs"]
mod format;
#[path = "../../../crates/cli/src/json.rs"]
mod json;
#[path = "../../../crates/cli/src/offsets.rs"]
mod offsets;

ottla_fuzz::targets!(formats, key_stores, properties, registry, values);
