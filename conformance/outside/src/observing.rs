//! What a consumer and a processor tell of themselves in numbers, and to probes.

use std::{future::ready, sync::Arc, time::Duration};

use ottla::{
    Consumer, Health, Monitor, OffsetReset, Processor, Stall, StallReason, TopicPartition,
    processor::{HandlerStats, ProcessorMonitor, ProcessorStats},
    stats::{
        BufferStats, CommitStats, ConnectionStats, ConsumerStats, FetchStats, PartitionStats, PollStats,
        RebalanceStats, RecordStats, Recorder,
    },
};
use tokio::sync::Notify;

use crate::{ORDERS, Outcome, PATIENCE, administering::at, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let builder = configuring::consumer(servers).auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = builder.clone().build().await?;
    consumer.assign([at(topic)])?;
    let monitor = monitor(&consumer);
    consumer.recv().await?.ok_or("no record")?;
    let stats = numbers(&monitor);
    equal(fetched(&stats.fetches) > 0 && decoded(&stats.records) > 0, true)?;
    equal((committed(&stats.commits), rebalanced(&stats.rebalances)), (0, 0))?;
    equal((limit(&stats.polls), connected(&stats.connections) > 0), (None, true))?;
    equal(buffered(&stats.buffer) > 0, true)?;
    let place = stats.partitions.first().map(partition).ok_or("no partition")?;
    equal(place, (&at(topic), Some(0)))?;
    let health = monitor.health();
    equal((health.is_live(), health.is_ready(), health.stalled.iter().find_map(stuck)), (true, true, None))?;
    // Nobody has installed an exporter.
    told(recorder(), &stats, &health);
    consumer.close().await?;

    let all = Arc::new(Notify::new());
    let mut processor = Processor::new(builder.group_id(format!("{topic}-observed")).subscribe([topic]));
    let observed = watched(&mut processor);
    let handled = all.clone();
    let process = processor.each_message(move |message| {
        if message.offset() == i64::from(ORDERS) {
            handled.notify_one();
        }
        ready(Ok::<_, std::io::Error>(()))
    });
    let looked = async {
        all.notified().await;
        while observed.stats().as_ref().map(handlers).map(done) != Some(u64::from(ORDERS) + 1) {
            tokio::time::sleep(PATIENCE / 1000).await;
        }
    };
    Ok(process.run_until(looked).await?)
}

fn monitor(consumer: &Consumer) -> Monitor {
    consumer.monitor()
}

fn numbers(monitor: &Monitor) -> ConsumerStats {
    monitor.stats()
}

fn fetched(fetches: &FetchStats) -> u64 {
    fetches.bytes
}

fn decoded(records: &RecordStats) -> u64 {
    records.decoded
}

fn committed(commits: &CommitStats) -> u64 {
    commits.done
}

fn rebalanced(rebalances: &RebalanceStats) -> u64 {
    rebalances.done
}

fn limit(polls: &PollStats) -> Option<Duration> {
    polls.limit
}

fn connected(connections: &ConnectionStats) -> u64 {
    connections.open
}

fn buffered(buffer: &BufferStats) -> u64 {
    buffer.budget
}

fn partition(partition: &PartitionStats) -> (&TopicPartition, Option<i64>) {
    (&partition.at, partition.position)
}

fn stuck(stall: &Stall) -> Option<&TopicPartition> {
    place(&stall.why)
}

fn place(why: &StallReason) -> Option<&TopicPartition> {
    match why {
        StallReason::Partition(at, _) => Some(at),
        _ => None,
    }
}

fn recorder() -> Recorder {
    Recorder::new().label("program", "outside").without_partitions()
}

fn told(mut recorder: Recorder, stats: &ConsumerStats, health: &Health) {
    recorder.record(stats);
    recorder.record_health(health);
}

fn watched(processor: &mut Processor) -> ProcessorMonitor {
    processor.monitor()
}

fn handlers(stats: &ProcessorStats) -> HandlerStats {
    stats.handlers
}

fn done(handlers: HandlerStats) -> u64 {
    handlers.done
}
