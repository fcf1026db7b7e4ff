//! Runs seeds: `cargo run -p ottla-sim -- 17` replays one with all that happened, `-- 17 --planted NAME` with a bug
//! switched on, `-- 0..10000` runs many.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::process::ExitCode;

use ottla_sim::{Bug, Summary, run};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let seeds = args.next().unwrap_or_default();
    let planted = match (args.next().as_deref(), args.next()) {
        (None, _) => None,
        (Some("--planted"), Some(name)) if Bug::named(&name).is_some() => Bug::named(&name),
        _ => return usage(),
    };
    match seeds.split_once("..").map(|(first, end)| (first.parse(), end.parse())) {
        Some((Ok(first), Ok(end))) => many(first..end, planted),
        None if seeds.parse::<u64>().is_ok() => replay(seeds.parse().unwrap_or_default(), planted),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    println!("usage: ottla-sim SEED|FIRST..END [--planted BUG]\nbugs:");
    Bug::all().iter().for_each(|bug| println!("  {bug}"));
    ExitCode::from(2)
}

fn replay(seed: u64, planted: Option<Bug>) -> ExitCode {
    match run(seed, planted, true) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.journal.iter().for_each(|line| println!("{line}"));
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(seeds: std::ops::Range<u64>, planted: Option<Bug>) -> ExitCode {
    let (mut summary, mut failures) = (Summary::default(), 0);
    for seed in seeds {
        match run(seed, planted, false) {
            Ok(report) => summary.add(report),
            Err(failure) => {
                failures += 1;
                println!("{failure}");
            }
        }
    }
    println!("{summary}{failures} failures");
    ExitCode::from(u8::from(failures > 0))
}
