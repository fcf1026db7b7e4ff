//! `ottla process`: a command for each record.
//!
//! The library's processor decides which record is next, what follows a failure, and what is committed. Here is its handler:
//! `command.rs` runs the command for one record; `children.rs` knows all that run, and ends them; `environment.rs` is what they
//! find in their environment; `lines.rs` and `output.rs` are where their output goes; `linger.rs` bounds what is waited for after
//! their end.

mod children;
mod command;
mod environment;
mod lines;
mod linger;
mod output;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ottla::{
    Consumer, OffsetReset, Order, Processor, ProducerBuilder, RetryOrder, RetryPolicy,
    dead_letters::DeadLetters, processor::EachMessage,
};

use self::{
    children::Children,
    command::{Halt, Runner},
    lines::Writer,
    output::{Output, To},
};
use super::topics::{APPEARANCE, check_name, existing};
use crate::{
    args::{Common, OrderArg, ProcessArgs, RetryOrderArg},
    common::Clients,
    failure::{Failure, tell},
    signals::Stop,
    waiting::told,
};

pub(super) async fn run(args: &ProcessArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    check(args)?;
    let clients = Clients::new(common)?;
    let processor = processor(args, &clients)?;
    tokio::select! {
        () = stop.requested() => return Ok(()),
        there = check_topics(args, &clients) => there?,
    }
    let (halt, mut halted) = Halt::new();
    let children = Children::default();
    let runner = Runner {
        command: args.exec.clone(),
        group: args.group.clone(),
        timeout: args.timeout,
        children: children.clone(),
        output: output(args, &clients, &halt).await?,
        stderr: Writer::stderr()?,
        halt,
    };
    stop.last_words({
        let children = children.clone();
        move || {
            let places = children.places();
            children.kill();
            match places.as_slice() {
                [] => String::new(),
                places => format!("killed with their records: {}", places.join(", ")),
            }
        }
    });
    let process = with_handler(processor, runner, args, &clients)?;
    let asked = async {
        stop.requested().await;
        children.stopping();
        let count = children.places().len();
        tell(format!("stopping: {count} records are with handlers; another signal kills these"));
    };
    let ended = tokio::select! {
        ended = process.run_until(asked) => ended.map_err(Failure::from),
        Some(failure) = halted.recv() => Err(failure),
    };
    // Those that were dropped have a moment to end.
    children.ended().await;
    ended?;
    match left(&children.left()) {
        None => Ok(()),
        Some(left) => Err(Failure::failed(left)),
    }
}

/// What is said of records that were left, where there are any.
fn left(places: &[String]) -> Option<String> {
    const MOST: usize = 16;
    let told = places.get(..MOST).unwrap_or(places);
    let more = match places.len() - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = "their handlers had not ended in --drain-timeout; they come again";
    (!places.is_empty())
        .then(|| format!("{} records are unfinished: {}{more}: {why}", places.len(), told.join(", ")))
}

fn check(args: &ProcessArgs) -> Result<(), Failure> {
    let writes = args.to.is_some() || args.dead_letter.is_some() || !args.retry_topic.is_empty();
    if args.exactly_once && !writes {
        let why = "nothing is written to a topic; name one with --to, --dead-letter or --retry-topic";
        return Err(Failure::usage(format!("--exactly-once: {why}")));
    }
    if args.retry_order == Some(RetryOrderArg::Held) {
        if args.exactly_once {
            let why = "held records have no transactions yet; leave one of both out";
            return Err(Failure::usage(format!("--retry-order held with --exactly-once: {why}")));
        }
        if args.order == Some(OrderArg::Unordered) {
            let why = "no record waits for another; name --order key or partition";
            return Err(Failure::usage(format!("--retry-order held: {why}")));
        }
    }
    let delays: BTreeSet<Duration> = args.retry_topic.iter().copied().collect();
    if delays.len() < args.retry_topic.len() {
        return Err(Failure::usage("--retry-topic: one delay is given twice; each has a topic of its own"));
    }
    let targets = [("--dead-letter", &args.dead_letter), ("--to", &args.to)];
    let targets = targets.into_iter().filter_map(|(flag, topic)| Some((flag, topic.as_ref()?)));
    args.topics
        .iter()
        .chain(targets.clone().map(|(_, topic)| topic))
        .try_for_each(|name| check_name(name))?;
    for (flag, topic) in targets {
        if args.topics.contains(topic) {
            let why = "it is read, so that its records would come back for ever; name another topic";
            return Err(Failure::usage(format!("{flag} {topic}: {why}")));
        }
    }
    Ok(())
}

fn processor(args: &ProcessArgs, clients: &Clients) -> Result<Processor, Failure> {
    let defaults = Consumer::builder().auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = clients.consumer(defaults)?.group_id(&args.group).subscribe(args.topics.clone());
    match args.offset.as_deref() {
        Some("beginning") => consumer = consumer.auto_offset_reset(OffsetReset::Earliest),
        Some(_) => consumer = consumer.auto_offset_reset(OffsetReset::Latest),
        None => {}
    }
    let mut processor = Processor::new(consumer);
    if let Some(order) = args.order {
        processor = processor.order(match order {
            OrderArg::Key => Order::Key,
            OrderArg::Partition => Order::Partition,
            OrderArg::Unordered => Order::Unordered,
        });
    }
    if let Some(handlers) = args.concurrency {
        processor = processor.concurrency(handlers.into());
    }
    if let Some(retries) = args.retries {
        processor = processor.retries(RetryPolicy::default().attempts(retries.saturating_add(1)));
    }
    if !args.retry_topic.is_empty() {
        processor = processor.retry_topics(args.retry_topic.iter().copied());
    }
    if let Some(RetryOrderArg::Held) = args.retry_order {
        processor = processor.retry_order(RetryOrder::Held);
    }
    if let Some(time) = args.drain_timeout {
        processor = processor.drain(time);
    }
    if let Some(topic) = &args.dead_letter {
        processor = processor.dead_letters(DeadLetters::to(topic));
    }
    Ok(processor)
}

fn with_handler(
    processor: Processor,
    runner: Runner,
    args: &ProcessArgs,
    clients: &Clients,
) -> Result<EachMessage, Failure> {
    if !args.exactly_once {
        return Ok(processor.each_message_by(runner));
    }
    let runner = Arc::new(runner);
    let processor = processor.transactional(transactional(args, clients)?);
    Ok(processor.each_message(move |message, out| {
        let runner = runner.clone();
        async move { runner.handled(&message, Some(&out)).await }
    }))
}

/// Under an id that no other process has, and where the user has told who this is, the same as before.
fn transactional(args: &ProcessArgs, clients: &Clients) -> Result<ProducerBuilder, Failure> {
    let builder = clients.producer_beside()?.unknown_topic_grace(APPEARANCE);
    let known = args.transactional_id.as_deref().or(builder.settings().transactional_id());
    let id =
        known.map_or_else(|| derived_id(&args.group, clients.property("group.instance.id")), str::to_owned);
    Ok(builder.transactional_id(id))
}

fn derived_id(group: &str, instance: Option<&str>) -> String {
    match instance {
        Some(instance) => format!("{group}-{instance}"),
        None => format!("{group}-{:016x}", fastrand::u64(..)),
    }
}

/// Neither what is read nor what is written is made by this.
async fn check_topics(args: &ProcessArgs, clients: &Clients) -> Result<(), Failure> {
    let topics: Vec<String> = args.topics.iter().chain(&args.to).cloned().collect();
    let admin = clients.admin_beside()?.build().await?;
    let there = told(|| admin.explain(), existing(&admin, &topics)).await;
    admin.close().await;
    there.map(drop)
}

async fn output(args: &ProcessArgs, clients: &Clients, halt: &Halt) -> Result<Output, Failure> {
    let Some(topic) = args.to.clone() else { return Ok(Output::Lines(Writer::stdout(halt.clone())?)) };
    let builder = clients.producer_beside()?.unknown_topic_grace(APPEARANCE);
    let most = builder.settings().max_request_size();
    let producer = if args.exactly_once { None } else { Some(builder.build().await?) };
    Ok(Output::Topic(To { topic, producer, most }))
}
