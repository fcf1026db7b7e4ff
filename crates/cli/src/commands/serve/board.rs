//! What those who look leave for those who ask. No lock is held for longer than a copy takes, or over an await.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{events::Events, look::Look, news};
use crate::history::{Point, Trend};

/// How many intervals may pass without a look that succeeds before what is shown counts as old.
const STALE_LOOKS: u32 = 3;
/// Not less than that, as a look takes its time.
const STALE: Duration = Duration::from_secs(30);

/// The last look, what is kept of those before, and who is told of the next.
#[derive(Debug)]
pub(super) struct Board {
    interval: Duration,
    state: Mutex<State>,
    pub(super) events: Events,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    look: Option<Arc<Look>>,
    /// When the last look succeeded.
    succeeded: Option<Instant>,
    /// Why the last did not.
    failure: Option<String>,
    trends: BTreeMap<String, Trend>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) looks: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counts {
    pub(super) fn one_more(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Board {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::default(), events: Events::default(), counts: Counts::default() }
    }

    /// The last look that succeeded.
    pub(super) fn look(&self) -> Option<Arc<Look>> {
        self.lock().look.clone()
    }

    /// A look is over: it is shown, and what it changes is told.
    pub(super) fn saw(&self, look: Look) {
        let look = Arc::new(look);
        let before = {
            let mut state = self.lock();
            state.trends.retain(|name, _| look.groups.contains_key(name));
            for (name, group) in &look.groups {
                let trend = state.trends.entry(name.clone()).or_insert_with(|| Trend::begin(look.at));
                trend.saw(look.at, group.lag, group.age);
            }
            (state.succeeded, state.failure) = (Some(Instant::now()), None);
            state.look.replace(look.clone())
        };
        Counts::one_more(&self.counts.looks);
        if let Some(before) = before {
            for (kind, text) in news::between(&before, &look) {
                self.events.tell(kind, &text);
            }
        }
        self.events.pass("look", &json!({"at": look.at, "groups": look.groups.len()}));
    }

    /// A look failed. What the last one showed stays.
    pub(super) fn failed(&self, why: String) {
        Counts::one_more(&self.counts.failures);
        self.lock().failure = Some(why);
    }

    /// Why the last look failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Why what is shown does not tell how things are.
    pub(super) fn not_ready(&self) -> Option<String> {
        let state = self.lock();
        let why = state.failure.as_deref().unwrap_or("the first look is not over");
        let Some(succeeded) = state.succeeded else { return Some(why.to_owned()) };
        let (age, limit) = (succeeded.elapsed(), self.interval.saturating_mul(STALE_LOOKS).max(STALE));
        (age > limit).then(|| format!("the last look that succeeded was {} s ago: {why}", age.as_secs()))
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// A group's lag over time, the oldest first.
    pub(super) fn trend(&self, group: &str) -> Option<Vec<Point>> {
        Some(self.lock().trends.get(group)?.points().collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
