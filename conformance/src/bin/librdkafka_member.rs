//! librdkafka as a member of a group, in a process of its own: it takes, prints and obeys what `member` does.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::time::Duration;

use ottla_conformance::flow::millis;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

/// Most records of one turn.
const TURN: usize = 500;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader of a member that was given up is gone.
            let _ = writeln!(io::stdout(), "fatal {} {error}", millis());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let topic = args.next().ok_or("no topic")?;
    let mut config = ClientConfig::new();
    for (key, value) in
        args.filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
    {
        config.set(key, value);
    }
    // What is taken while it closes is dropped, and must not be committed.
    config.set("enable.auto.offset.store", "false");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&topic])?;
    let (sender, commands) = sync_channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut owned = Vec::new();
    loop {
        let mut lines = String::new();
        let mut done = TopicPartitionList::new();
        let mut wait = Duration::from_millis(50);
        for _ in 0..TURN {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    let number = String::from_utf8_lossy(message.payload().unwrap_or_default());
                    let (at, partition, offset) = (millis(), message.partition(), message.offset());
                    writeln!(lines, "record {at} {partition} {offset} {number}")?;
                    let next = Offset::Offset(offset + 1);
                    match done.find_partition(&topic, partition) {
                        Some(mut known) => known.set_offset(next)?,
                        None => done.add_partition_offset(&topic, partition, next)?,
                    }
                }
                Some(Err(KafkaError::MessageConsumption(error))) => {
                    // It goes on by itself.
                    writeln!(lines, "why {} {error}", millis())?;
                }
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
            wait = Duration::ZERO;
        }
        let list = consumer.assignment()?;
        let mut now: Vec<i32> = list.elements().iter().map(|at| at.partition()).collect();
        now.sort_unstable();
        if now != owned {
            let listed = now.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
            writeln!(lines, "owns {} {listed}", millis())?;
            owned = now;
        }
        io::stdout().lock().write_all(lines.as_bytes())?;
        // A partition that was taken away meanwhile is another member's matter.
        let _ = consumer.store_offsets(&done);
        match commands.try_recv().as_deref() {
            Ok("close") | Err(TryRecvError::Disconnected) => break,
            _ => {}
        }
    }
    // It commits, and leaves.
    drop(consumer);
    writeln!(io::stdout(), "closed {}", millis())?;
    Ok(())
}
