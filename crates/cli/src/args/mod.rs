//! The command line, which scripts depend on: verbs and flags are a contract.

mod broker;
mod dlq;
mod doctor;
mod groups;
mod process;
mod serve;
mod top;

use std::path::PathBuf;

pub(crate) use broker::{BrokerArgs, Security, TlsClientAuth};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
pub(crate) use dlq::{DlqVerb, ReplayArgs};
pub(crate) use doctor::DoctorArgs;
pub(crate) use groups::{GroupFilters, GroupsVerb, LagArgs, RemoveMemberArgs, ResetOffsetsArgs};
pub(crate) use process::{OrderArg, ProcessArgs, RetryOrderArg};
pub(crate) use serve::ServeArgs;
pub(crate) use top::TopArgs;

/// Kafka consumers from the command line.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Show on stderr what the clients log: -v joins, assignments, what is lost; -vv each connection and state too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that stand before the verb, or behind it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// Brokers to ask first, as host:port[,host:port...]; else OTTLA_BOOTSTRAP_SERVERS, else localhost:9092
    #[arg(short, long, value_name = "SERVERS")]
    pub(crate) bootstrap_servers: Option<String>,
    /// A property by Kafka's own name; repeatable. `-X list` shows those that there are, with their defaults. It
    /// wins over --config. Others on this machine can see it: passwords belong into a file
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    pub(crate) properties: Vec<String>,
    /// A file of properties, as for Kafka's own tools or for kcat; else that of OTTLA_CONFIG. What it has for other
    /// tools is told once; what would change security, delivery or commits, and is not there, is an error
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How results are printed [default: text]
    #[arg(long, value_name = "FORMAT", hide_possible_values = false)]
    pub(crate) output: Option<Output>,
}

impl Common {
    /// These, and what was said behind the verb, which counts more.
    pub(crate) fn with(mut self, inner: Self) -> Self {
        self.properties.extend(inner.properties);
        Self {
            bootstrap_servers: inner.bootstrap_servers.or(self.bootstrap_servers),
            properties: self.properties,
            config: inner.config.or(self.config),
            output: inner.output.or(self.output),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.output == Some(Output::Json)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs: one object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the main job with nothing installed: a group reads a topic on an embedded broker
    Demo(DemoArgs),
    /// Run the embedded broker in the foreground
    Broker(BrokerArgs),
    /// Look after topics
    #[command(subcommand, alias = "topic")]
    Topics(TopicsVerb),
    /// Write records, one a line of stdin
    Produce(ProduceArgs),
    /// Read records to stdout
    Consume(ConsumeArgs),
    /// Run a command for each record
    Process(ProcessArgs),
    /// How far groups are behind the ends of their topics
    Lag(LagArgs),
    /// Look after groups
    #[command(subcommand, alias = "group")]
    Groups(GroupsVerb),
    /// Look after dead letters
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Serve a web page of groups and their lag, the same as JSON, and metrics for Prometheus
    Serve(ServeArgs),
    /// Watch groups, their members and partitions on a terminal's screen
    Top(TopArgs),
    /// Find out why something does not work, and what to do; nothing is changed
    Doctor(DoctorArgs),
    /// Print a script by which a shell completes verbs, flags, and names of topics and groups
    Completions {
        /// For which shell
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    /// Write a manual page for each verb
    Man {
        /// Where to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) records: u32,
    /// Of how many partitions the topic is
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) partitions: u32,
    /// How many consumers the group has, at most one a partition
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) consumers: u32,
    /// Hide one record from the check, to show that it can fail
    #[arg(long)]
    pub(crate) inject_loss: bool,
    /// How the result is printed [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) output: Option<Output>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsVerb {
    /// List all topics
    List {
        /// Those that Kafka made for itself, too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Create a topic
    Create {
        /// Its name
        topic: String,
        /// What other tools take for the number of partitions
        #[arg(hide = true)]
        count: Option<i32>,
        /// How many partitions [default: the broker's]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// On how many brokers each partition is kept [default: the broker's]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A setting of the topic by Kafka's own name; repeatable
        #[arg(short = 'c', long = "topic-config", value_name = "KEY=VALUE")]
        configs: Vec<String>,
        /// Do not wait until each partition has a leader
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show topics, partition by partition
    Describe {
        /// Which [default: all]
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete topics with all their records
    Delete {
        /// Which
        #[arg(required = true)]
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete the oldest records of partitions: shows which, and does it with --execute
    DeleteRecords(DeleteRecordsArgs),
    /// Give a topic more partitions: keys go to other partitions from there on
    AddPartitions {
        /// Which
        topic: String,
        /// How many it has then
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct DeleteRecordsArgs {
    /// Which partitions [default: all of the topic]
    #[arg(value_name = "TOPIC[:P,P...]", required = true)]
    pub(crate) topics: Vec<String>,
    /// Those before this offset
    #[arg(long, value_name = "OFFSET", group = "which", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) before: Option<i64>,
    /// All that there are now
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    /// Delete them; without it only what would be deleted is told
    #[arg(long)]
    pub(crate) execute: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// Where to
    pub(crate) topic: String,
    /// What separates the key from the value, with the escapes of `consume -f`; a line without it has no key
    #[arg(short = 'K', value_name = "DELIM")]
    pub(crate) key_delimiter: Option<String>,
    /// What separates the records, with the same escapes
    #[arg(short = 'D', value_name = "DELIM", default_value = "\\n")]
    pub(crate) delimiter: String,
    /// An empty value is null, and so is an empty key: the tombstone of a compacted topic
    #[arg(short = 'Z')]
    pub(crate) null: bool,
    /// A header of every record; repeatable
    #[arg(short = 'H', value_name = "KEY=VALUE")]
    pub(crate) headers: Vec<String>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', value_name = "CODEC", value_parser = ["none", "gzip", "snappy", "lz4", "zstd"])]
    pub(crate) codec: Option<String>,
    /// The partition of all records [default: by their keys]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// Who has a record before it counts as written: all replicas in sync, the leader (1), or perhaps nobody (0)
    #[arg(long, value_name = "ACKS", value_parser = ["all", "-1", "1", "0"], allow_hyphen_values = true)]
    pub(crate) acks: Option<String>,
    /// Write all records in one transaction of this transactional.id, which is committed at the input's end: readers of committed
    /// records see all of them, or none
    #[arg(long, value_name = "ID")]
    pub(crate) transactional_id: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// Which topics
    #[arg(required = true)]
    pub(crate) topics: Vec<String>,
    /// Read as a member of this group, and commit what was printed
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Only this partition
    #[arg(short, long, value_name = "N", conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// Where to begin: beginning, end, stored, N, -N (before the end), s@MS (a time); e@MS: where to stop. With -G only
    /// beginning or end, for partitions without a committed offset [default: beginning; with -G end]
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) offset: Vec<String>,
    /// End after so many records
    #[arg(short, long, value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// End when each partition reached the end that it had when assigned
    #[arg(short, long)]
    pub(crate) exit: bool,
    /// How a record is printed: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp, %h headers, %K and
    /// %S lengths of key and value (-1 for none), %% a percent sign; \n \r \t \\ \xHH [default: %s\n]
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) format: Option<String>,
    /// One JSON object a record, as kcat prints it
    #[arg(short = 'J')]
    pub(crate) json: bool,
    /// Topics are regular expressions that whole names match; with -G, topics that come later count too
    #[arg(long)]
    pub(crate) regex: bool,
    /// Which records of transactions are read: with read_committed none of those that are open or were aborted, and the
    /// end is where the oldest open one begins [default: read_uncommitted]
    #[arg(long, value_name = "LEVEL", value_parser = ["read_uncommitted", "read_committed"])]
    pub(crate) isolation: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_stand_before_the_verb_or_behind_it() {
        let words =
            ["ottla", "-b", "a:1", "-X", "k=1", "--output", "json", "consume", "t", "-b", "b:1", "-X", "k=2"];
        let cli = Cli::try_parse_from(words).unwrap();
        let Verb::Consume(args) = cli.verb else { panic!() };
        let common = cli.common.with(args.common);
        assert_eq!(common.bootstrap_servers.as_deref(), Some("b:1"));
        assert_eq!(common.properties, ["k=1", "k=2"]);
        assert!(common.is_json());
    }

    #[test]
    fn v_stands_before_any_verb_or_behind_it() {
        for (words, verbose) in [
            (&["ottla", "consume", "t"][..], 0),
            (&["ottla", "-v", "consume", "t"], 1),
            (&["ottla", "consume", "t", "-vv"], 2),
            (&["ottla", "topics", "list", "-v", "-v"], 2),
            (&["ottla", "demo", "--verbose"], 1),
        ] {
            assert_eq!(Cli::try_parse_from(words).unwrap().verbose, verbose, "{words:?}");
        }
    }
}
