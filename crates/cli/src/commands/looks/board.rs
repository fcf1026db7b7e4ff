//! What those who look leave for those who ask. No lock is held for longer than a copy takes, or over an await.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::look::Look;
use crate::history::{Point, Trend};

/// How many intervals may pass without a look that succeeds before what is shown counts as old.
const STALE_LOOKS: u32 = 3;
/// Not less than that, as a look takes its time.
const STALE: Duration = Duration::from_secs(30);

/// The last look, and what is kept of those before.
#[derive(Debug)]
pub(in crate::commands) struct Board {
    interval: Duration,
    state: Mutex<State>,
    looks: AtomicU64,
    failures: AtomicU64,
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

/// A group's lag over time, as it is kept on disk.
#[derive(Debug)]
pub(super) struct KeptTrend {
    pub(super) looks: Vec<u8>,
    pub(super) spans: Vec<Point>,
}

impl Board {
    pub(in crate::commands) fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::default(), looks: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    /// The last look that succeeded.
    pub(in crate::commands) fn look(&self) -> Option<Arc<Look>> {
        self.lock().look.clone()
    }

    /// A look is over: it is what is shown from here on.
    pub(in crate::commands) fn saw(&self, look: Arc<Look>) {
        let mut state = self.lock();
        state.trends.retain(|name, _| look.groups.contains_key(name) || look.hidden.contains(name));
        for (name, group) in &look.groups {
            let trend = state.trends.entry(name.clone()).or_insert_with(|| Trend::begin(look.at));
            trend.saw(look.at, group.lag, group.age);
        }
        (state.succeeded, state.failure) = (Some(Instant::now()), None);
        state.look = Some(look);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// What was known of groups before. What looks have shown meanwhile follows it.
    pub(in crate::commands) fn begin(&self, trends: BTreeMap<String, Trend>) {
        let mut state = self.lock();
        for (name, mut trend) in trends {
            if let Some(meanwhile) = state.trends.remove(&name) {
                trend.follow(&meanwhile);
            }
            state.trends.insert(name, trend);
        }
    }

    /// The groups of which something is known.
    pub(in crate::commands) fn groups(&self) -> BTreeSet<String> {
        self.lock().trends.keys().cloned().collect()
    }

    /// What of a group is to be kept, with the spans that were not over at that time.
    pub(super) fn kept(&self, group: &str, since: i64) -> Option<KeptTrend> {
        let state = self.lock();
        let trend = state.trends.get(group)?;
        Some(KeptTrend { looks: trend.kept(), spans: trend.spans(since).collect() })
    }

    /// A look failed. What the last one showed stays.
    pub(in crate::commands) fn failed(&self, why: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.lock().failure = Some(why);
    }

    /// Why the last look failed.
    pub(in crate::commands) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Why what is shown does not tell how things are.
    pub(in crate::commands) fn not_ready(&self) -> Option<String> {
        let state = self.lock();
        let why = state.failure.as_deref().unwrap_or("the first look is not over");
        let Some(succeeded) = state.succeeded else { return Some(why.to_owned()) };
        let (age, limit) = (succeeded.elapsed(), self.interval.saturating_mul(STALE_LOOKS).max(STALE));
        (age > limit).then(|| format!("the last look that succeeded was {} s ago: {why}", age.as_secs()))
    }

    pub(in crate::commands) fn interval(&self) -> Duration {
        self.interval
    }

    /// How many looks succeeded.
    pub(in crate::commands) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// How many did not.
    pub(in crate::commands) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A group's lag over time.
    pub(in crate::commands) fn trend(&self, group: &str) -> Option<Trend> {
        self.lock().trends.get(group).cloned()
    }

    /// The lag of each group at no more than so many of the last looks, the oldest first.
    pub(in crate::commands) fn trends(&self, looks: usize) -> BTreeMap<String, Vec<Option<f32>>> {
        let state = self.lock();
        state.trends.iter().map(|(name, trend)| (name.clone(), trend.last(looks).collect())).collect()
    }

    /// The same of one group.
    pub(in crate::commands) fn last(&self, group: &str, looks: usize) -> Vec<Option<f32>> {
        self.lock().trends.get(group).map(|trend| trend.last(looks).collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
