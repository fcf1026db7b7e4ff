//! Three hundred seeds, each with a line of what it contained, and the proof that they would notice a bug.
//!
//! `OTTLA_SIM_FIRST` and `OTTLA_SIM_SEEDS` choose others. A seed is replayed, with all that happened, by
//! `cargo run -p ottla-sim -- SEED`.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use ottla_sim::{Bug, Summary, run};

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_invariant_holds", every_invariant_holds),
        Trial::test("every_planted_bug_is_caught", every_planted_bug_is_caught),
        Trial::test("a_seed_contains_the_same_each_time", a_seed_contains_the_same_each_time),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A number from the environment.
fn chosen(name: &str, otherwise: u64) -> Result<u64, Failed> {
    Ok(std::env::var(name).map_or(Ok(otherwise), |value| value.parse())?)
}

fn seeds() -> Result<std::ops::Range<u64>, Failed> {
    let first = chosen("OTTLA_SIM_FIRST", 0)?;
    Ok(first..first + chosen("OTTLA_SIM_SEEDS", 300)?)
}

fn every_invariant_holds() -> Result<(), Failed> {
    let (mut summary, mut failures) = (Summary::default(), Vec::new());
    for seed in seeds()? {
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
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n").into()),
    }
}

fn every_planted_bug_is_caught() -> Result<(), Failed> {
    let mut survivors = Vec::new();
    for bug in Bug::all() {
        let caught =
            (1..).zip(seeds()?).find_map(|(tries, seed)| Some((tries, run(seed, Some(bug), false).err()?)));
        match caught {
            Some((tries, failure)) => {
                println!("planted {bug}: {tries} seeds: {}", failure.violation.invariant)
            }
            None => survivors.push(bug.to_string()),
        }
    }
    match survivors.is_empty() {
        true => Ok(()),
        false => Err(format!("not caught: {}", survivors.join(", ")).into()),
    }
}

fn a_seed_contains_the_same_each_time() -> Result<(), Failed> {
    for seed in [1, 2, 3] {
        let (first, second) = (run(seed, None, false), run(seed, None, true));
        if first.ok() != second.ok() {
            return Err(format!("seed {seed} differs from itself").into());
        }
    }
    Ok(())
}
