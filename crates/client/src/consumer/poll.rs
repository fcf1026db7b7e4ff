//! A batch of records, asked for.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use ottla_core::{Filter, TopicPartition};

use super::{Reader, Records};
use crate::error::RecvError;

/// What [`Consumer::poll`](super::Consumer::poll) returns: to be awaited.
///
/// To await it says that the records of the poll before are done. Cancel-safe: a future that is dropped loses no
/// record. It ends with a [`RecvError`] as `recv` does.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn run(mut consumer: ottla::Consumer) -> Result<(), ottla::RecvError> {
/// let few = consumer.poll(Duration::from_secs(1)).partitions([("orders", 0)]).max_records(10).await?;
/// assert!(few.len() <= 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is polled until it is awaited"]
pub struct PollRecords<'a> {
    reader: &'a mut Reader,
    timeout: Duration,
    filter: Filter,
    most: usize,
}

impl Reader {
    /// As [`Consumer::poll`](super::Consumer::poll).
    pub fn poll(&mut self, timeout: Duration) -> PollRecords<'_> {
        let most = self.settings.max_poll_records;
        PollRecords { reader: self, timeout, filter: Filter::All, most }
    }
}

impl PollRecords<'_> {
    /// Of these partitions alone. Those of others wait.
    pub fn partitions<P: Into<TopicPartition>>(mut self, partitions: impl IntoIterator<Item = P>) -> Self {
        self.filter = Filter::Only(partitions.into_iter().map(Into::into).collect());
        self
    }

    /// At most so many records, at least one.
    pub fn max_records(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }
}

impl<'a> IntoFuture for PollRecords<'a> {
    type Output = Result<Records, RecvError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { reader, timeout, filter, most } = self;
        Box::pin(async move { reader.gather(&filter, most, timeout).await })
    }
}
