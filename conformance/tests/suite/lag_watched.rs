//! How far a group is behind in time, as `ottla lag --watch` and as its own consumers tell it, beside the times that the records carry.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use libtest_mimic::Failed;
use ottla::{Consumer, Monitor, Producer, ProducerRecord, Timestamp};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{PATIENCE, admin, consumer, holds, producer, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    // How old a record is that was written between two looks depends on when they were.
    vec![
        Case::kafka("time_lag_is_told_within_a_second_or_a_twentieth", |target| wait(time_lag(target)))
            .timed(),
    ]
}

const FOR: Duration = Duration::from_secs(16);
const STEP: Duration = Duration::from_millis(100);
/// The step at which one more reader begins, behind.
const LATE: u32 = 80;
/// How old the records are that the group commits, where it is behind.
const BEHIND: i64 = 4_000;

/// What is written to a partition, and how far its group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Steady,
    Bursts,
    Stopped,
    CaughtUp,
}

const FLOWS: [Flow; 4] = [Flow::Steady, Flow::Bursts, Flow::Stopped, Flow::CaughtUp];

impl Flow {
    /// How many records are due in a step.
    fn due(self, step: u32) -> usize {
        match self {
            Self::Steady | Self::CaughtUp => 5,
            Self::Bursts if step % 40 == 13 => 400,
            Self::Bursts => 0,
            Self::Stopped if step < 60 => 5,
            Self::Stopped => 0,
        }
    }

    /// The offset that is committed, where records were written at these times.
    fn committed(self, written: &[i64], now: i64) -> usize {
        match self {
            Self::CaughtUp => written.len(),
            _ => written.partition_point(|time| *time < now - BEHIND),
        }
    }
}

fn now() -> Result<i64, Failed> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64)
}

async fn time_lag(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "aging", FLOWS.len() as i32).await?, unique("aging"));
    let (admin, producer) = (admin(target).await?, producer(target).await?);
    let mut written = vec![Vec::new(); FLOWS.len()];
    let place = |partition: usize, offset: usize| ((topic.as_str(), partition as i32), offset as i64);
    within("offsets", admin.alter_offsets(&group, (0..FLOWS.len()).map(|flow| place(flow, 0)))).await??;
    let args = ["lag", &group, "--watch", "--interval", "500ms", "--output", "json"];
    let mut watch = Process::spawn(&ottla(target, &args)?)?;
    // What is written before the first look is older than can be told.
    until(PATIENCE, "the first look", || watch.lines().len() >= FLOWS.len())?;
    let mut readers = Readers::default();
    for flow in 0..FLOWS.len() {
        readers.begin(target, &topic, flow).await?;
    }
    let mut steps = tokio::time::interval(STEP);
    for step in 0..FOR.div_duration_f64(STEP) as u32 {
        steps.tick().await;
        write(&producer, &topic, step, &mut written).await?;
        readers.look()?;
        if step == LATE {
            // Behind when it begins, of what is written steadily.
            readers.begin(target, &topic, 0).await?;
        }
        if step % 5 == 0 {
            let now = now()?;
            let at = |(flow, written): (usize, &Vec<i64>)| place(flow, FLOWS[flow].committed(written, now));
            let offsets: Vec<_> = written.iter().enumerate().map(at).collect();
            within("offsets", admin.alter_offsets(&group, offsets)).await??;
        }
    }
    watch.signal("TERM")?;
    let status = watch.wait(PATIENCE)?;
    holds(&format!("the watch ended well: {status}"), status.success())?;
    let rows =
        watch.lines().iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    compare(&rows, &written)?;
    readers.compare(&written)
}

/// Consumers of one flow each, whose users take each record when it is as old as it may be, and what they told.
#[derive(Default)]
struct Readers {
    users: JoinSet<String>,
    all: Vec<(usize, Monitor)>,
    told: Vec<Told>,
}

/// That it was so far, and how old the record there was said to be.
#[derive(Debug)]
struct Told {
    reader: usize,
    at: i64,
    position: i64,
    lag: i64,
    time_lag: Option<Duration>,
}

impl Readers {
    async fn begin(&mut self, target: &Target, topic: &str, flow: usize) -> Outcome {
        let mut consumer = consumer(target).build().await?;
        consumer.assign([(topic, flow as i32)])?;
        self.all.push((flow, consumer.monitor()));
        let behind = if FLOWS[flow] == Flow::CaughtUp { 0 } else { BEHIND };
        self.users.spawn(async move {
            let Err(why) = read_behind(&mut consumer, behind).await;
            why
        });
        Ok(())
    }

    fn look(&mut self) -> Outcome {
        if let Some(ended) = self.users.try_join_next() {
            return Err(format!("a reader ended: {ended:?}").into());
        }
        for (reader, (_, monitor)) in self.all.iter().enumerate() {
            let (stats, at) = (monitor.stats(), now()?);
            for partition in &stats.partitions {
                if let (Some(position), Some(lag)) = (partition.position, partition.lag) {
                    self.told.push(Told { reader, at, position, lag, time_lag: partition.time_lag });
                }
            }
        }
        Ok(())
    }

    fn compare(&self, written: &[Vec<i64>]) -> Outcome {
        let (mut compared, mut worst) = (vec![0; self.all.len()], 0.0_f64);
        for told in &self.told {
            let (flow, _) = self.all[told.reader];
            // What it stands at may have been written, and not be told, at that moment.
            let record = written[flow].get(told.position as usize).filter(|time| **time <= told.at);
            let truth = record.map_or(0.0, |time| (told.at - time) as f64 / 1_000.0);
            let time_lag = told.time_lag.ok_or_else(|| format!("no time lag: {told:?}"))?.as_secs_f64();
            worst = worst.max((time_lag - truth).abs());
            let close = (time_lag - truth).abs() <= f64::max(1.0, truth * 0.05);
            holds(&format!("{time_lag} s is about {truth} s ({:?}): {told:?}", FLOWS[flow]), close)?;
            compared[told.reader] += usize::from(told.lag > 0 || FLOWS[flow] == Flow::CaughtUp);
        }
        println!("inside: {} looks, at most {worst:.3} s from the truth", self.told.len());
        for ((flow, _), compared) in self.all.iter().zip(compared) {
            holds(&format!("{:?} was compared {compared} times inside", FLOWS[*flow]), compared > 15)?;
        }
        Ok(())
    }
}

/// Stays with each record until it is so old, in milliseconds.
async fn read_behind(consumer: &mut Consumer, behind: i64) -> Result<Infallible, String> {
    loop {
        let record = consumer.recv().await.map_err(|error| error.to_string())?.ok_or("closed")?;
        let written = record.timestamp().ok_or("no timestamp")?.0;
        let left = written + behind - now().map_err(|_| "no time")?;
        tokio::time::sleep(Duration::from_millis(left.max(0) as u64)).await;
    }
}

/// All that is due, acknowledged.
async fn write(producer: &Producer, topic: &str, step: u32, written: &mut [Vec<i64>]) -> Outcome {
    for ((partition, flow), written) in (0..).zip(FLOWS).zip(written) {
        let mut sent = Vec::new();
        for _ in 0..flow.due(step) {
            let time = now()?;
            let record =
                ProducerRecord::to(topic).partition(partition).timestamp(Timestamp(time)).value(b"one");
            sent.push(within("room for a record", producer.send(record)).await??);
            written.push(time);
        }
        for sent in sent {
            within("an acknowledgement", sent).await??;
        }
    }
    Ok(())
}

fn compare(rows: &[Value], written: &[Vec<i64>]) -> Outcome {
    let number = |row: &Value, key: &str| row[key].as_i64().ok_or_else(|| format!("no {key}: {row}"));
    let (mut compared, mut worst) = ([0; FLOWS.len()], 0.0_f64);
    for row in rows {
        let flow = number(row, "partition")? as usize;
        let (at, lag) = (number(row, "at")?, number(row, "lag")?);
        let truth = match written[flow].get(number(row, "current_offset")? as usize) {
            Some(time) if lag > 0 => (at - time) as f64 / 1_000.0,
            _ => 0.0,
        };
        let told = row["time_lag"].as_f64().ok_or_else(|| format!("no time lag: {row}"))?;
        worst = worst.max((told - truth).abs());
        let close = (told - truth).abs() <= f64::max(1.0, truth * 0.05);
        holds(&format!("{told} s is about {truth} s ({:?}): {row}", FLOWS[flow]), close)?;
        compared[flow] += usize::from(lag > 0 || FLOWS[flow] == Flow::CaughtUp);
    }
    println!("time lag: {} looks, at most {worst:.3} s from the truth", rows.len() / FLOWS.len());
    for (flow, compared) in FLOWS.iter().zip(compared) {
        holds(&format!("{flow:?} was compared {compared} times"), compared > 15)?;
    }
    Ok(())
}
