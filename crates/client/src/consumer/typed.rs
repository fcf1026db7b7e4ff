//! A consumer of typed records: the consumer's own calls, with a deserializer behind them.

use std::{
    error::Error as StdError,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use ottla_core::{CommittedOffset, TopicPartition};

use super::{
    Closer, Committed, Consumer, Deserializer, HandedOut, OwnedRecord, Parsed, PollRecords,
    RecordDeserializer, RecordStream,
};
use crate::error::{CloseError, CommitError, RecvError};

/// A consumer whose records come with their keys and values deserialized: see [`Consumer::typed`] and
/// [`Consumer::typed_with`].
///
/// A record that does not parse is [`Poison`](super::Poison): an item like the others, and no error of the call. It counts
/// as handed out, so that a commit covers it as any other: whoever wants to keep it writes it elsewhere first.
///
/// ```no_run
/// # use std::time::Duration;
/// # #[derive(serde::Deserialize)]
/// # struct Order { total: u64 }
/// # async fn run(consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
/// use ottla::{Json, Utf8};
///
/// let mut orders = consumer.typed(Utf8, Json::<Order>::new());
/// while let Some(order) = orders.recv().await? {
///     match order {
///         Ok(order) => println!("{:?} {}", order.key, order.value.total),
///         Err(poison) => eprintln!("{poison:#}: {:?}", poison.raw().value()),
///     }
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct TypedConsumer<D> {
    consumer: Consumer,
    deserializer: D,
}

impl Consumer {
    /// Keys and values as these deserializers make them. [`TypedConsumer::into_inner`] gives the consumer back.
    pub fn typed<K: Deserializer, V: Deserializer>(self, key: K, value: V) -> TypedConsumer<(K, V)> {
        TypedConsumer { consumer: self, deserializer: (key, value) }
    }

    /// Values as a function makes them of whole records. The keys of the [typed records](super::TypedRecord) are `()`: the
    /// function may look at the record's key, its headers and its topic by itself.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize)]
    /// # struct Order { total: u64 }
    /// # async fn run(consumer: ottla::Consumer) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut orders = consumer
    ///     .typed_with(|record| serde_json::from_slice::<Order>(record.value().unwrap_or_default()));
    /// while let Some(order) = orders.recv().await? {
    ///     println!("{}", order?.value.total);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn typed_with<T, E, F>(self, parse: F) -> TypedConsumer<F>
    where
        // The bound is on the function itself, or a closure's argument could not be inferred.
        F: Fn(&OwnedRecord) -> Result<T, E>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        TypedConsumer { consumer: self, deserializer: parse }
    }
}

impl<D: RecordDeserializer> TypedConsumer<D> {
    /// As [`Consumer::recv`]: the outer error is the consumer's, the inner one a record's that does not parse.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`].
    pub async fn recv(&mut self) -> Result<Option<Parsed<D>>, RecvError> {
        let record = self.consumer.recv().await?;
        Ok(record.map(|record| self.deserializer.deserialize_record(record)))
    }

    /// As [`Consumer::poll`]. To be awaited, perhaps narrowed down before: see [`PollTyped`].
    pub fn poll(&mut self, timeout: Duration) -> PollTyped<'_, D> {
        PollTyped { poll: self.consumer.poll(timeout), deserializer: &self.deserializer }
    }

    /// As [`Consumer::stream`].
    pub fn stream(&mut self) -> TypedStream<'_, D> {
        TypedStream { records: self.consumer.stream(), deserializer: &self.deserializer }
    }

    /// As [`Consumer::commit`]: everything that was handed out, records that did not parse included.
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit`].
    pub async fn commit(&mut self) -> Result<Committed, CommitError> {
        self.consumer.commit().await
    }

    /// As [`Consumer::commit_through`]: a typed record or [`Poison`](super::Poison), and with it all that comes before it
    /// in its partition.
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_through`].
    pub async fn commit_through(&mut self, record: &impl HandedOut) -> Result<Committed, CommitError> {
        self.consumer.commit_through(record).await
    }

    /// As [`Consumer::commit_offsets`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_offsets`].
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<Committed, CommitError> {
        self.consumer.commit_offsets(offsets).await
    }

    /// As [`Consumer::is_open`].
    pub fn is_open(&self) -> bool {
        self.consumer.is_open()
    }

    /// As [`Consumer::closer`].
    pub fn closer(&self) -> Closer {
        self.consumer.closer()
    }

    /// As [`Consumer::close`]. With other options: [`into_inner`](Self::into_inner), then
    /// [`close_with`](Consumer::close_with).
    ///
    /// # Errors
    ///
    /// As [`Consumer::close`].
    pub async fn close(self) -> Result<(), CloseError> {
        self.consumer.close().await
    }

    /// The consumer, to look at.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The consumer, to do something with. Records that it hands out so are not deserialized.
    pub fn consumer_mut(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// The consumer alone, to go on without the deserializer.
    pub fn into_inner(self) -> Consumer {
        self.consumer
    }
}

impl<D> fmt::Debug for TypedConsumer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConsumer").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

/// What [`TypedConsumer::poll`] returns: to be awaited, as [`PollRecords`].
#[must_use = "nothing is polled until it is awaited"]
pub struct PollTyped<'a, D> {
    poll: PollRecords<'a>,
    deserializer: &'a D,
}

impl<D> PollTyped<'_, D> {
    /// Of these partitions alone. Those of others wait.
    pub fn partitions<P: Into<TopicPartition>>(mut self, partitions: impl IntoIterator<Item = P>) -> Self {
        self.poll = self.poll.partitions(partitions);
        self
    }

    /// At most so many records, at least one.
    pub fn max_records(mut self, most: usize) -> Self {
        self.poll = self.poll.max_records(most);
        self
    }
}

impl<'a, D: RecordDeserializer> IntoFuture for PollTyped<'a, D> {
    type Output = Result<Vec<Parsed<D>>, RecvError>;
    type IntoFuture = PollTypedFuture<'a, D>;

    fn into_future(self) -> PollTypedFuture<'a, D> {
        PollTypedFuture { records: self.poll.into_future(), deserializer: self.deserializer }
    }
}

impl<D> fmt::Debug for PollTyped<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollTyped").field("poll", &self.poll).finish_non_exhaustive()
    }
}

/// What a [`PollTyped`] is awaited as. A type of its own, so that it is `Send` where the deserializer allows it.
pub struct PollTypedFuture<'a, D> {
    records: <PollRecords<'a> as IntoFuture>::IntoFuture,
    deserializer: &'a D,
}

impl<D: RecordDeserializer> Future for PollTypedFuture<'_, D> {
    type Output = Result<Vec<Parsed<D>>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let records = ready!(self.records.as_mut().poll(cx))?;
        let typed = records.into_iter().map(|record| self.deserializer.deserialize_record(record));
        Poll::Ready(Ok(typed.collect()))
    }
}

impl<D> fmt::Debug for PollTypedFuture<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollTypedFuture").finish_non_exhaustive()
    }
}

/// What [`TypedConsumer::stream`] returns. To take the next record says that the one before is done.
pub struct TypedStream<'a, D> {
    records: RecordStream<'a>,
    deserializer: &'a D,
}

impl<D: RecordDeserializer> TypedStream<'_, D> {
    /// The next record; `None` once the consumer is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Parsed<D>, RecvError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<D: RecordDeserializer> Stream for TypedStream<'_, D> {
    type Item = Result<Parsed<D>, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = ready!(Pin::new(&mut self.records).poll_next(cx));
        Poll::Ready(received.map(|record| record.map(|record| self.deserializer.deserialize_record(record))))
    }
}

impl<D> fmt::Debug for TypedStream<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedStream").finish_non_exhaustive()
    }
}
