//! A processor of batches, against the embedded broker.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ottla::{
    HandlerError, OnHopeless, OwnedRecord, RetryPolicy,
    error::ProcessErrorKind,
    processor::{Batch, BatchHandler, EachBatch, Handling},
};
use tokio::sync::Notify;

use crate::{
    common::{produce, server},
    processing::{Done, MILLI, Running, committed, processor, until},
};

fn run(process: EachBatch) -> Running {
    Running::of(|stopped| process.run_until(stopped))
}

fn offsets(batch: &Batch) -> Vec<i64> {
    batch.iter().map(OwnedRecord::offset).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_a_partition_follow_each_other_and_those_of_others_run_beside_them() {
    let server = server(3);
    for partition in 0..3 {
        produce(&server, partition, 0..200).await;
    }
    type Parts = BTreeMap<i32, (bool, i64)>;
    let (parts, most) = (Arc::new(Mutex::new(Parts::new())), Arc::new(AtomicUsize::new(0)));
    let seen = (parts.clone(), most.clone());
    let process = processor(&server).each_batch(move |batch| {
        let (parts, most) = seen.clone();
        async move {
            let at = batch.topic_partition().unwrap().partition;
            {
                let mut parts = parts.lock().unwrap();
                let (is_busy, next) = parts.entry(at).or_default();
                assert!(!std::mem::replace(is_busy, true), "beside another of its partition");
                assert!(batch.records().len() <= 20);
                assert!(offsets(&batch).into_iter().eq(*next..*next + batch.records().len() as i64));
                *next += batch.records().len() as i64;
                most.fetch_max(parts.values().filter(|(is_busy, _)| *is_busy).count(), Ordering::Relaxed);
            }
            tokio::time::sleep(MILLI).await;
            parts.lock().unwrap().get_mut(&at).unwrap().0 = false;
            Ok::<_, HandlerError>(())
        }
    });
    let running = run(process.max_records(20));
    until("all are committed", || (0..3).all(|part| committed(&server, part) == Some(200))).await;
    running.stop().await;
    assert!(most.load(Ordering::Relaxed) > 1, "one after the other");
}

#[tokio::test]
async fn what_a_batch_has_resolved_is_done_when_it_fails_later_and_the_rest_is_tried_again() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let batches = Arc::new(Mutex::new(Vec::new()));
    let noted = batches.clone();
    let process = processor(&server).each_batch(move |batch| {
        noted.lock().unwrap().push((batch.records()[0].offset(), batch.attempt()));
        async move {
            for record in &batch {
                match (record.offset(), batch.attempt()) {
                    (4, 1) => return Err("not at first"),
                    (7, 1 | 2) => panic!("nor here"),
                    (offset, _) => batch.resolve_offset(offset),
                }
                batch.commit_if_due().await;
            }
            Ok(())
        }
    });
    let running = run(process);
    until("all are committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    let batches = batches.lock().unwrap();
    let firsts: Vec<_> = batches.iter().map(|(first, _)| *first).collect();
    assert!(firsts.contains(&4) && firsts.contains(&7) && firsts.is_sorted(), "{batches:?}");
}

#[tokio::test]
async fn without_auto_resolve_only_what_is_resolved_is_done_and_the_rest_comes_again() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let done = Done::default();
    let noted = done.clone();
    let process = processor(&server).each_batch(move |batch| {
        let done = noted.clone();
        async move {
            for record in batch.iter().take(3) {
                assert_eq!(batch.attempt(), 1, "it is no failure");
                done.note(record);
                batch.resolve_offset(record.offset());
            }
            Ok::<_, HandlerError>(())
        }
    });
    let running = run(process.auto_resolve(false));
    until("all are committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert!(done.all().into_iter().eq((0..10).map(|offset| (0, offset))), "{done:?}");
}

#[tokio::test]
async fn of_a_hopeless_batch_the_record_that_fails_alone_is_skipped_or_stops_the_processor() {
    for skips in [true, false] {
        let server = server(1);
        produce(&server, 0, 0..10).await;
        let retries = RetryPolicy::exponential(MILLI..=MILLI).attempts(2);
        let on_hopeless = if skips { OnHopeless::Skip } else { OnHopeless::Stop };
        let done = Done::default();
        let noted = done.clone();
        let process = processor(&server).retries(retries).on_hopeless(on_hopeless).each_batch(move |batch| {
            let done = noted.clone();
            async move {
                if offsets(&batch).contains(&6) {
                    return Err("a poison pill");
                }
                batch.iter().for_each(|record| done.note(record));
                Ok(())
            }
        });
        let running = run(process);
        if skips {
            until("all are committed", || committed(&server, 0) == Some(10)).await;
            running.stop().await;
            assert_eq!(done.len(), 9);
        } else {
            let error = running.error().await;
            assert_eq!(error.kind(), ProcessErrorKind::Record);
            assert_eq!(error.hopeless().unwrap().record().offset(), 6);
            assert_eq!(committed(&server, 0), Some(6));
        }
    }
}

#[tokio::test]
async fn a_batch_knows_that_its_processor_stops_how_far_it_lags_and_what_it_resolved_is_committed() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let (told, begun) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let shared = (told.clone(), begun.clone());
    let process = processor(&server).commit_interval(Duration::from_secs(3600)).each_batch(move |batch| {
        let (told, begun) = shared.clone();
        async move {
            let last = batch.records().last().unwrap().offset();
            assert_eq!((batch.high_watermark(), batch.lag()), (Some(10), Some(9 - last)));
            assert!(batch.is_running() && !batch.is_stale());
            batch.resolve_offset(1);
            begun.notify_one();
            while batch.is_running() {
                batch.heartbeat().await;
            }
            while !batch.is_stale() {
                batch.heartbeat().await;
            }
            batch.resolve_offset(3);
            told.lock().unwrap().push(last);
            Ok::<_, HandlerError>(())
        }
    });
    let running = run(process.auto_resolve(false).max_records(5));
    begun.notified().await;
    running.stop().await;
    assert_eq!(*told.lock().unwrap(), [4]);
    assert_eq!(committed(&server, 0), Some(4));
}

#[tokio::test]
async fn a_batch_that_hangs_fails_and_one_that_does_not_end_in_time_keeps_what_it_resolved() {
    let server = server(1);
    produce(&server, 0, 0..4).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let noted = begun.clone();
    let process = processor(&server).handler_timeout(50 * MILLI).drain(50 * MILLI).each_batch(move |batch| {
        let begun = noted.clone();
        async move {
            batch.resolve_offset(batch.records()[0].offset());
            begun.fetch_add(1, Ordering::Relaxed);
            pending::<()>().await;
            Ok::<_, HandlerError>(())
        }
    });
    let running = run(process.max_records(4));
    until("it was tried again", || begun.load(Ordering::Relaxed) >= 2).await;
    running.stop().await;
    assert!(committed(&server, 0) >= Some(2), "{:?}", committed(&server, 0));
}

struct Counts(AtomicUsize);

impl BatchHandler for Counts {
    fn handle(&self, batch: Batch) -> Handling<'_> {
        Box::pin(async move {
            self.0.fetch_add(batch.records().len(), Ordering::Relaxed);
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_handler_of_batches_may_be_a_trait_object() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let counts = Arc::new(Counts(AtomicUsize::new(0)));
    let handler: Arc<dyn BatchHandler> = counts.clone();
    let running = run(processor(&server).each_batch_by(handler));
    until("all are committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert_eq!(counts.0.load(Ordering::Relaxed), 10);
}
