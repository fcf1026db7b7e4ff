//! Kafka's own command-line tools, on the class path of its jars. They take any broker: the embedded one, too.

use std::collections::BTreeMap;
use std::time::Duration;

use super::java::Role;
use super::{Java, Missing};
use crate::process::{self, Process, ProcessError};

/// What each tool may take, before it is killed.
const WITHIN: Duration = Duration::from_secs(180);

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// The tools, pointed at a broker. Each call takes a second or so: it starts a JVM.
#[derive(Debug, Clone)]
pub struct Tools {
    java: Java,
    bootstrap: String,
}

impl Tools {
    /// The tools for the broker at `bootstrap`.
    pub fn new(bootstrap: impl Into<String>) -> Result<Self, Missing> {
        Ok(Self::on(Java::get()?.clone(), bootstrap))
    }

    pub(super) fn on(java: Java, bootstrap: impl Into<String>) -> Self {
        Self { java, bootstrap: bootstrap.into() }
    }

    /// Any of Kafka's main classes with these arguments, after `--bootstrap-server`; its standard output.
    pub fn run(&self, main: &str, args: &[String]) -> Result<String, ProcessError> {
        let mut command = self.java.command(Role::Tool, &[], main);
        command.args(["--bootstrap-server", &self.bootstrap]).args(args);
        process::run(&command, WITHIN).map(|output| output.stdout)
    }

    /// Creates a topic, with settings such as `("retention.ms", "1000")`.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        replication_factor: u32,
        settings: &[(&str, &str)],
    ) -> Result<(), ProcessError> {
        let mut args = strings(&["--create", "--topic", topic, "--partitions"]);
        args.extend([partitions.to_string(), "--replication-factor".into(), replication_factor.to_string()]);
        args.extend(properties("--config", settings));
        self.run(TOPICS, &args).map(drop)
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) -> Result<(), ProcessError> {
        self.run(TOPICS, &strings(&["--delete", "--topic", topic])).map(drop)
    }

    /// A topic's partitions, in order.
    pub fn describe_topic(&self, topic: &str) -> Result<Vec<PartitionRow>, ProcessError> {
        let printed = self.run(TOPICS, &strings(&["--describe", "--topic", topic]))?;
        Ok(printed.lines().filter_map(PartitionRow::parse).collect())
    }

    /// Writes records with `ProducerPerformance`; what it prints.
    pub fn produce_load(&self, load: &Load) -> Result<String, ProcessError> {
        let mut args = strings(&["--topic", &load.topic, "--num-records"]);
        args.extend([load.records.to_string(), "--record-size".into(), load.size.to_string()]);
        let throughput = load.per_second.map_or("-1".to_owned(), |records| records.to_string());
        args.extend(["--throughput".to_owned(), throughput, "--command-property".to_owned()]);
        args.push(format!("compression.type={}", load.codec));
        args.extend(load.properties.iter().map(|(key, value)| format!("{key}={value}")));
        self.run(PERFORMANCE, &args)
    }

    /// Writes a record a line with the console producer. With a separator, a line is `key SEPARATOR value`.
    pub fn console_produce(
        &self,
        topic: &str,
        lines: &[impl AsRef<str>],
        key_separator: Option<&str>,
        producer: &[(&str, &str)],
    ) -> Result<(), ProcessError> {
        let mut command = self.java.command(Role::Tool, &[], PRODUCER);
        command.args(["--bootstrap-server", &self.bootstrap, "--topic", topic]);
        if let Some(separator) = key_separator {
            let settings = [("parse.key", "true"), ("key.separator", separator)];
            command.args(properties("--reader-property", &settings));
        }
        command.args(properties("--command-property", producer));
        let failed = |error| ProcessError::not_started(&command, error);
        let mut process = Process::spawn_with_input(&command).map_err(failed)?;
        let text: String = lines.iter().flat_map(|line| [line.as_ref(), "\n"]).collect();
        // A producer that died early says why itself.
        let _ = process.write(text.as_bytes());
        process.close_input();
        process.finish(WITHIN).map(drop)
    }

    /// Reads with the console consumer until it has as many records as asked for, or is idle.
    pub fn console_consume(&self, consume: &Consume) -> Result<Vec<Consumed>, ProcessError> {
        Ok(Consumed::parse(&self.spawn_console_consumer(consume)?.finish(WITHIN)?.stdout))
    }

    /// Starts a console consumer; [`Consumed::parse`] reads what it has printed.
    pub fn spawn_console_consumer(&self, consume: &Consume) -> Result<Process, ProcessError> {
        let mut command = self.java.command(Role::Tool, &[], CONSUMER);
        command.args(["--bootstrap-server", &self.bootstrap]).args(consume.args());
        Process::spawn(&command).map_err(|error| ProcessError::not_started(&command, error))
    }

    /// A group as `ConsumerGroupCommand --describe` shows it; empty for a group that is not there.
    pub fn describe_group(&self, group: &str) -> Result<Vec<GroupRow>, ProcessError> {
        match self.run(GROUPS, &strings(&["--describe", "--group", group])) {
            Ok(printed) => Ok(GroupRow::parse(&printed)),
            Err(error) if error.stderr().contains("does not exist") => Ok(Vec::new()),
            Err(error) if error.stdout().contains("does not exist") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Offsets by time: milliseconds, or -1 for the end and -2 for the beginning. A partition without a
    /// record of that time or later has none.
    pub fn offsets(&self, topic: &str, time: i64) -> Result<BTreeMap<i32, Option<i64>>, ProcessError> {
        let printed = self.run(OFFSETS, &strings(&["--topic", topic, "--time", &time.to_string()]))?;
        let parse = |line: &str| {
            let mut parts = line.rsplitn(3, ':');
            let offset = parts.next()?.parse().ok();
            Some((parts.next()?.parse().ok()?, offset))
        };
        Ok(printed.lines().filter_map(parse).collect())
    }

    /// Writes a record for each key to an empty topic with the Java producer: the partition it picked for each.
    pub fn partitions_of_keys(
        &self,
        topic: &str,
        keys: &[String],
    ) -> Result<BTreeMap<String, i32>, ProcessError> {
        let lines: Vec<String> = keys.iter().map(|key| format!("{key}\tvalue")).collect();
        self.console_produce(topic, &lines, Some("\t"), &[])?;
        let consumed = self.console_consume(&Consume::all(topic).messages(keys.len()))?;
        Ok(consumed.into_iter().filter_map(|record| Some((record.key?, record.partition))).collect())
    }
}

/// What `ProducerPerformance` is to write: by default 100 bytes a record, no codec, as fast as it can.
#[derive(Debug, Clone)]
pub struct Load {
    topic: String,
    records: usize,
    size: usize,
    codec: String,
    per_second: Option<u32>,
    properties: Vec<(String, String)>,
}

impl Load {
    /// So many records.
    pub fn new(topic: &str, records: usize) -> Self {
        let (size, codec) = (100, "none".to_owned());
        Self { topic: topic.to_owned(), records, size, codec, per_second: None, properties: Vec::new() }
    }

    /// The size of a record's value in bytes.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub fn codec(mut self, codec: &str) -> Self {
        self.codec = codec.to_owned();
        self
    }

    /// At most so many records a second.
    pub fn per_second(mut self, records: u32) -> Self {
        self.per_second = Some(records);
        self
    }

    /// A property of the Java producer.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }
}

/// What a console consumer is to read.
#[derive(Debug, Clone)]
pub struct Consume {
    args: Vec<String>,
    idle: Option<Duration>,
}

impl Consume {
    /// All of a topic, from its beginning, by a group that nobody else uses.
    pub fn all(topic: &str) -> Self {
        Self::with(&["--topic", topic, "--from-beginning"])
    }

    /// As a member of a group, from its committed offsets, or the beginning.
    pub fn group(topic: &str, group: &str) -> Self {
        Self::with(&["--topic", topic, "--from-beginning", "--group", group])
    }

    /// One partition from an offset on, without a group.
    pub fn at(topic: &str, partition: i32, offset: i64) -> Self {
        let (partition, offset) = (partition.to_string(), offset.to_string());
        Self::with(&["--topic", topic, "--partition", &partition, "--offset", &offset])
    }

    fn with(args: &[&str]) -> Self {
        Self { args: strings(args), idle: Some(Duration::from_secs(15)) }
    }

    /// Ends after so many records.
    pub fn messages(mut self, count: usize) -> Self {
        self.args.extend(["--max-messages".to_owned(), count.to_string()]);
        self
    }

    /// Ends when no record has come for so long; 15 s by default.
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Goes on until it is stopped.
    pub fn forever(mut self) -> Self {
        self.idle = None;
        self
    }

    /// A property of the Java consumer.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.args.extend(["--command-property".to_owned(), format!("{key}={}", value.to_string())]);
        self
    }

    fn args(&self) -> Vec<String> {
        let mut args = self.args.clone();
        if let Some(idle) = self.idle {
            args.extend(["--timeout-ms".to_owned(), idle.as_millis().to_string()]);
        }
        let printed = ["print.timestamp", "print.partition", "print.offset", "print.key"];
        args.extend(properties("--formatter-property", &printed.map(|setting| (setting, "true"))));
        args.extend(properties("--formatter-property", &[("null.literal", NULL)]));
        args
    }
}

/// What the console consumer is told to print for null: no test's key or value.
const NULL: &str = "\u{2400}";

/// A record that the console consumer printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Its time: the producer's, or the broker's for a topic of `LogAppendTime`.
    pub timestamp: Option<i64>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
}

impl Consumed {
    /// The records in what a console consumer printed; a line of another form is skipped.
    pub fn parse(printed: &str) -> Vec<Self> {
        printed.lines().filter_map(Self::parse_line).collect()
    }

    /// Such as `CreateTime:1700000000000`, `Partition:0`, `Offset:7`, key and value, with tabs between.
    fn parse_line(line: &str) -> Option<Self> {
        let mut parts = line.splitn(5, '\t');
        let timestamp = parts.next()?.split_once("Time:").and_then(|(_, time)| time.parse().ok());
        let partition = parts.next()?.strip_prefix("Partition:")?.parse().ok()?;
        let offset = parts.next()?.strip_prefix("Offset:")?.parse().ok()?;
        let mut text = || parts.next().map(|text| (text != NULL).then(|| text.to_owned()));
        Some(Self { timestamp, partition, offset, key: text()?, value: text()? })
    }
}

/// A partition in `TopicCommand --describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRow {
    /// Its number.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// The nodes that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
}

impl PartitionRow {
    fn parse(line: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> =
            line.split('\t').filter_map(|field| field.trim().split_once(": ")).collect();
        let nodes = |name| {
            let list: &str = fields.get(name)?;
            Some(list.split(',').filter_map(|node| node.trim().parse().ok()).collect())
        };
        Some(Self {
            partition: fields.get("Partition")?.trim().parse().ok()?,
            leader: fields.get("Leader")?.trim().parse().ok(),
            replicas: nodes("Replicas")?,
            in_sync: nodes("Isr")?,
        })
    }
}

/// A partition in `ConsumerGroupCommand --describe`; what it shows as `-` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub committed: Option<i64>,
    /// The end of the partition.
    pub end: Option<i64>,
    /// The difference.
    pub lag: Option<i64>,
    /// The member that owns it.
    pub member: Option<String>,
    /// Where that member is.
    pub host: Option<String>,
    /// What it calls itself.
    pub client: Option<String>,
}

impl GroupRow {
    fn parse(printed: &str) -> Vec<Self> {
        let mut lines = printed.lines().skip_while(|line| !line.starts_with("GROUP"));
        let Some(header) = lines.next() else { return Vec::new() };
        let columns: Vec<&str> = header.split_whitespace().collect();
        let row = |line: &str| {
            let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split_whitespace()).collect();
            let text = |name| cells.get(name).filter(|cell| **cell != "-").map(|cell| (*cell).to_owned());
            let number = |name| text(name).and_then(|cell| cell.parse().ok());
            Some(Self {
                topic: text("TOPIC")?,
                partition: text("PARTITION")?.parse().ok()?,
                committed: number("CURRENT-OFFSET"),
                end: number("LOG-END-OFFSET"),
                lag: number("LAG"),
                member: text("CONSUMER-ID"),
                host: text("HOST"),
                client: text("CLIENT-ID"),
            })
        };
        lines.filter_map(row).collect()
    }
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// `OPTION key=value` for each.
fn properties<'a>(option: &'a str, settings: &'a [(&str, &str)]) -> impl Iterator<Item = String> + 'a {
    settings.iter().flat_map(move |(key, value)| [option.to_owned(), format!("{key}={value}")])
}
