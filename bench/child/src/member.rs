//! A member of a group in a process of its own: it waits to be told to join, prints what it is handed, and leaves when
//! told, or dies with its parent.

use std::io::{BufRead, BufWriter, Stdout, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::lap::named;

/// Which group a member is to be in.
#[derive(Debug, Clone, Args)]
pub struct Membership {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// What the group reads.
    #[arg(long)]
    pub topic: String,
    /// The group.
    #[arg(long)]
    pub group: String,
    /// How it assigns partitions.
    #[arg(long)]
    pub protocol: Protocol,
    /// Of classic members; a broker decides for the others.
    #[arg(long)]
    pub session_millis: u64,
    /// Of classic members.
    #[arg(long)]
    pub heartbeat_millis: u64,
    /// How often positions are committed.
    #[arg(long)]
    pub commit_millis: u64,
}

/// How a group assigns partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// JoinGroup and SyncGroup, with the cooperative sticky assignor.
    Classic,
    /// KIP-848, with the broker's own assignor.
    Consumer,
}

impl Membership {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let protocol = match self.protocol {
            Protocol::Classic => "classic",
            Protocol::Consumer => "consumer",
        };
        named([
            ("--bootstrap", self.bootstrap.clone()),
            ("--topic", self.topic.clone()),
            ("--group", self.group.clone()),
            ("--protocol", protocol.to_owned()),
            ("--session-millis", self.session_millis.to_string()),
            ("--heartbeat-millis", self.heartbeat_millis.to_string()),
            ("--commit-millis", self.commit_millis.to_string()),
        ])
    }
}

/// What the parent says, a line each: the first to begin, the second to end.
#[derive(Debug)]
pub struct Orders {
    ended: Arc<AtomicBool>,
}

impl Orders {
    /// Waits for the first.
    pub fn begin() -> Result<Self> {
        if stdin().lock().read_line(&mut String::new())? == 0 {
            std::process::exit(0);
        }
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        // Blocked in its read most of the time, it ends with the process.
        std::thread::spawn(move || {
            let mut lines = stdin().lock().lines();
            if let Some(Ok(_)) = lines.next() {
                end.store(true, Ordering::Relaxed);
                let _ = lines.next();
            }
            // The parent is gone, or has no more patience.
            std::process::exit(0);
        });
        Ok(Self { ended })
    }

    /// Whether the second has come.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Prints each record: its partition, its number (which is its value), and when it was there.
#[derive(Debug)]
pub struct Deliveries(BufWriter<Stdout>);

impl Deliveries {
    /// On standard output.
    #[expect(clippy::new_without_default, reason = "there is one standard output")]
    pub fn new() -> Self {
        Self(BufWriter::with_capacity(1 << 20, stdout()))
    }

    /// A record was handed out.
    pub fn add(&mut self, partition: i32, number: &[u8]) -> Result<()> {
        write!(self.0, "{partition} ")?;
        self.0.write_all(number)?;
        Ok(writeln!(self.0, " {}", now_millis())?)
    }

    /// At the end of a poll, as the next may never return.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }
}

/// On the clock that all processes share.
pub fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
