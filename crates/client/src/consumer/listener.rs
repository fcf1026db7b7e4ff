//! The user's rebalance listener: told inside `recv`, `poll` and `close`, while heartbeats go on.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc};

use ottla_core::{Callback, CommittedOffset, TopicPartition};

use super::{SeekPosition, offsets, state::State};
use crate::{
    driver::Shared,
    error::{CommitError, OffsetsError, SeekError},
};

/// Is told when partitions come and go.
///
/// It is called inside `recv`, `poll` and [`close`](super::Consumer::close), in the task that called them, so never
/// beside the handling of a record. It may take its time: heartbeats go on, up to
/// [`rebalance_timeout`](super::ConsumerBuilder::rebalance_timeout). A call of `recv` or `poll` that is dropped
/// meanwhile loses nothing: the next one goes on where the listener was. Write its methods as `async fn`.
///
/// What holds between its calls:
/// - A partition that was told as assigned is told once as revoked or as lost, whether a rebalance, an unsubscription or a
///   close takes it. Only a partition that is lost while `on_revoked` still runs is told as lost on top.
/// - Nothing is told as assigned after a close or an unsubscription has begun.
/// - Between `on_revoked` and `on_assigned` of one rebalance, records of partitions that stay may be handed out (Java makes
///   both calls inside one poll).
pub trait RebalanceListener: Send + Sync + 'static {
    /// These are new, and not one record of them has been handed out: positions may be moved. Under an eager group all
    /// that the member has; empty where a rebalance brought nothing new.
    fn on_assigned(
        &self,
        _rebalance: &Rebalance,
        _partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// These go to another member once this returns. What was done may be committed; with auto commit it has been.
    fn on_revoked(
        &self,
        _rebalance: &Rebalance,
        _partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// These are gone, and another member may have them already: nothing of them can be committed. As in Java,
    /// [`on_revoked`](Self::on_revoked) unless written.
    fn on_lost(
        &self,
        rebalance: &Rebalance,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        self.on_revoked(rebalance, partitions)
    }
}

/// The consumer, as far as a [`RebalanceListener`] may use it.
#[derive(Debug, Clone)]
pub struct Rebalance(Arc<Shared<State>>);

impl Rebalance {
    /// Commits everything that was handed out. See [`Consumer::commit`](super::Consumer::commit).
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing, or not everything, was committed.
    pub async fn commit(&self) -> Result<(), CommitError> {
        let op = self.0.with(|state, now| state.core.commit(None, now));
        offsets::committed_op(&self.0, op).await
    }

    /// Commits these offsets: of each partition the next one to read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), and for a negative offset.
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<(), CommitError> {
        let offsets = offsets::checked(offsets)?;
        let op = self.0.with(|state, now| state.core.commit(Some(offsets), now));
        offsets::committed_op(&self.0, op).await
    }

    /// What the group has committed of these partitions; `None` where nothing.
    ///
    /// # Errors
    ///
    /// [`OffsetsError`]: no answer came in time.
    pub async fn committed<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, OffsetsError> {
        offsets::committed(&self.0, partitions.into_iter().map(Into::into).collect()).await
    }

    /// The next record of the partition is the one at `to`.
    ///
    /// # Errors
    ///
    /// [`SeekError`]: the partition is not this consumer's, or the offset is none.
    pub fn seek(
        &self,
        partition: impl Into<TopicPartition>,
        to: impl Into<SeekPosition>,
    ) -> Result<(), SeekError> {
        offsets::seek(&self.0, partition.into(), to.into())
    }

    /// Where the partition is read next, as far as that is known already.
    pub fn position(&self, partition: impl Into<TopicPartition>) -> Option<i64> {
        let at = partition.into();
        self.0.inspect(|state| state.core.position(&at))
    }

    /// Hands out nothing of this partition until it is [resumed](Self::resume).
    pub fn pause(&self, partition: impl Into<TopicPartition>) {
        let at = partition.into();
        self.0.with(|state, now| state.core.set_paused(&at, true, now));
    }

    /// Goes on with this partition.
    pub fn resume(&self, partition: impl Into<TopicPartition>) {
        let at = partition.into();
        self.0.with(|state, now| state.core.set_paused(&at, false, now));
    }

    /// The partitions that are the consumer's now, those that come or go included.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.0.inspect(|state| state.core.assignment())
    }
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A listener without its type.
#[derive(Clone)]
pub(crate) struct Listener(Arc<dyn Fn(Rebalance, Callback) -> Call + Send + Sync>);

impl Listener {
    pub(crate) fn new<L: RebalanceListener>(listener: L) -> Self {
        let listener = Arc::new(listener);
        Self(Arc::new(move |rebalance, callback| {
            let listener = listener.clone();
            Box::pin(async move {
                match &callback {
                    Callback::Assigned(partitions) => listener.on_assigned(&rebalance, partitions).await,
                    Callback::Revoked(partitions) => listener.on_revoked(&rebalance, partitions).await,
                    Callback::Lost(partitions) => listener.on_lost(&rebalance, partitions).await,
                }
            })
        }))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What the listener is being told. It outlives the call of the consumer in which it began.
#[derive(Default)]
pub(super) struct Listening {
    listener: Option<Listener>,
    /// In a mutex because a consumer is shared by reference between threads, and this is not: it is never locked.
    call: std::sync::Mutex<Option<Call>>,
}

impl Listening {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        Self { listener, call: std::sync::Mutex::default() }
    }

    pub(super) fn begin(&mut self, shared: &Arc<Shared<State>>, callback: Callback) {
        let call = self.listener.as_ref().map(|listener| (listener.0)(Rebalance(shared.clone()), callback));
        *self.call() = call;
    }

    fn call(&mut self) -> &mut Option<Call> {
        self.call.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Goes on with what has begun, to its end. Cancel-safe.
    pub(super) async fn finish(&mut self, shared: &Shared<State>) {
        let Some(call) = self.call() else { return };
        call.await;
        *self.call() = None;
        shared.with(|state, now| state.core.callback_done(now));
    }

    /// Tells everything that there is to tell until the consumer is closed.
    pub(super) async fn finish_all(&mut self, shared: &Arc<Shared<State>>) {
        if self.listener.is_none() {
            return;
        }
        loop {
            self.finish(shared).await;
            let next = shared.wait(|state, _| match state.core.take_callback() {
                Some(callback) => Some(Some(callback)),
                None => ottla_core::Machine::is_closed(&state.core).then_some(None),
            });
            match next.await {
                Ok(Some(callback)) => self.begin(shared, callback),
                _ => return,
            }
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("listener", &self.listener).finish_non_exhaustive()
    }
}
