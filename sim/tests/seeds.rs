//! Three hundred seeds, and the proof that they would notice.
//!
//! `OTTLA_SIM_FIRST` and `OTTLA_SIM_SEEDS` choose others. A seed is replayed, with all that happened, by
//! `cargo run -p ottla-sim -- SEED`.

use ottla_sim::{Bug, Summary, run};

/// A number from the environment.
fn chosen(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

fn seeds() -> std::ops::Range<u64> {
    let first = chosen("OTTLA_SIM_FIRST", 0);
    first..first + chosen("OTTLA_SIM_SEEDS", 300)
}

#[test]
fn every_invariant_holds() {
    let (mut summary, mut failures) = (Summary::default(), Vec::new());
    for seed in seeds() {
        match run(seed, None, false) {
            Ok(report) => {
                println!("{report}");
                summary.add(report);
            }
            Err(failure) => {
                println!("FAILED {failure}");
                failures.push(failure.to_string());
            }
        }
    }
    println!("{summary}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_planted_bug_is_caught() {
    let mut survivors = Vec::new();
    for bug in Bug::all() {
        let caught = (1..).zip(seeds()).find_map(|(tries, seed)| Some((tries, run(seed, Some(bug), false).err()?)));
        match caught {
            Some((tries, failure)) => println!("{bug}: {tries} seeds: {}", failure.violation.invariant),
            None => survivors.push(bug.to_string()),
        }
    }
    assert!(survivors.is_empty(), "not caught: {}", survivors.join(", "));
}

#[test]
fn a_seed_contains_the_same_each_time() {
    for seed in [1, 2, 3] {
        let (first, second) = (run(seed, None, false), run(seed, None, true));
        assert_eq!(first.ok(), second.ok());
    }
}
