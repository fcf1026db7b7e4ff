//! The post: writes records that are given up to their retry topics and dead letters.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use ottla_core::{
    TopicPartition,
    dead_letters::{ErrorText, FailedRecord, Failure},
    log,
    processing::{Following, GivenAway, JobId},
};
use tokio::task::JoinSet;

use super::{
    HandlerFailure, ProcessorEvent,
    engine::Engine,
    plan::{Plan, Step},
    pump::build,
};
use crate::{
    admin::{Admin, NewTopic, OffsetSpec},
    config::{ConsumerBuilder, MAX_SIZE, ProducerBuilder},
    consumer::OwnedRecord,
    error::{
        AdminError, AdminErrorKind, Details as _, ProcessError, ProcessErrorKind, SendError, SendErrorKind,
    },
    producer::{Producer, ProducerRecord},
};

/// How many records it writes at once.
const AT_ONCE: usize = 256;

/// How long it waits before it asks a broker once more.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the producer has to close. Nothing is on its way by then.
const CLOSE: Duration = Duration::from_secs(5);

/// What a record that follows others is told to have failed with.
const FOLLOWS: &str = "it follows an earlier record of its line";

/// A record that is to be written elsewhere.
#[derive(Debug)]
enum Given {
    Up(GivenAway<OwnedRecord, HandlerFailure>),
    /// As others of its line are there.
    Behind(Following<OwnedRecord>),
}

impl Given {
    fn id(&self) -> JobId {
        match self {
            Self::Up(given) => given.id,
            Self::Behind(following) => following.id,
        }
    }

    fn work(&self) -> &OwnedRecord {
        match self {
            Self::Up(given) => &given.hopeless.work,
            Self::Behind(following) => &following.work,
        }
    }

    fn step<'p>(&self, plan: &'p Plan) -> Step<'p, '_> {
        let why = match self {
            Self::Up(given) => Some(given.hopeless.why),
            Self::Behind(_) => None,
        };
        plan.step(FailedRecord::from(self.work()), why)
    }
}

/// Where a record was written.
#[derive(Debug)]
struct Written {
    topic: String,
    /// Whether that is a retry topic.
    is_retry: bool,
    /// Its offset, where it is in the partition behind its own and holds those that come later.
    behind: Option<i64>,
}

/// Where records that are given up are written from.
#[derive(Debug)]
pub(super) struct Post {
    plan: Arc<Plan>,
    group: String,
    /// `None` where what it writes is a part of the transactions that commit what is done.
    producer: Option<Producer>,
    admin: Admin,
    /// How many partitions topics have, as far as that was asked.
    partitions: Mutex<HashMap<String, usize>>,
}

/// Why a record is not written.
#[derive(Debug)]
enum Refused {
    /// Its topic is not there, and cannot be made.
    NoTopic(AdminError),
    NotWritten(SendError),
    /// The partition behind its own is missing.
    NoPartition(TopicPartition),
}

impl Post {
    /// With the retry topics and the dead letters' topics of all topics that are subscribed to by name, which are made where they are
    /// missing.
    pub(super) async fn open(
        plan: Arc<Plan>,
        consumer: &ConsumerBuilder,
        is_transactional: bool,
    ) -> Result<Self, ProcessError> {
        let group = consumer.settings().group_id().unwrap_or_default().to_owned();
        let producer = match is_transactional {
            true => None,
            false => Some(of_any_size(consumer.producer()).build().await.map_err(build)?),
        };
        let admin = consumer.admin().build().await.map_err(build)?;
        let post = Self { plan, group, producer, admin, partitions: Mutex::default() };
        for topic in &post.plan.topics {
            let letters = post.plan.letters.topic_for(topic);
            let retries = post.plan.retry_topics().filter(|retry| retry.topic() == topic);
            for name in retries.map(|retry| retry.to_string()).chain([letters.into_owned()]) {
                let known = post.partitions_of(&name, topic).await;
                known.map_err(|error| {
                    ProcessError::new(ProcessErrorKind::Topic).topic(&name).because(error)
                })?;
            }
            if post.plan.is_held {
                post.has_room_behind(topic).await?;
            }
        }
        Ok(post)
    }

    /// Whether each partition of this topic has one behind it in each of its retry topics.
    async fn has_room_behind(&self, topic: &str) -> Result<(), ProcessError> {
        let stopped = |name: &str| ProcessError::new(ProcessErrorKind::Topic).topic(name);
        let count = |name: String| async move {
            match self.describe(&name).await {
                // Nobody writes to it before it is there, or has told of itself.
                Err(error) if error.kind() == AdminErrorKind::UnknownTopic => Ok(None),
                described => described.map(Some).map_err(|error| stopped(&name).because(error)),
            }
        };
        let Some(first) = count(topic.to_owned()).await? else { return Ok(()) };
        for retry in self.plan.retry_topics().filter(|retry| retry.topic() == topic) {
            let name = retry.to_string();
            if let Some(behind) = count(name.clone()).await?.filter(|behind| *behind < first) {
                let why = format!(
                    "it has {behind} partitions, and `{topic}` {first}: held records keep their partition, so it needs as many"
                );
                return Err(stopped(&name).detail(why));
            }
        }
        Ok(())
    }

    async fn describe(&self, topic: &str) -> Result<usize, AdminError> {
        let described = self.admin.describe_topics(topic).await?.into_values().next();
        let told =
            described.unwrap_or_else(|| Err(AdminError::new(AdminErrorKind::UnknownTopic).topic(topic)));
        Ok(told?.partitions.len())
    }

    /// How many partitions a topic has; 0 where that is not known yet. Where it is missing it is made, with as many as the `source` of
    /// its records has.
    async fn partitions_of(&self, topic: &str, source: &str) -> Result<usize, AdminError> {
        if let Some(known) = self.known().get(topic) {
            return Ok(*known);
        }
        let count = match self.describe(topic).await {
            Err(error) if error.kind() == AdminErrorKind::UnknownTopic => self.create(topic, source).await?,
            described => described?,
        };
        if count > 0 {
            self.known().insert(topic.to_owned(), count);
        }
        Ok(count)
    }

    async fn create(&self, topic: &str, source: &str) -> Result<usize, AdminError> {
        let count = match self.describe(source).await {
            // As many as the broker gives it by default.
            Err(error) if error.kind() == AdminErrorKind::UnknownTopic => None,
            described => Some(described?),
        };
        let partitions = count.and_then(|count| i32::try_from(count).ok());
        let mut new = NewTopic::new(topic);
        new.partitions = partitions;
        match self.admin.create_topic(new).await {
            Ok(()) => {
                tracing::info!(target: log::PROCESSING, topic, partitions, "topic is made");
                // Not asked for: brokers may not have heard of it yet.
                Ok(count.unwrap_or_default())
            }
            // Another member was first, so that it may have other numbers; nor may brokers have heard of it yet.
            Err(error) if error.kind() == AdminErrorKind::TopicExists => match self.describe(topic).await {
                Err(error) if error.kind() == AdminErrorKind::UnknownTopic => Ok(0),
                described => described,
            },
            Err(error) => Err(error),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is given up until the engine ends. An error where the producer can write nothing any more.
    pub(super) async fn run(self, engine: Arc<Engine>) -> Result<(), ProcessError> {
        let post = Arc::new(self);
        let (mut waiting, mut on_way) = (VecDeque::new(), JoinSet::new());
        let end = loop {
            waiting.extend(engine.given_away().into_iter().map(Given::Up));
            waiting.extend(engine.following().into_iter().map(Given::Behind));
            while on_way.len() < AT_ONCE
                && let Some(given) = waiting.pop_front()
            {
                let post = post.clone();
                let engine = engine.clone();
                on_way.spawn(async move { post.write(given, &engine).await });
            }
            let mut given = pin!(engine.gives());
            let turn = poll_fn(|cx| match on_way.poll_join_next(cx) {
                Poll::Ready(Some(written)) => Poll::Ready(Some(written)),
                _ => given.as_mut().poll(cx).map(|()| None),
            });
            match turn.await {
                // Of one that the next transaction has, the machine has been told.
                Some(Ok((id, Ok(Some(offset))))) => engine.given_behind(id, offset),
                Some(Ok((id, Ok(None)))) => engine.given(id, true),
                Some(Ok((_, Err(Refused::NotWritten(error))))) if error.is_final() => break Err(over(error)),
                Some(Ok((id, Err(_)))) => engine.given(id, false),
                Some(Err(panicked)) => break Err(over(panicked)),
                None if engine.is_ended() => break Ok(()),
                None => {}
            }
        };
        on_way.shutdown().await;
        if end.is_err() {
            engine.gives_up();
        }
        if let Some(producer) = Arc::into_inner(post).and_then(|post| post.producer) {
            // What it was to write is written, or handled again.
            let _ = producer.close_within(CLOSE).await;
        }
        end
    }

    /// What came of it, with where it is in the partition behind its own, if it is there and holds others.
    async fn write(&self, given: Given, engine: &Engine) -> (JobId, Result<Option<i64>, Refused>) {
        let (at, offset) = (given.work().topic_partition().clone(), given.work().offset());
        let written = self.send(&given, engine).await;
        match &written {
            Ok(Some(Written { topic, .. })) if matches!(given, Given::Behind(_)) => {
                tracing::debug!(target: log::PROCESSING, partition = %at, offset, topic, "record follows");
                Engine::count(&engine.elsewhere.followed, 1);
                engine.watchers.tell(|| ProcessorEvent::Followed {
                    at: at.clone(),
                    offset,
                    topic: topic.clone(),
                });
            }
            Ok(Some(Written { topic, is_retry, .. })) => {
                tracing::info!(target: log::PROCESSING, partition = %at, offset, topic, "record is given up");
                let elsewhere = &engine.elsewhere;
                let count = if *is_retry { &elsewhere.to_retry_topics } else { &elsewhere.dead_letters };
                Engine::count(count, 1);
                engine.watchers.tell(|| ProcessorEvent::GivenUp {
                    at: at.clone(),
                    offset,
                    topic: topic.clone(),
                });
            }
            // Its partition is another's by now.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(target: log::PROCESSING, partition = %at, offset, %error, "record cannot be given up");
            }
        }
        (given.id(), written.map(|written| written.and_then(|written| written.behind)))
    }

    /// Where it is written, if it is: not where it is not ours any more.
    async fn send(&self, given: &Given, engine: &Engine) -> Result<Option<Written>, Refused> {
        let step = given.step(&self.plan);
        let (topic, at) = (step.topic(), given.work().topic_partition());
        let partitions = self.partitions_of(&topic, step.source()).await.map_err(Refused::NoTopic)?;
        let is_retry = step.is_retry();
        let holds = self.plan.is_held && is_retry;
        let behind = TopicPartition::new(&topic, at.partition);
        if holds && usize::try_from(at.partition).is_ok_and(|partition| partition >= partitions) {
            // It may have more by now.
            self.known().remove(&topic);
            return Err(Refused::NoPartition(behind));
        }
        let failure = match given {
            Given::Up(given) => {
                Failure::after(given.hopeless.attempts).because_of(given.hopeless.error.told())
            }
            Given::Behind(_) => {
                let mut failure = Failure::after(0);
                failure.errors.push(ErrorText::new(FOLLOWS));
                failure
            }
        };
        let failure = failure.of_group(&self.group);
        let letter =
            ProducerRecord::from(step.letter(failure, partitions, std::time::SystemTime::now().into()));
        let Some(producer) = &self.producer else {
            let is_done = engine.given_to_books(given.id(), at.clone(), letter);
            return Ok(Some(Written { topic, is_retry, behind: None }).filter(|_| is_done));
        };
        if !holds {
            producer.send(letter).await.map_err(Refused::NotWritten)?.await.map_err(Refused::NotWritten)?;
            return Ok(Some(Written { topic, is_retry, behind: None }));
        }
        loop {
            if !engine.is_given(given.id()) {
                return Ok(None);
            }
            let sent = producer.send(letter.borrowed()).await.map_err(Refused::NotWritten)?;
            match sent.await {
                Ok(delivered) => {
                    let behind = self.offset_of(delivered.offset, &behind).await;
                    return Ok(Some(Written { topic, is_retry, behind: Some(behind) }));
                }
                // It may be there. Were it handled where it is, it would come once more behind those that follow it; a second one
                // beside it does not.
                Err(error) if is_open(&error) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(Refused::NotWritten(error)),
            }
        }
    }

    /// The offset of a record that is written. Where the broker does not know it any more, that of the last one there, which is none
    /// before it.
    async fn offset_of(&self, told: Option<i64>, at: &TopicPartition) -> i64 {
        loop {
            if let Some(offset) = told {
                return offset;
            }
            let listed = self.admin.list_offsets([(at, OffsetSpec::Latest)]).await;
            let end = listed.ok().and_then(|listed| listed.into_values().next()?.ok()?);
            if let Some(end) = end {
                return end.offset - 1;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether a record may have been written though that was not acknowledged.
fn is_open(error: &SendError) -> bool {
    matches!(error.kind(), SendErrorKind::TimedOut | SendErrorKind::RetriesExhausted)
}

/// What the source's topic took is for the broker to refuse, and what may be in hand bounds what is buffered.
pub(super) fn of_any_size(producer: ProducerBuilder) -> ProducerBuilder {
    producer.max_request_size(MAX_SIZE).buffer_memory(MAX_SIZE)
}

/// Nothing can be given up any more.
pub(super) fn over(why: impl std::error::Error + Send + Sync + 'static) -> ProcessError {
    ProcessError::new(ProcessErrorKind::GiveUp).because(why)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTopic(error) => error.fmt(f),
            Self::NotWritten(error) => error.fmt(f),
            Self::NoPartition(at) => write!(
                f,
                "there is no partition {at}: held records keep their partition, so the topic needs as many as the source has"
            ),
        }
    }
}
