//! One process of a run: it writes, reads in the group, commits by hand, and may be killed at any time.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ottla::{
    CommitError, Consumer, Delivery, Producer, ProducerRecord, Rebalance, RebalanceListener, Records,
    TopicPartition,
    error::{CommitErrorKind, SendErrorKind},
};
use ottla_check::history::{Op, Outcome, Place, Position, Record, Reset};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{Failure, MemberArgs, diary::Diary, tell};

/// Records of one tick are written together.
const TICK: Duration = Duration::from_millis(20);
/// Sends that may wait for their acknowledgement.
const UNACKED: usize = 10_000;
/// How often it commits while records come.
const COMMIT_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(args: &MemberArgs) -> Result<(), Failure> {
    let diary = Arc::new(
        Diary::begin(&args.name, &args.history)
            .map_err(|error| format!("{}: {error}", args.history.display()))?,
    );
    let (stop, stopped) = watch::channel(false);
    // Ends with the process: a read of the standard input cannot be called off.
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(io::stdin().read(&mut byte), Ok(1)) {}
        stop.send_replace(true);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let group = Some(args.topic.clone());
        diary.write(Op::Start {
            group,
            isolation: Default::default(),
            reset: Some(Reset::Earliest),
            idempotent: true,
        })?;
        tokio::try_join!(write(args, &diary, stopped.clone()), read(args, &diary, stopped))?;
        Ok(diary.write(Op::Stop {})?)
    })
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // One that is gone has stopped, too.
    _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn write(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let producer = tokio::select! {
        built = args.clients.producer()?.build() => built?,
        () = stop(&mut stopped) => return Ok(()),
    };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, mut count) = (Instant::now(), 0u64);
    let mut acks = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop(&mut stopped) => break,
        }
        let due = (began.elapsed().as_millis() as u64).saturating_mul(u64::from(args.rate)) / 1000;
        let room = UNACKED.saturating_sub(acks.len()) as u64;
        // What a stall held back is not made up for.
        let burst = due.saturating_sub(count).min(u64::from(args.rate) / 10 + 1).min(room);
        let sends: Vec<Sending> = (due - burst..due).map(|number| Sending::new(args, number)).collect();
        count = due;
        let at = diary.now();
        diary.write_all(at, sends.iter().map(|send| send.op(Outcome::Unknown, None)))?;
        for send in sends {
            match send.send(&producer).await {
                Ok(delivery) => _ = acks.spawn(acknowledge(Arc::clone(diary), at, send, delivery)),
                Err(error) => diary.settle(at, send.op(outcome(error.kind()), None))?,
            }
        }
        while let Some(acknowledged) = acks.try_join_next() {
            acknowledged??;
        }
    }
    // Each failure is told by its own delivery.
    _ = producer.close_within(Duration::from_secs(20)).await;
    while let Some(acknowledged) = acks.join_next().await {
        acknowledged??;
    }
    Ok(())
}

#[derive(Debug)]
struct Sending {
    topic: String,
    partition: i32,
    value: String,
}

impl Sending {
    fn new(args: &MemberArgs, number: u64) -> Self {
        let partition = (number % u64::try_from(args.partitions).unwrap_or(1)) as i32;
        Self { topic: args.topic.clone(), partition, value: format!("{}-{number}", args.name) }
    }

    fn op(&self, outcome: Outcome, offset: Option<i64>) -> Op {
        Op::Send {
            topic: self.topic.clone(),
            partition: Some(self.partition),
            value: self.value.clone(),
            key: None,
            outcome,
            offset,
            txn: None,
            from: None,
        }
    }

    async fn send(&self, producer: &Producer) -> Result<Delivery, ottla::SendError> {
        let record = ProducerRecord::to(&self.topic).partition(self.partition);
        producer.send(record.value(self.value.as_bytes())).await
    }
}

async fn acknowledge(diary: Arc<Diary>, at: u64, send: Sending, delivery: Delivery) -> io::Result<()> {
    match delivery.await {
        Ok(delivered) => diary.settle(at, send.op(Outcome::Ok, delivered.offset)),
        Err(error) => diary.settle(at, send.op(outcome(error.kind()), None)),
    }
}

/// Failed is what cannot have reached a log.
fn outcome(kind: SendErrorKind) -> Outcome {
    match kind {
        SendErrorKind::NotSent
        | SendErrorKind::BufferFull
        | SendErrorKind::MetadataTimeout
        | SendErrorKind::TooLarge => Outcome::Failed,
        _ => Outcome::Unknown,
    }
}

async fn read(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let place = Arc::new(Mutex::new(InGroup::default()));
    let told = Told { diary: Arc::clone(diary), place: Arc::clone(&place), failed: Arc::default() };
    let builder = args.clients.member(&args.topic)?.subscribe([args.topic.as_str()]);
    let mut consumer = tokio::select! {
        built = builder.rebalance_listener(told.clone()).build() => built?,
        () = stop(&mut stopped) => return Ok(()),
    };
    let mut committed = Instant::now();
    while !*stopped.borrow() {
        match consumer.poll(Duration::from_millis(100)).await {
            Ok(records) => told.handed(&records)?,
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => {
                tell(format!("{}: {error:#}", args.name));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        told.failure()?;
        told.place(|place| place.generation = consumer.group_metadata().map(|group| group.generation_id));
        if committed.elapsed() >= COMMIT_EVERY {
            tokio::select! {
                committed = commit(&mut consumer, &told) => committed?,
                // What came of it is not known then.
                () = stop(&mut stopped) => {}
            }
            committed = Instant::now();
        }
    }
    // Its listener commits.
    _ = consumer.close_within(Duration::from_secs(20)).await;
    told.failure()
}

async fn commit(consumer: &mut Consumer, told: &Told) -> Result<(), Failure> {
    let positions = told.place(|place| place.uncommitted());
    let Some((at, id, offsets)) = told.begin_commit(positions)? else { return Ok(()) };
    let result = consumer.commit_offsets(offsets.clone()).await;
    Ok(told.end_commit(at, id, offsets, result.map(|_| ()))?)
}

/// Where the process is in its group.
#[derive(Debug, Default)]
struct InGroup {
    generation: Option<i32>,
    commits: u64,
    /// Of each partition the next offset to read, and whether a commit of it was begun.
    positions: BTreeMap<TopicPartition, (i64, bool)>,
}

impl InGroup {
    fn uncommitted(&mut self) -> Vec<(TopicPartition, i64)> {
        let mut uncommitted = Vec::new();
        for (at, (offset, begun)) in &mut self.positions {
            if !std::mem::replace(begun, true) {
                uncommitted.push((at.clone(), *offset));
            }
        }
        uncommitted
    }
}

/// A commit that has begun: when, its id, and what is committed.
type Begun = (u64, u64, Vec<(TopicPartition, i64)>);

/// Writes down what the consumer is told, and commits what goes to others.
#[derive(Debug, Clone)]
struct Told {
    diary: Arc<Diary>,
    place: Arc<Mutex<InGroup>>,
    /// A listener cannot fail: what it could not write fails the process afterwards.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Told {
    fn place<T>(&self, with: impl FnOnce(&mut InGroup) -> T) -> T {
        with(&mut self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failure(&self) -> Result<(), Failure> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(format!("the history cannot be written: {error}").into()),
            None => Ok(()),
        }
    }

    fn note(&self, written: io::Result<()>) {
        if let Err(error) = written {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    fn handed(&self, records: &Records) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let record = |record: ottla::Record<'_>| Record {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            value: String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned(),
        };
        self.diary.write(Op::Poll { records: records.iter().map(record).collect() })?;
        self.place(|place| {
            for (at, next) in records.next_offsets() {
                place.positions.insert(at, (next.offset, false));
            }
        });
        Ok(())
    }

    fn begin_commit(&self, offsets: Vec<(TopicPartition, i64)>) -> io::Result<Option<Begun>> {
        if offsets.is_empty() {
            return Ok(None);
        }
        let id = self.place(|place| {
            place.commits += 1;
            place.commits
        });
        let at = self.diary.now();
        self.diary.write_all(at, [self.commit(id, &offsets, Outcome::Unknown)])?;
        Ok(Some((at, id, offsets)))
    }

    fn end_commit(
        &self,
        at: u64,
        id: u64,
        offsets: Vec<(TopicPartition, i64)>,
        result: Result<(), CommitError>,
    ) -> io::Result<()> {
        let outcome = match result.map_err(|error| error.kind()) {
            Ok(()) => Outcome::Ok,
            Err(CommitErrorKind::NotAssigned | CommitErrorKind::NoGroup) => Outcome::Failed,
            // An attempt before the one that was refused may have been taken.
            Err(_) => Outcome::Unknown,
        };
        self.diary.settle(at, self.commit(id, &offsets, outcome))
    }

    fn commit(&self, id: u64, offsets: &[(TopicPartition, i64)], outcome: Outcome) -> Op {
        let position = |(at, offset): &(TopicPartition, i64)| Position {
            topic: at.topic.clone(),
            partition: at.partition,
            offset: *offset,
        };
        let generation = self.place(|place| place.generation);
        Op::Commit { id: Some(id), offsets: offsets.iter().map(position).collect(), generation, outcome }
    }
}

fn places(partitions: &[TopicPartition]) -> Vec<Place> {
    let place = |at: &TopicPartition| Place { topic: at.topic.clone(), partition: at.partition };
    partitions.iter().map(place).collect()
}

impl RebalanceListener for Told {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.note(self.diary.write(Op::Assign { partitions: places(partitions), generation: None }));
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        let positions = self.place(|place| {
            let positions = partitions.iter().filter_map(|at| place.positions.remove_entry(at)).collect();
            let mut of_these = InGroup { positions, ..InGroup::default() };
            of_these.uncommitted()
        });
        match self.begin_commit(positions) {
            Ok(None) => {}
            Ok(Some((at, id, offsets))) => {
                let result = rebalance.commit_offsets(offsets.clone()).await;
                self.note(self.end_commit(at, id, offsets, result.map(|_| ())));
            }
            Err(error) => self.note(Err(error)),
        }
        self.note(self.diary.write(Op::Revoke { partitions: places(partitions), lost: false }));
    }

    async fn on_lost(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.place(|place| partitions.iter().for_each(|at| _ = place.positions.remove(at)));
        self.note(self.diary.write(Op::Revoke { partitions: places(partitions), lost: true }));
    }
}
