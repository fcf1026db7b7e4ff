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
    dead_letters::{FailedRecord, Failure},
    log,
    processing::{GivenAway, JobId},
};
use tokio::task::JoinSet;

use super::{HandlerFailure, ProcessorEvent, engine::Engine, plan::Plan, pump::build};
use crate::{
    admin::{Admin, NewTopic},
    config::{ConsumerBuilder, MAX_SIZE, ProducerBuilder},
    consumer::OwnedRecord,
    error::{AdminError, AdminErrorKind, Details as _, ProcessError, ProcessErrorKind, SendError},
    producer::{Producer, ProducerRecord},
};

/// How many records it writes at once.
const AT_ONCE: usize = 256;

/// How long the producer has to close. Nothing is on its way by then.
const CLOSE: Duration = Duration::from_secs(5);

type Given = GivenAway<OwnedRecord, HandlerFailure>;

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
        }
        Ok(post)
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
            waiting.extend(engine.given_away());
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
                Some(Ok((id, Ok(())))) => engine.given(id, true),
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

    async fn write(&self, given: Given, engine: &Engine) -> (JobId, Result<(), Refused>) {
        let (at, offset) = (given.hopeless.at.clone(), given.hopeless.offset);
        let written = self.send(&given, engine).await;
        match &written {
            Ok(Some(topic)) => {
                tracing::info!(target: log::PROCESSING, partition = %at, offset, topic, "record is given up");
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
        (given.id, written.map(drop))
    }

    /// The topic that it is written to, if it is.
    async fn send(&self, given: &Given, engine: &Engine) -> Result<Option<String>, Refused> {
        let hopeless = &given.hopeless;
        let step = self.plan.step(FailedRecord::from(&hopeless.work), hopeless.why);
        let topic = step.topic();
        let partitions = self.partitions_of(&topic, step.source()).await.map_err(Refused::NoTopic)?;
        let failure =
            Failure::after(hopeless.attempts).of_group(&self.group).because_of(hopeless.error.told());
        let letter =
            ProducerRecord::from(step.letter(failure, partitions, std::time::SystemTime::now().into()));
        let Some(producer) = &self.producer else {
            let is_done = engine.given_to_books(given.id, hopeless.at.clone(), letter);
            return Ok(Some(topic).filter(|_| is_done));
        };
        let delivery = producer.send(letter).await.map_err(Refused::NotWritten)?;
        delivery.await.map_err(Refused::NotWritten)?;
        Ok(Some(topic))
    }
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
        }
    }
}
