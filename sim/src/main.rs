//! Runs seeds: `cargo run -p ottla-sim -- eager 17` replays one with all that happened, and `--planted NAME` with a bug
//! switched on; `--release -- all 0..10000` runs many of each mode on all cores.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{
    ops::Range,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use ottla_sim::{Bug, Case, Failure, Mode, Summary, run, shrink};

/// What the command line says.
#[derive(Debug, Default)]
struct Options {
    planted: Option<Bug>,
    without: Vec<usize>,
    story: bool,
    shrink: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [modes, seeds, rest @ ..] = &args[..] else { return usage() };
    let Some(options) = Options::parse(rest) else { return usage() };
    let modes = match (*modes, modes.parse()) {
        ("all", _) => Mode::ALL.to_vec(),
        (_, Ok(mode)) => vec![mode],
        _ => return usage(),
    };
    match (seeds.split_once(".."), seeds.parse(), &modes[..]) {
        (None, Ok(seed), [mode]) => replay(Case::new(*mode, seed), &options),
        (Some((first, end)), ..) => match (first.parse(), end.parse()) {
            (Ok(first), Ok(end)) => many(&modes, first..end, &options),
            _ => usage(),
        },
        _ => usage(),
    }
}

impl Options {
    fn parse(args: &[&str]) -> Option<Self> {
        let (mut options, mut args) = (Self::default(), args.iter());
        while let Some(arg) = args.next() {
            match *arg {
                "--planted" => options.planted = Some(Bug::named(args.next()?)?),
                "--without" => {
                    options.without =
                        args.next()?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
                }
                "--story" => options.story = true,
                "--shrink" => options.shrink = true,
                _ => return None,
            }
        }
        Some(options)
    }

    fn apply(&self, mut case: Case) -> Case {
        case.planted = self.planted;
        case.without.extend(&self.without);
        case
    }
}

fn usage() -> ExitCode {
    let modes: Vec<&str> = Mode::ALL.iter().map(|mode| mode.name()).collect();
    println!(
        "usage: ottla-sim MODE SEED [--planted BUG] [--without ITEM,..] [--story] [--shrink]\n       ottla-sim \
         MODE|all FIRST..END [--planted BUG]\nmodes: {}\nbugs:",
        modes.join(", ")
    );
    Bug::all().iter().for_each(|bug| println!("  {bug}"));
    ExitCode::from(2)
}

fn replay(case: Case, options: &Options) -> ExitCode {
    match run(&options.apply(case), true) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(mut failure) => {
            if options.shrink {
                failure = shrink(&failure, Duration::from_secs(60));
            }
            match options.story {
                true => println!("{}", failure.transcript()),
                false => failure.journal.iter().for_each(|line| println!("{}", line.text)),
            }
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(modes: &[Mode], seeds: Range<u64>, options: &Options) -> ExitCode {
    let mut failed = false;
    for mode in modes {
        let began = Instant::now();
        let (summary, failures) = spread(*mode, seeds.clone(), options);
        println!("{mode}: {summary}");
        failures.iter().take(SHOWN).for_each(|failure| println!("{failure}"));
        let poor: Vec<String> = summary.poor().collect();
        poor.iter().take(SHOWN).for_each(|line| println!("too little: {line}"));
        let (failures, poor, took) = (failures.len(), poor.len(), began.elapsed());
        println!("{mode}: {failures} failures, {poor} with too little, in {took:.0?}\n");
        failed |= failures + poor > 0;
    }
    ExitCode::from(u8::from(failed))
}

/// How many failures are told of each mode.
const SHOWN: usize = 20;

/// Runs the seeds of a mode on all cores.
fn spread(mode: Mode, seeds: Range<u64>, options: &Options) -> (Summary, Vec<Failure>) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let (mut summary, mut failures) = (Summary::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (summary, failures);
            }
            match run(&options.apply(Case::new(mode, seed)), false) {
                Ok(report) => summary.add(report),
                Err(failure) => failures.push(*failure),
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut whole = (Summary::default(), Vec::new());
        for (summary, failures) in workers.into_iter().flat_map(|worker| worker.join()) {
            whole.0.merge(summary);
            whole.1.extend(failures);
        }
        whole.1.sort_by_key(|failure| failure.case.seed);
        whole
    })
}
