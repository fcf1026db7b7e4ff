//! The user's rebalance listener: told inside `recv`, `poll` and `close`, while heartbeats go on.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ottla_core::{Callback, CommittedOffset, GroupMetadata, Machine, ReaderId, TopicPartition};

use super::{
    Core,
    operation::{self, Committed, PendingCommit},
    seek::{SeekPosition, seek},
};
use crate::{
    error::{CommitError, OffsetsError, SeekError},
    shared::Shared,
};

/// Is told when partitions come and go.
///
/// It is called inside `recv`, `poll` and [`close`](super::Consumer::close), in the task that called them, so never
/// beside the handling of a record. It may take its time: heartbeats go on, up to
/// [`rebalance_timeout`](super::ConsumerBuilder::rebalance_timeout). A call of `recv` or `poll` that is dropped
/// meanwhile loses nothing: the next one goes on where the listener was. Write its methods as `async fn`.
///
/// What holds:
/// - **In pairs.** A partition that was told as assigned is told once as revoked or as lost, whether a rebalance, an
///   unsubscription or a close takes it. Only a partition that is lost while `on_revoked` still runs is told as lost on top.
/// - **Records.** None of a partition is handed out before `on_assigned` has returned for it, and none after `on_revoked` or
///   `on_lost` was called for it, until it is assigned again. Between `on_revoked` and `on_assigned` of one rebalance, records
///   of partitions that stay may be handed out (Java makes both calls inside one poll).
/// - **Commits.** In `on_revoked` a commit counts, and the next owner begins there; with auto commit that has been done. In
///   `on_lost` it is refused, and so it is in an `on_revoked` that tells of an unsubscription.
/// - **What is done.** By calling `recv` or `poll` the user says that the records before are done, and so
///   [`Rebalance::commit`] commits no more than that in a rebalance. `close` says no such thing of a record whose handling
///   failed, yet there, as in Java, `Rebalance::commit` covers all that was handed out. Who commits by hand commits in
///   `on_revoked` the offsets that it has noted as done, as below.
/// - **Empty lists.** `on_assigned` has one where a rebalance brought nothing new, `on_revoked` only in an eager group, where
///   the member had nothing, `on_lost` never.
/// - **The end.** Nothing is told as assigned after a close or an unsubscription has begun. `close` returns when `on_revoked`
///   has. A consumer that is dropped tells nothing.
///
/// A listener that commits what is done, and nothing of a record that failed:
///
/// ```no_run
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
///
/// use ottla::{CommittedOffset, Consumer, HandedOut, Rebalance, RebalanceListener, TopicPartition};
///
/// /// Of each partition the next offset to read, as far as the work is done.
/// #[derive(Clone, Default)]
/// struct Done(Arc<Mutex<HashMap<TopicPartition, CommittedOffset>>>);
///
/// impl Done {
///     fn note(&self, record: &impl HandedOut) {
///         self.0.lock().unwrap().insert(record.topic_partition().clone(), record.to_commit());
///     }
///
///     /// Forgets these partitions. What was done of them.
///     fn take(&self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, CommittedOffset)> {
///         let mut done = self.0.lock().unwrap();
///         partitions.iter().filter_map(|at| done.remove_entry(at)).collect()
///     }
/// }
///
/// impl RebalanceListener for Done {
///     async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
///         let done = self.take(partitions);
///         if let Err(error) = rebalance.commit_offsets(done).await {
///             eprintln!("{error:#}");             // those records are read again, by the next owner
///         }
///     }
///
///     async fn on_lost(&self, _: &Rebalance, partitions: &[TopicPartition]) {
///         self.take(partitions);                  // another member may have them: nothing can be committed
///     }
/// }
///
/// # fn apply(_: &impl HandedOut) -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let done = Done::default();
/// let mut consumer = Consumer::builder()
///     .bootstrap_servers("localhost:9092")
///     .group_id("billing")
///     .enable_auto_commit(false)
///     .rebalance_listener(done.clone())
///     .subscribe("orders")
///     .build()
///     .await?;
/// while let Some(record) = consumer.recv().await? {
///     if let Err(failure) = apply(&record) {
///         eprintln!("{failure}");
///         break;
///     }
///     done.note(&record);
/// }
/// consumer.close().await?;                        // calls `on_revoked`, which commits all but the one that failed
/// # Ok(())
/// # }
/// ```
pub trait RebalanceListener: Send + Sync + 'static {
    /// These are new, and not one record of them has been handed out: positions may be moved. In an eager group (a default
    /// one is: see [`assignor`](super::ConsumerBuilder::assignor)) all that the member has; empty where a rebalance brought
    /// nothing new.
    fn on_assigned(
        &self,
        _rebalance: &Rebalance,
        _partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// These go to another member once this returns. What was done of them may be committed, and is not by itself; with
    /// auto commit it has been.
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
///
/// Its calls may be awaited inside the listener. Each is cancel-safe: to drop a commit's future leaves the commit under way.
///
/// ```no_run
/// use ottla::{Rebalance, RebalanceListener, SeekPosition, TopicPartition};
///
/// /// Begins at the end of what it is given.
/// struct NewestOnly;
///
/// impl RebalanceListener for NewestOnly {
///     async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
///         for partition in partitions {
///             if let Err(error) = rebalance.seek(partition, SeekPosition::End) {
///                 eprintln!("{error:#}");
///             }
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Rebalance(Arc<Shared<Core>>);

impl Rebalance {
    /// Commits everything that was handed out. Inside `recv` and `poll` all of it is done: the user came back from it.
    /// Inside [`close`](super::Consumer::close) it may not be: a record whose handling failed is covered, too. Who commits by
    /// hand uses [`commit_offsets`](Self::commit_offsets) there. See [`Consumer::commit`](super::Consumer::commit).
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing, or not everything, was committed.
    pub async fn commit(&self) -> Result<Committed, CommitError> {
        let op = self.0.with(|core, now| core.commit(None, now));
        PendingCommit::new(&self.0, op).await
    }

    /// Commits these offsets: of each partition the next one to read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), and for a negative offset.
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<Committed, CommitError> {
        let offsets = operation::checked(offsets)?;
        let op = self.0.with(|core, now| core.commit(Some(offsets), now));
        PendingCommit::new(&self.0, op).await
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
        operation::committed(&self.0, partitions.into_iter().map(Into::into).collect()).await
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
        seek(&self.0, partition.into(), to.into())
    }

    /// Where the partition is read next, as far as that is known already.
    pub fn position(&self, partition: impl Into<TopicPartition>) -> Option<i64> {
        let at = partition.into();
        self.0.inspect(|core| core.position(&at))
    }

    /// Hands out nothing of this partition until it is [resumed](Self::resume).
    pub fn pause(&self, partition: impl Into<TopicPartition>) {
        let at = partition.into();
        self.0.with(|core, now| core.set_paused(&at, true, now));
    }

    /// Goes on with this partition.
    pub fn resume(&self, partition: impl Into<TopicPartition>) {
        let at = partition.into();
        self.0.with(|core, now| core.set_paused(&at, false, now));
    }

    /// The member's place in its group, as long as these partitions are its own.
    pub(crate) fn member_for(&self, partitions: &[TopicPartition]) -> Option<GroupMetadata> {
        self.0.inspect(|core| core.member_for(partitions))
    }

    /// The partitions that are the consumer's now, those that come or go included.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.0.inspect(|core| core.assignment())
    }
}

pub(crate) type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

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

    pub(crate) fn tell(&self, rebalance: Rebalance, callback: Callback) -> Call {
        (self.0)(rebalance, callback)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What the listener is being told. It outlives the call of the consumer in which it began: the next call of any reader
/// goes on with it.
#[derive(Default)]
pub(super) struct Listening {
    listener: Option<Listener>,
    told: Mutex<Told>,
}

#[derive(Default)]
enum Told {
    /// Everything that it was to be told.
    #[default]
    All,
    /// This is to go on: nobody is at it.
    Interrupted(Call),
    /// A reader is at it.
    UnderWay,
}

impl Listening {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        Self { listener, told: Mutex::default() }
    }

    /// Whether a call is to go on.
    pub(super) fn is_interrupted(&self) -> bool {
        matches!(*self.told(), Told::Interrupted(_))
    }

    pub(super) fn begin(&self, shared: &Arc<Shared<Core>>, callback: Callback) {
        if let Some(listener) = &self.listener {
            *self.told() = Told::Interrupted(listener.tell(Rebalance(shared.clone()), callback));
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing under this lock panics.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call that is to go on, if nobody is at it.
    fn resume<'a>(&'a self, shared: &'a Shared<Core>) -> Option<Turn<'a>> {
        let mut told = self.told();
        match std::mem::replace(&mut *told, Told::UnderWay) {
            Told::Interrupted(call) => Some(Turn { listening: self, shared, call: Some(call) }),
            other => {
                *told = other;
                None
            }
        }
    }

    /// Goes on with what has begun, to its end, in a call of this reader's. Cancel-safe.
    pub(super) async fn finish(&self, shared: &Shared<Core>, reader: ReaderId) {
        let Some(mut turn) = self.resume(shared) else { return };
        if let Some(call) = &mut turn.call {
            call.await;
        }
        turn.call = None;
        drop(turn);
        shared.with(|core, now| core.callback_done(reader, now));
    }

    /// Tells everything that there is to tell until the consumer is closed.
    pub(super) async fn finish_all(&self, shared: &Arc<Shared<Core>>, reader: ReaderId) {
        if self.listener.is_none() {
            return;
        }
        loop {
            self.finish(shared, reader).await;
            let next = shared.wait(|core, _| match core.take_callback() {
                Some(callback) => Some(Some(callback)),
                None if self.is_interrupted() => Some(None),
                None => core.is_closed().then_some(None),
            });
            match next.await {
                Ok(Some(callback)) => self.begin(shared, callback),
                Ok(None) if self.is_interrupted() => {}
                _ => return,
            }
        }
    }
}

/// A reader is at a call of the listener. Dropped before its end, it leaves the call to the next.
struct Turn<'a> {
    listening: &'a Listening,
    shared: &'a Shared<Core>,
    call: Option<Call>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let call = self.call.take();
        let gives_up = call.is_some();
        *self.listening.told() = call.map_or(Told::All, Told::Interrupted);
        if gives_up {
            // Others may be waiting in a call.
            self.shared.wake();
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("listener", &self.listener).finish_non_exhaustive()
    }
}
