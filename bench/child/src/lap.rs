//! What a lap reads.

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
}

impl Course {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, topic, partitions, records, fetch_max_bytes, millis_per_mb } = self;
        let texts = [("--bootstrap", bootstrap.clone()), ("--topic", topic.clone())];
        let numbers = [
            ("--partitions", u64::from(*partitions)),
            ("--records", *records),
            ("--fetch-max-bytes", *fetch_max_bytes as u64),
            ("--millis-per-mb", *millis_per_mb),
        ];
        let numbers = numbers.map(|(name, number)| (name, number.to_string()));
        texts.into_iter().chain(numbers).flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

impl Lap {
    /// Prints it for the process that started this one.
    pub fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}
