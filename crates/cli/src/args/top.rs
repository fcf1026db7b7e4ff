//! Flags of `ottla top`.

use std::time::Duration;

use clap::Args;

use super::{Common, groups::GroupsWanted};
use crate::duration;

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) groups: GroupsWanted,
    /// How often to look: 500ms, 30s, 10m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,
    #[command(flatten)]
    pub(crate) common: Common,
}
