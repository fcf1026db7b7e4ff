//! A `tower::Service` as a processor's handler, with tower's own layers, against the embedded broker.

use std::{
    collections::BTreeMap,
    error::Error,
    future::{Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use ottla::{
    HandlerError, OnHopeless, Order,
    error::ProcessErrorKind,
    processor::{Batch, FailureClass, Message, Outcome, ProcessorEvent, ServiceHandler},
};
use tokio::sync::Semaphore;
use tower::{Layer as _, Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, service_fn};

use crate::{
    common::{produce, server},
    processing::{Done, MILLI, Running, committed, processor, produce_keys, until},
};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::test]
async fn a_time_out_of_towers_is_tried_again_and_what_an_error_means_gets_through_the_layer() {
    let server = server(1);
    produce(&server, 0, 0..4).await;
    let (done, calls) = (Done::default(), Arc::new(Mutex::new(Vec::new())));
    let noted = (done.clone(), calls.clone());
    let service = ServiceBuilder::new().timeout(50 * MILLI).service_fn(move |message: Message| {
        let (done, calls) = noted.clone();
        async move {
            let call = (message.offset(), message.attempt());
            let is_first = !calls.lock().unwrap().contains(&call);
            calls.lock().unwrap().push(call);
            match message.offset() {
                0 if message.attempt() == 1 => pending().await,
                1 => Err(HandlerError::fatal("unreadable").into_error()),
                2 if is_first => Err(HandlerError::defer_until(SystemTime::now() + 5 * MILLI).into_error()),
                _ => {
                    done.note(&message);
                    Ok(())
                }
            }
        }
    });
    let process = processor(&server).on_hopeless(OnHopeless::Skip);
    let running = Running::new(process.each_message_by(ServiceHandler::new(service)));
    until("all are committed", || committed(&server, 0) == Some(4)).await;
    running.stop().await;
    assert_eq!(done.all(), [(0, 0), (0, 2), (0, 3)]);
    assert_eq!(*calls.lock().unwrap(), [(0, 1), (0, 2), (1, 1), (2, 1), (2, 1), (3, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_concurrency_limit_bounds_calls_and_each_key_keeps_its_order() {
    let server = server(2);
    produce_keys(&server, (0..200).map(|n| (n % 20).to_string())).await;
    let keys = Arc::new(Mutex::new(BTreeMap::<Vec<u8>, Vec<i64>>::new()));
    let (calls, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let shared = (keys.clone(), calls, most.clone());
    let service = ServiceBuilder::new().concurrency_limit(2).service_fn(move |message: Message| {
        let (keys, calls, most) = shared.clone();
        async move {
            most.fetch_max(calls.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let key = message.key().unwrap().to_vec();
            keys.lock().unwrap().entry(key).or_default().push(message.offset());
            tokio::time::sleep(MILLI).await;
            calls.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, HandlerError>(())
        }
    });
    let process = processor(&server).order(Order::Key).concurrency(10);
    let running = Running::new(process.each_message_by(ServiceHandler::new(service)));
    let count = || keys.lock().unwrap().values().map(Vec::len).sum::<usize>();
    until("all are handled", || count() >= 200).await;
    running.stop().await;
    assert_eq!(count(), 200, "once");
    assert!(keys.lock().unwrap().values().all(|offsets| offsets.is_sorted()), "{keys:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2, "at once");
}

#[tokio::test]
async fn a_rate_limit_behind_a_buffer_has_the_rest_wait_and_holds_up_neither_commits_nor_the_end() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let done = Done::default();
    let noted = done.clone();
    let service = ServiceBuilder::new()
        .buffer::<Message>(4)
        .rate_limit(3, Duration::from_secs(3600))
        .service_fn(move |message: Message| {
            noted.note(&message);
            ready(Ok::<_, BoxError>(()))
        });
    let process = processor(&server).drain(20 * MILLI);
    let running = Running::new(process.each_message_by(ServiceHandler::new(service)));
    until("what may begin is committed", || committed(&server, 0) == Some(3)).await;
    running.stop().await;
    assert_eq!((done.len(), committed(&server, 0)), (3, Some(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_wait_for_readiness_hold_up_no_rebalance_and_go_to_the_next_owner_in_order() {
    let server = server(2);
    for partition in 0..2 {
        produce(&server, partition, 0..6).await;
    }
    let (first, second) = (Done::default(), Done::default());
    let noted = first.clone();
    let permits = Arc::new(Semaphore::new(0));
    let service = GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()).layer(service_fn(
        move |message: Message| {
            noted.note(&message);
            ready(Ok::<_, HandlerError>(()))
        },
    ));
    let mut process = processor(&server).drain(20 * MILLI);
    let mut events = process.events();
    let never_ready = Running::new(process.each_message_by(ServiceHandler::new(service)));
    while !matches!(events.next().await.unwrap(), ProcessorEvent::Began { .. }) {}

    let noted = second.clone();
    let other = Running::new(processor(&server).each_message(move |message| {
        noted.note(&message);
        ready(Ok::<_, HandlerError>(()))
    }));
    until("the other has what was given up", || second.len() == 6).await;
    assert_eq!(first.len(), 0);
    permits.add_permits(1);
    until("what stayed is handled once there is room", || first.len() == 6).await;
    never_ready.stop().await;
    other.stop().await;
    for done in [first, second] {
        let partition = done.all()[0].0;
        assert!(done.all().into_iter().eq((0..6).map(|offset| (partition, offset))), "{done:?}");
    }
}

/// Ready for two calls, and never again.
struct Closes {
    left: usize,
    done: Done,
}

impl Service<Message> for Closes {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.left == 0 { Err("the pool is closed".into()) } else { Ok(()) })
    }

    fn call(&mut self, message: Message) -> Self::Future {
        self.left -= 1;
        self.done.note(&message);
        ready(Ok(()))
    }
}

#[tokio::test]
async fn a_service_that_takes_no_calls_any_more_stops_the_processor_and_no_record_is_skipped_for_it() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let done = Done::default();
    // The buffer ends with the service that it has.
    let service = ServiceBuilder::new().buffer::<Message>(4).service(Closes { left: 2, done: done.clone() });
    let process = processor(&server).on_hopeless(OnHopeless::Skip);
    let error = Running::new(process.each_message_by(ServiceHandler::new(service))).error().await;
    assert_eq!(error.kind(), ProcessErrorKind::Service);
    let text = format!("{error:#}");
    assert!(text.contains("takes no calls any more") && text.ends_with("the pool is closed"), "{text}");
    assert_eq!((done.len(), committed(&server, 0)), (2, Some(2)));
}

/// Never ready for a call.
#[derive(Debug, Clone)]
struct Closed;

impl Service<Message> for Closed {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("the pool is closed".into()))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn an_attempt_whose_service_fails_is_told_as_failed_and_classified_and_counts_for_nothing() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let classified = Arc::new(Mutex::new(Vec::new()));
    let noted = classified.clone();
    let process = processor(&server).on_hopeless(OnHopeless::Skip).classify(move |failure| {
        noted.lock().unwrap().push(failure.source().map(ToString::to_string));
        FailureClass::Fatal
    });
    let mut process = process;
    let mut events = process.events();
    let error = Running::new(process.each_message_by(ServiceHandler::new(Closed))).error().await;
    assert_eq!(error.kind(), ProcessErrorKind::Service);
    let mut outcomes = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            ProcessorEvent::Ended { offset, outcome, .. } => outcomes.push((offset, outcome)),
            ProcessorEvent::Hopeless { .. } => panic!("{event:?}"),
            _ => {}
        }
    }
    assert_eq!(outcomes, [(0, Outcome::Failed)]);
    assert_eq!(*classified.lock().unwrap(), [Some("the pool is closed".to_owned())]);
    assert_eq!(committed(&server, 0).unwrap_or(0), 0, "no record is skipped for it");
}

#[tokio::test]
async fn batches_go_to_a_service_too() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let done = Done::default();
    let noted = done.clone();
    let service = ServiceBuilder::new().concurrency_limit(1).service_fn(move |batch: Batch| {
        batch.iter().for_each(|record| noted.note(record));
        ready(Ok::<_, HandlerError>(()))
    });
    let process = processor(&server).each_batch_by(ServiceHandler::new(service));
    let running = Running::of(|stopped| process.run_until(stopped));
    until("all are committed", || committed(&server, 0) == Some(10)).await;
    running.stop().await;
    assert_eq!(done.len(), 10);
}
