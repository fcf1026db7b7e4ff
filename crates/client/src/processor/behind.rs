//! Reads the partitions of retry topics that stand behind those that the group assigns, where later records of a line follow it there.
//!
//! No assignor gives a partition of a topic and that of its retry topic to one member for certain. So the group is asked for the topic
//! alone, and who has its partition reads that of the same number of each retry topic, by a consumer of its own that is in no group; it
//! commits in the group's name, as long as the first is its own.
//!
//! A partition is read twice where something is left in it: first the keys alone, up to the end that it had when it was assigned, as
//! nothing may begin before they are known; then, from the committed offset on, the records.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{IntoFuture as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use ottla_core::{CommittedOffset, TopicPartition, log};

use super::{
    engine::{Engine, Life, Link},
    pump::{CLOSE, IDLE, asked, build, or, received},
};
use crate::{
    config::ConsumerBuilder,
    consumer::{Consumer, Records},
    error::{Details as _, OffsetsError, ProcessError, ProcessErrorKind},
};

/// How long it waits before it asks once more what is committed.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it looks whether a scan has come to its end, where no record tells.
const LOOK: Duration = Duration::from_millis(100);

/// How often what is committed is committed again: a broker forgets offsets of topics that the group has not subscribed to
/// `offsets.retention.minutes` after the last commit, 7 days by default.
const AGES: Duration = Duration::from_secs(6 * 60 * 60);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Behind {
    consumer: Consumer,
    /// The chains that are read, by their first partitions.
    chains: BTreeMap<TopicPartition, Life>,
    /// The partitions that are read.
    reading: BTreeMap<TopicPartition, Reading>,
    /// Chains of which it could not be found out what is committed, and when that is asked once more.
    again: Option<Instant>,
    ages: Instant,
}

#[derive(Debug)]
struct Reading {
    link: Link,
    /// Where its records begin.
    from: i64,
    /// As long as only keys are read: up to where.
    scans_to: Option<i64>,
}

impl Behind {
    /// Of a consumer that is in the group.
    pub(super) async fn open(consumer: &ConsumerBuilder) -> Result<Self, ProcessError> {
        let consumer = consumer.beside_its_group().build().await.map_err(build)?;
        let (chains, reading) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { consumer, chains, reading, again: None, ages: Instant::now() + AGES })
    }

    /// Reads until the engine ends. An error where it cannot go on.
    pub(super) async fn run(mut self, engine: Arc<Engine>) -> Result<(), ProcessError> {
        let ended = or(pin!(engine.over()), self.read(&engine)).await;
        if ended.is_some() {
            engine.stop();
        }
        let _ = self.consumer.close_within(CLOSE).await;
        ended.unwrap_or(Ok(()))
    }

    async fn read(&mut self, engine: &Engine) -> Result<(), ProcessError> {
        loop {
            let (chains, pauses) = engine.chains();
            self.change(chains, engine).await?;
            self.pause(pauses);
            self.age(engine);
            self.end_scans(engine)?;
            if self.reading.is_empty() {
                match self.again {
                    Some(again) => {
                        let changed = engine.chains_changed();
                        let _ = tokio::time::timeout_at(again.into(), changed).await;
                    }
                    None => engine.chains_changed().await,
                }
                continue;
            }
            let is_scanning = self.scanned().next().is_some();
            let wait = match (is_scanning, self.again) {
                (true, _) => LOOK,
                (false, Some(_)) => AGAIN,
                (false, None) => IDLE,
            };
            let mut stirred = pin!(engine.readers.notified());
            // Before it is asked: what comes about in between is not missed.
            stirred.as_mut().enable();
            let room = engine.room();
            // Keys that are scanned take no room, and all of their chain waits for them.
            let scanned: Vec<TopicPartition> = match room {
                Some(_) => Vec::new(),
                None => self.scanned().cloned().collect(),
            };
            let reader = self.consumer.own_reader_mut();
            let mut receiving = match scanned.is_empty() {
                true => asked(reader, room, wait).into_future(),
                false => reader.poll(wait).partitions(scanned).into_future(),
            };
            let mut changed = pin!(engine.chains_changed());
            let turn = poll_fn(|cx| {
                if changed.as_mut().poll(cx).is_ready()
                    || (room.is_none() && stirred.as_mut().poll(cx).is_ready())
                {
                    return Poll::Ready(None);
                }
                receiving.as_mut().poll(cx).map(Some)
            });
            let turn = turn.await;
            drop(receiving);
            if let Some(records) = turn
                && let Some(records) = received(records)?
            {
                self.take(&records, engine);
            }
        }
    }

    /// Those of which only keys are read.
    fn scanned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.reading.iter().filter(|(_, reading)| reading.scans_to.is_some()).map(|(at, _)| at)
    }

    /// Reads what is behind these, and nothing else.
    async fn change(
        &mut self,
        chains: BTreeMap<TopicPartition, Life>,
        engine: &Engine,
    ) -> Result<(), ProcessError> {
        let is_due = self.again.is_some_and(|again| again <= Instant::now());
        if chains == self.chains && !is_due {
            return Ok(());
        }
        self.reading.retain(|_, reading| chains.get(&reading.link.first) == Some(&reading.link.life));
        self.again = None;
        let known: BTreeSet<_> = self.reading.values().map(|reading| reading.link.first.clone()).collect();
        let new = chains.iter().filter(|(first, _)| !known.contains(*first));
        let new: Vec<Link> = new.map(|(first, life)| Link { first: first.clone(), life: *life }).collect();
        self.chains = chains;
        if !new.is_empty() {
            match self.begin(&new, engine).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(target: log::PROCESSING, %error, "what is left behind is not known");
                    self.again = Some(Instant::now() + AGAIN);
                }
            }
        }
        self.consumer
            .assign(self.reading.keys())
            .map_err(|error| ProcessError::new(ProcessErrorKind::Receive).because(error))?;
        for (at, reading) in &self.reading {
            if new.iter().any(|link| link.first == reading.link.first) {
                seek(&mut self.consumer, at, reading.from)?;
                self.consumer.resume([at]);
            }
        }
        Ok(())
    }

    /// Finds out where partitions begin, and what is left in them.
    async fn begin(&mut self, new: &[Link], engine: &Engine) -> Result<(), OffsetsError> {
        let behind = |link: &Link| engine.with_behind(std::slice::from_ref(&link.first)).into_iter().skip(1);
        let all: Vec<(TopicPartition, Link)> =
            new.iter().flat_map(|link| behind(link).map(|at| (at, link.clone()))).collect();
        let partitions: Vec<TopicPartition> = all.iter().map(|(at, _)| at.clone()).collect();
        let committed = self.consumer.committed(partitions.clone()).await?;
        let first = self.consumer.beginning_offsets(partitions.clone()).await?;
        // Behind all that the owner before has written and knows of.
        let ends = self.consumer.end_offsets(partitions).await?;
        for (at, link) in all {
            let (first, end) = (*first.get(&at).unwrap_or(&0), *ends.get(&at).unwrap_or(&0));
            // One that is beyond the end is of a log that is not there any more.
            let committed = committed.get(&at).and_then(Option::as_ref).filter(|it| it.offset <= end);
            let next = match committed {
                Some(committed) => committed.clone().with_metadata(String::new()),
                None => CommittedOffset::new(first),
            };
            let from = next.offset;
            engine.behind_begins(&link, &at, committed, next);
            self.reading.insert(at, Reading { link, from, scans_to: Some(end) });
        }
        Ok(())
    }

    fn pause(&mut self, pauses: Vec<(TopicPartition, bool)>) {
        for (at, is_paused) in pauses {
            match is_paused {
                true => self.consumer.pause([at]),
                false => self.consumer.resume([at]),
            }
        }
    }

    fn age(&mut self, engine: &Engine) {
        if self.ages <= Instant::now() {
            self.ages = Instant::now() + AGES;
            for (at, reading) in &self.reading {
                engine.commit_ages(&reading.link, at);
            }
        }
    }

    /// Chains of which all keys are known begin.
    fn end_scans(&mut self, engine: &Engine) -> Result<(), ProcessError> {
        let is_at_end = |(at, reading): (&TopicPartition, &Reading)| {
            let position = self.consumer.position_now(at).unwrap_or(reading.from);
            reading.scans_to.is_none_or(|end| position >= end)
        };
        let behind: BTreeSet<_> = self
            .reading
            .iter()
            .filter(|reading| !is_at_end(*reading))
            .map(|(_, reading)| reading.link.first.clone())
            .collect();
        let ended =
            self.reading.iter().filter(|(_, it)| it.scans_to.is_some() && !behind.contains(&it.link.first));
        let ended: Vec<_> = ended.map(|(at, it)| (at.clone(), it.link.clone(), it.from)).collect();
        for (at, link, from) in ended {
            engine.known(&link);
            if self.consumer.position_now(&at) != Some(from) {
                seek(&mut self.consumer, &at, from)?;
            }
            if let Some(reading) = self.reading.get_mut(&at) {
                reading.scans_to = None;
            }
        }
        Ok(())
    }

    /// Of partitions that are scanned the keys, of others the records.
    fn take(&mut self, records: &Records, engine: &Engine) {
        for (at, records) in records.by_partition() {
            if let Some(Reading { link, scans_to: Some(end), .. }) = self.reading.get(at) {
                let left = records.filter(|record| record.offset() < *end);
                engine.left(link, at, left.map(|record| (record.key(), record.offset())));
            }
        }
        let read = self.reading.iter().filter(|(_, reading)| reading.scans_to.is_none());
        let links = read.map(|(at, reading)| (at.clone(), reading.link.clone())).collect();
        engine.feed_behind(records, self.consumer.own_reader(), &links);
    }
}

fn seek(consumer: &mut Consumer, at: &TopicPartition, to: i64) -> Result<(), ProcessError> {
    let sought = consumer.seek(at, to);
    sought.map_err(|error| ProcessError::new(ProcessErrorKind::Receive).partition(at).because(error))
}
