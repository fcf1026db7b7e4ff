//! Handles records by key: with retries and dead letters, at least once or exactly once.

use std::{sync::Arc, time::Duration};

use ottla::{
    ConsumerBuilder, Event, HandlerError, Order, Processor, Producer, ProducerRecord, RetryPolicy,
    dead_letters::DeadLetters,
    processor::{Message, Outputs, ProcessorEvent},
};

use super::{Asked, Failure, Orders, Pulse, numbers, tell};
use crate::line::{Told, Value};

/// Of how many records one fails at first.
const FAILS_ONCE: u64 = 20;

/// Of how many records one fails always, and becomes a dead letter.
const FAILS_ALWAYS: u64 = 500;

fn processor(asked: &Asked, orders: &Orders) -> Result<Processor, Failure> {
    let topic: String = asked.own("topic")?;
    let consumer = ConsumerBuilder::from_properties(asked.properties.iter().cloned())?;
    let mut processor = Processor::new(consumer.subscribe([topic.as_str()]))
        .order(Order::Key)
        .concurrency(16)
        .retries(RetryPolicy::exponential(Duration::from_millis(20)..=Duration::from_millis(100)).attempts(3))
        .dead_letters(DeadLetters::new())
        .commit_interval(Duration::from_millis(500));
    let monitor = processor.monitor();
    let orders = orders.clone();
    let mut events = processor.events();
    // Ends with the processor's events, and the other with the process.
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                ProcessorEvent::Consumer(Event::Assigned(partitions)) => {
                    tell(&Told::Assigned(numbers(&partitions)));
                }
                ProcessorEvent::Consumer(Event::Lost(partitions)) => {
                    tell(&Told::Lost(numbers(&partitions)));
                }
                ProcessorEvent::Consumer(Event::Revoked(partitions)) => {
                    tell(&Told::Revoked(numbers(&partitions)));
                }
                _ => {}
            }
        }
    });
    tokio::spawn(async move {
        let (mut pulse, mut ended) = (Pulse::new(), 0);
        while !orders.is_over() {
            let stats = monitor.stats().unwrap_or_default();
            if stats.handlers.done > ended {
                ended = stats.handlers.done;
                pulse.moved();
            }
            pulse.tick(stats.consumer.records.deleted_unread, || {
                monitor.explain().map_or_else(String::new, |why| why.to_string())
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Ok(processor)
}

pub(super) async fn by_key(asked: Asked, orders: Orders) -> Result<(), Failure> {
    Ok(processor(&asked, &orders)?.each_message(handle).run_until(orders.over()).await?)
}

pub(super) async fn exactly_once(asked: Asked, orders: Orders) -> Result<(), Failure> {
    let producer = Producer::builder().properties(asked.of_producer())?;
    let producer = producer.transactional_id(asked.own::<String>("id")?);
    let output: Arc<str> = asked.own::<String>("output")?.into();
    let processor = processor(&asked, &orders)?;
    let processor = processor.transactional(producer.transaction_timeout(Duration::from_secs(10)));
    let processor = processor.each_message(move |message, out| copy(message, out, output.clone()));
    Ok(processor.run_until(orders.over()).await?)
}

/// What a handler has begun and not ended.
struct Handling {
    partition: i32,
    offset: i64,
    key: u64,
    is_done: bool,
}

impl Drop for Handling {
    fn drop(&mut self) {
        let Self { partition, offset, key, is_done: done } = *self;
        tell(&Told::Handled { partition, offset, key, done });
    }
}

fn fails(number: u64, attempt: u32) -> bool {
    number % FAILS_ALWAYS == 7 || number % FAILS_ONCE == 3 && attempt == 1
}

async fn handle(message: Message) -> Result<(), HandlerError> {
    let value = Value::parse(message.value())?;
    let (partition, offset, key) = (message.partition(), message.offset(), value.key);
    let attempt = message.attempt();
    tell(&Told::Began { partition, offset, key, attempt });
    let mut handling = Handling { partition, offset, key, is_done: false };
    tokio::time::sleep(Duration::from_millis(value.id.number % 5)).await;
    if fails(value.id.number, attempt) {
        return Err(format!("{} is not wanted", value.id).into());
    }
    handling.is_done = true;
    Ok(())
}

async fn copy(message: Message, out: Outputs, to: Arc<str>) -> Result<(), HandlerError> {
    let value = Value::parse(message.value())?;
    tokio::time::sleep(Duration::from_millis(value.id.number % 5)).await;
    out.push(ProducerRecord::to(&*to).partition(message.partition()).value(message.value()))?;
    if fails(value.id.number, message.attempt()) {
        return Err(format!("{} is not wanted", value.id).into());
    }
    Ok(())
}
