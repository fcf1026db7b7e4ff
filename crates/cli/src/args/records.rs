//! `ottla produce` and `ottla consume`. Their letters mean what they mean to kcat, as far as it has them.

use clap::Args;

use super::Common;

const UNLIKE_KCAT_TO_PRODUCE: &str = "\
Unlike kcat: an empty line is a record, and with -Z its value is null; the topic is not created; a record that is not written \
ends it, with status 1. All records of a transaction are written, or none.";

const UNLIKE_KCAT_TO_CONSUME: &str = "\
Unlike kcat: an offset that is not in the log is an error, and -N begins where the log does if it has less; records of open \
and aborted transactions are read (--isolation); -c 0 prints nothing; -o stored needs -X group.id=GROUP; a partition that \
cannot be read is an error, with -e once all others are printed; in -J bytes that are not UTF-8 are in base64, and the key \
`base64` tells which; %h prints all bytes of a value; e@MS ends by itself; an end is noted once; what -o or an escape does \
not know is an error; a topic that begins with ^ is a pattern by --regex alone; with -G the place in a partition without records \
is committed, too; there is no -s: values of registered schemas are read by the library. Of -b and -X bootstrap.servers the \
flag counts alone. The status is 0 once it is done, 1 where it failed, 2 for wrong usage.";

#[derive(Debug, Args)]
#[command(after_help = UNLIKE_KCAT_TO_PRODUCE)]
pub(crate) struct ProduceArgs {
    /// Where to
    #[arg(required_unless_present = "named")]
    topic: Option<String>,
    /// The same
    #[arg(short = 't', long = "topic", value_name = "TOPIC", conflicts_with = "topic")]
    named: Option<String>,
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

impl ProduceArgs {
    /// However it was named.
    pub(crate) fn topic(&self) -> &str {
        self.topic.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
#[command(after_help = UNLIKE_KCAT_TO_CONSUME)]
pub(crate) struct ConsumeArgs {
    /// Which topics
    #[arg(required_unless_present = "named")]
    topics: Vec<String>,
    /// The same; repeatable
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    named: Vec<String>,
    /// Read as a member of this group, and commit what was printed
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Only this partition
    #[arg(short, long, value_name = "N", conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// Where to begin: beginning, end, stored, N, -N (before the end), s@MS (a time); e@MS: where to stop, before the first
    /// record that is no older, else at the end once that time has come. With -G only beginning or end, for partitions
    /// without a committed offset [default: beginning; with -G end]
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) offset: Vec<String>,
    /// End after so many records
    #[arg(short, long, value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// End when each partition reached the end that it had when assigned
    #[arg(short, long)]
    pub(crate) exit: bool,
    /// How a record is printed: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp, %h headers, %K and
    /// %S lengths of key and value (-1 for none), %R the value's length in 4 bytes, big-endian, %% a percent sign; \n \r
    /// \t \\ \xHH [default: %s\n]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// One JSON object a record, as kcat prints it. What follows each is the delimiter of -D, or the text with which -f
    /// begins
    #[arg(short = 'J')]
    pub(crate) json: bool,
    /// Print the key, and this behind it, before the value, with the escapes of -f; not with -f or -J, which have the key
    #[arg(short = 'K', value_name = "DELIM")]
    pub(crate) key_delimiter: Option<String>,
    /// What is printed behind each record, with the escapes of -f; not with -f, which has its own
    #[arg(short = 'D', value_name = "DELIM", default_value = "\\n")]
    pub(crate) delimiter: String,
    /// Print NULL for a key or a value that is null or empty; -J tells the two apart by itself
    #[arg(short = 'Z')]
    pub(crate) null: bool,
    /// Say nothing, on stderr, of ends that are reached and of what the group assigns
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write each record by itself, at once
    #[arg(short, long)]
    pub(crate) unbuffered: bool,
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

impl ConsumeArgs {
    /// However they were named.
    pub(crate) fn topics(&self) -> Vec<String> {
        [self.topics.as_slice(), &self.named].concat()
    }
}
