//! What a processor tells of itself.

use std::{
    collections::BTreeMap,
    future::{pending, ready},
};

use ottla::{
    Event, HandlerError, OnHopeless, Order, RetryPolicy, TopicPartition,
    processor::{Outcome, ProcessorEvent, ProcessorEvents, WhyHopeless},
};

use crate::{
    common::{PATIENCE, produce, server},
    processing::{MILLI, Running, committed, processor, until},
};

async fn all(mut events: ProcessorEvents) -> Vec<ProcessorEvent> {
    let mut all = Vec::new();
    let taken = async {
        while let Some(event) = events.next().await {
            all.push(event);
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
    all
}

/// One line an event; of those that come when they like, none.
fn line(event: &ProcessorEvent) -> Option<String> {
    Some(match event {
        ProcessorEvent::Began { offset, records, attempt, .. } => {
            format!("began {offset}+{records}, attempt {attempt}")
        }
        ProcessorEvent::Ended { offset, attempt, outcome, .. } => {
            format!("ended {offset}, attempt {attempt}: {outcome:?}")
        }
        ProcessorEvent::Retried { offset, attempts, error, .. } => {
            format!("retried {offset} after {attempts}: {error}")
        }
        ProcessorEvent::Hopeless { offset, attempts, why, .. } => {
            format!("hopeless {offset} after {attempts}: {why:?}")
        }
        _ => return None,
    })
}

#[tokio::test]
async fn a_processor_tells_what_happens_from_the_joining_of_its_group_to_its_end() {
    let server = server(1);
    produce(&server, 0, 0..2).await;
    let retries = RetryPolicy::exponential(MILLI..=MILLI).attempts(2);
    let mut processor = processor(&server).retries(retries).on_hopeless(OnHopeless::Skip);
    let events = processor.events();
    let second = processor.events();
    let process =
        processor.each_message(async |message| if message.offset() == 0 { Err("no luck") } else { Ok(()) });
    let running = Running::new(process);
    until("both are committed", || committed(&server, 0) == Some(2)).await;
    running.stop().await;
    let events = all(events).await;
    assert_eq!(all(second).await, events, "who watches beside another is told the same");
    let lines: Vec<_> = events.iter().filter_map(line).collect();
    let expected = [
        "began 0+1, attempt 1",
        "ended 0, attempt 1: Failed",
        "retried 0 after 1: the handler failed",
        "began 0+1, attempt 2",
        "ended 0, attempt 2: Failed",
        "hopeless 0 after 2: Attempts",
        "began 1+1, attempt 1",
        "ended 1, attempt 1: Done",
    ];
    assert_eq!(lines, expected);
    let at = TopicPartition::new("t", 0);
    let found = |is: &dyn Fn(&ProcessorEvent) -> bool| {
        events.iter().position(is).unwrap_or_else(|| panic!("it is not among {events:?}"))
    };
    let joined = found(&|event| matches!(event, ProcessorEvent::Consumer(Event::Joined { .. })));
    let began = found(&|event| matches!(event, ProcessorEvent::Began { .. }));
    let committed = found(
        &|event| matches!(event, ProcessorEvent::Committed(of) if *of == BTreeMap::from([(at.clone(), 2)])),
    );
    let rebalancing = found(&|event| *event == ProcessorEvent::Rebalancing(vec![at.clone()]));
    found(&|event| *event == ProcessorEvent::Consumer(Event::Revoked(vec![at.clone()])));
    assert!(joined < began && began < committed.min(rebalancing), "{events:?}");
    assert!(matches!(events.last(), Some(ProcessorEvent::Stopped { error: None, .. })), "{events:?}");
}

#[tokio::test]
async fn the_last_event_says_what_a_processor_stopped_for() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let mut processor = processor(&server);
    let events = processor.events();
    let running = Running::new(processor.each_message(async |_| Err(HandlerError::fatal("unreadable"))));
    let error = running.error().await;
    let events = all(events).await;
    let Some(ProcessorEvent::Stopped { error: Some(text), .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*text, format!("{error:#}"));
    let hopeless =
        |event: &ProcessorEvent| matches!(event, ProcessorEvent::Hopeless { why: WhyHopeless::Fatal, .. });
    assert!(events.iter().any(hopeless), "{events:?}");
}

#[tokio::test]
async fn who_takes_events_too_late_is_told_how_many_are_gone_and_holds_up_nothing() {
    let server = server(1);
    produce(&server, 0, 0..1000).await;
    let mut processor = processor(&server).order(Order::Unordered);
    let events = processor.events();
    let running = Running::new(processor.each_message(|_| ready(Ok::<_, HandlerError>(()))));
    until("all are committed", || committed(&server, 0) == Some(1000)).await;
    running.stop().await;
    let events = all(events).await;
    assert_eq!(events.len(), 1 + 1024);
    let ProcessorEvent::Missed(missed) = events[0] else { panic!("{:?}", events[0]) };
    assert!(missed >= 2000 - 1024, "{missed}");
    assert!(matches!(events.last(), Some(ProcessorEvent::Stopped { .. })));
}

#[tokio::test]
async fn a_processor_in_which_nothing_ends_tells_which_record_was_begun_first() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut processor = processor(&server).stalled_after(50 * MILLI).drain(MILLI);
    let mut events = processor.events();
    let process = processor.each_message(async |message| {
        if message.offset() == 1 {
            pending::<()>().await;
        }
        Ok::<_, HandlerError>(())
    });
    let running = Running::new(process);
    let stalled = async {
        while let Some(event) = events.next().await {
            if let ProcessorEvent::Stalled { offset, in_hand, after, .. } = event {
                return (offset, in_hand, after);
            }
        }
        panic!("it has ended");
    };
    let (offset, in_hand, after) = tokio::time::timeout(PATIENCE, stalled).await.unwrap();
    assert_eq!((offset, in_hand), (1, 2));
    assert!(after >= 50 * MILLI, "{after:?}");
    running.stop().await;
    let events = all(events).await;
    let dropped =
        |event: &ProcessorEvent| matches!(event, ProcessorEvent::Ended { outcome: Outcome::Cancelled, .. });
    assert!(events.iter().any(dropped), "{events:?}");
}

#[tokio::test]
async fn the_events_of_a_processor_that_is_dropped_end() {
    let server = server(1);
    let mut processor = processor(&server);
    let events = processor.events();
    drop(processor.each_message(|_| ready(Ok::<_, HandlerError>(()))));
    assert_eq!(all(events).await, []);
}
