//! `ottla dlq`.

use clap::{Args, Subcommand};

use super::Common;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqVerb {
    /// How many dead letters there are, by where they come from and why
    List {
        /// The topic that they are in; TOPIC:PARTITION of one partition
        #[arg(value_name = "TOPIC[:PARTITION]")]
        letters: String,
        #[command(flatten)]
        common: Common,
    },
    /// Where each dead letter comes from, and why it failed
    Show {
        /// Which
        #[arg(value_name = "TOPIC[:PARTITION[:OFFSET]]")]
        letters: String,
        /// End after so many
        #[arg(short, long, value_name = "COUNT")]
        count: Option<u64>,
        /// One JSON object a letter
        #[arg(short = 'J')]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Send dead letters back to where they came from: a dry run unless --execute
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Which. A letter that is named by its offset is sent whatever was sent before
    #[arg(value_name = "TOPIC[:PARTITION[:OFFSET]]")]
    pub(crate) letters: String,
    /// Send all of them to this topic instead
    #[arg(long, value_name = "TOPIC")]
    pub(crate) to: Option<String>,
    /// Send them; without it only what would be sent is told
    #[arg(long)]
    pub(crate) execute: bool,
    /// The group that keeps what was sent already [default: TOPIC-replay]
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}
