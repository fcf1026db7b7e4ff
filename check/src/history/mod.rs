//! What processes did, as JSON lines: one operation a line.
//!
//! Each line has `process` (a name), `at` (when the operation began, in microseconds of a clock that all processes share)
//! and `op`; `done` is when its outcome was known, `at` where it is left out. What comes out of an operation that may be
//! cut off is written twice: with the outcome `unknown` before it begins, and again, in a later line of the same process,
//! once the outcome is known. The lines of a process stand in one file, in order; files are merged by time.
//!
//! Where `topic` is left out there is one topic only, without a name. The fields of each `op` are those of [`Op`] in the
//! same spelling; a field that is not known is an error. `docs/checker.md` has the table with examples.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{BadHistory, LINE_BYTES, OPERATIONS};
pub use write::Writer;

/// Operations of any number of processes.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub(crate) files: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

impl History {
    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An operation, and the line that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) file: usize,
    pub(crate) line: u64,
    pub(crate) operation: Operation,
}

/// What one process did.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Whose.
    pub process: String,
    /// When it began, in microseconds of a clock that all processes share.
    pub at: u64,
    /// When its outcome was known; `at` where it is left out.
    pub done: Option<u64>,
    /// What it was.
    pub op: Op,
}

impl Operation {
    /// When its outcome was known.
    pub fn ended(&self) -> u64 {
        self.done.unwrap_or(self.at).max(self.at)
    }
}

/// The kinds of operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// A process begins, or begins anew: it has no positions.
    Start {
        /// The group that it reads and commits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// What it reads.
        #[serde(default)]
        isolation: Isolation,
        /// Where it begins without a committed offset; not judged where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset: Option<Reset>,
        /// Whether each of its sends is in the log at most once. Default true, as Java's `enable.idempotence`.
        #[serde(default = "yes")]
        idempotent: bool,
    },
    /// A process ended in good order.
    Stop {},
    /// A process was killed, or ended by itself. Written by whoever saw it.
    Crash {},
    /// What is to be known of a topic.
    Topic {
        /// Its name.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Whether it keeps the last record of each key alone: `cleanup.policy=compact`.
        #[serde(default)]
        compacted: bool,
    },
    /// Records below an offset were deleted on purpose, by retention or on demand.
    Trimmed {
        /// Whose.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Of which partition.
        partition: i32,
        /// The first that is kept.
        offset: i64,
    },
    /// A record was sent. Its value is unique in its topic: it tells one send from another.
    Send {
        /// Where to.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Its partition; may be left out until it is acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<i32>,
        /// Its value.
        value: String,
        /// Its key: on a compacted topic a later record of the same key may replace it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// What became of it.
        outcome: Outcome,
        /// Where it is, once acknowledged; left out where the broker did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
        /// The transaction that it is of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        txn: Option<String>,
        /// The record that it was made from, in a process that reads, transforms and writes: each such record is to have
        /// its output in exactly one transaction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Position>,
    },
    /// A process asked for topics. Tells nothing by itself: partitions come with [`Assign`](Op::Assign).
    Subscribe {
        /// Which.
        topics: Vec<String>,
    },
    /// Partitions came to a process, by its group or its own choice: it begins at the committed offsets.
    Assign {
        /// Those that came, not those that it had before and kept.
        partitions: Vec<Place>,
        /// The generation, or member epoch, in which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<i32>,
    },
    /// Partitions were taken from a process.
    Revoke {
        /// Which.
        partitions: Vec<Place>,
        /// Whether they were lost: gone before the process knew.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
    },
    /// A process moved its position.
    Seek {
        /// Of which topic.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Of which partition.
        partition: i32,
        /// The next offset to read; left out for the log's start or end, or a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
    },
    /// A process was handed records, in this order.
    Poll {
        /// Which.
        records: Vec<Record>,
    },
    /// A process committed offsets outside of transactions.
    Commit {
        /// Tells two lines of one commit from two commits: unique in its process since its start. The later line counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Of each partition the next offset to read.
        offsets: Vec<Position>,
        /// The generation, or member epoch, in which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<i32>,
        /// What became of it.
        outcome: Outcome,
    },
    /// A process asked what its group has committed.
    Fetched {
        /// What it was told, of partitions that have a committed offset.
        offsets: Vec<Position>,
    },
    /// A transaction began.
    Begin {
        /// Names this one transaction: not the transactional id, which many share.
        txn: String,
    },
    /// A transaction was to end. Written before it is asked for, with the outcome `unknown`, as nobody may read it sooner.
    End {
        /// Which.
        txn: String,
        /// How.
        decision: Decision,
        /// Whether it did. A commit that `failed` is known to be aborted.
        outcome: Outcome,
        /// The group whose offsets it commits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// The offsets that it commits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offsets: Vec<Position>,
    },
    /// What this process was handed of a partition since the latest `assign` is all that is in the log. Written once it has
    /// read that far.
    Final {
        /// Of which topic.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Of which partition.
        partition: i32,
        /// The log's first offset.
        from: i64,
        /// The offset behind the log's last record, as asked once the assignment had come; for a reader of committed
        /// records the last stable offset.
        to: i64,
    },
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Ok,
    /// It is not done, and will not be.
    Failed,
    /// It may be done, or be done later.
    Unknown,
}

/// Which records are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// All.
    #[default]
    ReadUncommitted,
    /// Those of transactions only once these are committed.
    ReadCommitted,
}

/// Where a group begins without a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// At the log's start.
    Earliest,
    /// At the log's end.
    Latest,
    /// Nowhere.
    None,
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// All of it.
    Commit,
    /// Nothing of it.
    Abort,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its topic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Its number.
    pub partition: i32,
}

/// An offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Its topic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its topic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: String,
}

const fn yes() -> bool {
    true
}
