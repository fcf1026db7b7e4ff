//! A processor: each record handled, one of them in vain.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ottla::{
    ConsumerBuilder, HandlerError, OffsetReset, OnHopeless, Order, ProcessError, Processor, RetryOrder,
    RetryPolicy,
    dead_letters::{DeadLetters, Profile, RetryTopic},
    error::{Fault, ProcessErrorKind},
    processor::{
        EachMessage, FailureClass, Handler, HandlerFailure, Handling, HopelessRecord, Message,
        ServiceHandler, WhyHopeless,
    },
};
use tokio::sync::Notify;
use tower_service::Service;

use crate::{ORDERS, Outcome, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let group = format!("{topic}-processed");
    let builder = configuring::consumer(servers).group_id(group).subscribe([topic]);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest);

    let error =
        fails(processor(builder.clone(), OnHopeless::Stop)).run().await.err().ok_or("it has not failed")?;
    equal(of_process(&error), (ProcessErrorKind::Record, Fault::Caller))?;
    let hopeless = error.hopeless().ok_or("no record")?;
    equal(told(hopeless), (0, 1, WhyHopeless::Fatal))?;
    equal(panicked(hopeless.failure()), None)?;

    let counts = Arc::new(Counts::default());
    counts_all(processor(builder.clone(), OnHopeless::Skip), counts.clone())
        .run_until(counts.all.notified())
        .await?;
    equal(counts.count.load(Ordering::Relaxed), ORDERS as usize + 1)?;

    let served = Arc::new(Counts::default());
    let process = Processor::new(builder.clone().group_id(format!("{topic}-served")));
    process.each_message_by(service(Counting(served.clone()))).run_until(served.all.notified()).await?;
    equal(served.count.load(Ordering::Relaxed), ORDERS as usize + 1)?;

    let hop = RetryTopic::new(topic, Duration::from_millis(50)).to_string();
    let hopped = Arc::new(Notify::new());
    let (notify, group) = (hopped.clone(), format!("{topic}-given-up"));
    let handler = giving_up(builder.group_id(group)).each_message(move |message: Message| {
        if message.topic() == hop {
            notify.notify_one();
        }
        ready(if message.topic() == hop { Ok(()) } else { Err("not yet") })
    });
    Ok(handler.run_until(hopped.notified()).await?)
}

fn processor(builder: ConsumerBuilder, on_hopeless: OnHopeless) -> Processor {
    Processor::new(builder).order(by_key()).retries(once()).classify(class).on_hopeless(on_hopeless)
}

/// Dead letters of all that fails once, after another try a little later.
fn giving_up(builder: ConsumerBuilder) -> Processor {
    let letters = DeadLetters::new().profile(Profile::SpringRetry);
    let processor = Processor::new(builder).retries(once()).retry_topics([Duration::from_millis(50)]);
    processor.order(by_key()).retry_order(held()).dead_letters(letters)
}

/// What comes later of a key follows.
fn held() -> RetryOrder {
    RetryOrder::Held
}

fn by_key() -> Order {
    Order::Key
}

fn once() -> RetryPolicy {
    RetryPolicy::none()
}

fn class(failure: &HandlerFailure) -> FailureClass {
    failure.class()
}

fn fails(processor: Processor) -> EachMessage {
    processor.concurrency(1).each_message(async |message| unreadable(&message))
}

fn unreadable(message: &Message) -> Result<(), HandlerError> {
    Err(HandlerError::fatal(format!("offset {}", message.offset())))
}

fn counts_all(processor: Processor, handler: Arc<dyn Handler>) -> EachMessage {
    processor.each_message_by(handler)
}

#[derive(Default)]
struct Counts {
    count: AtomicUsize,
    all: Notify,
}

impl Counts {
    fn one(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == ORDERS as usize {
            self.all.notify_one();
        }
    }
}

impl Handler for Counts {
    fn handle(&self, _: Message) -> Handling<'_> {
        self.one();
        Box::pin(ready(Ok(())))
    }
}

#[derive(Clone)]
struct Counting(Arc<Counts>);

impl Service<Message> for Counting {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        self.0.one();
        ready(Ok(()))
    }
}

fn service(counting: Counting) -> ServiceHandler<Counting> {
    ServiceHandler::new(counting)
}

fn of_process(error: &ProcessError) -> (ProcessErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn told(hopeless: &HopelessRecord) -> (i64, u32, WhyHopeless) {
    (hopeless.record().offset(), hopeless.attempts(), hopeless.why())
}

fn panicked(failure: &HandlerFailure) -> Option<&str> {
    match failure {
        HandlerFailure::Panicked(text) => Some(text),
        _ => None,
    }
}
