//! Looks at the cluster again and again: what `ottla serve` and `ottla top` show.
//!
//! - `look`: one look, and what it shows of each group.
//! - `board`: the last look, and each group's lag over time, for those who ask meanwhile.
//! - `news`: what has changed between two looks.

mod board;
mod look;
mod news;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ottla::Admin;
use tokio::time::{MissedTickBehavior, interval};

pub(super) use self::{
    board::Board,
    look::{Group, Look},
    news::between,
};
use super::lag::{Seen, Watch};
use crate::args::GroupFilters;

/// What is looked at, and how often.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// All groups, where none is named.
    pub(super) groups: Vec<String>,
    pub(super) filters: &'a GroupFilters,
    pub(super) interval: Duration,
}

/// How a look went. It is on the board already.
#[derive(Debug)]
pub(super) enum Went {
    Saw { before: Option<Arc<Look>>, now: Arc<Look> },
    Failed(String),
}

/// It does not end by itself: what goes wrong is told, and looked at again.
pub(super) async fn run(admin: &Admin, asked: &Asked<'_>, board: &Board, mut tell: impl FnMut(Went)) {
    let mut watch = Watch::default();
    let mut ticks = interval(asked.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        match Seen::ask(admin, &asked.groups, asked.filters).await {
            Ok(seen) => {
                watch.saw(&seen);
                let before = board.look();
                let now = Arc::new(Look::of(seen, &watch, begun.elapsed(), before.as_deref()));
                board.saw(now.clone());
                tell(Went::Saw { before, now });
            }
            Err(failure) => {
                board.failed(failure.to_string());
                tell(Went::Failed(failure.to_string()));
            }
        }
    }
}
