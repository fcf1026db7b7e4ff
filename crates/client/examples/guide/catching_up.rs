//! Catching up with a lag: many handlers at once, little in hand, and the lag told while it shrinks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::{
    HandlerError, Order, Processor, ProducerRecord, TopicPartition,
    processor::{ProcessorEvent, ProcessorEvents},
};

use crate::place::{Failure, Place};

const RECORDS: usize = 4000;
/// How long a handler waits for others, as for a database.
const WORK: Duration = Duration::from_millis(5);

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("visits", 4).await?;
    let visits = (0..RECORDS).map(|n| ProducerRecord::to(&topic).key(n.to_string()).value("visit"));
    place.produce(visits).await?;
    place.tell(format!("{RECORDS} behind"));

    let mut processor = Processor::new(place.consumer(&topic))
        // By key as many handlers run as there is work for; by partition it would be four.
        .order(Order::Key)
        .concurrency(64)
        // What has arrived and is not done: beyond it a partition is paused, however large the lag is.
        .in_flight(400, 1 << 20)
        .commit_interval(Duration::from_millis(100));
    let (events, begun) = (processor.events(), Instant::now());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = most.clone();
    processor
        .each_message(move |_| {
            let (running, peak) = (running.clone(), peak.clone());
            async move {
                peak.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(WORK).await;
                running.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, HandlerError>(())
            }
        })
        .run_until(caught_up(events, place))
        .await?;
    let (took, alone) = (begun.elapsed(), WORK * RECORDS as u32);
    let most = most.load(Ordering::Relaxed);
    place.tell(format!("{took:.1?} with {most} handlers at once; one would have taken {alone:.1?}"));
    Ok(())
}

/// Tells how far it is behind, by what is committed, until it is not.
async fn caught_up(mut events: ProcessorEvents, place: &Place) {
    let mut committed = BTreeMap::<TopicPartition, i64>::new();
    while let Some(event) = events.next().await {
        let ProcessorEvent::Committed(offsets) = event else { continue };
        committed.extend(offsets);
        let behind = RECORDS as i64 - committed.values().sum::<i64>();
        place.tell(format!("{behind} behind"));
        if behind == 0 {
            return;
        }
    }
}
