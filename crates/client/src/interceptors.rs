//! What interceptors of consumers and of producers have in common: whoever is told may panic, and that is no one else's matter.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ottla_core::{caught, log};

/// An interceptor, whose panics are caught. The first one is logged.
pub(crate) struct Guarded<T: ?Sized> {
    told: Arc<T>,
    has_panicked: Arc<AtomicBool>,
}

impl<T: ?Sized> Clone for Guarded<T> {
    fn clone(&self) -> Self {
        Self { told: self.told.clone(), has_panicked: self.has_panicked.clone() }
    }
}

impl<T: ?Sized> Guarded<T> {
    pub(crate) fn new(told: Arc<T>) -> Self {
        Self { told, has_panicked: Arc::default() }
    }

    /// What it says; `None` where it panicked.
    pub(crate) fn tell<R>(&self, call: &str, tell: impl FnOnce(&T) -> R) -> Option<R> {
        match caught(|| tell(&*self.told)) {
            Ok(said) => Some(said),
            Err(why) => {
                if !self.has_panicked.swap(true, Ordering::Relaxed) {
                    tracing::error!(target: log::INTERCEPTOR, call, why, "interceptor panicked");
                }
                None
            }
        }
    }
}
