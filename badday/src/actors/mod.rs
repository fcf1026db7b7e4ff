//! The other side of the program: what it starts as processes of their own, so that each can be killed, stopped, and told another time.
//!
//! `ottla-bad-day actor ROLE KEY=VALUE...`: keys that begin with `own.` are the role's, the others Kafka's properties. An actor tells
//! what it sees ([`Told`]), obeys its standard input, and ends in good order when that ends.

mod ledger;
mod processor;
mod reader;
mod transformer;
mod writer;

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::TopicPartition;

use crate::line::Told;

/// How often it says that it is there.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// After how long without a record it says what it waits for.
const QUIET: Duration = Duration::from_secs(4);

/// How long it takes to leave in good order.
const CLOSE: Duration = Duration::from_secs(20);

type Failure = Box<dyn Error>;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(play(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&Told::Fatal(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &[String]) -> Result<(), Failure> {
    let (role, pairs) = arguments.split_first().ok_or("no role")?;
    let orders = Orders::listen();
    let asked = Asked::parse(pairs)?;
    match role.as_str() {
        "reader" => reader::run(&asked, &orders).await,
        "writer" => writer::run(&asked, &orders).await,
        "ledger" => ledger::run(&asked, &orders).await,
        "transformer" => transformer::run(&asked, &orders).await,
        "processor" => processor::by_key(asked, orders).await,
        "copier" => processor::exactly_once(asked, orders).await,
        other => Err(format!("no role {other}").into()),
    }
}

/// Whoever started it is gone where that fails.
fn tell(told: &Told) {
    let _ = io::stdout().lock().write_all(format!("{told}\n").as_bytes());
}

fn tell_all(told: &[Told]) {
    let lines: String = told.iter().map(|told| format!("{told}\n")).collect();
    let _ = io::stdout().lock().write_all(lines.as_bytes());
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|at| at.partition).collect()
}

/// What the command line says.
struct Asked {
    own: BTreeMap<String, String>,
    properties: Vec<(String, String)>,
}

impl Asked {
    fn parse(pairs: &[String]) -> Result<Self, Failure> {
        let mut asked = Self { own: BTreeMap::new(), properties: Vec::new() };
        for pair in pairs {
            let (key, value) = pair.split_once('=').ok_or("not KEY=VALUE")?;
            match key.strip_prefix("own.") {
                Some(own) => drop(asked.own.insert(own.to_owned(), value.to_owned())),
                None => asked.properties.push((key.to_owned(), value.to_owned())),
            }
        }
        Ok(asked)
    }

    fn own<T: FromStr<Err: Error + 'static>>(&self, key: &str) -> Result<T, Failure> {
        Ok(self.own.get(key).ok_or_else(|| format!("no own.{key}"))?.parse()?)
    }

    /// The properties that a client of this kind has: a group's are no producer's.
    fn of_producer(&self) -> Vec<(String, String)> {
        const SHARED: [&str; 2] = ["bootstrap.servers", "security.protocol"];
        let is_shared = |key: &str| SHARED.contains(&key) || key.starts_with("ssl.");
        self.properties.iter().filter(|(key, _)| is_shared(key)).cloned().collect()
    }
}

/// What it is told to do.
#[derive(Clone)]
struct Orders(Arc<Given>);

struct Given {
    is_over: AtomicBool,
    over: tokio::sync::Notify,
    /// How many partitions the topic has; 0 as long as nothing was said.
    partitions: AtomicI32,
}

impl Orders {
    fn listen() -> Self {
        let given = Arc::new(Given {
            is_over: AtomicBool::new(false),
            over: tokio::sync::Notify::new(),
            partitions: AtomicI32::new(0),
        });
        let heard = given.clone();
        // Ends with the process: a read of the standard input cannot be called off.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if let Some(count) = line.strip_prefix("partitions ").and_then(|count| count.parse().ok()) {
                    heard.partitions.store(count, Ordering::Relaxed);
                }
            }
            heard.is_over.store(true, Ordering::Relaxed);
            heard.over.notify_one();
        });
        Self(given)
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// For one who waits.
    async fn over(&self) {
        if !self.is_over() {
            self.0.over.notified().await;
        }
    }

    fn partitions(&self, at_first: i32) -> i32 {
        at_first.max(self.0.partitions.load(Ordering::Relaxed))
    }
}

/// Says that it is there, and what it waits for.
struct Pulse {
    ticked: Option<Instant>,
    moved: Instant,
    told: Instant,
}

impl Pulse {
    fn new() -> Self {
        let now = Instant::now();
        Self { ticked: None, moved: now, told: now }
    }

    /// Something came.
    fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// Where it is time for a tick, tells it.
    fn tick(&mut self, deleted: u64, why: impl FnOnce() -> String) -> bool {
        let now = Instant::now();
        let waits = |since: Instant| now.saturating_duration_since(since) >= QUIET;
        if waits(self.moved) && waits(self.told) {
            self.told = now;
            tell(&Told::Why(why()));
        }
        // A clock that was set back has it tell at once, and once.
        let is_due = self.ticked.is_none_or(|at| at > now || now.duration_since(at) >= TICK);
        if is_due {
            self.ticked = Some(now);
            tell(&Told::Tick { tasks: tasks(), deleted });
        }
        is_due
    }
}

/// How many tasks the runtime has.
fn tasks() -> u64 {
    static RUNTIME: OnceLock<tokio::runtime::Handle> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(tokio::runtime::Handle::current);
    runtime.metrics().num_alive_tasks() as u64
}
