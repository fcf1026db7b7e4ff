//! A member of a group as a process of its own, which can be killed: `member TOPIC KEY=VALUE...` with Kafka's properties,
//! `pattern=REGEX` to subscribe by that instead of the topic, and `readers=N` to read in so many threads.
//!
//! It prints what it is handed and what becomes of its membership, a line each ([`ottla_conformance::flow::Member`]
//! reads them), and obeys its standard input: `close`, `leave` and `remain` (ways to close: KIP-1092), `sleep MS` (a
//! handler that blocks its thread), `explain`. It closes when its input ends.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ottla::error::RecvErrorKind;
use ottla::{CloseOptions, Consumer, Event, Happened, LeaveGroup, Reader, Records, TopicPartition};
use ottla_conformance::flow::millis;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader of a member that was given up is gone.
            let _ = writeln!(io::stdout(), "fatal {} {error}", millis());
            ExitCode::FAILURE
        }
    }
}

fn commands() -> Receiver<String> {
    let (sender, receiver) = sync_channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The topic's partitions among these.
fn listed(topic: &str, partitions: &[TopicPartition]) -> String {
    let of_topic = partitions.iter().filter(|at| at.topic == topic);
    let mut partitions: Vec<i32> = of_topic.map(|at| at.partition).collect();
    partitions.sort_unstable();
    partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn told(topic: &str, event: &Event) -> Option<String> {
    let at = millis();
    Some(match event {
        Event::Joined { generation_id, .. } => format!("joined {at} {generation_id}"),
        Event::Assigned(partitions) => format!("assigned {at} {}", listed(topic, partitions)),
        Event::Revoked(partitions) => format!("revoked {at} {}", listed(topic, partitions)),
        Event::Lost(partitions) => format!("lost {at} {}", listed(topic, partitions)),
        _ => return None,
    })
}

/// A line for each record.
fn printed(topic: &str, records: &Records) -> Result<String, std::fmt::Error> {
    let (at, mut lines) = (millis(), String::new());
    for record in records {
        let number = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        let (partition, offset) = (record.partition(), record.offset());
        match record.topic() {
            of if of == topic => writeln!(lines, "record {at} {partition} {offset} {number}")?,
            other => writeln!(lines, "other {at} {other} {partition} {offset} {number}")?,
        }
    }
    Ok(lines)
}

/// Reads in a thread of its own until all is to end.
fn read_beside(reader: Reader, topic: &str, ends: &Arc<AtomicBool>) -> JoinHandle<Result<(), String>> {
    let (topic, ends) = (topic.to_owned(), Arc::clone(ends));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ran = runtime.map_err(Into::into);
        ran.and_then(|runtime| runtime.block_on(read(reader, &topic, &ends)))
            .map_err(|error| error.to_string())
    })
}

async fn read(mut reader: Reader, topic: &str, ends: &AtomicBool) -> Result<(), Box<dyn Error>> {
    while !ends.load(Ordering::Relaxed) {
        match reader.poll(Duration::from_millis(50)).await {
            Ok(records) => io::stdout().lock().write_all(printed(topic, &records)?.as_bytes())?,
            Err(error) if error.kind() == RecvErrorKind::MaxPollExceeded => {
                writeln!(io::stdout(), "expelled {}", millis())?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    reader.close();
    Ok(())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().ok_or("no topic")?;
    let properties: Vec<(String, String)> = args
        .filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect();
    let (own, properties): (Vec<_>, Vec<_>) =
        properties.into_iter().partition(|(key, _)| ["pattern", "readers"].contains(&key.as_str()));
    let own = |name: &str| own.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let builder = Consumer::builder().properties(properties)?;
    let builder = match own("pattern") {
        Some(pattern) => builder.subscribe_pattern(pattern),
        None => builder.subscribe([topic.as_str()]),
    };
    let mut consumer = builder.build().await?;
    let more = own("readers").map_or(Ok(1), str::parse::<usize>)?.saturating_sub(1);
    let ends = Arc::new(AtomicBool::new(false));
    let beside: Vec<_> = (0..more).map(|_| read_beside(consumer.reader(), &topic, &ends)).collect();
    let commands = commands();
    let mut owned = Vec::new();
    let leave = loop {
        let mut lines = String::new();
        match consumer.poll(Duration::from_millis(50)).await {
            Ok(records) => lines = printed(&topic, &records)?,
            Err(error) if error.kind() == RecvErrorKind::MaxPollExceeded => {
                writeln!(lines, "expelled {}", millis())?;
            }
            Err(error) => return Err(error.into()),
        }
        while let Some(Happened { event, .. }) = consumer.next_event() {
            if let Some(line) = told(&topic, &event) {
                writeln!(lines, "{line}")?;
            }
        }
        let now = consumer.assignment();
        if now != owned {
            writeln!(lines, "owns {} {}", millis(), listed(&topic, &now))?;
            owned = now;
        }
        let command = commands.try_recv();
        if command.as_deref() == Ok("explain") {
            for why in consumer.explain().to_string().lines() {
                writeln!(lines, "why {} {why}", millis())?;
            }
        }
        io::stdout().lock().write_all(lines.as_bytes())?;
        match command.as_deref().map(|command| command.split_once(' ').unwrap_or((command, ""))) {
            Ok(("sleep", how_long)) => std::thread::sleep(Duration::from_millis(how_long.parse()?)),
            Ok(("leave", _)) => break LeaveGroup::Leave,
            Ok(("remain", _)) => break LeaveGroup::Remain,
            Ok(("close", _)) | Err(TryRecvError::Disconnected) => break LeaveGroup::Default,
            _ => {}
        }
    };
    ends.store(true, Ordering::Relaxed);
    for reader in beside {
        reader.join().map_err(|_| "a reader has panicked")??;
    }
    consumer.close_with(CloseOptions::new().leave(leave)).await?;
    writeln!(io::stdout(), "closed {}", millis())?;
    Ok(())
}
