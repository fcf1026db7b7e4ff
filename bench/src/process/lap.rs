//! Ottla's lap, as a user would write it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ottla::processor::Message;
use ottla::{Consumer, OffsetReset, Order, Processor};
use ottla_bench_child::{ByWhat, Lap, Meter, Processing};
use tokio::sync::{Notify, oneshot};

use crate::consumer::runtime;

/// Handles all records, and stops. Leaving the group is in what it has cost.
pub(crate) fn run(processing: &Processing) -> Result<Lap> {
    runtime()?.block_on(async {
        let consumer = Consumer::builder()
            .bootstrap_servers(processing.bootstrap.split(','))
            .group_id(&processing.group)
            .auto_offset_reset(OffsetReset::Earliest)
            .subscribe([&processing.topic]);
        let order = match processing.order {
            ByWhat::Partition => Order::Partition,
            ByWhat::Key => Order::Key,
        };
        let work = Arc::new(Work::new(processing));
        let works = work.clone();
        Processor::new(consumer)
            .order(order)
            .concurrency(processing.concurrency as usize)
            .each_message(move |message| {
                let work = works.clone();
                async move {
                    work.handle(&message).await;
                    Ok::<_, Infallible>(())
                }
            })
            .run_until(work.all.notified())
            .await?;
        work.end()
    })
}

/// What handlers do, and what they have done.
struct Work {
    wait: Wait,
    wanted: u64,
    /// The clock runs from the first record on.
    meter: Mutex<Option<Meter>>,
    begun: AtomicU64,
    ended: AtomicU64,
    bytes: AtomicU64,
    /// That handlers had records.
    nanos: AtomicU64,
    /// Told when all are handled.
    all: Notify,
}

impl Work {
    fn new(processing: &Processing) -> Self {
        Self {
            wait: Wait::of(Duration::from_micros(processing.wait_micros)),
            wanted: processing.records,
            meter: Mutex::new(Some(Meter::new())),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            all: Notify::new(),
        }
    }

    async fn handle(&self, message: &Message) {
        if self.begun.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(meter) = &mut *self.meter.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // It cannot fail.
            let _ = meter.begin();
        }
        let bytes = [message.key(), message.value()].map(|part| part.map_or(0, <[u8]>::len));
        self.bytes.fetch_add(bytes.iter().sum::<usize>() as u64, Ordering::Relaxed);
        if !matches!(self.wait, Wait::None) {
            let start = Instant::now();
            self.wait.over().await;
            self.nanos.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        if self.ended.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.all.notify_one();
        }
    }

    fn end(&self) -> Result<Lap> {
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut meter = meter.context("it has ended before")?;
        meter.records = self.ended.load(Ordering::Relaxed);
        meter.bytes = self.bytes.load(Ordering::Relaxed);
        let micros = self.nanos.load(Ordering::Relaxed) as f64 / 1e3 / meter.records as f64;
        Ok(Lap { handling_micros: Some(micros), ..meter.end()? })
    }
}

/// How a handler waits.
enum Wait {
    None,
    /// By the runtime, which counts milliseconds.
    Sleep(Duration),
    /// Shorter than that: by a thread that sleeps. All waits are as long, and end in the order in which they began.
    Alarm(Duration, mpsc::Sender<(Instant, oneshot::Sender<()>)>),
}

impl Wait {
    fn of(time: Duration) -> Self {
        if time.is_zero() {
            return Self::None;
        }
        if time >= Duration::from_millis(1) {
            return Self::Sleep(time);
        }
        let (alarms, waits) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        // It ends with the last handler.
        thread::spawn(move || {
            for (due, tell) in waits {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Whoever waited may be gone.
                let _ = tell.send(());
            }
        });
        Self::Alarm(time, alarms)
    }

    async fn over(&self) {
        match self {
            Self::None => {}
            Self::Sleep(time) => tokio::time::sleep(*time).await,
            Self::Alarm(time, alarms) => {
                let (tell, told) = oneshot::channel();
                // The thread is there for as long as this is.
                let _ = alarms.send((Instant::now() + *time, tell));
                let _ = told.await;
            }
        }
    }
}
