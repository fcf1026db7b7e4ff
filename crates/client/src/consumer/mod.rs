//! The consumer: a handle on a machine that a driver keeps going.
//!
//! `recv` walks a slice of fetched batches that the handle owns; it asks the machine, under a lock held for
//! microseconds, only at a slice's end and when the fence has moved. Nothing is awaited between taking a record and
//! returning it.

mod asking;
mod close;
mod deserialize;
mod exactly_once;
#[cfg(unix)]
mod explain_socket;
mod handed_out;
mod interceptor;
#[cfg(feature = "json")]
mod json;
mod listener;
mod monitor;
mod numbers;
mod offsets;
mod operation;
mod parking;
mod poll;
mod reader;
mod record;
pub mod records;
mod seek;
mod stream;
mod typed;

use std::{sync::Arc, time::Duration};

use ottla_core::{
    CloseKind, Explanation, Filter, GroupMetadata, Happened, LeaveGroup, Subscription, SubscriptionError,
    TopicPartition, bounded,
};
use ottla_protocol::ClientInstanceId;

pub(crate) use asking::Asking;
pub use close::{CloseOptions, Closer};
pub use deserialize::{
    Deserializer, Parsed, Poison, Preparing, RawBytes, RecordDeserializer, Serialized, TypedRecord, Utf8,
};
pub use handed_out::HandedOut;
pub use interceptor::ConsumerInterceptor;
pub(crate) use interceptor::Interceptors;
#[cfg(feature = "json")]
pub use json::Json;
pub(crate) use listener::Listener;
pub use listener::{Rebalance, RebalanceListener};
pub use monitor::Monitor;
#[cfg(feature = "uuid")]
pub use numbers::UuidText;
pub use numbers::{BigEndian, JavaNumber, NotSuchNumber};
pub use operation::{Committed, PendingCommit};
pub use poll::PollRecords;
pub use reader::Reader;
pub use record::{DetachedRecord, OwnedRecord, Record};
pub(crate) use records::Iter;
pub use records::Records;
pub use seek::SeekPosition;
pub use stream::{EventStream, RecordStream};
pub use typed::{PollTyped, PollTypedFuture, TypedConsumer, TypedStream};

use self::{listener::Listening, reader::Settings};
use crate::{
    config::{ConsumerBuilder, ConsumerConfig, Names, Wish},
    driver::{Beside, Driver},
    error::{
        BuildError, BuildErrorKind, ClientInstanceIdError, ClientInstanceIdErrorKind, Details as _, RecvError,
    },
    net::{clock, frame_pool::Frame},
    reach::reach,
    shared::Shared,
};

/// The machine that a consumer's handles and its driver share.
type Core = ottla_core::Consumer<Arc<Frame>>;

#[cfg(unix)]
use explain_socket::Name as SocketName;
#[cfg(not(unix))]
type SocketName = std::convert::Infallible;

/// What answers at the socket that the builder was told of, and its name.
#[cfg(unix)]
fn explaining(config: &ConsumerConfig) -> Result<Option<(Beside<Core>, SocketName)>, BuildError> {
    let Some(path) = &config.explain_socket else { return Ok(None) };
    let (socket, name) = explain_socket::ExplainSocket::bind(path).map_err(|error| {
        let told = format!("`{}`: {error}", path.display());
        BuildError::new(BuildErrorKind::InvalidValue).property("explain_socket").detail(told)
    })?;
    Ok(Some((Box::new(move |shared| Box::pin(socket.serve(shared))), name)))
}

#[cfg(not(unix))]
fn explaining(_: &ConsumerConfig) -> Result<Option<(Beside<Core>, SocketName)>, BuildError> {
    Ok(None)
}

/// How long a dropped consumer tries to commit and to leave its group.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads topics, alone or as a member of a group.
///
/// Heartbeats, fetches and commits go on in a thread of the consumer's own, so that a handler may block. A consumer
/// that is dropped without [`close`](Self::close) leaves its group all the same, within seconds, as long as the process
/// lives; what was handed out last is then delivered again.
#[derive(Debug)]
pub struct Consumer {
    driver: Option<Driver<Core>>,
    shared: Arc<Shared<Core>>,
    reader: Reader,
    _socket: Option<SocketName>,
}

impl Consumer {
    /// Begins to build a consumer.
    pub fn builder() -> ConsumerBuilder {
        ConsumerBuilder::default()
    }

    async fn start(config: ConsumerConfig) -> Result<Self, BuildError> {
        let now = clock::now();
        let mut core = Core::new(config.machine(fastrand::u64(..)), now);
        if !config.interceptors.is_empty() {
            core.keep_committed();
        }
        let driver = config.driver();
        // Neither can fail: only a group's consumer has a subscription here, and this one has just begun.
        _ = driver.span.in_scope(|| match &config.subscription {
            Some(Wish::Topics(topics)) => core.subscribe(topics.clone(), now),
            Some(Wish::Pattern(pattern)) => core.subscribe_pattern(pattern.as_str(), now),
            None => Ok(()),
        });
        let (beside, socket) = explaining(&config)?.unzip();
        let driver = Driver::spawn_with(core, driver, None, beside)
            .map_err(|error| BuildError::new(BuildErrorKind::Driver).because(error))?;
        let shared = driver.shared().clone();
        let listening = Arc::new(Listening::new(config.listener.clone()));
        let reader = Reader::new(&shared, listening, Arc::new(Settings::new(&config)));
        let consumer = Self { driver: Some(driver), shared, reader, _socket: socket };
        reach(&consumer.shared, |core| core.metadata(), &config.common).await?;
        Ok(consumer)
    }

    /// The next record, as soon as there is one; `None` once a [`Closer`] has closed the consumer.
    ///
    /// To call again says that the record before is done: it may be committed (with auto commit), and its partition may
    /// go to another member. Cancel-safe: a future that is dropped loses no record.
    ///
    /// # Errors
    ///
    /// [`RecvError`] tells what keeps one partition, or the group, from records; others go on with the next call.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<OwnedRecord>, RecvError> {
        // Not by the reader's own: a future inside a future costs each record.
        match self.reader.at_hand() {
            Some(record) => Ok(Some(record)),
            None => self.reader.next(&Filter::All).await,
        }
    }

    /// As [`recv`](Self::recv), of these partitions alone. Those of others wait.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_from<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Option<OwnedRecord>, RecvError> {
        self.reader.recv_from(partitions).await
    }

    /// Up to [`max_poll_records`](ConsumerBuilder::max_poll_records) records, as soon as there are any; none when the
    /// time is over. To be awaited, perhaps narrowed down before: see [`PollRecords`].
    pub fn poll(&mut self, timeout: Duration) -> PollRecords<'_> {
        self.reader.poll(timeout)
    }

    /// The records one by one, as a stream that ends when a [`Closer`] closes the consumer.
    pub fn stream(&mut self) -> RecordStream<'_> {
        self.reader.stream()
    }

    /// One more handle that reads for this consumer, for another task or thread.
    pub fn reader(&self) -> Reader {
        self.reader.reader()
    }

    /// What this handle reads with.
    pub(crate) fn own_reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn own_reader_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// Reads what the group gives it of this topic, or of these, in place of an earlier subscription.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: a name that no topic can have, without a group, or after [`assign`](Self::assign). What was subscribed
    /// to before stays.
    pub fn subscribe<Kind>(&mut self, topics: impl Names<Kind>) -> Result<(), SubscriptionError> {
        let topics = topics.into_names();
        self.shared.with(|core, now| core.subscribe(topics, now))
    }

    /// Reads what the group gives it of the topics whose whole names match this regular expression, in place of an
    /// earlier subscription. Topics that come into being later count. The coordinator matches, under the consumer
    /// protocol of Kafka 4; otherwise the client does, each [`metadata_max_age`](ConsumerBuilder::metadata_max_age), and
    /// leaves Kafka's own topics out.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: not an expression, without a group, or after [`assign`](Self::assign).
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), SubscriptionError> {
        self.shared.with(|core, now| core.subscribe_pattern(pattern, now))
    }

    /// Has the group share out anew although nothing has changed. The reason goes to the coordinator's log.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: not a member, or the coordinator alone decides (consumer protocol; Java's consumer then
    /// only logs).
    pub fn enforce_rebalance(&mut self, reason: &str) -> Result<(), SubscriptionError> {
        self.shared.with(|core, now| core.enforce_rebalance(reason, now))
    }

    /// The place in the group; `None` without a group.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.shared.inspect(|core| core.group_metadata())
    }

    /// Reads these partitions, whatever the group's other members do. Those assigned already keep their positions.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: a name that no topic can have, or after [`subscribe`](Self::subscribe).
    pub fn assign<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), SubscriptionError> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        self.shared.with(|core, now| core.assign(partitions, now))
    }

    /// Reads nothing any more, and leaves the group. Nothing is committed: [`commit`](Self::commit) first. A listener is
    /// told inside the next call, when the partitions may be another member's already: in its
    /// [`on_revoked`](RebalanceListener::on_revoked) nothing of them can be committed, where Java's still can.
    pub fn unsubscribe(&mut self) {
        self.shared.with(|core, now| core.unsubscribe(now));
    }

    /// What was asked for: topics, or partitions, of which there are none once the consumer is closed.
    pub fn subscription(&self) -> Subscription {
        self.shared.inspect(|core| core.subscription())
    }

    /// The partitions that are this consumer's now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.inspect(|core| core.assignment())
    }

    /// Hands out nothing of these partitions until they are [resumed](Self::resume). What is buffered stays. Partitions
    /// that are not this consumer's are ignored.
    pub fn pause<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) {
        self.set_paused(partitions, true);
    }

    /// Goes on with these partitions.
    pub fn resume<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) {
        self.set_paused(partitions, false);
    }

    fn set_paused<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>, paused: bool) {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        self.shared.with(|core, now| {
            for at in &partitions {
                core.set_paused(at, paused, now);
            }
        });
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.shared.inspect(|core| core.paused())
    }

    /// Why records are, or are not, flowing now: for the group, and for each partition.
    pub fn explain(&self) -> Explanation {
        self.shared.inspect(|core| core.explain(clock::now()))
    }

    /// What happens to the membership and to positions, as a stream for another task: joins and how long they took, partitions
    /// that come and go, revocations that wait and for whom; logs that were cut below a position, or have lost their beginning up
    /// to it, and topics that were made anew.
    pub fn events(&self) -> EventStream {
        EventStream::new(self.shared.clone())
    }

    /// The next of the [events](Self::events) if it is there. Does not wait.
    pub fn next_event(&mut self) -> Option<Happened> {
        self.shared.with(|core, _| core.poll_event())
    }

    /// How many events were dropped since the consumer began, because nobody asked for them in time. The newest 1024 are
    /// kept.
    pub fn events_dropped(&self) -> u64 {
        self.shared.inspect(|core| core.events_dropped())
    }

    /// How many bytes of responses were fetched since the consumer began.
    pub fn fetched_bytes(&self) -> u64 {
        self.shared.inspect(|core| core.fetched_bytes())
    }

    /// How many bytes of records were fetched since the consumer began, and dropped unread: by a seek, a rebalance, or a
    /// pause that others' records needed the room of.
    pub fn wasted_bytes(&self) -> u64 {
        self.shared.inspect(|core| core.wasted_bytes())
    }

    /// How many offsets the logs had lost, by retention or DeleteRecords, before this consumer came to them: the records that it
    /// has missed, at most, since it began. [`Event::DeletedUnread`](crate::Event::DeletedUnread) tells of each time, and where.
    pub fn deleted_unread(&self) -> u64 {
        self.shared.inspect(|core| core.deleted_unread())
    }

    /// The id that brokers know this client by in the metrics that it pushes (KIP-714), as Java's `clientInstanceId`: a broker gives it, and
    /// it stays the same until the consumer is closed. Waits for so long until there is one. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientInstanceIdError`]: [`enable_metrics_push`](ConsumerBuilder::enable_metrics_push) is off, or no broker has given an id in
    /// time, as none without a plug-in for clients' metrics does.
    pub async fn client_instance_id(
        &self,
        timeout: Duration,
    ) -> Result<ClientInstanceId, ClientInstanceIdError> {
        let known = self.shared.wait(|core, _| core.client_instance_id().transpose());
        match tokio::time::timeout(bounded(timeout), known).await {
            Ok(known) => known?.map_err(|_| ClientInstanceIdError::new(ClientInstanceIdErrorKind::Disabled)),
            Err(_) => Err(ClientInstanceIdError::new(ClientInstanceIdErrorKind::TimedOut)),
        }
    }

    /// Whether more can come: a [`Closer`] has not closed it. The condition of a loop that polls:
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// while consumer.is_open() {
    ///     for record in &consumer.poll(Duration::from_millis(500)).await? {
    ///         println!("{}", record.offset());
    ///     }
    ///     consumer.commit().await?;
    /// }
    /// consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_open(&self) -> bool {
        self.reader.is_open()
    }

    /// What closes the consumer from elsewhere.
    pub fn closer(&self) -> Closer {
        Closer::new(&self.shared)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let reading = &mut self.reader.reading;
        self.shared.with(|core, now| {
            reading.sync(core, false, now);
            core.close(CloseKind::Dropped, LeaveGroup::Default, now.mono + DROP_TIMEOUT, now);
        });
    }
}

impl ConsumerBuilder {
    /// Checks the configuration and waits until a broker has answered, not until the group is joined; without
    /// [`wait_for_broker`](Self::wait_for_broker) for nothing.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: what is wrong with the configuration, or which broker could not be reached for how long
    /// ([`default_api_timeout`](Self::default_api_timeout)).
    pub async fn build(self) -> Result<Consumer, BuildError> {
        Consumer::start(self.parse()?).await
    }
}
