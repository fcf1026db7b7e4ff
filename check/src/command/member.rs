//! One process of a run: it writes, reads in the group, commits by hand, and may be killed at any time.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ottla::{
    CommitError, Consumer, Rebalance, RebalanceListener, Records, TopicPartition, error::CommitErrorKind,
};
use ottla_check::history::{Op, Outcome, Place, Position, Record, Reset};
use tokio::{sync::watch, time::Instant};

use super::{Failure, MemberArgs, diary::Diary, tell, write};

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
            isolation: args.writing.isolation(),
            reset: Some(Reset::Earliest),
            idempotent: true,
        })?;
        tokio::try_join!(write::run(args, &diary, stopped.clone()), read(args, &diary, stopped))?;
        Ok(diary.write(Op::Stop {})?)
    })
}

pub(super) async fn stop(stopped: &mut watch::Receiver<bool>) {
    // One that is gone has stopped, too.
    _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn read(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let place = Arc::new(Mutex::new(InGroup::default()));
    let told = Told { diary: Arc::clone(diary), place: Arc::clone(&place), failed: Arc::default() };
    let builder =
        args.clients.member(&args.topic, args.writing.isolation())?.subscribe([args.topic.as_str()]);
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
