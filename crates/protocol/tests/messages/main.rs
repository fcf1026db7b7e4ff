//! Oracles for the messages: a second encoder made from the field tables alone, the `kafka-protocol` crate, and
//! bytes that nobody should trust.
//!
//! Every test draws from a seed that it prints when it fails; the same seed repeats the run. A longer search:
//! `OTTLA_FUZZ_CASES=1000000 cargo test --release -p ottla-protocol --test messages`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails; clippy does not see tests without #[test]"
)]

mod bounds;
mod frame;
mod kafka_protocol;
mod model;
mod round_trip;
mod untrusted;

use fastrand::Rng;
use ottla_protocol::{ApiKey, codec::MessageSchema};
use std::{
    env, fmt,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// One message in one version.
#[derive(Clone, Copy)]
struct Subject {
    key: ApiKey,
    version: i16,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Response,
}

impl Subject {
    /// Every message in every version.
    fn all() -> impl Iterator<Item = Self> + Clone {
        ApiKey::ALL.iter().flat_map(|&key| {
            (key.versions().min..=key.versions().max).flat_map(move |version| {
                [Direction::Request, Direction::Response].map(|direction| Self { key, version, direction })
            })
        })
    }

    fn in_version(self, version: i16) -> Self {
        Self { version, ..self }
    }

    fn schema(self) -> MessageSchema {
        match self.direction {
            Direction::Request => self.key.request_schema(),
            Direction::Response => self.key.response_schema(),
        }
    }

    fn is_flexible(self) -> bool {
        self.version >= self.schema().flexible_since
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.schema().name, self.version)
    }
}

/// How many cases a test tries.
fn cases() -> usize {
    variable("OTTLA_FUZZ_CASES").unwrap_or(10_000)
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// Runs `property` with a seed of its own, or the one asked for. If it fails, says how to repeat it.
fn seeded(test: &str, property: impl FnOnce(&mut Rng)) {
    let seed = variable("OTTLA_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(test));
    let outcome = catch_unwind(AssertUnwindSafe(|| property(&mut Rng::with_seed(seed))));
    if let Err(failure) = outcome {
        let cases = cases();
        eprintln!(
            "again: OTTLA_FUZZ_SEED={seed} OTTLA_FUZZ_CASES={cases} \
             cargo test -p ottla-protocol --test messages {test}"
        );
        resume_unwind(failure);
    }
}
