//! Time: a record is handled when its time has come, and not at all when it is too old.

use std::time::{Duration, SystemTime};

use ottla::{
    HandlerError, Order, Processor, ProducerRecord, Timestamp,
    processor::{Message, ProcessorEvent, ProcessorEvents},
};

use crate::place::{Countdown, Failure, Place, text};

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("reminders", 1).await?;
    let now = SystemTime::now();
    let yesterday = now - Duration::from_secs(86_400);
    let reminder = |text| ProducerRecord::to(&topic).value(text);
    place
        .produce([
            reminder("600 supper").timestamp(now),
            reminder("100 breakfast").timestamp(yesterday),
            reminder("300 lunch").timestamp(now),
            reminder("0 breakfast").timestamp(now),
        ])
        .await?;

    let left = Countdown::from(4);
    let mut processor = Processor::new(place.consumer(&topic))
        // Who waits for his time holds up nobody. With `Order::Key` he would hold up those of his key.
        .order(Order::Unordered)
        // One that waits takes no place of these.
        .concurrency(1)
        .skip_older_than(Duration::from_secs(3600));
    let watching = tokio::spawn(watch(processor.events(), place.clone(), left.clone()));
    let shared = (place.clone(), left.clone());
    processor
        .each_message(move |message| {
            let (place, left) = shared.clone();
            async move { remind(&message, &place, &left) }
        })
        .run_until(left.over())
        .await?;
    Ok(watching.await?)
}

fn remind(message: &Message, place: &Place, left: &Countdown) -> Result<(), HandlerError> {
    let no_time = || HandlerError::fatal("no time");
    let written = message.timestamp().and_then(Timestamp::system_time).ok_or_else(no_time)?;
    let (after, what) = text(message.value())?.split_once(' ').ok_or_else(no_time)?;
    let due = written + Duration::from_millis(after.parse().map_err(HandlerError::fatal)?);
    let Ok(late) = SystemTime::now().duration_since(due) else {
        place.tell(format!("{what} waits for its time"));
        return Err(HandlerError::defer_until(due));
    };
    place.tell(format!("{what}, {} ms late, attempt {}", late.as_millis(), message.attempt()));
    left.one();
    Ok(())
}

async fn watch(mut events: ProcessorEvents, place: Place, left: Countdown) {
    while let Some(event) = events.next().await {
        if let ProcessorEvent::Skipped { offset, records, .. } = event {
            place.tell(format!("{records} too old, at offset {offset}"));
            (0..records).for_each(|_| left.one());
        }
    }
}
