//! Sends records, each once and in order, until every replica in sync has them, or whoever [`Acks`] says.
//!
//! ```no_run
//! use ottla::producer::{Producer, ProducerRecord};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let producer = Producer::builder().bootstrap_servers(["localhost:9092"]).build().await?;
//! let record = ProducerRecord::to("orders").key("42").value("espresso");
//! let delivered = producer.send(record).await?.await?;
//! println!("partition {}, offset {:?}", delivered.partition, delivered.offset);
//!
//! for n in 0..1_000_000 {
//!     drop(producer.send(ProducerRecord::to("orders").value(format!("order {n}"))).await?);
//! }
//! producer.flush().await?; // tells of records that failed and whose delivery nobody waited for
//! producer.close().await?;
//! # Ok(())
//! # }
//! ```

mod delivery;
mod failure;
mod interceptor;
mod record;
mod transactional;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ottla_core::{
    Cause, Machine as _, bounded,
    producer::{self as core, Refused, Ticket, TransactionNumber},
};
use ottla_protocol::Now;

pub use delivery::{DeliveredFuture, Delivery};
pub(crate) use interceptor::Interceptors;
pub use interceptor::ProducerInterceptor;
pub use ottla_core::producer::{Acks, Delivered, Partitioner, Partitioning, Unplaced, partition_for_key};
pub use ottla_protocol::records::Compression;
pub use record::{HeaderKey, Payload, ProducerRecord, RecordParts};
pub use transactional::{Transaction, TransactionSender, TransactionalProducer, TransformError};

use crate::{
    config::{ProducerBuilder, ProducerConfig},
    driver::{Driver, Tell},
    error::{BuildError, BuildErrorKind, Details as _, SendError},
    handle::Handle,
    net::{clock, frame_pool::Frame},
    reach::reach,
    shared::Shared,
};

type Machine = core::Producer<Arc<Frame>>;

/// A producer, idempotent unless it is told otherwise.
///
/// It is for as many tasks as like to use it: its clones share one buffer, one identity (and so the order within each
/// partition), one set of connections and one thread. Records of one task to one partition keep their order.
///
/// To [`close`](Self::close) one clone closes the producer for all of them, and a [`flush`](Self::flush) of one sends
/// what all have in the buffer. A clone that is dropped changes nothing. **Dropping the last one gives up what is not
/// acknowledged yet**, for nothing can be awaited in a drop: flush or close first. Deliveries that are still waited for
/// then fail with [`SendErrorKind::Closed`](crate::error::SendErrorKind::Closed); a [`Delivery`] does not keep the producer.
#[derive(Debug, Clone)]
pub struct Producer {
    intake: Intake,
    handle: Arc<Handle<Machine>>,
    delivery_timeout: Duration,
}

impl ProducerBuilder {
    /// Checks the configuration, starts the producer, and waits until a broker answers,
    /// [`default_api_timeout`](Self::default_api_timeout) at the most; without [`wait_for_broker`](Self::wait_for_broker)
    /// for nothing. Dropped, the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: what is wrong with the configuration, or which broker could not be reached for how long.
    pub async fn build(self) -> Result<Producer, BuildError> {
        let config = self.parse()?;
        if let Some(who) = &config.transactions {
            let expected = "none; with it, build_transactional() builds a TransactionalProducer";
            return Err(BuildError::invalid("transactional.id", &who.id, expected));
        }
        let handle = producer_of(&config).await?;
        let (shared, interceptors) = (handle.shared().clone(), config.interceptors);
        let intake = Intake { shared, into: None, interceptors };
        Ok(Producer { intake, handle, delivery_timeout: config.delivery_timeout })
    }
}

/// Starts a producer, and waits until a broker answers, unless it is not to.
async fn producer_of(config: &ProducerConfig) -> Result<Arc<Handle<Machine>>, BuildError> {
    let seeds = config.common.bootstrap_servers.clone();
    let machine = Machine::new(config.machine(), seeds, fastrand::u64(..), clock::now());
    let driver = Driver::spawn_with(machine, config.driver(), teller(&config.interceptors), None)
        .map_err(|error| BuildError::new(BuildErrorKind::Driver).because(error))?;
    let handle = Handle::new(driver, |machine, now| machine.close(now.mono));
    reach(handle.shared(), Machine::metadata, &config.common).await?;
    Ok(handle)
}

/// What the driver does after each turn: it tells the interceptors of what was decided. Nothing where there are none.
fn teller(interceptors: &Interceptors) -> Option<Tell<Machine>> {
    if interceptors.is_empty() {
        return None;
    }
    let interceptors = interceptors.clone();
    Some(Box::new(move |shared| {
        let decided = shared.with(|machine, _| machine.take_decided());
        decided.iter().for_each(|batch| interceptors.on_decided(batch));
    }))
}

/// Where records go in: into a transaction, or by themselves.
#[derive(Debug, Clone)]
struct Intake {
    shared: Arc<Shared<Machine>>,
    into: Option<TransactionNumber>,
    interceptors: Interceptors,
}

/// A record was not taken.
enum Untaken {
    NotNow,
    Failed(SendError),
}

impl Intake {
    fn take(
        &self,
        machine: &mut Machine,
        record: &ProducerRecord<'_>,
        since: Instant,
        now: Now,
    ) -> Result<Ticket, Refused> {
        match self.into {
            Some(transaction) => machine.send_in(transaction, &record.outgoing(), since, now),
            None => machine.send(&record.outgoing(), since, now),
        }
    }

    async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, SendError> {
        if self.interceptors.is_empty() {
            return self.deliver(&record).await;
        }
        let record = self.interceptors.on_send(record);
        self.deliver(&record).await.inspect_err(|error| self.interceptors.on_refused(&record, error))
    }

    async fn deliver(&self, record: &ProducerRecord<'_>) -> Result<Delivery, SendError> {
        match self.offer(record) {
            Ok(delivery) => return Ok(delivery),
            Err(Untaken::Failed(error)) => return Err(error),
            Err(Untaken::NotNow) => {}
        }
        let since = clock::now().mono;
        let take = |machine: &mut Machine, now: Now| match self.take(machine, record, since, now) {
            Err(Refused::Wait) => None,
            Err(Refused::Failed(failure)) => Some(Err(failure::of_record(*failure, record.topic()))),
            Ok(ticket) => Some(Ok(Delivery::new(&self.shared, ticket))),
        };
        self.shared.wait(take).await?
    }

    fn try_send<'a>(&self, record: ProducerRecord<'a>) -> Result<Delivery, TrySendError<'a>> {
        if self.interceptors.is_empty() {
            return self.offer(&record).map_err(|untaken| untaken.of(record));
        }
        let sent = self.interceptors.on_send(record.clone());
        self.offer(&sent).map_err(|untaken| {
            if let Untaken::Failed(error) = &untaken {
                self.interceptors.on_refused(&sent, error);
            }
            untaken.of(record)
        })
    }

    #[inline]
    fn offer(&self, record: &ProducerRecord<'_>) -> Result<Delivery, Untaken> {
        if self.shared.is_ended() && !self.shared.inspect(|machine| machine.is_closed()) {
            let kind = crate::error::SendErrorKind::DriverEnded;
            return Err(Untaken::Failed(SendError::new(kind)));
        }
        match self.shared.with(|machine, now| self.take(machine, record, now.mono, now)) {
            Ok(ticket) => Ok(Delivery::new(&self.shared, ticket)),
            Err(Refused::Wait) => Err(Untaken::NotNow),
            Err(Refused::Failed(failure)) => {
                Err(Untaken::Failed(failure::of_record(*failure, record.topic())))
            }
        }
    }
}

impl Untaken {
    /// This record.
    fn of(self, record: ProducerRecord<'_>) -> TrySendError<'_> {
        match self {
            Self::NotNow => TrySendError::NotNow(record),
            Self::Failed(error) => TrySendError::Failed(error),
        }
    }
}

/// Why [`Producer::try_send`] did not take a record.
#[derive(Debug)]
pub enum TrySendError<'a> {
    /// The topic is being looked up, or there is no room in the buffer: here is the record, to be tried later.
    NotNow(ProducerRecord<'a>),
    /// It cannot be sent.
    Failed(SendError),
}

impl TrySendError<'_> {
    /// Whether the record may be taken later although nobody changes anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NotNow(_) => true,
            Self::Failed(error) => error.is_retriable(),
        }
    }

    /// Whether no record will be taken any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_final())
    }
}

impl fmt::Display for TrySendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow(record) => {
                write!(
                    f,
                    "topic `{}`: no room in the buffer, or not known yet; send it later",
                    record.topic()
                )
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for TrySendError<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotNow(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

impl Producer {
    /// Sets up a producer. Required is `bootstrap_servers`.
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder::default()
    }

    /// Puts a record into the buffer. Waits where there is no room, or the topic is not known yet, up to `max_block`;
    /// when it returns, the record is on its way, and the [`Delivery`] tells what became of it.
    ///
    /// Cancel-safe: dropped before it has returned, the record is not sent. Java's `send` blocks its thread instead.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the record is too large, its topic or partition is not there, nothing was heard of the topic in
    /// time, no room came free, or the producer is closed. What becomes of a record that was taken is the
    /// [`Delivery`]'s to tell.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, SendError> {
        self.intake.send(record).await
    }

    /// Puts a record into the buffer, or gives it back where that cannot be done at once.
    ///
    /// # Errors
    ///
    /// [`TrySendError::NotNow`] with the record; [`TrySendError::Failed`] as [`send`](Self::send).
    pub fn try_send<'a>(&self, record: ProducerRecord<'a>) -> Result<Delivery, TrySendError<'a>> {
        self.intake.try_send(record)
    }

    /// Sends what is in the buffer without waiting for batches to fill, and waits until all of it is acknowledged or
    /// has failed. What is sent meanwhile is not waited for.
    ///
    /// Cancel-safe: what was in the buffer goes on its way all the same.
    ///
    /// # Errors
    ///
    /// [`SendError`]: records have failed since the last flush whose [`Delivery`] was dropped before; how many, and why
    /// the first did. Those whose delivery is kept tell it there.
    pub async fn flush(&self) -> Result<(), SendError> {
        let flush = self.intake.shared.with(|machine, _| machine.flush());
        self.intake.shared.wait(|machine, _| machine.is_flushed(flush).then_some(())).await?;
        self.unclaimed()
    }

    /// What stands in the way of records that wait to be acknowledged, or for their topic: empty where nothing does.
    /// Cheap, and at any time.
    pub fn explain(&self) -> Vec<Cause> {
        self.intake.shared.inspect(|machine| machine.obstacles(clock::now()))
    }

    fn unclaimed(&self) -> Result<(), SendError> {
        match self.intake.shared.with(|machine, _| machine.take_unclaimed()) {
            None => Ok(()),
            Some(unclaimed) => Err(failure::of_many(unclaimed)),
        }
    }

    /// Sends what is in the buffer, waits for it, `delivery_timeout` at the most, and ends, for all clones. Java's waits
    /// for ever.
    ///
    /// Dropped, the future gives up as a drop of this clone does: while others remain, the close goes on without it.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(self) -> Result<(), SendError> {
        let timeout = self.delivery_timeout;
        self.close_within(timeout).await
    }

    /// As [`close`](Self::close), but gives up what is not acknowledged within `timeout`. Of several closes at once the
    /// one that is over first stands.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close_within(self, timeout: Duration) -> Result<(), SendError> {
        self.intake.shared.with(|machine, now| machine.close(now.mono + bounded(timeout)));
        self.handle.join().await;
        self.unclaimed()
    }
}
