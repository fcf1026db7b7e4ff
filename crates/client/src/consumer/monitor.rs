//! A look at a consumer from elsewhere.

use std::sync::Arc;

use ottla_core::{ConsumerStats, Explanation, Health};

use super::{Consumer, Core};
use crate::{net::clock, shared::Shared};

/// Looks at a consumer from another task or thread than the one that receives: for metrics and probes. What
/// [`Consumer::monitor`] returns.
///
/// ```no_run
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = consumer.monitor();
/// tokio::spawn(async move {
///     let mut every = tokio::time::interval(std::time::Duration::from_secs(15));
///     loop {
///         every.tick().await;
///         println!("{}, lag {:?}", monitor.health(), monitor.stats().lag());
///     }
/// });
/// while let Some(record) = consumer.recv().await? {
///     println!("{}", record.offset());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Monitor {
    shared: Arc<Shared<Core>>,
}

impl Monitor {
    pub(crate) fn new(shared: &Arc<Shared<Core>>) -> Self {
        Self { shared: shared.clone() }
    }

    /// As [`Consumer::stats`]. Once the consumer is closed, as it was at its end.
    pub fn stats(&self) -> ConsumerStats {
        self.shared.with(|core, now| core.stats(now))
    }

    /// As [`Consumer::health`].
    pub fn health(&self) -> Health {
        let mut health = self.shared.with(|core, now| core.health(now));
        health.alive &= !self.shared.is_ended() && !self.shared.is_poisoned();
        health
    }

    /// As [`Consumer::explain`].
    pub fn explain(&self) -> Explanation {
        self.shared.inspect(|core| core.explain(clock::now()))
    }
}

impl Consumer {
    /// What the consumer has done since it began, and how it stands now, in numbers. Asks no broker, waits for nothing, and takes as long as
    /// there are partitions assigned. Totals only grow: for rates take the difference of two moments.
    ///
    /// `docs/metrics.md` in the repository has each number beside Java's name for it.
    pub fn stats(&self) -> ConsumerStats {
        self.monitor().stats()
    }

    /// Whether the consumer does what it is there for, for liveness and readiness probes. Asks no broker and waits for nothing.
    ///
    /// To be asked every few seconds, as probes do: since when something stands in the way is noted, where the reason itself does not tell
    /// it, when this is called.
    pub fn health(&self) -> Health {
        self.monitor().health()
    }

    /// What looks at the consumer from another task or thread.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(&self.shared)
    }
}
