//! What a process writes: records by themselves, or in transactions.

mod transactions;

use std::{io, ops::Range, sync::Arc, time::Duration};

use ottla::{Delivery, ProducerRecord, SendError, error::SendErrorKind};
use ottla_check::history::{Op, Outcome};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{Failure, MemberArgs, diary::Diary, member::stop};

/// Records of one tick are written together.
const TICK: Duration = Duration::from_millis(20);
/// Sends that may wait for their acknowledgement.
const UNACKED: usize = 10_000;
/// How long a producer may take to close.
const CLOSE: Duration = Duration::from_secs(20);

pub(super) async fn run(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    if args.writing.transactions {
        transactions::run(args, diary, stopped).await
    } else {
        one_by_one(args, diary, stopped).await
    }
}

async fn one_by_one(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let producer = tokio::select! {
        built = args.clients.producer()?.build() => built?,
        () = stop(&mut stopped) => return Ok(()),
    };
    let mut pace = Pace::new(args.rate);
    let mut acks = Acks::default();
    loop {
        tokio::select! {
            () = pace.tick() => {}
            () = stop(&mut stopped) => break,
        }
        let (at, sends) = begin(args, diary, pace.due(acks.room()), None)?;
        for send in sends {
            let sent = producer.send(send.record()).await;
            acks.expect(diary, at, send, sent)?;
        }
        acks.settle_some()?;
    }
    // Each failure is told by its own delivery.
    _ = producer.close_within(CLOSE).await;
    acks.settle_all().await
}

/// So many records a second, a few in each tick.
struct Pace {
    ticks: Interval,
    began: Instant,
    rate: u32,
    count: u64,
}

impl Pace {
    fn new(rate: u32) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, began: Instant::now(), rate, count: 0 }
    }

    async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// The numbers of the records that are due now, as many as there is room for.
    fn due(&mut self, room: u64) -> Range<u64> {
        let rate = u64::from(self.rate);
        let due = (self.began.elapsed().as_millis() as u64).saturating_mul(rate) / 1000;
        // What a stall held back is not made up for.
        let burst = due.saturating_sub(self.count).min(rate / 10 + 1).min(room);
        self.count = due;
        due - burst..due
    }
}

/// Writes down sends that are about to begin, and when they do.
fn begin(
    args: &MemberArgs,
    diary: &Diary,
    numbers: Range<u64>,
    txn: Option<&str>,
) -> io::Result<(u64, Vec<Sending>)> {
    let sends: Vec<Sending> = numbers.map(|number| Sending::new(args, number, txn)).collect();
    let at = diary.now();
    diary.write_all(at, sends.iter().map(|send| send.op(Outcome::Unknown, None)))?;
    Ok((at, sends))
}

#[derive(Debug)]
struct Sending {
    topic: String,
    partition: i32,
    value: String,
    txn: Option<String>,
}

impl Sending {
    fn new(args: &MemberArgs, number: u64, txn: Option<&str>) -> Self {
        let partition = (number % u64::try_from(args.partitions).unwrap_or(1)) as i32;
        let value = format!("{}-{number}", args.name);
        Self { topic: args.topic.clone(), partition, value, txn: txn.map(str::to_owned) }
    }

    fn op(&self, outcome: Outcome, offset: Option<i64>) -> Op {
        Op::Send {
            topic: self.topic.clone(),
            partition: Some(self.partition),
            value: self.value.clone(),
            key: None,
            outcome,
            offset,
            txn: self.txn.clone(),
            from: None,
        }
    }

    fn record(&self) -> ProducerRecord<'_> {
        ProducerRecord::to(&self.topic).partition(self.partition).value(self.value.as_bytes())
    }
}

/// Sends whose outcomes are not known yet.
#[derive(Default)]
struct Acks(JoinSet<io::Result<()>>);

impl Acks {
    fn room(&self) -> u64 {
        UNACKED.saturating_sub(self.0.len()) as u64
    }

    fn expect(
        &mut self,
        diary: &Arc<Diary>,
        at: u64,
        send: Sending,
        sent: Result<Delivery, SendError>,
    ) -> io::Result<()> {
        match sent {
            Ok(delivery) => _ = self.0.spawn(acknowledge(Arc::clone(diary), at, send, delivery)),
            Err(error) => diary.settle(at, send.op(outcome(error.kind()), None))?,
        }
        Ok(())
    }

    fn settle_some(&mut self) -> Result<(), Failure> {
        while let Some(acknowledged) = self.0.try_join_next() {
            acknowledged??;
        }
        Ok(())
    }

    async fn settle_all(&mut self) -> Result<(), Failure> {
        while let Some(acknowledged) = self.0.join_next().await {
            acknowledged??;
        }
        Ok(())
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
