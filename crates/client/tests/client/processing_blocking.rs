//! A processor whose handlers block, against the embedded broker.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ottla::{HandlerError, Order};

use crate::{
    common::{PATIENCE, produce, server},
    processing::{Done, MILLI, Running, committed, processor, until},
};

#[tokio::test]
async fn handlers_that_block_run_beside_each_other_as_many_as_may_and_not_on_the_runtimes_thread() {
    let server = server(1);
    produce(&server, 0, 0..40).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, runtime) = ((now, most.clone()), thread::current().id());
    let process =
        processor(&server).order(Order::Unordered).concurrency(4).each_message_blocking(move |message| {
            assert_ne!(thread::current().id(), runtime);
            let (now, most) = &seen;
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            thread::sleep(5 * MILLI);
            now.fetch_sub(1, Ordering::Relaxed);
            match (message.offset(), message.attempt()) {
                (3, 1) => Err("once more"),
                (5, 1) => panic!("on purpose"),
                _ => Ok(()),
            }
        });
    let running = Running::new(process);
    until("all are committed", || committed(&server, 0) == Some(40)).await;
    running.stop().await;
    assert!((2..=4).contains(&most.load(Ordering::Relaxed)), "{most:?}");
}

/// Opened once.
#[derive(Debug, Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.lock().unwrap();
        drop(self.1.wait_timeout_while(closed, PATIENCE, |is_open| !*is_open).unwrap());
    }
}

#[tokio::test]
async fn one_that_takes_too_long_keeps_its_place_and_what_it_returns_at_last_counts() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let (gate, done, begun) = (Arc::new(Gate::default()), Done::default(), Arc::new(AtomicUsize::new(0)));
    let shared = (gate.clone(), done.clone(), begun.clone());
    let process = processor(&server).handler_timeout(20 * MILLI).each_message_blocking(move |message| {
        let (gate, done, begun) = &shared;
        assert_eq!(message.attempt(), 1, "beside the first");
        begun.fetch_add(1, Ordering::Relaxed);
        if message.offset() == 1 {
            gate.pass();
        }
        done.note(&message);
        Ok::<_, HandlerError>(())
    });
    let running = Running::new(process);
    until("it has begun", || begun.load(Ordering::Relaxed) == 2).await;
    // Longer than the time-out and the wait for a second attempt.
    let early =
        tokio::time::timeout(100 * MILLI, until("another", || begun.load(Ordering::Relaxed) > 2)).await;
    assert!(early.is_err(), "the line went on");
    gate.open();
    until("all are committed", || committed(&server, 0) == Some(3)).await;
    running.stop().await;
    assert_eq!(done.all(), [(0, 0), (0, 1), (0, 2)]);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_one_that_blocks_and_its_record_is_not_committed() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let (gate, begun) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let shared = (gate.clone(), begun.clone());
    let process = processor(&server).drain(20 * MILLI).each_message_blocking(move |message| {
        let (gate, begun) = &shared;
        begun.fetch_add(1, Ordering::Relaxed);
        if message.offset() == 1 {
            gate.pass();
        }
        Ok::<_, HandlerError>(())
    });
    let running = Running::new(process);
    until("it has begun", || begun.load(Ordering::Relaxed) == 2).await;
    tokio::time::timeout(Duration::from_secs(10), running.stop()).await.unwrap();
    assert_eq!(committed(&server, 0), Some(1));
    gate.open();
}
