//! What a lap reads.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::Lap;

/// What a lap reads, and how.
#[derive(Debug, Clone, Args)]
pub struct Course {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// The topic, which nobody writes to any more.
    #[arg(long)]
    pub topic: String,
    /// How many partitions it has: all are read, from offset 0.
    #[arg(long)]
    pub partitions: u32,
    /// After so many records the lap is over.
    #[arg(long)]
    pub records: u64,
    /// Of one fetch.
    #[arg(long, default_value_t = 50 << 20)]
    pub fetch_max_bytes: i32,
    /// Work, by a thread that sleeps, for each million bytes of keys and values.
    #[arg(long, default_value_t = 0)]
    pub millis_per_mb: u64,
    /// TLS is spoken, with a broker whose certificate the authority in this file has signed.
    #[arg(long)]
    pub authority: Option<PathBuf>,
    /// By `read_committed`; otherwise by `read_uncommitted`.
    #[arg(long)]
    pub committed: bool,
}

impl Course {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, topic, partitions, records, fetch_max_bytes, millis_per_mb, .. } = self;
        let mut args = named([
            ("--bootstrap", bootstrap.clone()),
            ("--topic", topic.clone()),
            ("--partitions", partitions.to_string()),
            ("--records", records.to_string()),
            ("--fetch-max-bytes", fetch_max_bytes.to_string()),
            ("--millis-per-mb", millis_per_mb.to_string()),
        ]);
        if let Some(file) = &self.authority {
            args.extend(named([("--authority", file.display().to_string())]));
        }
        // Last, and only where it is asked for, as the programs that never are take pairs of names and values.
        if self.committed {
            args.push("--committed".to_owned());
        }
        args
    }

    /// The properties of TLS by Java's names; none without it.
    pub fn tls(&self) -> impl Iterator<Item = (&'static str, String)> {
        tls(self.authority.as_deref())
    }
}

/// Names and their values, one after the other.
pub(crate) fn named<const N: usize>(arguments: [(&str, String); N]) -> Vec<String> {
    arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// The properties of TLS by Java's names; none without an authority that is trusted.
pub fn tls(authority: Option<&Path>) -> impl Iterator<Item = (&'static str, String)> {
    let properties = |file: &Path| {
        [
            ("security.protocol", "SSL".to_owned()),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.location", file.display().to_string()),
        ]
    };
    authority.into_iter().flat_map(properties)
}

impl Lap {
    /// Prints it for the process that started this one.
    pub fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}
