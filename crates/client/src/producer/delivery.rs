//! What became of a record.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ottla_core::producer::{Delivered, Ticket};

use super::Machine;
use crate::{
    error::SendError,
    shared::{Ended, Shared},
};

/// A record on its way. Await it to learn where it went, or why it did not ([`SendError`]): refused, not acknowledged
/// within `delivery_timeout`, or given up as the producer was closed.
///
/// Dropped (`drop(producer.send(record).await?)`), the record is sent all the same; if it fails,
/// [`flush`](super::Producer::flush) tells. To drop it takes no lock, and neither that nor to await it allocates for the record.
#[must_use = "await it, or drop it and flush later"]
pub struct Delivery {
    shared: Arc<Shared<Machine>>,
    ticket: Ticket,
    /// The outcome was told.
    is_told: bool,
}

/// What a [`Delivery`] is awaited as.
#[derive(Debug)]
#[must_use = "it does nothing unless it is polled"]
pub struct DeliveredFuture {
    delivery: Delivery,
    /// Where the batch has noted who waits.
    place: Option<usize>,
}

impl Delivery {
    pub(super) fn new(shared: &Arc<Shared<Machine>>, ticket: Ticket) -> Self {
        Self { shared: shared.clone(), ticket, is_told: false }
    }

    /// The partition that the record goes to.
    pub const fn partition(&self) -> i32 {
        self.ticket.partition()
    }
}

impl IntoFuture for Delivery {
    type Output = Result<Delivered, SendError>;
    type IntoFuture = DeliveredFuture;

    /// Cancel-safe as far as the record goes: it is sent all the same. Its outcome is lost with the future.
    fn into_future(self) -> DeliveredFuture {
        DeliveredFuture { delivery: self, place: None }
    }
}

impl Future for DeliveredFuture {
    type Output = Result<Delivered, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { delivery, place } = &mut *self;
        let polled = delivery.ticket.poll_result(place, context);
        // Asked behind the note of who waits: a driver that ends tells those who are noted.
        let result = match polled {
            Poll::Ready(result) => result.map_err(SendError::from),
            Poll::Pending if delivery.shared.is_ended() => match delivery.ticket.result() {
                Some(result) => result.map_err(SendError::from),
                None => Err(Ended.into()),
            },
            Poll::Pending => return Poll::Pending,
        };
        delivery.is_told = true;
        Poll::Ready(result)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_told && self.ticket.let_go() {
            self.shared.with(|machine, _| machine.note_unclaimed(&self.ticket));
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("partition", &self.partition()).finish_non_exhaustive()
    }
}
