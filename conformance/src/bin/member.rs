//! A member of a group as a process of its own, which can be killed: `member TOPIC KEY=VALUE...` with Kafka's properties,
//! and `pattern=REGEX` to subscribe by that instead of the topic.
//!
//! It prints what it is handed and what becomes of its membership, a line each ([`ottla_conformance::flow::Member`]
//! reads them), and obeys its standard input: `close`, `leave` and `remain` (ways to close: KIP-1092), `sleep MS` (a
//! handler that blocks its thread), `explain`. It closes when its input ends.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use ottla::error::RecvErrorKind;
use ottla::{CloseOptions, Consumer, Event, LeaveGroup, TopicPartition};
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

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().ok_or("no topic")?;
    let properties: Vec<(String, String)> = args
        .filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect();
    let (pattern, properties): (Vec<_>, Vec<_>) =
        properties.into_iter().partition(|(key, _)| key == "pattern");
    let builder = Consumer::builder().properties(properties)?;
    let builder = match pattern.into_iter().next() {
        Some((_, pattern)) => builder.subscribe_pattern(pattern),
        None => builder.subscribe([topic.as_str()]),
    };
    let mut consumer = builder.build().await?;
    let commands = commands();
    let mut owned = Vec::new();
    let leave = loop {
        let mut lines = String::new();
        match consumer.poll(Duration::from_millis(50)).await {
            Ok(records) => {
                let at = millis();
                for record in &records {
                    let number = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
                    let (partition, offset) = (record.partition(), record.offset());
                    match record.topic() {
                        of if of == topic => writeln!(lines, "record {at} {partition} {offset} {number}")?,
                        other => writeln!(lines, "other {at} {other} {partition} {offset} {number}")?,
                    }
                }
            }
            Err(error) if error.kind() == RecvErrorKind::MaxPollExceeded => {
                writeln!(lines, "expelled {}", millis())?;
            }
            Err(error) => return Err(error.into()),
        }
        while let (Some(event), _) = consumer.next_event() {
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
    consumer.close_with(CloseOptions { leave, ..CloseOptions::default() }).await;
    writeln!(io::stdout(), "closed {}", millis())?;
    Ok(())
}
