//! A consumer of very many partitions, in a process of its own: it begins at once, tells when it is handed its first record
//! and its last, and how many partitions it has, and holds them until its input ends.

use std::io::{BufRead, Write, stdin, stdout};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::lap::named;
use crate::now_millis;

/// Of what a process holds all partitions, and how it comes by them.
#[derive(Debug, Clone, Args)]
pub struct Holding {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// The topic: it is read from its beginning.
    #[arg(long)]
    pub topic: String,
    /// How many partitions it has.
    #[arg(long)]
    pub partitions: u32,
    /// How many records.
    #[arg(long)]
    pub records: u64,
    /// Who has which partitions.
    #[arg(long)]
    pub way: Way,
    /// Of those who subscribe.
    #[arg(long)]
    pub group: String,
    /// How often members tell the group that they are there; of the consumer protocol the broker decides it.
    #[arg(long)]
    pub heartbeat_millis: u64,
}

/// How a consumer comes by its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// All are assigned by hand.
    Assigned,
    /// By JoinGroup and SyncGroup, with the cooperative sticky assignor.
    Classic,
    /// By KIP-848, with the broker's own assignor.
    Consumer,
}

impl Way {
    /// As it is told on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

impl Holding {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, topic, partitions, records, way, group, heartbeat_millis } = self;
        named([
            ("--bootstrap", bootstrap.clone()),
            ("--topic", topic.clone()),
            ("--partitions", partitions.to_string()),
            ("--records", records.to_string()),
            ("--way", way.name().to_owned()),
            ("--group", group.clone()),
            ("--heartbeat-millis", heartbeat_millis.to_string()),
        ])
    }
}

/// Tells, a line each, what came about and when.
#[derive(Debug)]
pub struct Told {
    records: u64,
    seen: AtomicU64,
    owned: AtomicI64,
    /// The next record is the first since the process began, or since partitions came or went.
    is_next_first: AtomicBool,
}

impl Told {
    /// Of a topic with so many records. From here on the process listens to who started it, and ends with its input.
    pub fn begin(records: u64) -> Self {
        std::thread::spawn(|| {
            // Programs with a collector of garbage let go here of what nobody refers to. This one has none.
            stdin().lock().lines().map_while(Result::ok).for_each(|_| tell("collected"));
            std::process::exit(0);
        });
        let owned = AtomicI64::new(0);
        Self { records, seen: AtomicU64::new(0), owned, is_next_first: AtomicBool::new(true) }
    }

    /// A record was handed out.
    pub fn record(&self) {
        if self.is_next_first.swap(false, Ordering::Relaxed) {
            tell("record");
        }
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.records {
            tell("all");
        }
    }

    /// So many partitions came, or, where it is less than none, went.
    pub fn moved(&self, partitions: i64) {
        if partitions == 0 {
            return;
        }
        let owned = self.owned.fetch_add(partitions, Ordering::Relaxed) + partitions;
        tell(&format!("owns-{owned}"));
        self.is_next_first.store(true, Ordering::Relaxed);
    }
}

fn tell(what: &str) {
    // A pipe that nobody reads any more ends the process elsewhere.
    let _ = writeln!(stdout(), "{what} {}", now_millis());
}
