//! What the examples of the guide have in common: a broker, topics with records in them, and lines that are shown and kept.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use ottla::{
    Admin, Consumer, ConsumerBuilder, HandlerError, OffsetReset, Producer, ProducerRecord, admin::NewTopic,
};
use ottla_broker::{Config, Server};
use tokio::sync::Notify;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Where an example runs. Its clones are one place.
#[derive(Clone)]
pub(crate) struct Place(Arc<Inner>);

struct Inner {
    servers: String,
    /// Behind each topic's name.
    suffix: String,
    lines: Mutex<Vec<String>>,
    /// It ends with the example.
    _embedded: Option<Server>,
}

impl Place {
    /// At a broker that is there, where names are new in each run; else on an embedded broker.
    pub(crate) fn new(servers: Option<String>) -> Result<Self, Failure> {
        let (servers, suffix, embedded) = match servers {
            Some(servers) => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                (servers, format!("-{}", since_1970.as_millis()), None)
            }
            None => {
                let server = Server::start_on_thread(Config::default(), ([127, 0, 0, 1], 0))?;
                (server.bootstrap(), String::new(), Some(server))
            }
        };
        Ok(Self(Arc::new(Inner { servers, suffix, lines: Mutex::default(), _embedded: embedded })))
    }

    /// Makes a topic: its name.
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> Result<String, Failure> {
        let name = format!("{name}{}", self.0.suffix);
        let admin = Admin::builder().bootstrap_servers([&self.0.servers]).build().await?;
        admin.create_topic(NewTopic::new(&name).partitions(partitions)).await?;
        admin.close().await;
        Ok(name)
    }

    pub(crate) async fn produce<'a>(
        &self,
        records: impl IntoIterator<Item = ProducerRecord<'a>>,
    ) -> Result<(), Failure> {
        let producer = Producer::builder().bootstrap_servers([&self.0.servers]).build().await?;
        for record in records {
            // Not awaited: the close waits for all that is under way.
            drop(producer.send(record).await?);
        }
        Ok(producer.close().await?)
    }

    /// A member of a group of the topic's name.
    pub(crate) fn consumer(&self, topic: &str) -> ConsumerBuilder {
        Consumer::builder()
            .bootstrap_servers([&self.0.servers])
            .group_id(topic)
            .auto_offset_reset(OffsetReset::Earliest)
            // Others learn by the next one that a member comes or goes: with the default, 3 s, an example would take longer.
            .heartbeat_interval(Duration::from_millis(100))
            .subscribe([topic])
    }

    /// Shows a line.
    pub(crate) fn tell(&self, line: impl Into<String>) {
        let line = line.into();
        println!("{line}");
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// What was shown: the tests look at it.
    #[allow(dead_code, reason = "the program itself does not")]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Text of a key or a value; what is none cannot be handled by any attempt.
pub(crate) fn text(bytes: Option<&[u8]>) -> Result<&str, HandlerError> {
    std::str::from_utf8(bytes.unwrap_or_default()).map_err(HandlerError::fatal)
}

/// Counts down, and is over at nothing. Its clones are one.
#[derive(Clone)]
pub(crate) struct Countdown(Arc<(AtomicUsize, Notify)>);

impl Countdown {
    pub(crate) fn from(count: usize) -> Self {
        Self(Arc::new((AtomicUsize::new(count), Notify::new())))
    }

    pub(crate) fn one(&self) {
        if self.0.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.1.notify_one();
        }
    }

    pub(crate) async fn over(&self) {
        self.0.1.notified().await;
    }
}
