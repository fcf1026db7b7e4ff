//! What a lap handles, record by record.

use clap::{Args, ValueEnum};

use crate::lap::named;

/// Each record of a topic is handled by a member of a group, which commits what is done.
#[derive(Debug, Clone, Args)]
pub struct Processing {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// What is read, from offset 0.
    #[arg(long)]
    pub topic: String,
    /// Each pass has one of its own, which begins with this.
    #[arg(long)]
    pub group: String,
    /// Which records wait for which.
    #[arg(long)]
    pub order: ByWhat,
    /// How many records may be with handlers at once.
    #[arg(long)]
    pub concurrency: u64,
    /// How long a handler waits with each record.
    #[arg(long)]
    pub wait_micros: u64,
    /// So many passes, without waits, come before the one that is measured, so that a JVM is warm.
    #[arg(long)]
    pub before: u64,
    /// Of each pass: as many as the topic has.
    #[arg(long)]
    pub records: u64,
}

/// Records of one of these are handled one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByWhat {
    /// A partition.
    Partition,
    /// A key of a partition.
    Key,
}

impl ByWhat {
    /// As it is told on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
        }
    }
}

impl Processing {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, topic, group, order, concurrency, wait_micros, before, records } = self;
        named([
            ("--bootstrap", bootstrap.clone()),
            ("--topic", topic.clone()),
            ("--group", group.clone()),
            ("--order", order.name().to_owned()),
            ("--concurrency", concurrency.to_string()),
            ("--wait-micros", wait_micros.to_string()),
            ("--before", before.to_string()),
            ("--records", records.to_string()),
        ])
    }
}
