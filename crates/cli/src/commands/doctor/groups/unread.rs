//! Whether there is a record at all between a commit and the log's end: the marker that ends a transaction has an offset, and nobody
//! reads it. A group that commits the offset behind the last record stands before it for ever, and has read all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla::{Consumer, IsolationLevel, TopicPartition};

use crate::{args::Common, common::Clients, failure::Failure};

/// How many offsets are looked through: more than that are hardly markers alone.
pub(super) const MOST: i64 = 100;
/// How many places are read at.
const AT_MOST: usize = 1_000;
/// How long it may take, all together.
const PATIENCE: Duration = Duration::from_secs(5);

/// An offset of a log.
pub(super) type Place = (TopicPartition, i64);

/// Adds those of these places from which on nothing is to be read. Of what does not come in time, or may not be read, it is not known.
pub(super) async fn bare(
    common: &Common,
    places: BTreeSet<Place>,
    bare: &mut BTreeSet<Place>,
) -> Result<(), Failure> {
    if places.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<TopicPartition, Vec<i64>> = BTreeMap::new();
    for (at, offset) in places.into_iter().take(AT_MOST) {
        wanted.entry(at).or_default().push(offset);
    }
    let builder = Clients::new(common)?.consumer(Consumer::builder())?.enable_auto_commit(false);
    // Who reads only what is committed is at the end of a log that is held back.
    let builder = builder.isolation_level(IsolationLevel::ReadUncommitted);
    let mut consumer = builder.build().await?;
    let end = Instant::now() + PATIENCE;
    // Several groups may be at different places of one partition: one round for each.
    while !wanted.is_empty() && Instant::now() < end {
        let last = |(at, offsets): (&TopicPartition, &Vec<i64>)| Some((at.clone(), *offsets.last()?));
        let round: BTreeMap<TopicPartition, i64> = wanted.iter().filter_map(last).collect();
        read(&mut consumer, round, end, bare).await?;
        wanted.retain(|_, offsets| {
            offsets.pop();
            !offsets.is_empty()
        });
    }
    _ = consumer.close().await;
    Ok(())
}

/// One place of each log.
async fn read(
    consumer: &mut Consumer,
    mut round: BTreeMap<TopicPartition, i64>,
    end: Instant,
    bare: &mut BTreeSet<Place>,
) -> Result<(), Failure> {
    consumer.assign(round.keys().cloned())?;
    // Those of the round before are still as they were left.
    consumer.resume(round.keys().cloned());
    for (at, offset) in &round {
        consumer.seek(at.clone(), *offset)?;
    }
    while !round.is_empty() && Instant::now() < end {
        let records = match consumer.poll(Duration::from_millis(100)).max_records(1).await {
            Ok(records) => records,
            Err(error) if error.is_final() => return Err(error.into()),
            // Of one topic: others flow.
            Err(_) => continue,
        };
        for record in &records {
            let at = TopicPartition::new(record.topic(), record.partition());
            // There is one.
            if round.remove(&at).is_some() {
                consumer.pause([at]);
            }
        }
        let lag = consumer.lag();
        let (there, none): (BTreeMap<_, _>, BTreeMap<_, _>) =
            round.into_iter().partition(|(at, _)| lag.get(at) != Some(&Some(0)));
        bare.extend(none);
        round = there;
    }
    Ok(())
}
