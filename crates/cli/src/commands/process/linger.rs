//! What is waited for once a handler has ended: what it started may hold its streams open for ever.

use std::{future::Future, time::Duration};

use tokio::{sync::watch, time::sleep};

/// How long what a handler has started may run on while it holds the handler's streams.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Whether a handler has ended.
#[derive(Debug)]
pub(super) struct Exited(watch::Sender<bool>);

impl Exited {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn set(&self) {
        self.0.send_replace(true);
    }

    /// What `work` brings; `None` where the handler has ended and nothing has come for twice [`LINGER`]. Whatever there is to be had at
    /// once is had.
    pub(super) async fn or<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut exited = self.0.subscribe();
        let over = async {
            // Its sender is `self`.
            let _ = exited.wait_for(|exited| *exited).await;
            sleep(2 * LINGER).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = over => None,
        }
    }
}
