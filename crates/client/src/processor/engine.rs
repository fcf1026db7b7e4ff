//! The machine that workers, the pump and the rebalance listener share, under one lock, and who is woken by what.

mod behind;
mod books;
mod counts;
mod feeding;
mod seats;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use ottla_core::{
    CommittedOffset, TopicPartition,
    processing::{
        Batch, CommitEnd, Ended, GivenAway, Hopeless, Job, JobId, Parting, Processing, ProcessingConfig,
    },
};
use ottla_protocol::Now;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::coop::consume_budget,
};

use self::{
    behind::Chains,
    books::{Books, Draft},
    counts::Handled,
    seats::Seats,
};
pub(super) use self::{
    behind::{Life, Link},
    books::Entry,
    counts::Elsewhere,
    seats::Cancel,
};
use super::{
    HandlerFailure,
    events::Watchers,
    handler::Source,
    plan::Plan,
    pump::{IDLE, or},
    transactional::Outputs,
};
use crate::{consumer::OwnedRecord, net::clock::Reading};

type Machine = Processing<OwnedRecord, HandlerFailure>;

/// What the parts of a processor share.
#[derive(Debug)]
pub(super) struct Engine {
    inner: Mutex<Inner>,
    /// Idle workers wait here. One is woken where there is a job, and a thread to run it; it wakes the next where there is another.
    jobs: Notify,
    /// The pump waits here.
    pump: Notify,
    /// Readers beside the pump, and who reads partitions behind, wait here until there is room.
    pub(super) readers: Notify,
    /// How many receive records, the pump included.
    receivers: usize,
    /// The rebalance listener waits here.
    listener: Notify,
    /// The post waits here.
    post: Notify,
    /// The bookkeeper waits here.
    books: Notify,
    /// Who reads partitions behind waits here.
    behind: Notify,
    /// Who waits for the end alone.
    over: Notify,
    /// The most bytes of a record that a handler writes; `None` where there are no transactions.
    outputs: Option<usize>,
    /// How long records of retry topics still wait.
    plan: Option<Arc<Plan>>,
    is_ended: AtomicBool,
    /// How many records a job has at the most; `None` where it has one, and is no batch.
    batches: Option<usize>,
    /// The age beyond which records are not handled.
    oldest: Option<Duration>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) elsewhere: Elsewhere,
}

/// What an engine is to look for, and whom to tell.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) stalled_after: Duration,
    pub(super) oldest: Option<Duration>,
    pub(super) watchers: Arc<Watchers>,
    /// Whether handlers are measured.
    pub(super) measures: bool,
}

#[derive(Debug)]
struct Inner {
    machine: Machine,
    clock: Reading,
    seats: Seats,
    /// What batches tell of their partitions.
    high_watermarks: HashMap<TopicPartition, i64>,
    /// Why nothing can be handled any more.
    broken: Option<Source>,
    /// Where offsets are committed in transactions.
    books: Option<Books>,
    chains: Chains,
    /// Where handlers are measured.
    handled: Option<Handled>,
    /// Who waits for the last of what was given up.
    partings: BTreeMap<Parting, oneshot::Sender<()>>,
}

/// How a worker's job has ended, and what was written by it.
#[derive(Debug)]
pub(super) struct WorkEnded {
    pub(super) job: JobId,
    pub(super) ended: Ended<HandlerFailure>,
    pub(super) outputs: Option<Outputs>,
}

/// What a worker has taken.
#[derive(Debug)]
pub(super) enum Taken {
    Message(Job<OwnedRecord>),
    /// With the high watermark of its partition.
    Batch(Batch<OwnedRecord>, Option<i64>),
}

impl Taken {
    /// That of its records.
    pub(super) fn partition(&self) -> Option<&TopicPartition> {
        let record = match self {
            Self::Message(job) => Some(&job.work),
            Self::Batch(batch, _) => batch.works.first(),
        };
        record.map(OwnedRecord::topic_partition)
    }

    fn id(&self) -> JobId {
        match self {
            Self::Message(job) => job.id,
            Self::Batch(batch, _) => batch.id,
        }
    }
}

/// What the pump is to do.
#[derive(Debug)]
pub(super) struct Orders {
    /// These are to be paused (`true`) or resumed.
    pub(super) pauses: Vec<(TopicPartition, bool)>,
    pub(super) commit: Option<BTreeMap<TopicPartition, CommittedOffset>>,
    /// Where there are transactions, what is to be committed in the next.
    pub(super) draft: Option<Draft>,
    pub(super) is_stopping: bool,
    /// How many records to ask for; `None` for none now.
    pub(super) room: Option<usize>,
    /// How long it is until there is more to do.
    pub(super) due_in: Option<Duration>,
}

impl Engine {
    pub(super) fn new(
        config: ProcessingConfig,
        plan: Option<Arc<Plan>>,
        batches: Option<usize>,
        outputs: Option<usize>,
        watching: Watching,
    ) -> Self {
        let Watching { stalled_after, oldest, watchers, measures } = watching;
        let books = outputs.map(|_| Books::new(config.room.bytes));
        let mut machine = Processing::new(config);
        machine.watch_for_stalls(stalled_after);
        if watchers.are_any() {
            machine.watch();
        }
        let inner = Inner {
            machine,
            clock: Reading::new(),
            seats: Seats::new(Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers())),
            high_watermarks: HashMap::new(),
            broken: None,
            books,
            chains: Chains::default(),
            handled: measures.then(Handled::default),
            partings: BTreeMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            jobs: Notify::new(),
            pump: Notify::new(),
            readers: Notify::new(),
            receivers: 1,
            listener: Notify::new(),
            post: Notify::new(),
            books: Notify::new(),
            behind: Notify::new(),
            over: Notify::new(),
            outputs,
            plan,
            is_ended: AtomicBool::new(false),
            batches,
            oldest,
            watchers,
            elsewhere: Elsewhere::default(),
        }
    }

    /// With so many who receive records.
    pub(super) fn with_receivers(self, receivers: usize) -> Self {
        Self { receivers: receivers.max(1), ..self }
    }

    /// Changes the machine, tells handlers that are to end, and wakes who has something to do, a worker only where `workers` says so:
    /// whether that is anybody.
    fn wake_with<T>(&self, workers: bool, change: impl FnOnce(&mut Inner, Now) -> T) -> (T, bool) {
        // Nothing under this lock panics; if it did, whoever asks gets an answer instead of a second panic.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = inner.clock.now();
        let value = change(&mut inner, now);
        while let Some((job, reason)) = inner.machine.poll_cancel() {
            inner.seats.tell(job, reason);
        }
        let notices: Vec<_> = std::iter::from_fn(|| inner.machine.poll_notice()).collect();
        let (stir, gives) = (inner.machine.take_stir() | inner.hurries(), inner.machine.has_given_away());
        let more = workers && inner.machine.can_take() && !inner.is_full() && inner.seats.wakes_one();
        drop(inner);
        for notice in notices {
            self.watchers.tell(|| notice.into());
        }
        if gives {
            self.post.notify_one();
        }
        if more {
            self.jobs.notify_one();
        }
        if stir {
            self.pump.notify_one();
            self.listener.notify_waiters();
            self.readers.notify_waiters();
        }
        (value, stir || more || gives)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner, Now) -> T) -> T {
        self.wake_with(true, change).0
    }

    fn with_machine<T>(&self, change: impl FnOnce(&mut Machine, Now) -> T) -> T {
        self.with(|inner, now| change(&mut inner.machine, now))
    }

    /// A place for one worker: its number, and how it is told to end a job.
    pub(super) fn seat(&self) -> (usize, Arc<Cancel>) {
        self.with(|inner, _| inner.seats.add())
    }

    /// Tells how the last job of the worker in this seat ended, and waits for the next; `None` when there will be none. Dropped, it may
    /// have taken one that nobody runs: who drops it drops the engine, too.
    pub(super) async fn next(&self, mut ended: Option<WorkEnded>, seat: usize) -> Option<Taken> {
        let mut notified = pin!(self.jobs.notified());
        let (mut is_listening, mut is_woken) = (false, false);
        loop {
            let (job, wakes) = self.wake_with(true, |inner, now| {
                inner.seats.looks(std::mem::take(&mut is_woken));
                if let Some(WorkEnded { job, ended, outputs }) = ended.take() {
                    if let Some(handled) = &mut inner.handled {
                        handled.ends(seat, &ended, now);
                    }
                    if inner.machine.handle_ended(job, ended, now) {
                        inner.write(outputs.as_ref());
                    }
                }
                let taken = inner.take(self.batches, now);
                if let Some(handled) = &mut inner.handled {
                    handled.begins(seat, taken.is_some(), now);
                }
                inner.seats.takes(seat, taken.as_ref().map(Taken::id));
                taken
            });
            if job.is_some() {
                match wakes {
                    true => yields().await,
                    // Whose handlers are ready at once would never let others run.
                    false => consume_budget().await,
                }
            }
            if job.is_some() || self.is_ended() {
                return job;
            }
            if is_listening {
                notified.as_mut().await;
                is_woken = true;
                notified.set(self.jobs.notified());
            }
            // Who finds a job at once never listens. Others look once more: what comes about in between is not missed.
            is_woken |= notified.as_mut().enable();
            is_listening = true;
        }
    }

    /// The worker in this seat waits for its handler: its thread is free for another.
    pub(super) fn waits(&self, seat: usize) {
        self.with(|inner, _| inner.seats.waits(seat));
    }

    /// What is due is done; what is left for the pump.
    pub(super) fn turn(&self) -> Orders {
        let is_behind = |at: &TopicPartition| self.reads_behind(at);
        let (orders, reads) = self.with(|inner, now| {
            inner.machine.handle_timeout(now);
            let draft = inner.draft(now);
            let is_transactional = inner.books.is_some();
            let (pauses, reads) = inner.pauses(is_behind);
            let machine = &mut inner.machine;
            let orders = Orders {
                draft,
                pauses,
                commit: if is_transactional { None } else { machine.poll_commit(now) },
                is_stopping: machine.is_stopping(),
                room: self.share_of(machine.room()),
                due_in: machine.poll_timeout().map(|due| due.saturating_duration_since(now.mono)),
            };
            (orders, reads)
        });
        if reads {
            self.behind.notify_one();
        }
        orders
    }

    /// What who reads partitions behind may ask for, if anything now.
    pub(super) fn room(&self) -> Option<usize> {
        self.share_of(self.with_machine(|machine, _| machine.room()))
    }

    /// What one of those who receive may ask for.
    fn share_of(&self, room: Option<usize>) -> Option<usize> {
        room.map(|room| room.div_ceil(self.receivers))
    }

    /// What a reader beside the pump is to ask for, if anything now; `None` when it is not to ask any more.
    pub(super) fn asks(&self) -> Option<Option<usize>> {
        let (room, is_stopping) = self.with_machine(|machine, _| (machine.room(), machine.is_stopping()));
        (!is_stopping).then(|| self.share_of(room))
    }

    /// From within a handler: a worker that is woken here waits for this thread, and the handler may keep it.
    fn with_handler<T>(&self, change: impl FnOnce(&mut Inner, Now) -> T) -> T {
        self.wake_with(false, change).0
    }

    /// Whether offsets are committed in transactions.
    pub(super) fn is_transactional(&self) -> bool {
        self.outputs.is_some()
    }

    /// What the handler of a record of this partition writes to.
    pub(super) fn outputs(&self, at: Option<&TopicPartition>) -> Option<Outputs> {
        let most = self.outputs?;
        Some(Outputs::new(at?.clone(), most))
    }

    /// Records of a batch are done, up to this offset.
    pub(super) fn resolve(&self, batch: JobId, through: i64, outputs: Option<&Outputs>) {
        self.with_handler(|inner, now| {
            if inner.machine.handle_resolved(batch, through, now) {
                inner.write(outputs);
            }
        });
    }

    pub(super) fn is_stale(&self, batch: JobId) -> bool {
        self.with_handler(|inner, _| inner.machine.is_stale(batch))
    }

    pub(super) fn is_running(&self) -> bool {
        self.with_handler(|inner, _| !inner.machine.is_stopping())
    }

    pub(super) fn committed(&self, end: CommitEnd) {
        self.with_machine(|machine, now| machine.handle_committed(end, now));
    }

    pub(super) fn assigned(&self, at: &TopicPartition, committed: Option<&CommittedOffset>) {
        if self.plan.as_ref().is_some_and(|plan| plan.is_held) {
            return self.chain_assigned(at, committed);
        }
        self.with(|inner, _| {
            inner.forget(std::slice::from_ref(at));
            inner.machine.handle_assigned(at.clone(), committed);
        });
    }

    pub(super) fn lost(&self, partitions: &[TopicPartition]) {
        let partitions = self.with_behind(partitions);
        self.with(|inner, _| {
            inner.forget(&partitions);
            inner.break_chains(&partitions);
            inner.machine.handle_lost(&partitions);
        });
        self.behind.notify_one();
    }

    /// Nothing more of these partitions is handed out. Returns once no handler is at a record of theirs, and no transaction is under
    /// way, at the latest `grace` after the time to `drain` is over.
    pub(super) async fn drained(&self, partitions: &[TopicPartition], drain: Duration, grace: Duration) {
        let partitions = &self.with_behind(partitions)[..];
        let deadline = self.with_machine(|machine, now| {
            let deadline = now.mono + drain;
            machine.handle_revoked(partitions, deadline);
            deadline
        });
        let mut notified = pin!(self.listener.notified());
        loop {
            notified.as_mut().enable();
            let wake = self.with(|inner, now| {
                inner.machine.handle_timeout(now);
                let is_settled = inner.machine.is_drained(partitions) && inner.are_books_settled();
                let machine = &inner.machine;
                let is_over = now.mono >= deadline + grace || is_settled;
                let end = if now.mono < deadline { deadline } else { deadline + grace };
                let due = machine.poll_timeout().filter(|due| *due > now.mono);
                (!is_over).then(|| due.map_or(end, |due| due.min(end)))
            });
            let Some(wake) = wake else { break };
            if timeout_at(wake, notified.as_mut()).await {
                notified.set(self.listener.notified());
            }
        }
    }

    /// These partitions are given up: what is to be committed of them.
    pub(super) fn release(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, CommittedOffset> {
        let partitions = self.with_behind(partitions);
        let committed = self.with(|inner, _| {
            inner.break_chains(&partitions);
            inner.machine.release(&partitions)
        });
        self.behind.notify_one();
        committed
    }

    /// The records that are to be written elsewhere.
    pub(super) fn given_away(&self) -> Vec<GivenAway<OwnedRecord, HandlerFailure>> {
        self.with_machine(|machine, _| std::iter::from_fn(|| machine.poll_given_away()).collect())
    }

    /// Whether a record is written elsewhere.
    pub(super) fn given(&self, id: JobId, is_taken: bool) {
        self.with_machine(|machine, now| machine.handle_given_away(id, is_taken, now));
    }

    /// Nothing is handed out any more, and nothing can be written elsewhere.
    pub(super) fn gives_up(&self) {
        self.with_machine(|machine, _| machine.handle_nobody_takes());
    }

    /// Returns when there is something for the post, or nothing will be any more.
    pub(super) async fn gives(&self) {
        self.post.notified().await;
    }

    /// Whether it is over.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    /// Nothing is handed out any more.
    pub(super) fn stop(&self) {
        self.with_machine(|machine, _| machine.stop());
    }

    /// Nothing can be handled any more, so nothing is handed out. Of several reasons the first is told.
    pub(super) fn breaks(&self, source: Source) {
        self.with(|inner, _| {
            inner.broken.get_or_insert(source);
            inner.machine.stop();
        });
    }

    /// Why it stops, where nothing can be handled any more.
    pub(super) fn broken(&self) -> Option<Source> {
        self.with(|inner, _| inner.broken.take())
    }

    /// The record that it stops for, where it is one.
    pub(super) fn stopped_for(&self) -> Option<Hopeless<OwnedRecord, HandlerFailure>> {
        self.with_machine(|machine, _| machine.take_stopped_for())
    }

    /// Workers that wait for a job end. How many handlers there are that have not ended.
    pub(super) fn end(&self) -> usize {
        self.is_ended.store(true, Ordering::Release);
        self.jobs.notify_waiters();
        self.post.notify_one();
        self.books.notify_one();
        self.over.notify_waiters();
        self.with_machine(|machine, _| machine.running())
    }

    /// Returns when there is something for the pump.
    pub(super) async fn stirred(&self) {
        self.pump.notified().await;
    }

    /// In place of the pump: what is due is done until this is ready.
    pub(super) async fn tend<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let due = self.with_machine(|machine, now| {
                machine.handle_timeout(now);
                machine.poll_timeout().map_or(Instant::now() + IDLE, |due| due.max(now.mono))
            });
            if let Some(value) = or(pin!(timeout_at(due, self.stirred())), future.as_mut()).await {
                return value;
            }
        }
    }
}

impl Inner {
    fn take(&mut self, batches: Option<usize>, now: Now) -> Option<Taken> {
        if self.is_full() {
            return None;
        }
        let Some(most) = batches else { return self.machine.take(now).map(Taken::Message) };
        let batch = self.machine.take_batch(most, now)?;
        let at = batch.works.first().map(OwnedRecord::topic_partition);
        let high_watermark = at.and_then(|at| self.high_watermarks.get(at)).copied();
        Some(Taken::Batch(batch, high_watermark))
    }
}

/// Lets others run on this thread first. What was woken last from a thread is taken by no other: a handler that does not yield would
/// hold it up. This is not `tokio::task::yield_now`, which has the runtime look for events of the system first.
async fn yields() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for `future` until then. Whether it has ended.
async fn timeout_at(until: Instant, future: impl Future) -> bool {
    tokio::time::timeout_at(until.into(), future).await.is_ok()
}
