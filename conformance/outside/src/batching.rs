//! A processor of batches, and one that is watched and handles no record twice.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use ottla::{
    HandlerError, OffsetReset, Processor,
    processor::{
        Batch, BatchHandler, Deduplication, EachBatch, Handling, Known, Message, Outcome as HandlerOutcome,
        ProcessorEvent, ProcessorEvents, RecentIds, TraceContext,
    },
};
use tokio::sync::Notify;

use crate::{ORDERS, Outcome, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let builder = configuring::consumer(servers).subscribe([topic]).auto_offset_reset(OffsetReset::Earliest);
    let counts = Arc::new(Counts::default());
    let handler: Arc<dyn BatchHandler> = counts.clone();
    let processor = Processor::new(builder.clone().group_id(format!("{topic}-batches")));
    batches(processor, handler).max_records(10).auto_resolve(false).run_until(counts.all.notified()).await?;

    let mut processor = Processor::new(builder.group_id(format!("{topic}-watched")))
        .deduplicate(id, Ids(recent()))
        .skip_older_than(Duration::from_secs(1 << 40))
        .stalled_after(Duration::from_secs(10));
    let events = processor.events();
    let watched = tokio::spawn(done(events));
    let all = Arc::new(Counts::default());
    let counts = all.clone();
    let blocking = processor.each_message_blocking(move |message| handled(&counts, &message));
    blocking.run_until(all.all.notified()).await?;
    equal(watched.await?, ORDERS as usize + 1)
}

/// How many records were done.
async fn done(mut events: ProcessorEvents) -> usize {
    let mut done = 0;
    while let Some(event) = events.next().await {
        done += usize::from(is_done(&event));
    }
    done
}

fn is_done(event: &ProcessorEvent) -> bool {
    matches!(event, ProcessorEvent::Ended { outcome: HandlerOutcome::Done, .. })
}

fn batches(processor: Processor, handler: Arc<dyn BatchHandler>) -> EachBatch {
    processor.each_batch_by(handler)
}

fn recent() -> RecentIds {
    RecentIds::new(100)
}

fn is_traced(trace: Option<TraceContext<'_>>) -> bool {
    trace.is_some()
}

fn handled(counts: &Counts, message: &Message) -> Result<(), HandlerError> {
    if is_traced(message.trace_context()) {
        return Err(HandlerError::fatal("nobody wrote one"));
    }
    if counts.deferred.fetch_add(1, Ordering::Relaxed) == 0 {
        return Err(HandlerError::defer_until(SystemTime::now()));
    }
    counts.add(1);
    Ok(())
}

fn id(message: &Message) -> Option<Vec<u8>> {
    Some(message.offset().to_string().into_bytes())
}

/// A store of one's own.
struct Ids(RecentIds);

impl Deduplication for Ids {
    fn is_known<'a>(&'a self, id: &'a [u8]) -> Known<'a, bool> {
        self.0.is_known(id)
    }

    fn note<'a>(&'a self, id: &'a [u8]) -> Known<'a, ()> {
        self.0.note(id)
    }
}

#[derive(Default)]
struct Counts {
    count: AtomicUsize,
    deferred: AtomicUsize,
    all: Notify,
}

impl Counts {
    fn add(&self, some: usize) {
        if self.count.fetch_add(some, Ordering::Relaxed) + some > ORDERS as usize {
            self.all.notify_one();
        }
    }
}

impl BatchHandler for Counts {
    fn handle(&self, batch: Batch) -> Handling<'_> {
        batch.iter().for_each(|record| batch.resolve_offset(record.offset()));
        self.add(batch.records().len());
        Box::pin(ready(Ok(())))
    }
}
