//! For how long nothing may come: a fault's time, and what it takes after it.

use std::time::{Duration, Instant};

/// How long shades are remembered: longer than any stall that is not a violation.
const KEPT: Duration = Duration::from_secs(1800);

const STARVED: &str = "starved";

/// Whom a fault concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    /// Followers by their names.
    These(Vec<String>),
}

impl Scope {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|has| has == name),
        }
    }
}

#[derive(Debug)]
struct Shade {
    id: u64,
    scope: Scope,
    what: String,
    from: Instant,
    /// None while the fault lasts.
    to: Option<Instant>,
}

impl Shade {
    /// Whether something of this time was this one's.
    fn meets(&self, name: &str, from: Instant, to: Instant) -> bool {
        self.from < to && self.to.is_none_or(|end| end > from) && self.scope.has(name)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shades {
    last: u64,
    shades: Vec<Shade>,
    /// Until when it is known whether the machine had time for us; always, where nobody watches.
    watched: Option<Instant>,
}

impl Shades {
    /// A fault begins.
    pub(crate) fn begin(&mut self, scope: Scope, what: &str, now: Instant) -> u64 {
        self.last += 1;
        self.shades.push(Shade { id: self.last, scope, what: what.to_owned(), from: now, to: None });
        self.last
    }

    /// It is over; things go on after this time.
    pub(crate) fn end(&mut self, id: u64, now: Instant, recovery: Duration) {
        if let Some(shade) = self.shades.iter_mut().find(|shade| shade.id == id) {
            shade.to = Some(now + recovery);
        }
    }

    /// What is known from afterwards: the machine had no time for us. Where it goes on it is one shade.
    pub(crate) fn starved(&mut self, from: Instant, to: Instant) {
        let goes_on = |shade: &&mut Shade| shade.what == STARVED && shade.to.is_some_and(|to| to >= from);
        match self.shades.iter_mut().rev().find(goes_on) {
            Some(shade) => shade.to = Some(to),
            None => {
                let id = self.begin(Scope::All, STARVED, from);
                self.end(id, to, Duration::ZERO);
            }
        }
    }

    /// Whether there was time until then has been said.
    pub(crate) fn watched(&mut self, until: Instant) {
        self.watched = Some(until);
    }

    /// How much of this time no fault was in the way.
    pub(crate) fn calm(&self, name: &str, from: Instant, to: Instant) -> Duration {
        let to = self.watched.map_or(to, |watched| watched.min(to));
        let of_this = self.shades.iter().filter(|shade| shade.meets(name, from, to));
        let mut spans: Vec<(Instant, Instant)> =
            of_this.map(|shade| (shade.from.max(from), shade.to.unwrap_or(to).min(to))).collect();
        spans.sort_unstable();
        let (mut shaded, mut until) = (Duration::ZERO, from);
        for (from, to) in spans {
            shaded += to.saturating_duration_since(from.max(until));
            until = until.max(to);
        }
        to.saturating_duration_since(from).saturating_sub(shaded)
    }

    /// The faults of this time.
    pub(crate) fn named(&self, name: &str, from: Instant, to: Instant) -> String {
        let of_this = self.shades.iter().filter(|shade| shade.meets(name, from, to));
        let mut names: Vec<&str> = of_this.map(|shade| shade.what.as_str()).collect();
        names.dedup();
        if names.is_empty() { "no fault".to_owned() } else { names.join(", ") }
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.shades.retain(|shade| shade.to.is_none_or(|to| now.saturating_duration_since(to) < KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_time_that_follow_each_other_are_one_shade() {
        let second = Duration::from_secs(1);
        let (mut shades, began) = (Shades::default(), Instant::now());
        for at in [0, 1, 2, 7] {
            let from = began + at * second;
            shades.starved(from, from + 2 * second);
        }
        assert_eq!(shades.shades.len(), 2);
        assert_eq!(shades.calm("all", began, began + 10 * second), 4 * second);
    }
}
