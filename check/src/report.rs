//! What a judgement says: anomalies with their evidence, and how much was looked at.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// Anomalies of one kind that are told in full; further ones are counted.
const TOLD: usize = 100;
/// Pieces of evidence that are told of one anomaly.
pub(crate) const EVIDENCE: usize = 12;

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident = $name:literal; )*) => {
        /// What can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Kind {
            $( $(#[$doc])* $kind, )*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$kind ),*];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$kind => $name, )* }
            }
        }
    };
}

kinds! {
    /// A record was acknowledged, or read, and is not in the log although records behind it were read.
    Lost = "lost";
    /// One value is at two places although it was sent once.
    Duplicate = "duplicate";
    /// Two values are at one offset.
    InconsistentOffset = "inconsistent-offset";
    /// A value was read that nobody sent.
    NeverSent = "never-sent";
    /// A process went past records that it did not get, without a rebalance or a seek.
    PollSkip = "poll-skip";
    /// A process was handed an offset again, or an earlier one, without a rebalance or a seek.
    NonMonotonicPoll = "non-monotonic-poll";
    /// A process began behind the committed offset, past records.
    SkipAfterRebalance = "skip-after-rebalance";
    /// A process began before the committed offset, so that records which are done were handed out again.
    RepeatAfterCommit = "repeat-after-commit";
    /// A committed offset fell.
    CommitRegression = "commit-regression";
    /// A value was read of a transaction that was aborted, or of a send that failed.
    AbortedRead = "aborted-read";
    /// A value was read before its transaction was committed, or of one that never was.
    DirtyRead = "dirty-read";
    /// Some values of a transaction are in the log, and others not.
    TornTransaction = "torn-transaction";
    /// A record's output is missing although the record is committed, or was committed in two transactions.
    ExactlyOnce = "exactly-once";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line of the history that proves something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The file.
    pub file: String,
    /// The line in it, from 1 on.
    pub line: u64,
    /// Whose operation it is.
    pub process: String,
    /// What it says.
    pub says: String,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// Which.
    pub kind: Kind,
    /// The topic.
    pub topic: String,
    /// The partition; none of a transaction, which may have several.
    pub partition: Option<i32>,
    /// The offsets, at most twelve.
    pub offsets: Vec<i64>,
    /// The values, at most twelve.
    pub values: Vec<String>,
    /// One sentence.
    pub says: String,
    /// The lines that prove it, at most twelve.
    pub evidence: Vec<Evidence>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines.
    pub operations: usize,
    /// Processes.
    pub processes: usize,
    /// Values that were sent.
    pub sent: usize,
    /// Of these, acknowledged.
    pub acknowledged: usize,
    /// Of these, known to have failed.
    pub failed: usize,
    /// Records that were handed out, repeats included.
    pub handed_out: usize,
    /// Commits outside of transactions that are known to be done.
    pub commits: usize,
    /// Times that partitions came to a process.
    pub assignments: usize,
    /// Transactions that are known to be committed.
    pub transactions: usize,
    /// Processes that crashed.
    pub crashes: usize,
    /// Partitions that were read from the start to the end.
    pub final_reads: usize,
    /// Acknowledged records that nobody was handed, and nobody went past: whether they are there is not known.
    pub unread: usize,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How much was looked at.
    pub counts: Counts,
    /// How many anomalies of each kind.
    pub totals: BTreeMap<Kind, usize>,
    /// Of each kind the first hundred.
    pub anomalies: Vec<Anomaly>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.totals.is_empty()
    }

    pub(crate) fn add(&mut self, anomaly: Anomaly) {
        let total = self.totals.entry(anomaly.kind).or_default();
        *total += 1;
        if *total <= TOLD {
            self.anomalies.push(anomaly);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for anomaly in &self.anomalies {
            writeln!(f, "{}: {}", anomaly.kind, anomaly.says)?;
            for Evidence { file, line, process, says } in &anomaly.evidence {
                writeln!(f, "    {file}:{line} {process}: {says}")?;
            }
        }
        for (kind, total) in &self.totals {
            let untold = total.saturating_sub(TOLD);
            if untold > 0 {
                writeln!(f, "{kind}: {untold} more")?;
            }
        }
        let Counts { operations, processes, sent, acknowledged, failed, handed_out, .. } = self.counts;
        let Counts { commits, assignments, transactions, crashes, final_reads, unread, .. } = self.counts;
        writeln!(
            f,
            "{operations} operations of {processes} processes, {crashes} crashes; {sent} sent: {acknowledged} acknowledged, \
             {failed} failed, {} unknown; {handed_out} handed out in {assignments} assignments; {commits} commits; \
             {transactions} transactions",
            sent - acknowledged - failed,
        )?;
        if final_reads == 0 {
            writeln!(f, "no final read: what was lost at the end of a log does not show")?;
        }
        if unread > 0 {
            writeln!(f, "{unread} acknowledged records were not looked for: nobody read that far")?;
        }
        match self.totals.values().sum::<usize>() {
            0 => write!(f, "clean"),
            total => {
                let kinds: Vec<String> =
                    self.totals.iter().map(|(kind, total)| format!("{total} {kind}")).collect();
                write!(f, "{total} anomalies: {}", kinds.join(", "))
            }
        }
    }
}
