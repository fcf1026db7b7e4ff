//! A processor that has received records and handles none before it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::{ConsumerInterceptor, HandlerError, OffsetReset, Order, Processor, Record};
use ottla_conformance::targets::{Target, unique};
use tokio::sync::watch;

use crate::cases::Outcome;
use crate::kit::{consumer, text, within};

/// In a thread of its own: a case has several runtimes, one after the other.
pub(crate) struct InHand {
    received: Arc<AtomicUsize>,
    handled: Arc<Mutex<Vec<String>>>,
    stage: watch::Sender<Stage>,
    thread: JoinHandle<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waits,
    Handles,
    Stops,
}

struct Received(Arc<AtomicUsize>);

impl ConsumerInterceptor for Received {
    fn on_consume(&self, _: Record<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl InHand {
    /// Of this topic, from its beginning.
    pub(crate) fn begin(target: &Target, topic: &str) -> Self {
        let (received, handled) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (stage, mut stops) = watch::channel(Stage::Waits);
        let (notes, waits) = (handled.clone(), stage.subscribe());
        let processor = Processor::new(
            consumer(target)
                .group_id(unique("in-hand"))
                .auto_offset_reset(OffsetReset::Earliest)
                .interceptor(Received(received.clone()))
                .subscribe([topic]),
        )
        .order(Order::Partition)
        .each_message(move |message| {
            let (mut waits, notes) = (waits.clone(), notes.clone());
            async move {
                waits.wait_for(|stage| *stage >= Stage::Handles).await?;
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(text(&message));
                Ok::<_, HandlerError>(())
            }
        });
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stopped = async move { stops.wait_for(|stage| *stage == Stage::Stops).await.is_ok() };
            Ok(runtime.block_on(processor.run_until(stopped))?)
        });
        Self { received, handled, stage, thread }
    }

    /// Returns when it has received so many.
    pub(crate) async fn receives(&self, count: usize) -> Outcome {
        until("records in hand", || self.received.load(Ordering::Relaxed) >= count).await
    }

    /// What it has handled, once that is all of these, in the order in which it was.
    pub(crate) async fn handles(self, expected: &[String]) -> Result<Vec<String>, Failed> {
        self.stage.send_replace(Stage::Handles);
        let handled = || self.handled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = until("all are handled", || expected.iter().all(|text| handled().contains(text))).await;
        self.stage.send_replace(Stage::Stops);
        let stopped = self.thread.join().map_err(|_| Failed::from("the processor panicked"))?;
        ended.map_err(|_| format!("{:?} are handled, of {expected:?}", handled()))?;
        stopped.map(|()| handled())
    }
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) -> Outcome {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, waiting).await
}
