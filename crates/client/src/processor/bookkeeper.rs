//! The bookkeeper: commits what is done in transactions, one after the other.

use std::{error::Error as _, sync::Arc};

use ottla_core::{log, processing::Attempted};
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

/// Whose transactions they are.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    producer: TransactionalProducer,
}

/// Why nothing of a transaction is committed.
enum Undone {
    /// Another may be.
    Aborted(TransactionError),
    /// A record was not taken.
    Refused(SendError),
    /// A partition of it was lost meanwhile.
    Lost,
}

impl From<TransactionError> for Undone {
    fn from(error: TransactionError) -> Self {
        Self::Aborted(error)
    }
}

impl Bookkeeper {
    /// Claims the transactional id: what an earlier process with it has left behind is aborted.
    pub(super) async fn open(producer: ProducerBuilder) -> Result<Self, ProcessError> {
        Ok(Self { producer: producer.build_transactional().await.map_err(build)? })
    }

    /// Commits what the engine has until that ends. An error where no transaction can be committed any more.
    pub(super) async fn run(mut self, engine: Arc<Engine>) -> Result<(), ProcessError> {
        let end = loop {
            if let Some(entry) = engine.next_entry() {
                if let Err(error) = self.attempt(&engine, entry).await {
                    break Err(error);
                }
            } else if engine.are_books_done() {
                break Ok(());
            } else {
                engine.entered().await;
            }
        };
        if end.is_ok() {
            // Nothing is on its way by now.
            let _ = self.producer.close().await;
        }
        end
    }

    /// Commits this, or tells that it is not. An error where nothing can be committed any more.
    async fn attempt(&mut self, engine: &Engine, entry: Entry) -> Result<(), ProcessError> {
        let Err(failed) = self.commit(engine, &entry).await else {
            engine.watchers.tell(|| events::committed(&entry.offsets));
            engine.attempted(entry, Attempted::Committed);
            return Ok(());
        };
        let attempted = failed.attempted();
        engine.attempted(entry, attempted.clone());
        match attempted {
            Attempted::Over => return Err(failed.into_error()),
            Attempted::Aborted => {
                let error = failed.into_error();
                tracing::warn!(target: log::PROCESSING, error = format_args!("{error:#}"), "transaction is aborted");
            }
            Attempted::Gone(_) | Attempted::Committed => {}
        }
        Ok(())
    }

    async fn commit(&mut self, engine: &Engine, entry: &Entry) -> Result<(), Undone> {
        if engine.is_lost(entry) {
            return Err(Undone::Lost);
        }
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
        if engine.is_lost(entry) {
            transaction.abort().await?;
            return Err(Undone::Lost);
        }
        Ok(transaction.commit_for_certain().await?)
    }
}

impl Undone {
    /// What the books are told.
    fn attempted(&self) -> Attempted {
        match self {
            Self::Aborted(TransactionError::Aborted(error)) if error.kind() == AbortedErrorKind::Gone => {
                error.context().partition.clone().map_or(Attempted::Aborted, Attempted::Gone)
            }
            _ if self.is_over() => Attempted::Over,
            _ => Attempted::Aborted,
        }
    }

    /// Whether no other transaction can be committed, or none with the same records.
    fn is_over(&self) -> bool {
        match self {
            Self::Refused(error) => is_refused(error),
            Self::Lost => false,
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
            Self::Lost => stopped.detail("a partition of it was lost meanwhile"),
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
