//! What a lap makes of one topic in another, exactly once.

use clap::Args;

use crate::lap::named;

/// Each record of one topic is sent on to another as it is, in transactions that hold how far was read, too.
#[derive(Debug, Clone, Args)]
pub struct Transforming {
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// What is read, by one member of a group, from offset 0, by `read_committed`.
    #[arg(long)]
    pub from: String,
    /// What is written to.
    #[arg(long)]
    pub to: String,
    /// The group, and the transactional id. Each pass has one of its own, which begins with this.
    #[arg(long)]
    pub name: String,
    /// At most, of a transaction.
    #[arg(long)]
    pub of_each: u64,
    /// So many passes come before the one that is measured, so that a JVM is warm.
    #[arg(long)]
    pub before: u64,
    /// Of each pass: as many as the topic has.
    #[arg(long)]
    pub records: u64,
}

impl Transforming {
    /// The arguments that say so.
    pub fn args(&self) -> Vec<String> {
        let Self { bootstrap, from, to, name, of_each, before, records } = self;
        named([
            ("--bootstrap", bootstrap.clone()),
            ("--from", from.clone()),
            ("--to", to.clone()),
            ("--name", name.clone()),
            ("--of-each", of_each.to_string()),
            ("--before", before.to_string()),
            ("--records", records.to_string()),
        ])
    }
}
