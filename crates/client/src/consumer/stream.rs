//! Records, and what happens to the membership, as streams.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use ottla_core::Happened;

use super::{Core, OwnedRecord, Reader};
use crate::{error::RecvError, shared::Shared};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that is asked for one item after the other.
enum Turn<'a, S, T> {
    Ready(S),
    Waiting(Boxed<'a, (S, Option<T>)>),
    Ended,
}

impl<'a, S, T> Turn<'a, S, T> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        begin: impl FnOnce(S) -> Boxed<'a, (S, Option<T>)>,
    ) -> Poll<Option<T>> {
        *self = match std::mem::replace(self, Self::Ended) {
            Self::Ready(source) => Self::Waiting(begin(source)),
            turn => turn,
        };
        let Self::Waiting(waiting) = self else { return Poll::Ready(None) };
        let (source, item) = ready!(waiting.as_mut().poll(cx));
        *self = if item.is_some() { Self::Ready(source) } else { Self::Ended };
        Poll::Ready(item)
    }
}

/// What [`Consumer::stream`](super::Consumer::stream) returns. To take the next record says that the one before is done.
///
/// It is a `Stream` for those who combine streams, and has a `next` of its own for those who do not:
///
/// ```no_run
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), ottla::RecvError> {
/// let mut records = consumer.stream();
/// while let Some(record) = records.next().await {
///     println!("{:?}", record?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct RecordStream<'a>(Turn<'a, &'a mut Reader, Result<OwnedRecord, RecvError>>);

impl Reader {
    /// As [`Consumer::stream`](super::Consumer::stream).
    pub fn stream(&mut self) -> RecordStream<'_> {
        RecordStream(Turn::Ready(self))
    }
}

impl RecordStream<'_> {
    /// The next record; `None` once the consumer is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<OwnedRecord, RecvError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<OwnedRecord, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Turn::Ready(reader) = &mut self.0
            && let Some(record) = reader.at_hand()
        {
            return Poll::Ready(Some(Ok(record)));
        }
        self.0.poll(cx, |reader| {
            Box::pin(async move {
                let received = reader.recv().await.transpose();
                (reader, received)
            })
        })
    }
}

impl fmt::Debug for RecordStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}

/// What happens to the membership, for a task beside the one that reads: what [`Consumer::events`](super::Consumer::events) returns.
///
/// It ends when the consumer is closed. An event goes to one of those who ask.
pub struct EventStream(Turn<'static, Arc<Shared<Core>>, Happened>);

impl EventStream {
    pub(super) fn new(shared: Arc<Shared<Core>>) -> Self {
        Self(Turn::Ready(shared))
    }

    /// The next event; `None` once the consumer is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Happened> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for EventStream {
    type Item = Happened;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Happened>> {
        self.0.poll(cx, |shared| {
            Box::pin(async move {
                let event = shared.wait(|core, _| core.poll_event()).await.ok();
                (shared, event)
            })
        })
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, task::Waker};

    use super::*;

    /// Counts down, and waits once before each item.
    fn count_down(begun: &Cell<u32>, left: u32) -> Boxed<'static, (u32, Option<u32>)> {
        begun.set(begun.get() + 1);
        Box::pin(async move {
            tokio::task::yield_now().await;
            (left.saturating_sub(1), left.checked_sub(1))
        })
    }

    #[tokio::test]
    async fn items_come_one_after_the_other_and_nothing_comes_after_the_end() {
        let begun = Rc::new(Cell::new(0));
        let mut turn = Turn::Ready(2);
        let mut next =
            async || std::future::poll_fn(|cx| turn.poll(cx, |left| count_down(&begun, left))).await;
        assert_eq!([next().await, next().await, next().await, next().await], [Some(1), Some(0), None, None]);
        assert_eq!(begun.get(), 3, "asked after the end");
    }

    #[test]
    fn what_was_begun_goes_on_when_it_is_asked_again() {
        let begun = Cell::new(0);
        let (mut turn, mut cx) = (Turn::Ready(5), Context::from_waker(Waker::noop()));
        let mut polled = Poll::Pending;
        for _ in 0..10 {
            polled = turn.poll(&mut cx, |left| count_down(&begun, left));
            if polled.is_ready() {
                break;
            }
        }
        assert_eq!((polled, begun.get()), (Poll::Ready(Some(4)), 1));
    }
}
