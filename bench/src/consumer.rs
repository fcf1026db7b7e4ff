//! Ottla, as a user would write it: all partitions by hand, no group, every default but the sizes that the floor has
//! too.

use std::time::Duration;

use anyhow::{Result, bail};
use ottla::{Consumer, IsolationLevel, OffsetReset};
use ottla_bench_child::{Course, Delays, Lap, Meter, Watch};

use crate::lap::Work;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn by_iterator(course: &Course) -> Result<Lap> {
    runtime()?.block_on(async {
        let mut consumer = consumer(course, OffsetReset::Earliest).await?;
        let (mut meter, mut work) = (Meter::new(), Work::new(course.millis_per_mb));
        while meter.records < course.records {
            let records = consumer.poll(PATIENCE).await?;
            meter.begin()?;
            for record in &records {
                meter.add(record.key(), record.value());
            }
            work.up_to(meter.bytes);
        }
        end(meter, &consumer)
    })
}

pub(crate) fn by_recv(course: &Course) -> Result<Lap> {
    runtime()?.block_on(async {
        let mut consumer = consumer(course, OffsetReset::Earliest).await?;
        let (mut meter, mut work) = (Meter::new(), Work::new(course.millis_per_mb));
        while meter.records < course.records {
            let Some(record) = consumer.recv().await? else { bail!("closed") };
            meter.begin()?;
            meter.add(record.key(), record.value());
            work.up_to(meter.bytes);
        }
        end(meter, &consumer)
    })
}

/// How late records come, by `recv` or by the iterator.
pub(crate) fn watch(watch: &Watch, by_recv: bool) -> Result<Lap> {
    runtime()?.block_on(async {
        let mut consumer = consumer(&watch.course, OffsetReset::Latest).await?;
        let mut delays = Delays::new(watch);
        while !delays.is_complete() {
            if by_recv {
                let Some(record) = consumer.recv().await? else { bail!("closed") };
                delays.add(record.value())?;
            } else {
                for record in &consumer.poll(PATIENCE).await? {
                    delays.add(record.value())?;
                }
            }
        }
        delays.end()
    })
}

fn isolation(committed: bool) -> IsolationLevel {
    if committed { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn consumer(course: &Course, from: OffsetReset) -> Result<Consumer> {
    let mut consumer = Consumer::builder()
        .properties(course.tls())?
        .bootstrap_servers(course.bootstrap.split(','))
        .auto_offset_reset(from)
        .isolation_level(isolation(course.committed))
        .fetch_max_bytes(course.fetch_max_bytes as usize)
        .build()
        .await?;
    let partitions = (0..course.partitions as i32).map(|partition| (course.topic.as_str(), partition));
    consumer.assign(partitions)?;
    Ok(consumer)
}

fn end(meter: Meter, consumer: &Consumer) -> Result<Lap> {
    let lap = meter.end()?;
    Ok(Lap { fetched: Some(consumer.fetched_bytes()), ..lap })
}
