//! `ottla topics`.

use clap::{ArgGroup, Args, Subcommand};

use super::Common;

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
    /// Show topics, partition by partition: with their ids, settings that are no defaults, and who may lead though not in
    /// sync (ELR)
    Describe {
        /// Which [default: all]
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show what was set of topics; with --all every setting, and where its value comes from
    Configs(ConfigsArgs),
    /// Where logs end, or what they have at a time
    Offsets(OffsetsArgs),
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

impl TopicsVerb {
    /// The flags that all of them have.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::List { common, .. }
            | Self::Create { common, .. }
            | Self::Describe { common, .. }
            | Self::Delete { common, .. }
            | Self::AddPartitions { common, .. } => common,
            Self::Configs(args) => &args.common,
            Self::Offsets(args) => &args.common,
            Self::DeleteRecords(args) => &args.common,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigsArgs {
    /// Which [default: all]
    #[arg(value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Defaults, and what was set for brokers, too
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

const UNLIKE_OTHERS: &str = "\
Unlike kcat -Q, which prints -1, and kafka-get-offsets, which leaves the line out, where no record is that late. Unlike kcat, \
which asks as its isolation.level says (read_committed), the latest offset is the log's end unless --isolation says otherwise. Topics are in \
order, and so are partitions, as numbers. A partition whose offset cannot be told ends it with status 1, once all others are \
shown.";

#[derive(Debug, Args)]
#[command(after_help = UNLIKE_OTHERS)]
pub(crate) struct OffsetsArgs {
    /// Which partitions, and what of them, where that is not what --time says [default: all topics but Kafka's own]
    #[arg(value_name = "TOPIC[:P,P...[:TIME]]")]
    topics: Vec<String>,
    /// The same; repeatable
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:P,P...[:TIME]]")]
    named: Vec<String>,
    /// Which offset: latest (-1), earliest (-2), max-timestamp (-3), earliest-local (-4), latest-tiered (-5),
    /// earliest-pending-upload (-6), or that of the first record that is no older than so many milliseconds since 1970. Where there is none, as where no record is that late, it is `-`, and null in JSON
    #[arg(long, value_name = "TIME", default_value = "latest", allow_hyphen_values = true)]
    pub(crate) time: String,
    /// Whose view: with read_committed the latest offset is where the oldest open transaction begins
    /// [default: read_uncommitted]
    #[arg(long, value_name = "LEVEL", value_parser = ["read_uncommitted", "read_committed"])]
    pub(crate) isolation: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl OffsetsArgs {
    /// However they were named.
    pub(crate) fn topics(&self) -> Vec<String> {
        [self.topics.as_slice(), &self.named].concat()
    }
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
