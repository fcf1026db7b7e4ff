//! `ottla doctor`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint, value_parser};

use super::Common;
use crate::duration;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Only these groups, and the topics that they read [default: all]; repeatable
    #[arg(short = 'G', long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// How many times to look at groups and clocks. A single look cannot tell what moves; ten are needed for what lag tells
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) looks: u32,
    /// How long to wait between two looks: 500ms, 1s. A group that commits less often than all looks take seems to stand
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(crate) interval: Duration,
    /// How long an address may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub(crate) patience: Duration,
    /// Ask a member's own process what it waits for, at the socket that it offers (`ConsumerBuilder::explain_socket`); repeatable
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) explain: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}
