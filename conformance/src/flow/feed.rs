//! A producer that writes steadily, and a watch on what a group commits meanwhile.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ottla::{Admin, Delivery, Producer, ProducerRecord};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::millis;

/// Records of one tick are written together.
const TICK: Duration = Duration::from_millis(5);
/// How often the group's offsets are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Records of a partition that may wait for their acknowledgement.
const UNACKED: usize = 1 << 16;

/// A record that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// Its place among its partition's records: what its value says.
    pub number: i64,
    /// When the acknowledgement came.
    pub at: u64,
}

/// What a partition's committed offset was known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Since when.
    pub at: u64,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What was seen of a run.
#[derive(Debug, Clone, Default)]
pub struct Fed {
    /// What was acknowledged, of each partition, in order.
    pub acked: BTreeMap<i32, Vec<Acked>>,
    /// What the group committed.
    pub committed: Vec<Committed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Writing,
    Watching,
    Over,
}

/// The producer and the watch, on a thread of their own.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    bootstrap: String,
    topic: String,
    group: String,
    per_second: u32,
    partitions: AtomicI32,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    fed: Fed,
    count: usize,
    /// All that will be written is acknowledged.
    written: bool,
    failed: Option<String>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Begins to write to all partitions of a topic in turn, so many records a second in all.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        group: &str,
        partitions: i32,
        per_second: u32,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            group: group.to_owned(),
            per_second,
            partitions: AtomicI32::new(partitions),
            seen: Mutex::default(),
        });
        let (phase, phases) = watch::channel(Phase::Writing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let watch = watch_commits(&of_thread, phases.clone());
            let ran = runtime.block_on(async { tokio::try_join!(write(&of_thread, phases), watch) });
            if let Err(error) = ran {
                of_thread.seen().failed = Some(error.to_string());
            }
        });
        Ok(Self { shared, phase, thread: Some(thread) })
    }

    /// Writes to so many partitions from here on.
    pub fn widen(&self, partitions: i32) {
        self.shared.partitions.store(partitions, Ordering::Relaxed);
    }

    /// How many partitions it writes to.
    pub fn partitions(&self) -> i32 {
        self.shared.partitions.load(Ordering::Relaxed)
    }

    /// How many records have been acknowledged.
    pub fn acked(&self) -> usize {
        self.shared.seen().count
    }

    /// The last number that was acknowledged, of each partition.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let seen = self.shared.seen();
        seen.fed
            .acked
            .iter()
            .filter_map(|(partition, acked)| Some((*partition, acked.last()?.number)))
            .collect()
    }

    /// What went wrong, if anything has.
    pub fn failure(&self) -> Option<String> {
        self.shared.seen().failed.clone()
    }

    /// Writes nothing more. What was written is being acknowledged until [`is_written`](Self::is_written).
    pub fn stop_writing(&self) {
        self.phase.send_replace(Phase::Watching);
    }

    /// Whether the last record is acknowledged.
    pub fn is_written(&self) -> bool {
        self.shared.seen().written
    }

    /// Ends; what was acknowledged, and what was committed.
    pub fn end(mut self) -> Result<Fed, String> {
        self.join();
        let mut seen = self.shared.seen();
        match seen.failed.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut seen.fed)),
        }
    }

    fn join(&mut self) {
        self.phase.send_replace(Phase::Over);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.join();
    }
}

type Failed = Box<dyn Error + Send + Sync>;

/// Until a later phase than this.
async fn past(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    // The sender outlives the thread.
    let _ = phases.wait_for(|now| *now > phase).await;
}

async fn write(shared: &Arc<Shared>, mut phases: watch::Receiver<Phase>) -> Result<(), Failed> {
    let properties = [("bootstrap.servers", shared.bootstrap.as_str()), ("metadata.max.age.ms", "1000")];
    let producer = Producer::builder().properties(properties)?.build().await?;
    let mut waiting: Vec<mpsc::Sender<(i64, Delivery)>> = Vec::new();
    let mut acks = JoinSet::new();
    let mut numbers: BTreeMap<i32, i64> = BTreeMap::new();
    let mut ticks = tokio::time::interval(TICK);
    // After a stall the rate is what it was: what was not written then is not written now.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let per_tick = (u128::from(shared.per_second) * TICK.as_millis() / 1000).max(1) as i32;
    let mut next = 0;
    while *phases.borrow_and_update() == Phase::Writing {
        ticks.tick().await;
        for _ in 0..per_tick {
            let partition = next % shared.partitions.load(Ordering::Relaxed);
            next += 1;
            while waiting.len() <= partition as usize {
                let (sender, receiver) = mpsc::channel(UNACKED);
                acks.spawn(acknowledge(Arc::clone(shared), waiting.len() as i32, receiver));
                waiting.push(sender);
            }
            let number = numbers.entry(partition).or_default();
            let record = ProducerRecord::to(&shared.topic).partition(partition);
            let delivery = producer.send(record.value(number.to_string().into_bytes())).await?;
            if let Some(waiting) = waiting.get(partition as usize) {
                waiting.send((*number, delivery)).await.map_err(|_| "a record was refused")?;
            }
            *number += 1;
        }
    }
    drop(waiting);
    while let Some(acknowledged) = acks.join_next().await {
        acknowledged??;
    }
    shared.seen().written = true;
    past(&mut phases, Phase::Watching).await;
    Ok(producer.close().await?)
}

/// Takes note of a partition's acknowledgements, in order.
async fn acknowledge(
    shared: Arc<Shared>,
    partition: i32,
    mut waiting: mpsc::Receiver<(i64, Delivery)>,
) -> Result<(), Failed> {
    while let Some((number, delivery)) = waiting.recv().await {
        delivery.await.inspect_err(|error| {
            // Told at once: who waits for the end of the feed waits in vain.
            shared.seen().failed = Some(format!("partition {partition}, record {number}: {error}"));
        })?;
        let mut seen = shared.seen();
        seen.count += 1;
        seen.fed.acked.entry(partition).or_default().push(Acked { number, at: millis() });
    }
    Ok(())
}

async fn watch_commits(shared: &Arc<Shared>, mut phases: watch::Receiver<Phase>) -> Result<(), Failed> {
    let admin = Admin::builder().bootstrap_servers([&shared.bootstrap]).build().await?;
    let mut known: BTreeMap<i32, i64> = BTreeMap::new();
    loop {
        let next = Instant::now() + LOOK;
        let look = admin.committed_offsets(shared.group.as_str());
        let looked = tokio::select! {
            looked = look => looked,
            () = past(&mut phases, Phase::Watching) => break,
        };
        // A coordinator that is gone, or not there yet, tells nothing.
        for (at, committed) in looked.unwrap_or_default() {
            if at.topic == shared.topic
                && known.insert(at.partition, committed.offset) != Some(committed.offset)
            {
                let committed = Committed { at: millis(), partition: at.partition, offset: committed.offset };
                shared.seen().fed.committed.push(committed);
            }
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = past(&mut phases, Phase::Watching) => break,
        }
    }
    admin.close().await;
    Ok(())
}
