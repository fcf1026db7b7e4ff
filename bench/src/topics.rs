//! Topics that come and go with laps, and how much they hold; within this process, as Kafka's tools start a JVM each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla::admin::{NewTopic, OffsetSpec};
use ottla::{Admin, Consumer, IsolationLevel, OffsetReset, Producer, ProducerRecord};
use ottla_conformance::wait::until;
use tokio::runtime::Runtime;

use crate::consumer::runtime;

/// Far longer than a topic takes to be read.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Topics {
    runtime: Runtime,
    bootstrap: String,
    admin: Admin,
}

impl Topics {
    pub(crate) fn new(bootstrap: &str) -> Result<Self> {
        let runtime = runtime()?;
        let admin = Admin::builder().bootstrap_servers(bootstrap.split(',')).build();
        let admin = runtime.block_on(admin)?;
        Ok(Self { runtime, bootstrap: bootstrap.to_owned(), admin })
    }

    /// Returns when each partition's leader answers: not every client waits for that.
    pub(crate) fn create(&self, topic: &str, partitions: u32) -> Result<()> {
        self.create_as(NewTopic::new(topic).partitions(partitions as i32).replication_factor(1), partitions)
    }

    /// The same, of a topic with a configuration of its own.
    pub(crate) fn create_as(&self, new: NewTopic, partitions: u32) -> Result<()> {
        let topic = new.name.clone();
        self.runtime.block_on(self.admin.create_topic(new))?;
        // Leaders that do not know yet that they lead are asked again by themselves; of brokers that have not heard of the topic they are
        // not known.
        Ok(until(PATIENCE, "the topic's leaders", || self.ends(&topic, partitions).is_ok())?)
    }

    /// Gives a topic more partitions, so many in all. Returns when each one's leader answers.
    pub(crate) fn grow(&self, topic: &str, partitions: u32) -> Result<()> {
        self.runtime.block_on(self.admin.create_partitions(topic, partitions as i32))?;
        Ok(until(PATIENCE, "the topic's leaders", || self.ends(topic, partitions).is_ok())?)
    }

    pub(crate) fn delete(&self, topic: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.admin.delete_topic(topic))?)
    }

    /// The ends of its partitions, together; of transactions' topics that is more than it has records.
    pub(crate) fn ends(&self, topic: &str, partitions: u32) -> Result<u64> {
        let asked = (0..partitions as i32).map(|partition| ((topic, partition), OffsetSpec::Latest));
        let listed = self.runtime.block_on(self.admin.list_offsets(asked))?;
        let mut ends = 0;
        for (partition, found) in listed {
            ends += found?.with_context(|| format!("{partition} has no end"))?.offset as u64;
        }
        Ok(ends)
    }

    /// Writes these, all of them.
    pub(crate) fn fill<'a>(&self, records: impl Iterator<Item = ProducerRecord<'a>>) -> Result<()> {
        self.runtime.block_on(async {
            let producer = Producer::builder().bootstrap_servers(self.bootstrap.split(',')).build().await?;
            for record in records {
                drop(producer.send(record).await?);
            }
            producer.flush().await?;
            Ok(producer.close().await?)
        })
    }

    /// The offsets that a group has committed, together.
    pub(crate) fn committed_by(&self, group: &str) -> Result<u64> {
        let committed = self.runtime.block_on(self.admin.committed_offsets(group))?;
        Ok(committed.values().map(|committed| committed.offset as u64).sum())
    }

    /// How many records a reader of `read_committed` finds.
    pub(crate) fn committed(&self, topic: &str, partitions: u32) -> Result<u64> {
        let builder = Consumer::builder()
            .bootstrap_servers(self.bootstrap.split(','))
            .auto_offset_reset(OffsetReset::Earliest)
            .isolation_level(IsolationLevel::ReadCommitted);
        self.runtime.block_on(async {
            let partitions: Vec<_> = (0..partitions as i32).map(|partition| (topic, partition)).collect();
            let mut consumer = builder.build().await?;
            consumer.assign(partitions.iter().copied())?;
            let ends = consumer.end_offsets(partitions.iter().copied()).await?;
            let (start, mut records) = (std::time::Instant::now(), 0);
            for (partition, end) in &ends {
                while consumer.position(partition.clone()).await? < *end {
                    records += consumer.poll(Duration::from_millis(100)).await?.len() as u64;
                    ensure!(start.elapsed() < PATIENCE, "{partition} is not read to its end, {end}");
                }
            }
            Ok(records)
        })
    }
}
