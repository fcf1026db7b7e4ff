//! What a lap writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;

use crate::lap::named;

/// What a lap writes, and how.
#[derive(Debug, Clone, Args)]
pub struct Writing {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// The topic, which nobody else writes to.
    #[arg(long)]
    pub topic: String,
    /// A file with a value a line. They are written in turn, again and again, without keys.
    #[arg(long)]
    pub payloads: PathBuf,
    /// By Java's name for it.
    #[arg(long)]
    pub codec: String,
    /// So many are written and acknowledged before the lap begins: connections stand by then, and a JVM is warm.
    #[arg(long)]
    pub before: u64,
    /// Of the lap.
    #[arg(long)]
    pub records: u64,
}

impl Writing {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, topic, payloads, codec, before, records } = self;
        named([
            ("--bootstrap", bootstrap.clone()),
            ("--topic", topic.clone()),
            ("--payloads", payloads.display().to_string()),
            ("--codec", codec.clone()),
            ("--before", before.to_string()),
            ("--records", records.to_string()),
        ])
    }

    /// The file's lines.
    pub fn values(&self) -> Result<Values> {
        Values::read(&self.payloads)
    }
}

/// Values that stay as long as the process does, so that a client that wants to own them need not copy.
#[derive(Debug)]
pub struct Values(Vec<&'static [u8]>);

impl Values {
    /// A file's lines.
    pub fn read(file: &Path) -> Result<Self> {
        let text: &'static [u8] = fs::read(file)?.leak();
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        ensure!(!lines.is_empty(), "{} is empty", file.display());
        Ok(Self(lines))
    }

    /// So many, the first ones again after the last.
    pub fn cycle(&self, count: u64) -> impl Iterator<Item = &'static [u8]> + '_ {
        self.0.iter().copied().cycle().take(count as usize)
    }
}
