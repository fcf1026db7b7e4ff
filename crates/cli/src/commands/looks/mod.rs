//! Looks at the cluster again and again: what `ottla serve` and `ottla top` show.
//!
//! - `look`: one look, and what it shows of each group.
//! - `board`: the last look, and each group's lag over time, for those who ask meanwhile.
//! - `storage`: what of it a process finds that is started anew.
//! - `news`: what has changed between two looks.

mod board;
mod look;
mod news;
mod storage;

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
    storage::{Condition, Event, Now, Storage},
};
use super::lag::{Seen, Watch};
use crate::{args::GroupFilters, signals::Stop};

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

/// What comes next of what is kept from look to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The cluster has answered for the first time: what was known before is of use.
    Begin,
    /// A look is over.
    Looked,
    /// There will be none after this.
    End,
}

/// Looks until it is to stop: what goes wrong is told, and looked at again. Who keeps what was seen has it at each turn, and gives it
/// back.
pub(super) async fn run(
    admin: &Admin,
    asked: &Asked<'_>,
    board: &Board,
    mut stop: Stop,
    mut tell: impl FnMut(Went),
    mut keep: impl AsyncFnMut(Watch, Turn) -> Watch,
) {
    let (mut watch, mut has_begun) = (Watch::default(), false);
    let mut ticks = interval(asked.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            ticks.tick().await;
            let begun = Instant::now();
            (begun, Seen::ask(admin, &asked.groups, asked.filters).await)
        };
        let (begun, seen) = tokio::select! {
            () = stop.requested() => break,
            next = next => next,
        };
        match seen {
            Ok(seen) => {
                if !has_begun {
                    watch = keep(watch, Turn::Begin).await;
                    has_begun = true;
                }
                watch.saw(&seen);
                let before = board.look();
                let now = Arc::new(Look::of(seen, &watch, begun.elapsed(), before.as_deref()));
                board.saw(now.clone());
                tell(Went::Saw { before, now });
                watch = keep(watch, Turn::Looked).await;
            }
            Err(failure) => {
                board.failed(failure.to_string());
                tell(Went::Failed(failure.to_string()));
            }
        }
    }
    if has_begun {
        keep(watch, Turn::End).await;
    }
}
