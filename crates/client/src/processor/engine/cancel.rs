//! How a worker is told to end its job.

use std::sync::{Mutex, PoisonError};

use ottla_core::processing::{CancelReason, JobId};
use tokio::sync::Notify;

/// What a worker is told while a handler runs.
#[derive(Debug, Default)]
pub(in crate::processor) struct Cancel {
    told: Mutex<Option<(JobId, CancelReason)>>,
    notify: Notify,
}

impl Cancel {
    pub(super) fn tell(&self, job: JobId, reason: CancelReason) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((job, reason));
        self.notify.notify_one();
    }

    /// Returns when this job is to end. What was told of one before it counts for nothing.
    pub(in crate::processor) async fn cancelled(&self, job: JobId) -> CancelReason {
        loop {
            self.notify.notified().await;
            let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, reason)) = told.filter(|(told, _)| *told == job) {
                return reason;
            }
        }
    }
}
