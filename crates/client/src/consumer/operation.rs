//! Operations that a user waits for: commits, and questions for offsets.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ottla_core::{CommittedOffset, OpFailure, OpId, Outcome, TopicPartition};
use ottla_protocol::ErrorCode;

use super::Core;
use crate::{
    error::{CommitError, CommitErrorKind, Details, OffsetsError, OffsetsErrorKind},
    shared::{Ended, Shared},
};

/// What a commit has committed: of each partition the next offset to read.
pub type Committed = BTreeMap<TopicPartition, CommittedOffset>;

type Answer = Result<Result<Outcome, OpFailure>, Ended>;

/// An operation that is under way. Dropped, it is carried out all the same, and its outcome is forgotten.
pub(super) struct Operation {
    forgets: Forget,
    waiting: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

impl Operation {
    pub(super) fn new(shared: &Arc<Shared<Core>>, op: OpId) -> Self {
        let asked = shared.clone();
        let waiting = Box::pin(async move { asked.wait(|core, _| core.take_outcome(op)).await });
        Self { forgets: Forget { shared: shared.clone(), op }, waiting }
    }
}

impl Future for Operation {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.waiting.as_mut().poll(cx)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.forgets.op).finish()
    }
}

struct Forget {
    shared: Arc<Shared<Core>>,
    op: OpId,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let op = self.op;
        self.shared.with(|core, _| core.forget_op(op));
    }
}

/// A commit that is under way: what [`Consumer::commit_async`](super::Consumer::commit_async) returns.
///
/// Awaited, it tells what was committed, or a [`CommitError`]. It borrows nothing, so that another task can wait for it.
/// Cancel-safe: dropped, it leaves the commit under way.
///
/// The outcomes of a consumer's commits, awaited or in the background, are told in the order in which they were asked for, as
/// those of Java's `commitAsync` are: one that has ended waits until those before it have.
///
/// ```no_run
/// # fn example(consumer: &mut ottla::Consumer) {
/// let commit = consumer.commit_async();
/// tokio::spawn(async move {
///     match commit.await {
///         Ok(committed) => println!("{} partitions are committed", committed.len()),
///         Err(error) => eprintln!("{error}"),
///     }
/// });
/// # }
/// ```
#[derive(Debug)]
pub struct PendingCommit {
    shared: Arc<Shared<Core>>,
    begun: Result<Operation, Option<CommitError>>,
}

impl PendingCommit {
    pub(super) fn new(shared: &Arc<Shared<Core>>, op: Result<OpId, OpFailure>) -> Self {
        let begun = op.map(|op| Operation::new(shared, op)).map_err(|failure| Some(commit_error(failure)));
        Self { shared: shared.clone(), begun }
    }

    /// One that could not begin.
    pub(super) fn failed(shared: &Arc<Shared<Core>>, error: CommitError) -> Self {
        Self { shared: shared.clone(), begun: Err(Some(error)) }
    }
}

impl Future for PendingCommit {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.begun {
            Ok(operation) => std::task::ready!(Pin::new(operation).poll(cx))?.map_err(commit_error),
            Err(error) => Err(error.take().unwrap_or_else(|| commit_error(OpFailure::Closed))),
        };
        Poll::Ready(match outcome {
            Ok(Outcome::Commit(committed)) => Ok(committed),
            Ok(_) => Ok(Committed::new()),
            Err(error) => Err(of_group(&self.shared, error)),
        })
    }
}

/// The error of an operation that failed: the same failures have kinds of the same names, whatever was asked for.
macro_rules! error_of {
    ($failure:expr, $Error:ident, $Kind:ident) => {
        match $failure {
            OpFailure::NoGroup => $Error::new($Kind::NoGroup),
            OpFailure::NotMember(code @ ErrorCode::FencedInstanceId) => {
                $Error::new($Kind::Fenced).broker(code)
            }
            OpFailure::NotMember(code) => $Error::new($Kind::NotMember).broker(code),
            OpFailure::InvalidTopic(at) => $Error::new($Kind::InvalidTopic).partition(at),
            OpFailure::NotAssigned(at) => $Error::new($Kind::NotAssigned).partition(at),
            OpFailure::TimedOut(what) => $Error::new($Kind::TimedOut).detail(format!("waited for {what}")),
            OpFailure::Broker(code, Some(at)) => $Error::new($Kind::Broker).partition(at).broker(code),
            OpFailure::Broker(code, None) => $Error::new($Kind::Broker).broker(code),
            OpFailure::Connection(refused) => $Error::new($Kind::Connection).refused_by(refused),
            OpFailure::Unsupported(api) => $Error::new($Kind::Unsupported).api(api),
            _ => $Error::new($Kind::Closed),
        }
    };
}

fn commit_error(failure: OpFailure) -> CommitError {
    match failure {
        OpFailure::Gone(at) => CommitError::new(CommitErrorKind::Gone).partition(at),
        failure => error_of!(failure, CommitError, CommitErrorKind),
    }
}

/// Offsets to commit, none of them negative.
pub(super) fn checked<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
    offsets: impl IntoIterator<Item = (P, O)>,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, CommitError> {
    let offsets: BTreeMap<TopicPartition, CommittedOffset> =
        offsets.into_iter().map(|(at, offset)| (at.into(), offset.into())).collect();
    match offsets.iter().find(|(_, committed)| committed.offset < 0) {
        Some((at, wrong)) => {
            Err(CommitError::new(CommitErrorKind::InvalidOffset).partition(at.clone()).offset(wrong.offset))
        }
        None => Ok(offsets),
    }
}

/// An error that concerns the consumer's group, with its name.
pub(super) fn of_group<E: Details>(shared: &Shared<Core>, error: E) -> E {
    match shared.inspect(|core| core.group_metadata()) {
        Some(group) => error.group(group.group_id),
        None => error,
    }
}

pub(super) async fn committed(
    shared: &Arc<Shared<Core>>,
    partitions: Vec<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, OffsetsError> {
    let op = shared.with(|core, now| core.committed(partitions, now));
    match offsets_op(shared, op).await.map_err(|error| of_group(shared, error))? {
        Outcome::Committed(offsets) => Ok(offsets),
        _ => Ok(BTreeMap::new()),
    }
}

pub(super) async fn offsets_op(
    shared: &Arc<Shared<Core>>,
    op: Result<OpId, OpFailure>,
) -> Result<Outcome, OffsetsError> {
    let outcome = match op {
        Ok(op) => Operation::new(shared, op).await?,
        Err(failure) => Err(failure),
    };
    outcome.map_err(|failure| error_of!(failure, OffsetsError, OffsetsErrorKind))
}
