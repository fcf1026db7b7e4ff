//! What the clones of a client have in common: one machine, and the driver that keeps it going.

use std::sync::{Arc, Mutex, PoisonError};

use ottla_core::Machine;
use ottla_protocol::Now;

use crate::{driver::Driver, net::frame_pool::Frame, shared::Shared};

/// A machine and its driver. Clones of a client hold it in an `Arc`: the last of them gives up what is under way.
#[derive(Debug)]
pub(crate) struct Handle<M: Machine<Frame = Arc<Frame>> + Send + 'static> {
    shared: Arc<Shared<M>>,
    /// Until somebody waits for its end.
    driver: Mutex<Option<Driver<M>>>,
    give_up: fn(&mut M, Now),
}

impl<M: Machine<Frame = Arc<Frame>> + Send + 'static> Handle<M> {
    /// Dropped, it closes the machine by `give_up`.
    pub(crate) fn new(driver: Driver<M>, give_up: fn(&mut M, Now)) -> Arc<Self> {
        let shared = driver.shared().clone();
        Arc::new(Self { shared, driver: Mutex::new(Some(driver)), give_up })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    /// Waits until the driver has ended, which it does when the machine is closed.
    pub(crate) async fn join(&self) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        match driver {
            Some(driver) => driver.join().await,
            // Another clone waits for the thread itself.
            None => self.shared.ended().await,
        }
    }
}

impl<M: Machine<Frame = Arc<Frame>> + Send + 'static> Drop for Handle<M> {
    fn drop(&mut self) {
        let give_up = self.give_up;
        self.shared.with(give_up);
    }
}
