//! Reads the partitions of retry topics that stand behind those that the group assigns, where later records of a line follow it there.
//!
//! No assignor gives a partition of a topic and that of its retry topic to one member for certain. So the group is asked for the topic
//! alone, and who has its partition reads that of the same number of each retry topic, by a consumer of its own that is in no group; it
//! commits in the group's name, as long as the first is its own.
//!
//! A partition is read twice where something is left in it: first the keys alone, up to the end that it had when it was assigned, as
//! nothing may begin before they are known; then, from the committed offset on, the records.

mod questions;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{IntoFuture as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use ottla_core::{CommittedOffset, TopicPartition};
use tokio::task::JoinError;

use self::questions::{Answer, Begins, Questions};
use super::{
    engine::{Engine, Life, Link},
    pump::{CLOSE, IDLE, asked, build, or, received},
};
use crate::{
    config::ConsumerBuilder,
    consumer::{Consumer, Records},
    error::{Details as _, ProcessError, ProcessErrorKind, RecvError},
};

/// After how long without a key it is asked anew where a scan ends.
const QUIET: Duration = Duration::from_secs(1);

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
    questions: Questions,
    ages: Instant,
}

#[derive(Debug)]
struct Reading {
    link: Link,
    /// Where its records begin.
    from: i64,
    /// As long as only keys are read: up to where.
    scan: Option<Scan>,
}

/// Keys are read.
#[derive(Debug)]
struct Scan {
    /// Up to here.
    to: i64,
    /// When some were received last.
    since: Instant,
    /// It is asked where the partition ends now.
    asks: bool,
}

/// What came about.
enum Turn {
    Changed,
    Answered(Result<Answer, JoinError>),
    Received(Result<Records, RecvError>),
}

impl Behind {
    /// Of a consumer that is in the group.
    pub(super) async fn open(consumer: &ConsumerBuilder) -> Result<Self, ProcessError> {
        let consumer = consumer.beside_its_group().build().await.map_err(build)?;
        let questions = Questions::new(consumer.asking());
        let (chains, reading) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { consumer, chains, reading, questions, ages: Instant::now() + AGES })
    }

    /// Reads until the engine ends. An error where it cannot go on.
    pub(super) async fn run(mut self, engine: Arc<Engine>) -> Result<(), ProcessError> {
        let ended = or(pin!(engine.over()), self.read(&engine)).await;
        if ended.is_some() {
            engine.stop();
        }
        drop(self.questions);
        let _ = self.consumer.close_within(CLOSE).await;
        ended.unwrap_or(Ok(()))
    }

    async fn read(&mut self, engine: &Engine) -> Result<(), ProcessError> {
        loop {
            let (chains, pauses) = engine.chains();
            self.change(chains, engine)?;
            self.pause(pauses);
            self.age(engine);
            self.end_scans(engine)?;
            self.ask_ends();
            match self.turn(engine).await {
                Turn::Changed => {}
                Turn::Answered(Ok(Answer::Begins(link, begins))) => {
                    let begins = begins.map_err(|error| receive().because(error))?;
                    self.begin(&link, begins, engine)?;
                }
                Turn::Answered(Ok(Answer::Ends(at, life, end))) => self.ends(&at, life, end),
                Turn::Answered(Err(panicked)) => return Err(receive().because(panicked)),
                Turn::Received(records) => {
                    if let Some(records) = received(records)? {
                        self.take(&records, engine);
                    }
                }
            }
        }
    }

    /// Waits for what comes about next.
    async fn turn(&mut self, engine: &Engine) -> Turn {
        let mut stirred = pin!(engine.readers.notified());
        // Before it is asked: what comes about in between is not missed.
        stirred.as_mut().enable();
        let room = engine.room();
        // Keys that are scanned take no room, and all of their chain waits for them.
        let scanned: Vec<TopicPartition> = self.scanned().cloned().collect();
        let wait = if scanned.is_empty() { IDLE } else { LOOK };
        let reads = !self.reading.is_empty();
        let Self { consumer, questions, .. } = self;
        let reader = consumer.own_reader_mut();
        let receiving = match room.is_some() || scanned.is_empty() {
            true => asked(reader, room, wait),
            false => reader.poll(wait).partitions(scanned),
        };
        // One that is assigned nothing has nothing to wait for.
        let mut receiving = reads.then(|| receiving.into_future());
        let mut changed = pin!(engine.chains_changed());
        poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready()
                || (room.is_none() && stirred.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(Turn::Changed);
            }
            if let Poll::Ready(answer) = questions.poll_answer(cx) {
                return Poll::Ready(Turn::Answered(answer));
            }
            match &mut receiving {
                Some(receiving) => receiving.as_mut().poll(cx).map(Turn::Received),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Those of which only keys are read.
    fn scanned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.reading.iter().filter(|(_, reading)| reading.scan.is_some()).map(|(at, _)| at)
    }

    /// Reads what is behind these, once it is known what is found there, and nothing else.
    fn change(
        &mut self,
        chains: BTreeMap<TopicPartition, Life>,
        engine: &Engine,
    ) -> Result<(), ProcessError> {
        if chains == self.chains {
            return Ok(());
        }
        self.reading.retain(|_, reading| chains.get(&reading.link.first) == Some(&reading.link.life));
        self.questions.retain(&chains);
        let known: BTreeSet<_> = self.reading.values().map(|reading| reading.link.first.clone()).collect();
        for (first, life) in &chains {
            if !known.contains(first) && !self.questions.asks(first) {
                let behind = engine.with_behind(std::slice::from_ref(first)).into_iter().skip(1).collect();
                self.questions.begin(Link { first: first.clone(), life: *life }, behind);
            }
        }
        self.chains = chains;
        self.assign()
    }

    fn assign(&mut self) -> Result<(), ProcessError> {
        self.consumer.assign(self.reading.keys()).map_err(|error| receive().because(error))
    }

    /// It is known where partitions begin, and what is left in them.
    fn begin(&mut self, link: &Link, begins: Vec<Begins>, engine: &Engine) -> Result<(), ProcessError> {
        let mut new = Vec::new();
        for Begins { at, committed, first, end } in begins {
            // One that is beyond the end is of a log that is not there any more.
            let committed = committed.filter(|committed| committed.offset <= end);
            let next = match &committed {
                Some(committed) => committed.clone().with_metadata(String::new()),
                None => CommittedOffset::new(first),
            };
            let from = next.offset;
            engine.behind_begins(link, &at, committed.as_ref(), next);
            let scan = Scan { to: end, since: Instant::now(), asks: false };
            self.reading.insert(at.clone(), Reading { link: link.clone(), from, scan: Some(scan) });
            new.push((at, from));
        }
        self.assign()?;
        for (at, from) in new {
            seek(&mut self.consumer, &at, from)?;
            self.consumer.resume([&at]);
        }
        Ok(())
    }

    /// What an unclean election cuts off before it is read is not waited for: nobody else writes as long as keys are read.
    fn ask_ends(&mut self) {
        for (at, reading) in &mut self.reading {
            if let Some(scan) =
                reading.scan.as_mut().filter(|scan| !scan.asks && scan.since.elapsed() >= QUIET)
            {
                scan.asks = true;
                self.questions.end(at.clone(), reading.link.life);
            }
        }
    }

    fn ends(&mut self, at: &TopicPartition, life: Life, end: Option<i64>) {
        let reading = self.reading.get_mut(at).filter(|reading| reading.link.life == life);
        if let Some(scan) = reading.and_then(|reading| reading.scan.as_mut()) {
            (scan.asks, scan.since) = (false, Instant::now());
            scan.to = end.map_or(scan.to, |end| scan.to.min(end));
        }
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
            reading.scan.as_ref().is_none_or(|scan| position >= scan.to)
        };
        let behind: BTreeSet<_> = self
            .reading
            .iter()
            .filter(|reading| !is_at_end(*reading))
            .map(|(_, reading)| reading.link.first.clone())
            .collect();
        let ended =
            self.reading.iter().filter(|(_, it)| it.scan.is_some() && !behind.contains(&it.link.first));
        let ended: Vec<_> = ended.map(|(at, it)| (at.clone(), it.link.clone(), it.from)).collect();
        for (at, link, from) in ended {
            engine.known(&link);
            if self.consumer.position_now(&at) != Some(from) {
                seek(&mut self.consumer, &at, from)?;
            }
            if let Some(reading) = self.reading.get_mut(&at) {
                reading.scan = None;
            }
        }
        Ok(())
    }

    /// Of partitions that are scanned the keys, of others the records.
    fn take(&mut self, records: &Records, engine: &Engine) {
        for (at, records) in records.by_partition() {
            if let Some(Reading { link, scan: Some(scan), .. }) = self.reading.get_mut(at) {
                scan.since = Instant::now();
                let to = scan.to;
                let left = records.filter(|record| record.offset() < to);
                engine.left(link, at, left.map(|record| (record.key(), record.offset())));
            }
        }
        let read = self.reading.iter().filter(|(_, reading)| reading.scan.is_none());
        let links = read.map(|(at, reading)| (at.clone(), reading.link.clone())).collect();
        engine.feed_behind(records, self.consumer.own_reader(), &links);
    }
}

fn receive() -> ProcessError {
    ProcessError::new(ProcessErrorKind::Receive)
}

fn seek(consumer: &mut Consumer, at: &TopicPartition, to: i64) -> Result<(), ProcessError> {
    let sought = consumer.seek(at, to);
    sought.map_err(|error| receive().partition(at).because(error))
}
