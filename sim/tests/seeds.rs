//! Three hundred seeds of each mode, and the proof that they would notice a bug.
//!
//! `OTTLA_SIM_FIRST` and `OTTLA_SIM_SEEDS` choose others. A seed is replayed, with all that happened, by
//! `cargo run -p ottla-sim -- MODE SEED`.

use std::{process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use ottla_sim::{Bug, Case, Failure, Mode, Summary, run, shrink};

/// How long a failure is made smaller, and how many of a trial's failures are told at length.
const PATIENCE: Duration = Duration::from_secs(10);
const TOLD: usize = 2;

fn main() -> ExitCode {
    let of_mode = |mode: Mode| {
        Trial::test(format!("every_invariant_holds::{mode}"), move || every_invariant_holds(mode))
    };
    let of_bug = |bug: Bug| {
        Trial::test(format!("every_planted_bug_is_caught::{bug}"), move || a_planted_bug_is_caught(bug))
    };
    let mut trials: Vec<Trial> = Mode::ALL.into_iter().map(of_mode).collect();
    trials.extend(Bug::all().into_iter().map(of_bug));
    trials.push(Trial::test("a_seed_contains_the_same_each_time", a_seed_contains_the_same_each_time));
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

fn every_invariant_holds(mode: Mode) -> Result<(), Failed> {
    let (mut summary, mut failures) = (Summary::default(), Vec::new());
    for seed in seeds()? {
        match run(&Case::new(mode, seed), false) {
            Ok(report) => summary.add(report),
            Err(failure) => failures.push(failure),
        }
    }
    println!("{mode}: {summary}");
    let mut told: Vec<String> = failures.iter().map(|failure| failure.to_string()).collect();
    told.extend(failures.iter().take(TOLD).map(|failure| at_length(failure)));
    told.extend(summary.poor().map(|line| format!("too little: {line}")));
    if told.is_empty() { Ok(()) } else { Err(told.join("\n").into()) }
}

fn at_length(failure: &Failure) -> String {
    let smaller = shrink(failure, PATIENCE);
    format!("\n{}{smaller}", smaller.transcript())
}

/// Each seed is tried in the modes that meet the bug, in turn. As some bugs are rare, there are half as many runs again as seeds.
fn a_planted_bug_is_caught(bug: Bug) -> Result<(), Failed> {
    let seeds = seeds()?;
    let runs = (seeds.end - seeds.start) * 3 / 2;
    let modes = bug.modes();
    let cases = seeds.flat_map(|seed| modes.iter().map(move |mode| Case::new(*mode, seed).with(bug)));
    let caught = (1..=runs).zip(cases).find_map(|(tries, case)| Some((tries, run(&case, false).err()?)));
    match caught {
        Some((tries, failure)) => {
            println!("planted {bug}: {tries} seeds: {}", failure.violation.invariant);
            Ok(())
        }
        None => Err(format!("not caught in {runs} seeds").into()),
    }
}

fn a_seed_contains_the_same_each_time() -> Result<(), Failed> {
    for mode in Mode::ALL {
        for seed in [1, 2] {
            let case = Case::new(mode, seed);
            let (first, second) = (run(&case, false), run(&case, true));
            if first.ok() != second.ok() {
                return Err(format!("{mode} {seed} differs from itself").into());
            }
        }
    }
    Ok(())
}
