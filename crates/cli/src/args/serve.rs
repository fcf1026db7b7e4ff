//! Flags of `ottla serve`.

use std::{path::PathBuf, time::Duration};

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
    /// Keep what was seen in this directory, so that the next process finds it: lag over time, and what time lags and statuses follow
    /// from. One process at a time may have it open [default: all is in memory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// With --data-dir: for how long lag over time is kept, 31d at the most [default: 7d]
    #[arg(long, value_name = "TIME", requires = "data_dir", value_parser = keep)]
    pub(crate) keep: Option<Duration>,
    /// Let who has the token move offsets of groups, by the page and by POST; beyond this machine only with --tls-cert. The token is
    /// printed once, or read from --token-file
    #[arg(long)]
    pub(crate) allow_writes: bool,
    /// With --allow-writes: the token, one line of 16 characters or more
    #[arg(long, value_name = "FILE", requires = "allow_writes")]
    pub(crate) token_file: Option<PathBuf>,
    /// Speak TLS, with this certificate: PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of --tls-cert: PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The longest time that charts are of use for, and that answers have room for.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

fn keep(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    (time <= LONGEST).then_some(time).ok_or_else(|| "31d at the most".to_owned())
}
