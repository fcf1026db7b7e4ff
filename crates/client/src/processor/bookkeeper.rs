//! The bookkeeper: commits what is done in transactions, one after the other.

use std::{collections::BTreeMap, error::Error as _, sync::Arc, time::Duration};

use ottla_core::{CommittedOffset, TopicPartition, log, processing::CommitEnd};
use ottla_protocol::ErrorCode;

use super::{
    engine::{Engine, Entry},
    events,
    pump::build,
};
use crate::{
    config::ProducerBuilder,
    error::{
        AbortedError, AbortedErrorKind, Details as _, ProcessError, ProcessErrorKind, SendError,
        SendErrorKind, TransactionError,
    },
    producer::TransactionalProducer,
};

/// How long it waits after a transaction that was aborted, at first; twice as long each time, up to 32 times that.
const PAUSE: Duration = Duration::from_millis(50);

/// How often it tries to commit what is done of partitions that are given up.
const ATTEMPTS: u32 = 3;

/// Whose transactions they are.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    producer: TransactionalProducer,
    /// How many transactions were aborted since the last that was not.
    failures: u32,
}

/// Why nothing of a transaction is committed.
enum Undone {
    /// Another may be.
    Aborted(TransactionError),
    /// A record was not taken.
    Refused(SendError),
}

impl From<TransactionError> for Undone {
    fn from(error: TransactionError) -> Self {
        Self::Aborted(error)
    }
}

impl Bookkeeper {
    /// Claims the transactional id: what an earlier process with it has left behind is aborted.
    pub(super) async fn open(producer: ProducerBuilder) -> Result<Self, ProcessError> {
        Ok(Self { producer: producer.build_transactional().await.map_err(build)?, failures: 0 })
    }

    /// Commits what the engine has until that ends. An error where no transaction can be committed any more.
    pub(super) async fn run(mut self, engine: Arc<Engine>) -> Result<(), ProcessError> {
        let end = loop {
            let Some(entry) = engine.next_entry() else {
                if engine.is_ended() {
                    break Ok(());
                }
                engine.entered().await;
                continue;
            };
            if let Err(error) = self.settle(&engine, entry).await {
                break Err(error);
            }
        };
        if end.is_err() {
            engine.close_books();
        } else {
            // Nothing is on its way by now.
            let _ = self.producer.close().await;
        }
        end
    }

    /// Commits this, or tells that it is not: it is then committed with what is done meanwhile. Of partitions that are to be given up it
    /// tries more than once, as there will be no other time.
    async fn settle(&mut self, engine: &Engine, mut entry: Entry) -> Result<(), ProcessError> {
        let mut attempt = 1;
        loop {
            let Err(failed) = self.commit(&entry).await else {
                self.failures = 0;
                engine.watchers.tell(|| events::committed(&entry.offsets));
                engine.entry_ended(entry, CommitEnd::Committed);
                return Ok(());
            };
            if let Some(gone) = failed.gone(&entry.offsets) {
                // What was written for its records is written all the same.
                entry.offsets.remove(&gone);
                continue;
            }
            let is_over = failed.is_over();
            let error = failed.into_error();
            if is_over {
                engine.entry_ended(entry, CommitEnd::Failed);
                return Err(error);
            }
            tracing::warn!(target: log::PROCESSING, error = format_args!("{error:#}"), "transaction is aborted");
            tokio::time::sleep(PAUSE * (1 << self.failures.min(5))).await;
            self.failures = self.failures.saturating_add(1);
            if !entry.is_last() || attempt >= ATTEMPTS {
                engine.entry_ended(entry, CommitEnd::Failed);
                return Ok(());
            }
            attempt += 1;
        }
    }

    async fn commit(&mut self, entry: &Entry) -> Result<(), Undone> {
        let transaction = self.producer.begin().await?;
        for record in entry.outputs.iter().flat_map(|output| output.iter()) {
            match transaction.send(record.borrowed()).await {
                // The commit waits for it.
                Ok(delivery) => drop(delivery),
                Err(error) => {
                    return Err(transaction.failure().map_or(Undone::Refused(error), Undone::Aborted));
                }
            }
        }
        transaction.send_offsets(entry.offsets.clone(), &entry.group).await?;
        Ok(transaction.commit_for_certain().await?)
    }
}

impl Undone {
    /// The partition whose offset is of a topic that is gone, if that is why.
    fn gone(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) -> Option<TopicPartition> {
        let Self::Aborted(TransactionError::Aborted(error)) = self else { return None };
        let gone = error.context().partition.clone().filter(|_| error.kind() == AbortedErrorKind::Gone);
        gone.filter(|at| offsets.contains_key(at))
    }

    /// Whether no other transaction can be committed, or none with the same records.
    fn is_over(&self) -> bool {
        match self {
            Self::Refused(error) => is_refused(error),
            Self::Aborted(TransactionError::Fatal(_)) => true,
            Self::Aborted(TransactionError::Aborted(error)) => match error.kind() {
                AbortedErrorKind::MemberFenced | AbortedErrorKind::NotAuthorized => true,
                AbortedErrorKind::Record => record_of(error).is_some_and(is_refused),
                AbortedErrorKind::Partition | AbortedErrorKind::Offsets => {
                    error.code().is_some_and(|code| !code.is_retriable())
                }
                _ => false,
            },
            Self::Aborted(_) => false,
        }
    }

    fn into_error(self) -> ProcessError {
        let stopped = ProcessError::new(ProcessErrorKind::Transaction);
        match self {
            Self::Refused(error) => with_place(stopped, &error).because(error),
            Self::Aborted(TransactionError::Aborted(error)) => {
                let mut stopped = match record_of(&error) {
                    Some(record) => with_place(stopped, record),
                    None => stopped,
                };
                if error.code() == Some(ErrorCode::OffsetMetadataTooLarge) {
                    stopped = stopped.detail("what is done beyond an offset is a part of it: 4096 bytes of offset.metadata.max.bytes");
                }
                stopped.because(error)
            }
            Self::Aborted(error) => stopped.because(error),
        }
    }
}

/// The record that the transaction was aborted for.
fn record_of(error: &AbortedError) -> Option<&SendError> {
    error.source()?.downcast_ref()
}

fn with_place(stopped: ProcessError, error: &SendError) -> ProcessError {
    match (&error.context().partition, &error.context().topic) {
        (Some(at), _) => stopped.partition(at),
        (None, Some(topic)) => stopped.topic(topic),
        (None, None) => stopped,
    }
}

/// Whether this record is refused however often it is sent.
fn is_refused(error: &SendError) -> bool {
    use SendErrorKind as Kind;
    let stands = matches!(
        error.kind(),
        Kind::TooLarge
            | Kind::InvalidTopic
            | Kind::UnknownTopic
            | Kind::UnknownPartition
            | Kind::NotPlaced
            | Kind::InvalidRecord
            | Kind::Unsupported
            | Kind::Connection
            | Kind::NotAuthorized
    );
    stands || error.is_final()
}
