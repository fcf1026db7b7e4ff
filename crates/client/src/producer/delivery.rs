//! What became of a record.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use ottla_core::producer::{Delivered, Ticket};

use super::Machine;
use crate::{error::SendError, shared::Shared};

/// A record on its way. Await it to learn where it went, or why it did not ([`SendError`]): refused, not acknowledged
/// within `delivery_timeout`, or given up as the producer was closed.
///
/// Dropped (`drop(producer.send(record).await?)`), the record is sent all the same; if it fails,
/// [`flush`](super::Producer::flush) tells.
#[must_use = "await it, or drop it and flush later"]
pub struct Delivery {
    shared: Arc<Shared<Machine>>,
    /// Until it is answered.
    ticket: Option<Ticket>,
    partition: i32,
}

/// What a [`Delivery`] is awaited as.
pub type DeliveredFuture = Pin<Box<dyn Future<Output = Result<Delivered, SendError>> + Send>>;

impl Delivery {
    pub(super) fn new(shared: &Arc<Shared<Machine>>, ticket: Ticket) -> Self {
        let partition = ticket.partition();
        Self { shared: shared.clone(), ticket: Some(ticket), partition }
    }

    /// The partition that the record goes to.
    pub const fn partition(&self) -> i32 {
        self.partition
    }

    async fn delivered(mut self) -> Result<Delivered, SendError> {
        let shared = self.shared.clone();
        let ticket = &mut self.ticket;
        let take = |machine: &mut Machine, _| {
            let result = machine.take_result(ticket.as_ref()?)?;
            *ticket = None;
            Some(result)
        };
        shared.wait(take).await?.map_err(SendError::from)
    }
}

impl IntoFuture for Delivery {
    type Output = Result<Delivered, SendError>;
    type IntoFuture = DeliveredFuture;

    /// Cancel-safe as far as the record goes: it is sent all the same. Its outcome is lost with the future.
    fn into_future(self) -> DeliveredFuture {
        Box::pin(self.delivered())
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.with(|machine, _| machine.release(&ticket));
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("partition", &self.partition).finish_non_exhaustive()
    }
}
