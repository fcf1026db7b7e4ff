//! Kafka's own command-line tools, on the class path of its jars. They take any broker: the embedded one, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::asked::{properties, strings};
use super::java::Role;
use super::{Consume, Consumed, GroupRow, Java, Load, Missing, PartitionRow, jars};
use crate::process::{self, Process, ProcessError};

/// What each tool may take, before it is killed.
const WITHIN: Duration = Duration::from_secs(180);

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const CONFIGS: &str = "org.apache.kafka.tools.ConfigCommand";
const ACLS: &str = "org.apache.kafka.tools.AclCommand";
const FEATURES: &str = "org.apache.kafka.tools.FeatureCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const VERIFIABLE: &str = "org.apache.kafka.tools.VerifiableConsumer";
const SHARE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// The tools, pointed at a broker. Each call takes a second or so: it starts a JVM.
#[derive(Debug, Clone)]
pub struct Tools {
    java: Java,
    bootstrap: String,
    properties: Option<PathBuf>,
    jvm: Vec<String>,
}

impl Tools {
    /// The tools for the broker at `bootstrap`.
    pub fn new(bootstrap: impl Into<String>) -> Result<Self, Missing> {
        Ok(Self::on(Java::get()?.clone(), bootstrap))
    }

    pub(super) fn on(java: Java, bootstrap: impl Into<String>) -> Self {
        Self { java, bootstrap: bootstrap.into(), properties: None, jvm: Vec::new() }
    }

    /// The same, as a client with these properties: a file in Java's form.
    pub fn with_properties(self, file: PathBuf) -> Self {
        Self { properties: Some(file), ..self }
    }

    /// The same, with an option of the JVM.
    pub(super) fn with_jvm(mut self, option: String) -> Self {
        self.jvm.push(option);
        self
    }

    /// A tool's main class, pointed at the broker; the caller adds its arguments.
    fn command(&self, main: &str) -> Command {
        let mut command = self.java.command(Role::Tool, &self.jvm, main);
        command.args(["--bootstrap-server", &self.bootstrap]);
        if let Some(file) = &self.properties {
            command.arg("--command-config").arg(file);
        }
        command
    }

    /// Any of Kafka's main classes with these arguments, after `--bootstrap-server`; its standard output.
    pub fn run(&self, main: &str, args: &[String]) -> Result<String, ProcessError> {
        let mut command = self.command(main);
        command.args(args);
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

    /// Creates a topic with one copy of each partition, on these nodes.
    pub fn create_topic_on(
        &self,
        topic: &str,
        nodes: impl IntoIterator<Item = u32>,
    ) -> Result<(), ProcessError> {
        let nodes: Vec<String> = nodes.into_iter().map(|node| node.to_string()).collect();
        let args = ["--create", "--topic", topic, "--replica-assignment", &nodes.join(",")];
        self.run(TOPICS, &strings(&args)).map(drop)
    }

    /// Raises a cluster's features to those of a release, such as `4.4`.
    pub fn upgrade_features(&self, release: &str) -> Result<(), ProcessError> {
        self.run(FEATURES, &strings(&["upgrade", "--release-version", release])).map(drop)
    }

    /// Allows these principals, such as `User:alice`, everything on the topics, groups or transactional ids whose names
    /// begin so.
    pub fn allow(&self, principals: &[&str], prefix: &str) -> Result<(), ProcessError> {
        let mut args = strings(&["--add", "--operation", "All", "--resource-pattern-type", "prefixed"]);
        args.extend(strings(&["--topic", prefix, "--group", prefix, "--transactional-id", prefix]));
        args.extend(principals.iter().flat_map(|principal| strings(&["--allow-principal", principal])));
        self.run(ACLS, &args).map(drop)
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) -> Result<(), ProcessError> {
        self.run(TOPICS, &strings(&["--delete", "--topic", topic])).map(drop)
    }

    /// Sets a quota, such as `consumer_byte_rate`: of `users`, of `clients` by their ids, or of both together.
    pub fn set_quota(&self, of: &[(&str, &str)], quota: &str, value: f64) -> Result<(), ProcessError> {
        let mut args = strings(&["--alter"]);
        args.extend(
            of.iter().flat_map(|(kind, name)| strings(&["--entity-type", kind, "--entity-name", name])),
        );
        args.extend(["--add-config".to_owned(), format!("{quota}={value}")]);
        self.run(CONFIGS, &args).map(drop)
    }

    /// Asks clients for the metrics whose names begin so, in this interval (KIP-714): the subscription of that name.
    pub fn subscribe_to_metrics(
        &self,
        name: &str,
        prefix: &str,
        interval: Duration,
    ) -> Result<(), ProcessError> {
        let set = format!("metrics=[{prefix}],interval.ms={}", interval.as_millis());
        let args =
            ["--alter", "--entity-type", "client-metrics", "--entity-name", name, "--add-config", &set];
        self.run(CONFIGS, &strings(&args)).map(drop)
    }

    /// Sets a property of a broker that runs.
    pub fn set_broker(&self, node: u32, key: &str, value: &str) -> Result<(), ProcessError> {
        let (node, set) = (node.to_string(), format!("{key}={value}"));
        let args = ["--alter", "--entity-type", "brokers", "--entity-name", &node, "--add-config", &set];
        self.run(CONFIGS, &strings(&args)).map(drop)
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
        let mut command = self.command(PRODUCER);
        command.args(["--topic", topic]);
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
        let mut command = self.command(CONSUMER);
        command.args(consume.args());
        Process::spawn(&command).map_err(|error| ProcessError::not_started(&command, error))
    }

    /// Starts a console consumer of a share group.
    pub fn spawn_console_share_consumer(&self, topic: &str, group: &str) -> Result<Process, ProcessError> {
        let mut command = self.command(SHARE_CONSUMER);
        command.args(["--topic", topic, "--group", group]);
        Process::spawn(&command).map_err(|error| ProcessError::not_started(&command, error))
    }

    /// Starts a `VerifiableConsumer` that prints each record, as JSON; with arguments and properties of its own.
    pub fn spawn_verifiable_consumer(
        &self,
        topic: &str,
        group: &str,
        args: &[&str],
        properties: &[(&str, &str)],
    ) -> Result<Process, ProcessError> {
        let mut command = self.java.command(Role::Tool, &[], VERIFIABLE);
        command.args(["--bootstrap-server", &self.bootstrap, "--topic", topic, "--group-id", group]);
        let file = jars::file_of_properties(properties);
        command.arg("--verbose").args(args).arg("--command-config");
        command.arg(file.map_err(|error| ProcessError::not_started(&command, error))?);
        Process::spawn(&command).map_err(|error| ProcessError::not_started(&command, error))
    }

    /// Deletes a group, which must have no member.
    pub fn delete_group(&self, group: &str) -> Result<(), ProcessError> {
        self.run(GROUPS, &strings(&["--delete", "--group", group])).map(drop)
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
