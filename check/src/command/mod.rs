//! The command line. Status 0: clean; 1: anomalies; 2: nothing could be judged.

mod clients;
mod diary;
mod final_read;
mod member;
mod run;
mod write;

use std::{fmt::Display, fs::File, io::BufReader, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ottla_check::{History, Report, history::Isolation, judge};

use self::clients::ClientArgs;

/// Why nothing can be judged: one sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Judges what a Kafka cluster and its clients did.
#[derive(Debug, Parser)]
#[command(name = "ottla-check", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Judge histories: JSON lines, as docs/checker.md has them
    Judge {
        /// All files of one history
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How the report is printed
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: Output,
    },
    /// Write to a new topic of a cluster, read it in a group, commit; then read it once more, and judge
    Run(RunArgs),
    /// One process of a run, which ends when its input does
    #[command(hide = true)]
    Member(MemberArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: one object
    Json,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    clients: ClientArgs,
    /// How long, as 500ms, 60s or 5m
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
    how_long: Duration,
    /// How many processes write and read
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    processes: u32,
    /// Where the histories go: a new directory, or an empty one
    #[arg(long)]
    dir: PathBuf,
    /// The topic, which must not exist [default: a new name]
    #[arg(long)]
    topic: Option<String>,
    /// How many partitions it has
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// On how many brokers each is kept [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// How many records each process writes a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    #[command(flatten)]
    writing: Writing,
    /// Kill processes, or stop them, at random times, and start others in their place
    #[arg(long)]
    kill: bool,
    /// How often, on average
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    kill_every: Duration,
    /// What decides whom to kill when [default: drawn, and told]
    #[arg(long)]
    seed: Option<u64>,
    /// How the report is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, Args)]
struct Writing {
    /// Write in transactions, of which each fifth is aborted, and read what is committed
    #[arg(long)]
    transactions: bool,
}

impl Writing {
    /// What its readers read.
    fn isolation(self) -> Isolation {
        if self.transactions { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }
}

#[derive(Debug, Args)]
struct MemberArgs {
    #[command(flatten)]
    clients: ClientArgs,
    #[arg(long)]
    name: String,
    #[arg(long)]
    history: PathBuf,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: i32,
    #[arg(long)]
    rate: u32,
    #[command(flatten)]
    writing: Writing,
}

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Judge { files, output } => judged(&files).and_then(|report| print(&report, output)),
        Verb::Run(args) => run::run(&args).and_then(|report| print(&report, args.output)),
        Verb::Member(args) => member::run(&args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            tell(failure);
            ExitCode::from(2)
        }
    }
}

fn tell(what: impl Display) {
    eprintln!("ottla-check: {what:#}");
}

/// The report on the history in these files.
fn judged(files: &[PathBuf]) -> Result<Report, Failure> {
    let mut history = History::default();
    for path in files {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
        history.read(&name, BufReader::new(file))?;
    }
    if history.is_empty() {
        return Err("no operation is in these files: nothing to judge".into());
    }
    Ok(judge(&history)?)
}

/// Prints it. Whether it is clean.
fn print(report: &Report, output: Output) -> Result<bool, Failure> {
    let text = match output {
        Output::Text => report.to_string(),
        Output::Json => serde_json::to_string(report)?,
    };
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").map_err(|error| format!("stdout: {error}"))?;
    Ok(report.is_clean())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "a number and a unit, as 60s".to_owned())?;
    let millis = match text.get(digits.len()..) {
        Some("ms") => Some(number),
        Some("s") => number.checked_mul(1000),
        Some("m") => number.checked_mul(60_000),
        Some("h") => number.checked_mul(3_600_000),
        _ => return Err("the unit is ms, s, m or h".to_owned()),
    };
    // Longer than a month is a slip, and would leave what a clock can count.
    let millis = millis.filter(|millis| (1..=31 * 86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| "from 1ms to 31 days".to_owned())
}
