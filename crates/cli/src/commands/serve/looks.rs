//! Looks at the cluster again and again, for as long as it is served.

use std::{collections::BTreeSet, time::Instant};

use ottla::Admin;
use tokio::time::{MissedTickBehavior, interval};

use super::{board::Board, look::Look};
use crate::{
    args::ServeArgs,
    commands::lag::{Seen, Watch},
    failure::tell,
};

/// It does not end by itself. What goes wrong is told once for as long as it lasts, and looked at again.
pub(super) async fn run(admin: &Admin, args: &ServeArgs, board: &Board) {
    let groups = args.groups.named();
    let (mut watch, mut told) = (Watch::default(), BTreeSet::new());
    let mut ticks = interval(board.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        let notes: BTreeSet<String> = match Seen::ask(admin, &groups, &args.groups.filters).await {
            Ok(seen) => {
                watch.saw(&seen);
                let before = board.look();
                let look = Look::of(seen, &watch, begun.elapsed(), before.as_deref());
                let notes = look.notes.iter().cloned().collect();
                board.saw(look);
                notes
            }
            Err(failure) => {
                board.failed(failure.to_string());
                [failure.to_string()].into()
            }
        };
        notes.difference(&told).for_each(tell);
        told = notes;
    }
}
