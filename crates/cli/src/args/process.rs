//! `ottla process`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Common;
use crate::duration;

/// The library's own defaults stand where nothing is given.
#[derive(Debug, Args)]
#[command(after_help = "\
CMD runs through `sh -c`, once for each record: the value is on its stdin, and its environment has OTTLA_TOPIC,
OTTLA_PARTITION, OTTLA_OFFSET, OTTLA_KEY, OTTLA_TIMESTAMP, OTTLA_ATTEMPT and OTTLA_HEADERS. Status 0: the record is done;
65: no attempt can succeed; 126 and 127: CMD cannot be run, and all stops; any other: it is tried again. The end of its
stderr is the error's text. docs/processing.md has the rest.")]
pub(crate) struct ProcessArgs {
    /// Which topics
    #[arg(required = true)]
    pub(crate) topics: Vec<String>,
    /// The group to be a member of
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: String,
    /// What is run for each record
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: String,
    /// Which records wait for which: those of a partition, those of a key, or none [default: partition]
    #[arg(long, value_name = "ORDER")]
    pub(crate) order: Option<OrderArg>,
    /// How many run at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) concurrency: Option<u16>,
    /// How often a record that failed is tried again where it is, after 100 ms to 10 s [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// It waits in a topic for so long then, such as 30s or 10m, and is tried again from there; repeatable
    #[arg(long, value_name = "DELAY", value_parser = duration::parse)]
    pub(crate) retry_topic: Vec<Duration>,
    /// Whether later records of its key overtake it meanwhile, or are held: written behind it, and handled from there
    /// [default: overtaken]
    #[arg(long, value_name = "ORDER", requires = "retry_topic")]
    pub(crate) retry_order: Option<RetryOrderArg>,
    /// Where a record goes that is given up [default: with --retry-topic TOPIC-dlt, else all stops]
    #[arg(long, value_name = "TOPIC")]
    pub(crate) dead_letter: Option<String>,
    /// Ends what runs longer than this, such as 30s, with all that it started: the record has failed
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
    /// How long what runs has to end when all stops, or its partition goes, such as 5m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Where a partition without a committed offset begins: beginning or end [default: beginning]
    #[arg(short, long, value_name = "OFFSET", value_parser = ["beginning", "end"])]
    pub(crate) offset: Option<String>,
    /// What CMD writes on stdout is the value of a record of this topic, with the key of the record that it had
    #[arg(long, value_name = "TOPIC")]
    pub(crate) to: Option<String>,
    /// What is written with --to, what is given up, and how far was read, in one transaction
    #[arg(long)]
    pub(crate) exactly_once: bool,
    /// The transactional id: of this process alone, and the same when it is started again [default: the group and
    /// `group.instance.id`, or a random number]
    #[arg(long, value_name = "ID", requires = "exactly_once")]
    pub(crate) transactional_id: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// Those of a key of a partition one after the other
    Key,
    /// Those of a partition one after the other
    Partition,
    /// None waits for another
    Unordered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RetryOrderArg {
    /// Later records of its key are handled before it
    Overtaken,
    /// They follow it to its retry topic
    Held,
}
