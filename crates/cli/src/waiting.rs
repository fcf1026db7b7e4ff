//! What a command waits for, told on stderr: once it has waited a while, and again when that changes.

use std::{
    collections::BTreeSet,
    future::Future,
    time::{Duration, Instant},
};

use crate::failure::tell;

/// How long nothing is said.
const SILENT: Duration = Duration::from_millis(1500);
/// How often it is looked whether there is something to be said.
const LOOK: Duration = Duration::from_millis(250);

/// A wait, and what has been told of it.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    since: Option<Instant>,
    told: BTreeSet<String>,
}

impl Waits {
    /// What stands in the way now; nothing, where all goes on.
    pub(crate) fn now(&mut self, reasons: impl IntoIterator<Item: ToString>) {
        let reasons: Vec<String> = reasons.into_iter().map(|reason| reason.to_string()).collect();
        if reasons.is_empty() {
            if !self.told.is_empty() {
                tell("it goes on");
            }
            *self = Self::default();
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < SILENT {
            return;
        }
        for reason in reasons {
            if self.told.insert(without_figures(&reason)) {
                tell(format!("waiting: {reason}"));
            }
        }
    }
}

/// How long it has waited, and how often it has tried, are no news.
fn without_figures(reason: &str) -> String {
    let words = reason.split(' ').filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

/// Does the work, and tells meanwhile what it waits for.
pub(crate) async fn told<T, R: ToString>(reasons: impl Fn() -> Vec<R>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut waits = Waits::default();
    loop {
        match tokio::time::timeout(LOOK, &mut work).await {
            Ok(done) => return done,
            // Nothing in the way is no news here: the work itself says when it is done.
            Err(_) => {
                let reasons = reasons();
                if !reasons.is_empty() {
                    waits.now(reasons);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_wait_for_the_same_is_no_news() {
        let (one, other) =
            ("t-0: cannot connect; attempt 3 in 0.4s", "t-0: cannot connect; attempt 12 in 910ms");
        assert_eq!(without_figures(one), without_figures(other));
        assert_ne!(without_figures(one), without_figures("t-0: the partition has no leader"));
    }
}
