//! Who finds records deleted before it has read them. What all have committed is deleted, so that nobody should, but for one that was
//! thrown out of its group while it stood still: before it knows, it goes on where it was, and others have gone on since. Nothing is lost
//! by that, or it is told as `lost`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Violations;

/// How long one that stood still may take to learn that it was thrown out, and to say so.
const LEARNS: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Unread {
    /// How many records each actor has found deleted, in its life.
    told: BTreeMap<String, u64>,
    /// How many of them it may have found when they were no longer its own, and since when.
    doubted: BTreeMap<String, (Instant, u64)>,
}

impl Unread {
    /// An actor has found so many in all.
    pub(super) fn told(&mut self, actor: &str, deleted: u64, now: Instant) {
        let before = self.told.get(actor).copied().unwrap_or_default();
        if deleted > before {
            self.told.insert(actor.to_owned(), deleted);
            self.doubted.entry(actor.to_owned()).or_insert((now, 0)).1 += deleted - before;
        }
    }

    /// An actor says that its partitions were taken from it.
    pub(super) fn lost(&mut self, actor: &str) {
        self.doubted.remove(actor);
    }

    /// A process begins in the place of one that says nothing any more.
    pub(super) fn started(&mut self, actor: &str, violations: &mut Violations) {
        self.told.remove(actor);
        self.tell(|of, _| of == actor, violations);
    }

    pub(super) fn look(&mut self, now: Instant, violations: &mut Violations) {
        self.tell(|_, since| now.saturating_duration_since(since) > LEARNS, violations);
    }

    pub(super) fn close(&mut self, violations: &mut Violations) {
        self.tell(|_, _| true, violations);
    }

    fn tell(&mut self, is_due: impl Fn(&str, Instant) -> bool, violations: &mut Violations) {
        self.doubted.retain(|actor, (since, count)| {
            let is_due = is_due(actor, *since);
            if is_due {
                let text = format!("{actor}: {count} records were deleted before it had read them");
                violations.add("deleted unread", text, *since);
            }
            !is_due
        });
    }
}
