//! How a consumer ends.

use std::{sync::Arc, time::Duration};

use ottla_core::{CloseKind, Farewell, LeaveGroup, bounded};

use super::{Consumer, Core, operation::of_group};
use crate::{
    error::{CloseError, CloseErrorKind, Details as _},
    shared::Shared,
};

/// How a consumer ends: Java's `CloseOptions` (KIP-1092).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseOptions {
    /// Whether the group is told. Default: a dynamic member leaves, a static one will be back.
    ///
    /// With [`LeaveGroup::Remain`] a dynamic member sends nothing, as in Java (4.4.0). Nobody can come back in its place:
    /// its partitions are read by none until the coordinator takes it for dead, at the end of its session. A static
    /// member tells under the consumer protocol that it will be back, and sends nothing under the classic one.
    pub leave: LeaveGroup,
    /// How long to try. Default 30 s.
    pub timeout: Duration,
}

impl CloseOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the group is told. Default [`LeaveGroup::Default`], as Java's.
    #[must_use]
    pub const fn leave(mut self, leave: LeaveGroup) -> Self {
        self.leave = leave;
        self
    }

    /// How long to try. Default 30 s, as Java's.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self { leave: LeaveGroup::Default, timeout: Duration::from_secs(30) }
    }
}

impl Consumer {
    /// Commits what was handed out (with auto commit only), tells the rebalance listener, leaves the group, and closes the
    /// connections: for up to 30 s, Java's default. Dropping the future leaves the rest to the driver, which tells no
    /// listener.
    ///
    /// Without auto commit the last commit is the user's: before this call, or in the listener's
    /// [`on_revoked`](super::RebalanceListener::on_revoked). With auto commit a record whose handling failed counts as
    /// handed out, as in Java: to have it read again, [`seek`](Self::seek) back to it before the close.
    ///
    /// # Errors
    ///
    /// [`CloseError`]: the consumer is closed, but an offset was not committed, or the group could not be told.
    pub async fn close(self) -> Result<(), CloseError> {
        self.close_with(CloseOptions::default()).await
    }

    /// As [`close`](Self::close), for up to `timeout`.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_within(self, timeout: Duration) -> Result<(), CloseError> {
        self.close_with(CloseOptions::new().timeout(timeout)).await
    }

    /// As [`close`](Self::close), with a limit of its own, and with a choice whether the group is told.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_with(mut self, options: CloseOptions) -> Result<(), CloseError> {
        let reading = &mut self.reader.reading;
        let timeout = bounded(options.timeout);
        self.shared.with(|core, now| {
            reading.sync(core, true, now);
            core.close(CloseKind::Closed, options.leave, now.mono + timeout, now);
        });
        let telling = self.reader.listening.finish_all(&self.shared, self.reader.reading.id());
        // A listener that takes longer is left alone: the machine is closed by then.
        _ = tokio::time::timeout(timeout, telling).await;
        if let Some(driver) = self.driver.take() {
            driver.join().await;
        }
        self.reader.tell_committed();
        let Some(Farewell { given_up, not_left }) = self.shared.inspect(|core| core.farewell().cloned())
        else {
            return Err(of_group(&self.shared, CloseError::new(CloseErrorKind::DriverEnded)));
        };
        let error = match given_up.as_slice() {
            [] if not_left => CloseError::new(CloseErrorKind::NotLeft),
            [] => return Ok(()),
            [first, ..] => {
                let all: Vec<String> = given_up.iter().map(ToString::to_string).collect();
                CloseError::new(CloseErrorKind::NotCommitted)
                    .partition(first.at.clone())
                    .offset(first.offset)
                    .detail(all.join("; "))
            }
        };
        Err(of_group(&self.shared, error))
    }
}

/// Ends a consumer's `recv` and `poll` from another task. From then on `recv` returns `None`; the next `poll` returns no
/// records, and each one after that fails with [`RecvErrorKind::Closed`](crate::error::RecvErrorKind::Closed).
///
/// The consumer's owner then closes it, so that the work in hand is done and committed first.
#[derive(Debug, Clone)]
pub struct Closer(Arc<Shared<Core>>);

impl Closer {
    pub(super) fn new(shared: &Arc<Shared<Core>>) -> Self {
        Self(shared.clone())
    }

    /// Ends it.
    pub fn close(&self) {
        self.0.with(|core, _| core.stop());
    }
}
