//! A member of a group as a process of its own, and what it has told: Ottla's and librdkafka's (programs of this crate
//! that print lines of one kind) or Java's `VerifiableConsumer` (which prints JSON).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::process::{Command, ExitStatus};

use serde_json::Value;

use super::{Delivery, millis};
use crate::kafka::Tools;
use crate::process::{Process, ProcessError};

/// What a member has told.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// What it was handed, in order.
    pub delivered: Vec<Delivery>,
    /// What it was handed of other topics: the topic, and the record.
    pub others: Vec<(String, Delivery)>,
    /// The last number of each partition that it was handed.
    pub last: BTreeMap<i32, i64>,
    /// Which partitions are its own, since when.
    pub owned: Vec<(u64, BTreeSet<i32>)>,
    /// The generations, or member epochs, that it has joined.
    pub joined: Vec<(u64, i32)>,
    /// When it was told that it had stayed away for too long.
    pub expelled: Vec<u64>,
    /// Partitions that were lost, not revoked.
    pub lost: Vec<(u64, BTreeSet<i32>)>,
    /// What ended it.
    pub fatal: Option<String>,
    /// What `explain()` said.
    pub why: Vec<String>,
}

impl Log {
    /// The partitions that are its own now.
    pub fn owns(&self) -> BTreeSet<i32> {
        self.owned.last().map(|(_, owned)| owned.clone()).unwrap_or_default()
    }

    /// What it owned when that time began, and each change since.
    pub fn owned_during(&self, during: Range<u64>) -> Vec<(u64, BTreeSet<i32>)> {
        let first = self.owned.iter().rposition(|(at, _)| *at <= during.start).unwrap_or(0);
        self.owned.iter().skip(first).filter(|(at, _)| *at < during.end).cloned().collect()
    }

    fn handed(&mut self, delivery: Delivery) {
        self.last.insert(delivery.partition, delivery.number);
        self.delivered.push(delivery);
    }

    /// A line of `VerifiableConsumer`.
    fn read_json(&mut self, line: &str) -> Option<()> {
        let event: Value = serde_json::from_str(line).ok()?;
        let at = event.get("timestamp")?.as_u64()?;
        let number = |key: &str| event.get(key).and_then(Value::as_i64);
        let partitions = || {
            let listed = event.get("partitions").and_then(Value::as_array).into_iter().flatten();
            listed.filter_map(|at| at.get("partition")?.as_i64().map(|partition| partition as i32))
        };
        let mut owned = self.owns();
        match event.get("name")?.as_str()? {
            "record_data" => self.handed(Delivery {
                at,
                partition: number("partition")? as i32,
                offset: number("offset")?,
                number: event.get("value")?.as_str()?.parse().ok()?,
            }),
            "partitions_assigned" => {
                owned.extend(partitions());
                self.owned.push((at, owned));
            }
            "partitions_revoked" => {
                let revoked: BTreeSet<i32> = partitions().collect();
                owned.retain(|partition| !revoked.contains(partition));
                self.owned.push((at, owned));
            }
            _ => {}
        }
        Some(())
    }

    fn read(&mut self, line: &str) -> Option<()> {
        if line.starts_with('{') {
            return self.read_json(line);
        }
        let (kind, rest) = line.split_once(' ')?;
        let (at, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let at = at.parse().ok()?;
        let partitions = || rest.split(',').filter_map(|partition| partition.parse().ok()).collect();
        match kind {
            "record" => self.handed(delivery(at, rest)?),
            "other" => {
                let (topic, rest) = rest.split_once(' ')?;
                self.others.push((topic.to_owned(), delivery(at, rest)?));
            }
            "owns" => self.owned.push((at, partitions())),
            "lost" => self.lost.push((at, partitions())),
            "joined" => self.joined.push((at, rest.parse().ok()?)),
            "expelled" => self.expelled.push(at),
            "closed" => self.owned.push((at, BTreeSet::new())),
            "fatal" => {
                self.owned.push((at, BTreeSet::new()));
                self.fatal = Some(rest.to_owned());
            }
            "why" => self.why.push(rest.to_owned()),
            _ => {}
        }
        Some(())
    }
}

/// Of partition, offset and number.
fn delivery(at: u64, text: &str) -> Option<Delivery> {
    let mut numbers = text.split(' ').map(str::parse::<i64>);
    let mut number = || numbers.next()?.ok();
    Some(Delivery { at, partition: number()? as i32, offset: number()?, number: number()? })
}

/// A running or ended member.
#[derive(Debug)]
pub struct Member {
    process: Process,
    java: bool,
    read: usize,
    log: Log,
}

impl Member {
    /// Starts `program`, a member of this crate's, for a topic and with Kafka's properties.
    pub fn start(program: &str, topic: &str, properties: &[(String, String)]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(topic).args(properties.iter().map(|(key, value)| format!("{key}={value}")));
        let process = Process::spawn_with_input(&command)?;
        Ok(Self { process, java: false, read: 0, log: Log::default() })
    }

    /// Starts Java's `VerifiableConsumer`, with its own arguments, and Java's properties. It commits what it was handed, each time.
    pub fn start_java(
        tools: &Tools,
        topic: &str,
        group: &str,
        args: &[&str],
        properties: &[(&str, &str)],
    ) -> Result<Self, ProcessError> {
        let process = tools.spawn_verifiable_consumer(topic, group, args, properties)?;
        Ok(Self { process, java: true, read: 0, log: Log::default() })
    }

    /// What it has told so far.
    pub fn log(&mut self) -> &Log {
        let new = self.process.stdout_from(self.read);
        let complete = new.rfind('\n').map_or("", |end| new.get(..=end).unwrap_or_default());
        self.read += complete.len();
        for line in complete.lines() {
            // What it does not understand is no news.
            let _ = self.log.read(line);
        }
        &self.log
    }

    /// Tells it what to do: see the program. One that has ended does nothing.
    pub fn tell(&mut self, command: &str) {
        let _ = self.process.write(format!("{command}\n").as_bytes());
    }

    /// Asks it to close.
    pub fn close(&mut self) {
        if self.java {
            // Nothing happens to one that has ended.
            let _ = self.process.signal("TERM");
        } else {
            self.tell("close");
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
        self.log();
        self.log.owned.push((millis(), BTreeSet::new()));
    }

    /// How it ended, if it has, and all that it told is known.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.process.status().filter(|_| self.process.is_drained())
    }

    /// What it wrote to its standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }
}
