//! The command line, which scripts depend on: verbs and flags are a contract.

mod broker;
mod dlq;
mod doctor;
mod groups;
mod process;
mod records;
mod serve;
mod top;
mod topics;

use std::path::PathBuf;

pub(crate) use broker::{BrokerArgs, Security, TlsClientAuth};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
pub(crate) use dlq::{DlqVerb, ReplayArgs};
pub(crate) use doctor::DoctorArgs;
pub(crate) use groups::{GroupFilters, GroupsVerb, LagArgs, RemoveMemberArgs, ResetOffsetsArgs};
pub(crate) use process::{OrderArg, ProcessArgs, RetryOrderArg};
pub(crate) use records::{ConsumeArgs, ProduceArgs};
pub(crate) use serve::ServeArgs;
pub(crate) use top::TopArgs;
pub(crate) use topics::{ConfigsArgs, DeleteRecordsArgs, OffsetsArgs, TopicsVerb};

const STATUS: &str = "\
The status is 0 once it is done, 1 where something failed, also of several things one, and 2 for wrong usage. Kafka's own tools \
end with 0 where they failed, too, and kcat with 1 for wrong usage. What verbs do otherwise than kcat stands in their help.";

/// Kafka consumers from the command line.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, about, max_term_width = 110, after_help = STATUS)]
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
    /// Show the cluster: its brokers, its id and features, and who is the controller where that is one of them (not with KRaft)
    Cluster(ClusterArgs),
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
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) common: Common,
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
