//! What happens in a processor, for a program that watches.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use ottla_core::{Event, TopicPartition, processing::Notice};

use super::{Processor, WhyHopeless};
use crate::consumer::Committed;

/// How many events are kept for a user who does not look.
const KEPT: usize = 1024;

/// Something that happens in a processor. Offsets of a batch are those of its first record that is not resolved.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ProcessorEvent {
    /// What happens to the membership and to positions: the group is joined, and how long it took; partitions come and go. As
    /// [`Consumer::events`](crate::Consumer::events).
    Consumer(Event),
    /// A rebalance, or the end, takes these partitions: their handlers have the time to [`drain`](Processor::drain).
    Rebalancing(Vec<TopicPartition>),
    /// A handler begins.
    #[non_exhaustive]
    Began {
        /// The partition of its records.
        at: TopicPartition,
        /// The offset of the first.
        offset: i64,
        /// How many there are: more than 1 in a batch alone.
        records: usize,
        /// Which attempt at the first it is.
        attempt: u32,
    },
    /// A handler has ended.
    #[non_exhaustive]
    Ended {
        /// The partition of its records.
        at: TopicPartition,
        /// The offset of the first that it was given.
        offset: i64,
        /// How many it was given.
        records: usize,
        /// Which attempt at the first it was.
        attempt: u32,
        /// How long it took.
        took: Duration,
        /// How it ended.
        outcome: Outcome,
    },
    /// A record has failed, and waits for its next attempt.
    #[non_exhaustive]
    Retried {
        /// Its partition.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// How long it waits.
        after: Duration,
        /// What it failed with, without the sources of that.
        error: String,
    },
    /// A record is not tried any more.
    #[non_exhaustive]
    Hopeless {
        /// Its partition.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// Why it is not tried any more.
        why: WhyHopeless,
        /// What it failed with, without the sources of that.
        error: String,
    },
    /// Records were older than [`skip_older_than`](Processor::skip_older_than) lets them be, and count as done.
    #[non_exhaustive]
    Skipped {
        /// Their partition.
        at: TopicPartition,
        /// The offset of the first.
        offset: i64,
        /// How many there are.
        records: usize,
    },
    /// A record that is not tried any more was written to a retry topic, or to the dead letters.
    #[non_exhaustive]
    GivenUp {
        /// Its partition.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// The topic that has it now.
        topic: String,
    },
    /// A record was written to a retry topic, as an earlier one of its line waits there: see [`RetryOrder::Held`](super::RetryOrder::Held).
    #[non_exhaustive]
    Followed {
        /// Its partition.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// The topic that has it now.
        topic: String,
    },
    /// These offsets are committed.
    Committed(BTreeMap<TopicPartition, i64>),
    /// Handlers run, and none has ended for [`stalled_after`](Processor::stalled_after). Told once until one ends.
    #[non_exhaustive]
    Stalled {
        /// The partition of the record that was begun first.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// How long no handler has ended.
        after: Duration,
        /// How many records have been received and are not done.
        in_hand: usize,
    },
    /// The processor has ended: the last event.
    #[non_exhaustive]
    Stopped {
        /// What it returns, where it was not told to stop.
        error: Option<String>,
    },
    /// So many events before this one were dropped, as nobody took them in time.
    Missed(u64),
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its record is done.
    Done,
    /// It failed: by an error, a panic or its time.
    Failed,
    /// The time of its record has not come.
    Deferred,
    /// It was dropped, as its partition is gone.
    Cancelled,
}

/// The events of a processor: what [`Processor::events`] returns. It is a `Stream`, and has a `next` of its own.
///
/// Of events that nobody takes the newest 1024 are kept. Who takes too late is told how many were dropped, by
/// [`ProcessorEvent::Missed`]. Nothing that the processor does waits for who watches.
pub struct ProcessorEvents(Arc<Queue>);

impl ProcessorEvents {
    /// The next event; `None` once the processor has ended, or was dropped. Cancel-safe.
    pub async fn next(&mut self) -> Option<ProcessorEvent> {
        poll_fn(|cx| self.0.poll(cx)).await
    }
}

impl Stream for ProcessorEvents {
    type Item = ProcessorEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ProcessorEvent>> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for ProcessorEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorEvents").finish_non_exhaustive()
    }
}

/// What one who watches has not taken yet.
#[derive(Debug, Default)]
struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<ProcessorEvent>,
    missed: u64,
    waker: Option<Waker>,
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: ProcessorEvent) {
        let mut waiting = self.lock();
        if waiting.events.len() == KEPT {
            waiting.events.pop_front();
            waiting.missed += 1;
        }
        waiting.events.push_back(event);
        Self::wake(waiting);
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        Self::wake(waiting);
    }

    fn wake(mut waiting: MutexGuard<'_, Waiting>) {
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<ProcessorEvent>> {
        let mut waiting = self.lock();
        let missed = std::mem::take(&mut waiting.missed);
        if missed > 0 {
            return Poll::Ready(Some(ProcessorEvent::Missed(missed)));
        }
        if let Some(event) = waiting.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if waiting.is_closed {
            return Poll::Ready(None);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Those who watch a processor.
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Arc<Queue>>);

impl Watchers {
    pub(super) fn watch(&mut self) -> ProcessorEvents {
        let queue = Arc::<Queue>::default();
        self.0.push(queue.clone());
        ProcessorEvents(queue)
    }

    /// There are no more events.
    pub(super) fn close(&self) {
        self.0.iter().for_each(|queue| queue.close());
    }

    /// Whether there are any. Where there are none, events are not worth making.
    pub(super) fn are_any(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> ProcessorEvent) {
        if let Some((last, others)) = self.0.split_last() {
            let event = event();
            others.iter().for_each(|queue| queue.push(event.clone()));
            last.push(event);
        }
    }
}

/// What is told of a commit.
pub(super) fn committed(offsets: &Committed) -> ProcessorEvent {
    ProcessorEvent::Committed(offsets.iter().map(|(at, commit)| (at.clone(), commit.offset)).collect())
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Processor {
    /// What happens, as a stream for another task, from the moment at which it runs. Each call makes one more stream, with all
    /// events. They cost a little per record, and nothing where this is not called.
    ///
    /// ```no_run
    /// # async fn run(consumer: ottla::ConsumerBuilder) -> Result<(), ottla::ProcessError> {
    /// use ottla::{Processor, processor::ProcessorEvent};
    ///
    /// let mut processor = Processor::new(consumer);
    /// let mut events = processor.events();
    /// tokio::spawn(async move {
    ///     while let Some(event) = events.next().await {
    ///         if let ProcessorEvent::Stalled { at, offset, .. } = event {
    ///             eprintln!("nothing has ended for a while: {at}, offset {offset}");
    ///         }
    ///     }
    /// });
    /// processor.each_message(async |_| Ok::<_, std::io::Error>(())).run().await
    /// # }
    /// ```
    pub fn events(&mut self) -> ProcessorEvents {
        self.watchers.watch()
    }

    /// How long no handler has ended, though some run, when that is logged and [told](ProcessorEvent::Stalled). Default 60 s.
    pub fn stalled_after(mut self, time: Duration) -> Self {
        self.stalled_after = ottla_core::bounded(time);
        self
    }
}

impl From<Notice> for ProcessorEvent {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Retried { at, offset, attempts, after, error } => {
                Self::Retried { at, offset, attempts, after, error }
            }
            Notice::Hopeless { at, offset, attempts, why, error, follows: _ } => {
                Self::Hopeless { at, offset, attempts, why, error }
            }
            Notice::Stalled { at, offset, attempts, after, in_hand } => {
                Self::Stalled { at, offset, attempts, after, in_hand }
            }
        }
    }
}
