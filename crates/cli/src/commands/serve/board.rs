//! What is served: the board of the looks, and who is told of the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::events::Events;
use crate::commands::looks::{self, Look, Storage, between};

/// The last look with those before, the stream of what changes, and how often what was asked.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) looks: looks::Board,
    pub(super) events: Events,
    pub(super) counts: Counts,
    /// Where it is kept, if anywhere.
    pub(super) storage: Option<Arc<Storage>>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counts {
    pub(super) fn one_more(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Board {
    pub(super) fn new(interval: Duration, storage: Option<Arc<Storage>>) -> Self {
        let (looks, events) = (looks::Board::new(interval), Events::default());
        Self { looks, events, counts: Counts::default(), storage }
    }

    /// The last look that succeeded.
    pub(super) fn look(&self) -> Option<Arc<Look>> {
        self.looks.look()
    }

    /// Tells those who read events what a look has changed.
    pub(super) fn tell(&self, before: Option<&Look>, now: &Look) {
        if let Some(before) = before {
            for (kind, text) in between(before, now) {
                self.events.tell(kind, &text);
            }
        }
        self.events.pass("look", &json!({"at": now.at, "groups": now.groups.len()}));
    }
}
