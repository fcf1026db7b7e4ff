//! How old the records are that groups read next, from the records' own timestamps.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ottla::{Consumer, TopicPartition};

use super::asked::Seen;
use crate::{args::Common, common::Clients, failure::Failure};

/// How long records may take to come, all together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The timestamp of a record, in milliseconds since 1970, by where it is.
pub(in crate::commands) type Times = BTreeMap<(TopicPartition, i64), i64>;

/// Reads one record at each place that is behind the end of its log. With the times goes what is to be told of those that
/// are missing.
pub(super) async fn times(seen: &Seen, common: &Common) -> Result<(Times, Option<String>), Failure> {
    let mut wanted: BTreeMap<TopicPartition, Vec<i64>> = BTreeMap::new();
    for (at, place) in seen.places.values().flatten() {
        let log = seen.logs.get(at).copied().unwrap_or_default();
        if let (Some(offset), Some(begin), Some(end)) = (place.offset, log.begin, log.end)
            && (begin..end).contains(&offset)
        {
            wanted.entry(at.clone()).or_default().push(offset);
        }
    }
    let (mut times, mut missing) = (Times::new(), 0);
    if wanted.is_empty() {
        return Ok((times, None));
    }
    let mut consumer =
        Clients::new(common)?.consumer(Consumer::builder())?.enable_auto_commit(false).build().await?;
    let end = Instant::now() + PATIENCE;
    // Several groups may be at different places of one partition: one round for each.
    while !wanted.is_empty() {
        let round: BTreeMap<TopicPartition, i64> =
            wanted.iter().filter_map(|(at, offsets)| Some((at.clone(), *offsets.last()?))).collect();
        missing += read(&mut consumer, round, end, &mut times).await?;
        wanted.retain(|_, offsets| {
            offsets.pop();
            !offsets.is_empty()
        });
    }
    consumer.close().await?;
    let told =
        format!("{missing} records did not come within {PATIENCE:?}: the TIME-LAG of these is not known");
    Ok((times, Some(told).filter(|_| missing > 0)))
}

/// The first record at each of these places, or behind it: there may be none at the offset itself. How many did not come.
async fn read(
    consumer: &mut Consumer,
    mut round: BTreeMap<TopicPartition, i64>,
    end: Instant,
    times: &mut Times,
) -> Result<usize, Failure> {
    consumer.assign(round.keys().cloned())?;
    // Those of the round before are still as they were left.
    consumer.resume(round.keys().cloned());
    for (at, offset) in &round {
        consumer.seek(at.clone(), *offset)?;
    }
    while !round.is_empty() && Instant::now() < end {
        let records = consumer.poll(Duration::from_millis(200)).max_records(1).await?;
        for record in &records {
            let at = TopicPartition::new(record.topic(), record.partition());
            if let Some(offset) = round.remove(&at) {
                consumer.pause([at.clone()]);
                if let Some(time) = record.timestamp() {
                    times.insert((at, offset), time.0);
                }
            }
        }
        // Behind some there is nothing to read: markers of transactions alone.
        let lag = consumer.lag();
        round.retain(|at, _| lag.get(at) != Some(&Some(0)));
    }
    Ok(round.len())
}
