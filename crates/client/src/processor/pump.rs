//! The pump: receives records for the machine, commits what it says, and ends.

use std::{
    future::{IntoFuture as _, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_core::Stream as _;
use ottla_core::{Event, TopicPartition, log, processing::CommitEnd};
use ottla_protocol::ErrorCode;
use tokio::task::{JoinError, JoinSet};

use super::{
    GRACE, Processor, ProcessorEvent, RetryOrder,
    behind::Behind,
    bookkeeper::Bookkeeper,
    engine::{Engine, Watching},
    events,
    events::Watchers,
    plan::Plan,
    post::{Post, of_any_size, over},
    rebalance::Rebalancing,
    receiving::receive,
    worker::{Trade, Work, work},
};
use crate::{
    CloseOptions, IsolationLevel,
    config::ProducerBuilder,
    consumer::{Committed, Consumer, EventStream, PendingCommit, PollRecords, Reader, Records},
    error::{
        BuildError, BuildErrorKind, CommitError, CommitErrorKind, Details as _, ProcessError,
        ProcessErrorKind, RecvError,
    },
};

/// The longest wait for records in one call. The pump calls again at once.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// How long the consumer has for its last commit and to leave its group.
pub(super) const CLOSE: Duration = Duration::from_secs(30);

const NONE: [TopicPartition; 0] = [];

/// What the pump waited for.
enum Turn {
    Stop,
    /// There may be something to do.
    Stirred,
    Committed(Result<Committed, CommitError>),
    Happened(Event),
    Received(Result<Records, RecvError>),
    /// A reader beside the pump has ended.
    Ended(Result<Result<(), ProcessError>, JoinError>),
}

/// Runs to the end, and tells who watches how it came to it.
pub(super) async fn run(
    mut processor: Processor,
    work_of: Work,
    stop: impl Future,
) -> Result<(), ProcessError> {
    let watchers = Arc::new(std::mem::take(&mut processor.watchers));
    let ended = run_with(processor, work_of, watchers.clone(), stop).await;
    let error = ended.as_ref().err().map(|error| format!("{error:#}"));
    watchers.tell(|| ProcessorEvent::Stopped { error });
    watchers.close();
    ended
}

async fn run_with(
    processor: Processor,
    work_of: Work,
    watchers: Arc<Watchers>,
    stop: impl Future,
) -> Result<(), ProcessError> {
    let mut stop = pin!(stop);
    let Processor {
        mut consumer,
        machine,
        drain,
        classify,
        mut plan,
        retry_order,
        stalled_after,
        oldest,
        transactional,
        deduplicated,
        readers,
        seen,
        ..
    } = processor;
    let (concurrency, timeout) = (machine.concurrency, machine.handler_timeout.unwrap_or_default());
    if consumer.settings().group_id().is_none() {
        return Err(build(BuildError::new(BuildErrorKind::MissingProperty).property("group.id")));
    }
    if transactional.is_some() && deduplicated.is_some() {
        let why = "deduplicate: what its store knows is in no transaction";
        return Err(build(BuildError::new(BuildErrorKind::InvalidValue).detail(why)));
    }
    let mut writing = JoinSet::new();
    let order = machine.order;
    if plan.is_none() && retry_order == RetryOrder::Held {
        plan = Some(Plan::default());
    }
    let plan = match plan {
        Some(plan) => Some(plan.of_topics(consumer.topics(), retry_order, order).map_err(build)?),
        None => None,
    };
    let plan = plan.map(Arc::new);
    if transactional.is_some() && plan.as_ref().is_some_and(|plan| plan.is_held) {
        let why = "retry topics: held records have no transactions yet; RetryOrder::Overtaken has";
        return Err(build(BuildError::new(BuildErrorKind::InvalidValue).detail(why)));
    }
    let engine = Engine::new(
        machine,
        plan.clone(),
        work_of.batches(),
        transactional.as_ref().map(largest),
        Watching { stalled_after, oldest, watchers, measures: seen.is_some() },
    );
    // Who reads what is behind receives, too.
    let behind = usize::from(plan.as_ref().is_some_and(|plan| plan.is_held));
    let engine = Arc::new(engine.with_receivers(readers + behind));
    if let Some(mut producer) = transactional {
        // A record of a retry topic, as of any other, may be of a transaction that was aborted.
        consumer = consumer.isolation_level(IsolationLevel::ReadCommitted);
        if plan.is_some() {
            producer = of_any_size(producer);
        }
        let Some(books) = or(stop.as_mut(), Bookkeeper::open(producer)).await else { return Ok(()) };
        writing.spawn(books?.run(engine.clone()));
    }
    let firsts: Vec<_> = plan.iter().flat_map(|plan| plan.first_topics()).collect();
    if let Some(plan) = plan {
        if !plan.delays.is_empty() && !plan.is_held {
            consumer = consumer.subscribe(plan.all_topics());
        }
        let opening = Post::open(plan, &consumer, engine.is_transactional());
        let Some(post) = or(stop.as_mut(), opening).await else { return Ok(()) };
        writing.spawn(post?.run(engine.clone()));
    }
    if !firsts.is_empty() {
        let Some(behind) = or(stop.as_mut(), Behind::open(&consumer)).await else { return Ok(()) };
        writing.spawn(behind?.run(engine.clone()));
    }
    let group: Arc<str> = consumer.settings().group_id().unwrap_or_default().into();
    let theirs = consumer.take_listener();
    let listener = Rebalancing { engine: engine.clone(), drain, theirs };
    let building = consumer.enable_auto_commit(false).rebalance_listener(listener).build();
    let mut consumer = match or(stop.as_mut(), building).await {
        None => return Ok(()),
        Some(built) => built.map_err(build)?,
    };
    consumer.commits_behind(firsts);
    if let Some(seen) = &seen {
        seen.runs(&engine, consumer.monitor());
    }
    let mut workers = JoinSet::new();
    let trade = Trade { engine: engine.clone(), work: work_of, classify, timeout, group };
    for _ in 0..concurrency {
        workers.spawn(work(trade.clone()));
    }
    let mut events = engine.watchers.are_any().then(|| consumer.events());
    let mut beside = receive(&consumer, &engine, readers - 1);
    let pumped = pump(&mut consumer, &engine, &mut beside, events.as_mut(), stop).await;
    engine.stop();
    beside.shutdown().await;
    // The listener drains and commits, once what is under way is committed.
    let closed = engine.tend(consumer.close_with(CloseOptions::new().timeout(drain + GRACE + CLOSE))).await;
    if let Some(events) = &mut events {
        while let Some(happened) = events.next().await {
            engine.watchers.tell(|| ProcessorEvent::Consumer(happened.event));
        }
    }
    join(&engine, workers).await;
    let written = written(writing).await;
    if let Some(stopped) = engine.stopped_for() {
        return Err(ProcessError::stopped_for(stopped));
    }
    if let Some(source) = engine.broken() {
        return Err(ProcessError::new(ProcessErrorKind::Service).because(source));
    }
    pumped?;
    written?;
    closed.map_err(|error| ProcessError::new(ProcessErrorKind::Close).because(error))
}

/// Waits until all is written and committed that can be.
async fn written(mut writing: JoinSet<Result<(), ProcessError>>) -> Result<(), ProcessError> {
    let mut ended = Ok(());
    let all = async {
        while let Some(written) = writing.join_next().await {
            ended = std::mem::replace(&mut ended, Ok(()))
                .and(written.unwrap_or_else(|panicked| Err(over(panicked))));
        }
    };
    let waited = tokio::time::timeout(CLOSE, all).await;
    match waited {
        Ok(()) => ended,
        Err(late) => ended.and(Err(ProcessError::new(ProcessErrorKind::Close).because(late))),
    }
}

/// The most bytes of a record that a handler writes.
fn largest(producer: &ProducerBuilder) -> usize {
    let settings = producer.settings();
    settings.max_request_size().min(settings.buffer_memory())
}

/// What is needed cannot be built.
pub(super) fn build(error: BuildError) -> ProcessError {
    ProcessError::new(ProcessErrorKind::Build).because(error)
}

/// Waits until all workers have ended, but for those whose handlers do not yield: nothing can end them.
async fn join(engine: &Engine, mut workers: JoinSet<()>) {
    let running = engine.end();
    let joined = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, joined).await.is_err() {
        tracing::warn!(target: log::PROCESSING, handlers = running, "handlers do not end");
    }
}

/// Until it is to stop, or cannot go on.
async fn pump<S: Future>(
    consumer: &mut Consumer,
    engine: &Engine,
    beside: &mut JoinSet<Result<(), ProcessError>>,
    mut happening: Option<&mut EventStream>,
    mut stop: Pin<&mut S>,
) -> Result<(), ProcessError> {
    let mut commit: Option<PendingCommit> = None;
    let mut to_tell = None;
    loop {
        let orders = engine.turn();
        if orders.is_stopping {
            return Ok(());
        }
        for (at, is_paused) in orders.pauses {
            match is_paused {
                true => consumer.pause([at]),
                false => consumer.resume([at]),
            }
        }
        if let Some(draft) = orders.draft {
            // No listener is told of anything between what was taken and this.
            let member = consumer.member_for(draft.offsets.keys());
            engine.enter(draft, member);
        }
        if let Some(offsets) = orders.commit {
            to_tell = engine.watchers.are_any().then(|| events::committed(&offsets));
            commit = Some(consumer.commit_offsets_async(offsets));
        }
        let wait = orders.due_in.unwrap_or(IDLE).min(IDLE);
        let mut receiving = asked(consumer.own_reader_mut(), orders.room, wait).into_future();
        let mut stirred = pin!(engine.stirred());
        let turn = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Stop);
            }
            if let Some(Poll::Ready(ended)) = commit.as_mut().map(|commit| Pin::new(commit).poll(cx)) {
                return Poll::Ready(Turn::Committed(ended));
            }
            let happened = happening.as_mut().map(|events| Pin::new(&mut **events).poll_next(cx));
            if let Some(Poll::Ready(Some(happened))) = happened {
                return Poll::Ready(Turn::Happened(happened.event));
            }
            if let Poll::Ready(Some(ended)) = beside.poll_join_next(cx) {
                return Poll::Ready(Turn::Ended(ended));
            }
            if stirred.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Stirred);
            }
            receiving.as_mut().poll(cx).map(Turn::Received)
        });
        let turn = turn.await;
        drop(receiving);
        match turn {
            Turn::Stop => return Ok(()),
            Turn::Stirred => {}
            Turn::Happened(event) => engine.watchers.tell(|| ProcessorEvent::Consumer(event)),
            Turn::Committed(ended) => {
                commit = None;
                let end = end(ended)?;
                if let Some(told) = to_tell.take().filter(|_| end == CommitEnd::Committed) {
                    engine.watchers.tell(|| told);
                }
                engine.committed(end);
            }
            Turn::Received(records) => match received(records)? {
                Some(records) if records.is_empty() && !consumer.is_open() => return Ok(()),
                Some(records) => engine.feed(&records, consumer.own_reader()),
                None => {}
            },
            Turn::Ended(ended) => ended.unwrap_or_else(|panicked| Err(over(panicked)))?,
        }
    }
}

/// A call for as many records as there is room for. Where there is none rebalances are told all the same.
pub(super) fn asked(reader: &mut Reader, room: Option<usize>, wait: Duration) -> PollRecords<'_> {
    match room {
        Some(room) => reader.poll(wait).max_records(room),
        None => reader.poll(wait).partitions(NONE),
    }
}

/// What a call for records has come to; `None` where it is made again.
pub(super) fn received(records: Result<Records, RecvError>) -> Result<Option<Records>, ProcessError> {
    match records {
        Ok(records) => Ok(Some(records)),
        // A rebalance, or a broker, is in the way for now; the consumer has logged it.
        Err(error) if error.is_retriable() => Ok(None),
        Err(error) => Err(of(ProcessErrorKind::Receive, &error).because(error)),
    }
}

/// What the machine is told of a commit; an error where no later one can succeed.
fn end(ended: Result<Committed, CommitError>) -> Result<CommitEnd, ProcessError> {
    let Err(error) = ended else { return Ok(CommitEnd::Committed) };
    match error.kind() {
        _ if error.code() == Some(ErrorCode::OffsetMetadataTooLarge) => Ok(CommitEnd::MetadataTooLarge),
        // Another member has the partition, it is gone, or it passes: what is still to be committed is, with the next.
        CommitErrorKind::NotMember
        | CommitErrorKind::NotAssigned
        | CommitErrorKind::Gone
        | CommitErrorKind::TimedOut => Ok(CommitEnd::Failed),
        _ if error.is_retriable() => Ok(CommitEnd::Failed),
        _ => {
            let context = error.context().clone();
            let stopped = ProcessError::new(ProcessErrorKind::Commit).because(error);
            Err(match context.partition {
                Some(at) => stopped.partition(at),
                None => stopped,
            })
        }
    }
}

/// With the place of what is in the way.
pub(super) fn of(kind: ProcessErrorKind, error: &RecvError) -> ProcessError {
    let mut stopped = ProcessError::new(kind);
    if let Some(at) = &error.context().partition {
        stopped = stopped.partition(at);
    }
    match error.context().offset {
        Some(offset) => stopped.offset(offset),
        None => stopped,
    }
}

/// What `future` returns, if `stop` does not come first.
pub(super) async fn or<S: Future, F: Future>(mut stop: Pin<&mut S>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match stop.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}
