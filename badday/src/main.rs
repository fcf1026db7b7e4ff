//! A long bad day: three real brokers, clients of every kind, and faults drawn from a seed, for as long as is asked.
//!
//! `docs/bad-day.md` has what goes wrong, what is judged, and the bounds. The parts: [`plan`] draws, [`faults`] does,
//! [`company`] is who is there, [`cast`] are the
//! processes as they are seen from here ([`tether`] has them end with it) and [`actors`] what they do, [`judge`] judges what they tell as it comes,
//! [`leaks`] measures them, [`starved`] sees when they have no CPU,
//! [`day`] has it all go on in a [`scene`], and [`report`] tells.

mod actors;
mod cast;
mod company;
mod day;
mod faults;
mod judge;
mod leaks;
mod line;
mod plan;
mod report;
mod scene;
mod starved;
mod tether;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "A long bad day of real brokers and clients, judged", version)]
struct Arguments {
    /// How long it lasts
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Repeats the faults of another run: which, and when
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report goes [default: target/bad-day/SEED]
    #[arg(long)]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("actor", asked)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return actors::run(asked);
    }
    let Arguments { minutes, seed, report } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let folder = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bad-day"));
    let dir = report.unwrap_or_else(|| folder().join(seed.to_string()));
    let Some(faketime) = cast::faketime() else {
        eprintln!("clocks cannot be set here: install libfaketime (Debian's package `libfaketime`)");
        return ExitCode::from(2);
    };
    let again = format!("cargo run --release -p ottla-bad-day -- --minutes {minutes} --seed {seed}");
    println!("{again}\nreport: {}", dir.display());
    let lasts = Duration::from_secs(60 * minutes);
    let asked = day::Asked { seed, lasts, dir, faketime };
    let lived = std::fs::create_dir_all(&asked.dir).map_err(Into::into).and_then(|()| day::live(&asked));
    let report = match lived.and_then(|report| Ok((report.write(&asked.dir)?, report).1)) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("the day could not be lived: {error}");
            return ExitCode::from(2);
        }
    };
    println!("\n{report}");
    if report.is_clean {
        return ExitCode::SUCCESS;
    }
    println!("again: {again}");
    ExitCode::FAILURE
}
