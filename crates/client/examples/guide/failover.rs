//! Failover: a member ends without a word, and another handles what it had not done, and little else.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ottla::{
    HandlerError, Order, Processor, ProducerRecord,
    processor::{Message, ProcessorEvents},
};

use crate::place::{Failure, Place, text};

/// What was done since the last commit is done again after a crash, so this is how much that may be.
const INTERVAL: Duration = Duration::from_millis(100);

/// The offsets that a member has handled, in order.
type Done = Arc<Mutex<Vec<i64>>>;

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("jobs", 1).await?;
    let jobs = (0..12).map(|n| if n == 3 { "stuck".to_owned() } else { format!("job {n}") });
    place.produce(jobs.map(|job| ProducerRecord::to(&topic).key(job.clone()).value(job))).await?;

    // The first member does all but one, which it cannot end.
    let (first, second) = (Done::default(), Done::default());
    let mut processor = processor(place, &topic);
    let mut events = processor.events();
    let done = first.clone();
    let member = tokio::spawn(
        processor
            .each_message(move |message| {
                let done = done.clone();
                async move { work(&message, &done, "stuck").await }
            })
            .run(),
    );
    until(&first, (0..12).filter(|offset| *offset != 3)).await;
    until_committed(&mut events).await;
    // As in a crash, what it has in hand ends in the middle, and nothing is committed any more.
    member.abort();
    place.tell(format!("the first did {:?}, and is gone", offsets(&first)));

    let done = second.clone();
    self::processor(place, &topic)
        .each_message(move |message| {
            let done = done.clone();
            async move { work(&message, &done, "").await }
        })
        .run_until(until(&second, [3]))
        .await?;
    place.tell(format!("the second did {:?}", offsets(&second)));
    Ok(())
}

fn processor(place: &Place, topic: &str) -> Processor {
    Processor::new(place.consumer(topic)).order(Order::Key).commit_interval(INTERVAL)
}

/// Stands for the work.
async fn work(message: &Message, done: &Done, stuck: &str) -> Result<(), HandlerError> {
    if text(message.value())? == stuck {
        std::future::pending::<()>().await;
    }
    done.lock().unwrap_or_else(PoisonError::into_inner).push(message.offset());
    Ok(())
}

/// Until all these are done.
async fn until(done: &Done, all: impl IntoIterator<Item = i64>) {
    let all = BTreeSet::from_iter(all);
    while !offsets(done).is_superset(&all) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Until what is done is committed: nothing is handled meanwhile, so that commits are all that is told, until there is none.
async fn until_committed(events: &mut ProcessorEvents) {
    while let Ok(Some(_)) = tokio::time::timeout(10 * INTERVAL, events.next()).await {}
}

fn offsets(done: &Done) -> BTreeSet<i64> {
    done.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
}
