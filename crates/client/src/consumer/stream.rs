//! Records as a stream.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{Consumer, OwnedRecord};
use crate::error::RecvError;

type Received<'a> = (&'a mut Consumer, Result<Option<OwnedRecord>, RecvError>);

/// What [`Consumer::stream`] returns. To take the next record says that the one before is done.
pub struct RecordStream<'a>(State<'a>);

enum State<'a> {
    Ready(&'a mut Consumer),
    Waiting(Pin<Box<dyn Future<Output = Received<'a>> + Send + 'a>>),
    Ended,
}

impl<'a> RecordStream<'a> {
    pub(super) fn new(consumer: &'a mut Consumer) -> Self {
        Self(State::Ready(consumer))
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<OwnedRecord, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ready(consumer) => {
                    if let Some(record) = consumer.reader.next_at_hand() {
                        self.0 = State::Ready(consumer);
                        return Poll::Ready(Some(Ok(record)));
                    }
                    self.0 = State::Waiting(Box::pin(async move {
                        let received = consumer.recv().await;
                        (consumer, received)
                    }));
                }
                State::Waiting(mut receiving) => match receiving.as_mut().poll(cx) {
                    Poll::Ready((consumer, received)) => match received.transpose() {
                        Some(record) => {
                            self.0 = State::Ready(consumer);
                            return Poll::Ready(Some(record));
                        }
                        None => return Poll::Ready(None),
                    },
                    Poll::Pending => {
                        self.0 = State::Waiting(receiving);
                        return Poll::Pending;
                    }
                },
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for RecordStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}
