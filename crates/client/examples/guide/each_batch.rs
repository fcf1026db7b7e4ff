//! Each batch handled: rows are stored some at a time, and what is stored is not repeated when the rest fails.

use std::time::Duration;

use ottla::{HandlerError, OwnedRecord, Processor, ProducerRecord, RetryPolicy, processor::Batch};

use crate::place::{Countdown, Failure, Place, text};

/// How many rows the database takes in one call.
const ROWS: usize = 3;

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("readings", 1).await?;
    place.produce((0..10).map(|n| ProducerRecord::to(&topic).value(format!("{n} kWh")))).await?;

    let stored = Countdown::from(10);
    let shared = (place.clone(), stored.clone());
    Processor::new(place.consumer(&topic))
        .retries(RetryPolicy::exponential(Duration::from_millis(50)..=Duration::from_secs(1)))
        .each_batch(move |batch| {
            let (place, stored) = shared.clone();
            async move { store(&batch, &place, &stored).await }
        })
        .max_records(7)
        // Only what is resolved is done.
        .auto_resolve(false)
        .run_until(stored.over())
        .await?;
    Ok(())
}

async fn store(batch: &Batch, place: &Place, stored: &Countdown) -> Result<(), HandlerError> {
    let (count, lag) = (batch.records().len(), batch.lag().unwrap_or_default());
    place.tell(format!("a batch of {count}, attempt {}, {lag} behind it", batch.attempt()));
    for rows in batch.records().chunks(ROWS) {
        // Another member is to have the partition, and stores the rest.
        if batch.is_stale() {
            break;
        }
        insert(rows, batch.attempt(), place).await?;
        if let Some(last) = rows.last() {
            batch.resolve_offset(last.offset());
        }
        rows.iter().for_each(|_| stored.one());
        batch.commit_if_due().await;
    }
    Ok(())
}

/// Stands for a database, which is down once.
async fn insert(rows: &[OwnedRecord], attempt: u32, place: &Place) -> Result<(), HandlerError> {
    let values: Vec<&str> = rows.iter().map(|row| text(row.value())).collect::<Result<_, _>>()?;
    if values.contains(&"5 kWh") && attempt == 1 {
        place.tell(format!("  the database is down: {}", values.join(", ")));
        return Err("the database is down".into());
    }
    place.tell(format!("  stored {}", values.join(", ")));
    Ok(())
}
