//! Flags of `ottla serve`.

use std::time::Duration;

use clap::Args;

use super::{Common, groups::GroupsWanted};
use crate::duration;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) groups: GroupsWanted,
    /// Where it listens: beyond this machine all who reach it can read what it shows
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9308")]
    pub(crate) listen: String,
    /// A name under which it is reached, beside the address of --listen, as through a proxy; repeatable. Requests to other
    /// names are refused
    #[arg(long = "host", value_name = "NAME[:PORT]")]
    pub(crate) hosts: Vec<String>,
    /// How often to look: 500ms, 30s, 10m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,
    #[command(flatten)]
    pub(crate) common: Common,
}
