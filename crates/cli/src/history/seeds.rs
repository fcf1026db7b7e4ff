//! Seeds of randomised tests: `OTTLA_SEED` chooses one.

use std::ops::Range;

/// So many, or the one that is chosen.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let chosen = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok());
    chosen.map_or(0..count, |seed| seed..seed + 1)
}

/// The command that replays it.
pub(crate) fn replay(seed: u64) -> String {
    format!("OTTLA_SEED={seed} cargo test -p ottla-cli --bin ottla")
}
