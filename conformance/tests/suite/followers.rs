//! Fetching from followers (KIP-392): the shared clusters have racks, and name the follower in a client's own.

use std::time::Duration;

use libtest_mimic::Failed;
use ottla::{Consumer, TopicPartition};
use ottla_conformance::kafka::Config;
use ottla_conformance::targets::Target;

use crate::brokers::{Own, in_sync};
use crate::cases::{Case, Outcome};
use crate::kit::{admin, consumer, equal, holds, next, numbers, text, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    let stopped = "each_record_is_read_once_from_a_follower_that_is_killed_and_starts_again";
    vec![Case::alone(stopped, killed_and_restarted).with_java().heavy()]
}

/// A consumer of one partition that is in the rack of a follower of it, and what it has read.
struct Reading {
    target: Target,
    at: TopicPartition,
    consumer: Consumer,
    leader: i32,
    follower: i32,
    /// The next number to be written, and the next to be read.
    written: i32,
    read: i32,
}

impl Reading {
    async fn start(target: Target) -> Result<Self, Failed> {
        let topic = topic(&target, "followed", 1).await?;
        let described = admin(&target).await?.describe_topics([&topic]).await?;
        let leader = described.get(&topic).and_then(|found| found.as_ref().ok()?.partitions.get(&0)?.leader);
        let leader = leader.ok_or("a leader")?.0;
        let follower = leader % 3 + 1;
        let mut consumer = consumer(&target).client_rack(format!("rack-{follower}")).build().await?;
        consumer.assign([(topic.as_str(), 0)])?;
        let at = TopicPartition::new(topic, 0);
        Ok(Self { target, at, consumer, leader, follower, written: 0, read: 0 })
    }

    async fn write(&mut self, count: i32) -> Outcome {
        let range = self.written..self.written + count;
        self.written = range.end;
        numbers(&self.target, &self.at.topic, 1, range).await
    }

    /// Reads all that is written. The brokers that it came from.
    async fn read_all(&mut self) -> Result<Vec<i32>, Failed> {
        let mut brokers = Vec::new();
        while self.read < self.written {
            let record = next(&mut self.consumer).await?;
            let place = (record.offset(), text(&record));
            equal("the next record", place, (i64::from(self.read), self.read.to_string()))?;
            brokers.push(record.broker().0);
            self.read += 1;
        }
        brokers.dedup();
        Ok(brokers)
    }

    /// Writes and reads until records come from this broker alone.
    async fn until_from(&mut self, broker: i32) -> Outcome {
        let passing = async {
            loop {
                self.write(10).await?;
                if self.read_all().await? == [broker] {
                    return Outcome::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within(&format!("records from broker {broker}"), passing).await?
    }
}

fn killed_and_restarted() -> Outcome {
    let own = Own::start(Config::new(3))?;
    wait(async {
        let mut reading = Reading::start(own.target()).await?;
        let (leader, follower) = (reading.leader, reading.follower);
        reading.until_from(follower).await?;
        let explanation = reading.consumer.explain();
        equal("what is told", explanation.followers, vec![(reading.at.clone(), follower)])?;
        // The leader names the dead follower for as long as nobody has missed it.
        reading.write(100).await?;
        own.0.kill(follower as u32)?;
        let brokers = reading.read_all().await?;
        holds(&format!("the leader sends the rest: {brokers:?}"), brokers.last() == Some(&leader))?;
        own.0.restart(follower as u32)?;
        let target = own.target();
        tokio::task::spawn_blocking(move || in_sync(&target)).await??;
        reading.until_from(follower).await
    })
}
