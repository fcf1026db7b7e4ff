//! What a seed contained, and what many did.

use std::{fmt, time::Duration};

use crate::{
    case::Case,
    mode::Mode,
    stage::{Line, Stage, Violation},
};

/// What every seed contains at least.
pub(crate) const LEAST_REBALANCES: u64 = 2;
pub(crate) const LEAST_FAULTS: u64 = 1;
pub(crate) const LEAST_DELIVERIES: u64 = 200;
/// Of processors.
const LEAST_STARTS: u64 = 100;
/// Of transactions.
pub(crate) const LEAST_COMMITTED: u64 = 5;
pub(crate) const LEAST_ABORTED: u64 = 2;

/// What one seed contained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kind of group.
    pub mode: Mode,
    /// The seed.
    pub seed: u64,
    /// Brokers, topics and partitions.
    pub brokers: u64,
    /// How many topics.
    pub topics: u64,
    /// How many partitions.
    pub partitions: u64,
    /// Lives of consumers.
    pub consumers: u64,
    /// Generations that became stable before the trouble was over.
    pub rebalances: u64,
    /// Faults of the brokers and of the network that met somebody.
    pub faults: u64,
    /// Records that were acknowledged to the producer.
    pub acknowledged: u64,
    /// Records that were handed out.
    pub deliveries: u64,
    /// Of those, how many not for the first time.
    pub repeats: u64,
    /// How often partitions were lost.
    pub lost: u64,
    /// How often a user stayed away for too long.
    pub expelled: u64,
    /// Seeks.
    pub seeks: u64,
    /// Commits.
    pub commits: u64,
    /// From the end of the trouble until everything was done.
    pub recovery: Duration,
    /// After the trouble, how long a partition waited for its next record at most.
    pub longest_wait: Duration,
    /// The whole, in virtual time.
    pub took: Duration,
    /// Steps of the simulation.
    pub steps: u64,
    /// What only seeds of transactions have.
    pub transactions: Transactions,
    /// What only seeds of processors have.
    pub processed: Processed,
}

/// What became of the records that processors were handed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Attempts at records.
    pub starts: u64,
    /// Of the first attempts, those at records that had been done before.
    pub repeats: u64,
    /// Records that were handed out, and not handled again as a text beside an offset said that they are done.
    pub spared: u64,
    /// Records that were tried no more.
    pub hopeless: u64,
    /// Records that were given away.
    pub given: u64,
    /// Positions that were moved back while records were in hand.
    pub resets: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// How often partitions were assigned.
    pub assignments: u64,
    /// Partitions that were lost.
    pub lost: u64,
    /// Processes that crashed.
    pub crashes: u64,
    /// Processes that came to their end.
    pub ends: u64,
}

/// What became of the transactions of a seed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Transactions {
    /// Those that their producer knows to be committed.
    pub committed: u64,
    /// Those that their producer knows to be aborted.
    pub aborted: u64,
    /// Of these, those that were open for too long.
    pub timed_out: u64,
    /// Producers whose transactional id another took over.
    pub fenced: u64,
    /// Processes that crashed.
    pub crashes: u64,
    /// Processes that went on while another began with their transactional id.
    pub zombies: u64,
    /// Logs that were cut by a change of leader.
    pub truncations: u64,
    /// Coordinators that moved.
    pub moves: u64,
    /// Numbers that were read, transformed and written.
    pub transformed: u64,
    /// Whether brokers have `transaction.version` 2.
    pub implicit: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mode == Mode::Transactions {
            let (mode, seed, steps) = (self.mode, self.seed, self.steps);
            return write!(f, "{mode} {seed}: {:?}, {steps} steps", self.transactions);
        }
        if self.mode == Mode::Processing {
            let (mode, seed, steps) = (self.mode, self.seed, self.steps);
            write!(f, "{mode} {seed}: {:?}, {steps} steps", self.processed)?;
            return match self.transactions.committed {
                0 => Ok(()),
                _ => write!(f, "; {:?}", self.transactions),
            };
        }
        write!(
            f,
            "{} {}: {} brokers, {} topics, {} partitions, {} consumers; rebalances {}, faults {}, deliveries {} of \
             {} ({} repeats), lost {}, expelled {}, seeks {}, commits {}; recovered in {:.1} s of {:.1} s, {} steps",
            self.mode,
            self.seed,
            self.brokers,
            self.topics,
            self.partitions,
            self.consumers,
            self.rebalances,
            self.faults,
            self.deliveries,
            self.acknowledged,
            self.repeats,
            self.lost,
            self.expelled,
            self.seeks,
            self.commits,
            self.recovery.as_secs_f64(),
            self.took.as_secs_f64(),
            self.steps
        )
    }
}

impl Report {
    /// What a seed has too little of to count: a world in which nothing happens proves nothing.
    pub fn lacks(&self) -> Option<String> {
        let least = match self.mode {
            Mode::Transactions => [
                ("committed transactions", self.transactions.committed, LEAST_COMMITTED),
                ("aborted transactions", self.transactions.aborted, LEAST_ABORTED),
                ("faults", self.faults, LEAST_FAULTS),
            ],
            Mode::Processing => [
                ("starts", self.processed.starts, LEAST_STARTS),
                ("assignments", self.processed.assignments, 1),
                ("processes", self.consumers, 2),
            ],
            _ => [
                ("rebalances", self.rebalances, LEAST_REBALANCES),
                ("faults", self.faults, LEAST_FAULTS),
                ("deliveries", self.deliveries, LEAST_DELIVERIES),
            ],
        };
        let (name, had, least) = least.into_iter().find(|(_, had, least)| had < least)?;
        Some(format!("{} {}: {had} {name}, {least} are the least", self.mode, self.seed))
    }
}

/// A seed in which an invariant does not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was run.
    pub case: Case,
    /// How many items its plan had.
    pub items: usize,
    /// What it contained so far.
    pub report: Report,
    /// The invariant.
    pub violation: Violation,
    /// What happened, line by line, where that was asked for.
    pub journal: Vec<Line>,
}

impl Failure {
    /// What came of a run: a failure where it panicked, or an invariant was found broken.
    pub(crate) fn of(
        case: &Case,
        items: usize,
        report: Report,
        panic: Option<String>,
        stage: &mut Stage,
    ) -> Result<Report, Box<Self>> {
        let violation = panic.map(|detail| Violation { invariant: "nothing panics", detail, at: stage.time });
        match violation.or(stage.violation.take()) {
            Some(violation) => {
                let journal = stage.journal.take().unwrap_or_default();
                Err(Box::new(Self { case: case.clone(), items, report, violation, journal }))
            }
            None => Ok(report),
        }
    }

    /// What happened, without the traffic, and what the traffic was shortly before the end.
    pub fn transcript(&self) -> String {
        let recent = self.journal.len().saturating_sub(RECENT);
        let lines = self.journal.iter().enumerate();
        let lines = lines.filter(|(index, line)| line.is_story || *index >= recent);
        lines.map(|(_, line)| format!("{}\n", line.text)).collect()
    }
}

/// How many lines of traffic a transcript ends with.
const RECENT: usize = 25;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}, {}", self.case.mode, self.case.seed, self.violation)?;
        write!(f, "again: {}", self.case)
    }
}

/// The distribution over many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    reports: Vec<Report>,
}

impl Summary {
    /// Puts two together.
    pub fn merge(&mut self, other: Self) {
        self.reports.extend(other.reports);
    }

    /// The seeds that contain too little to count.
    pub fn poor(&self) -> impl Iterator<Item = String> {
        self.reports.iter().filter_map(Report::lacks)
    }

    /// One more.
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Figure = (&'static str, fn(&Report) -> u64);
        let of_groups: [Figure; 11] = [
            ("rebalances", |r| r.rebalances),
            ("faults", |r| r.faults),
            ("deliveries", |r| r.deliveries),
            ("repeats", |r| r.repeats),
            ("consumers", |r| r.consumers),
            ("lost", |r| r.lost),
            ("expelled", |r| r.expelled),
            ("seeks", |r| r.seeks),
            ("recovery, s", |r| r.recovery.as_secs()),
            ("longest wait, s", |r| r.longest_wait.as_secs()),
            ("steps", |r| r.steps),
        ];
        let of_transactions: [Figure; 14] = [
            ("committed", |r| r.transactions.committed),
            ("aborted", |r| r.transactions.aborted),
            ("timed out", |r| r.transactions.timed_out),
            ("fenced", |r| r.transactions.fenced),
            ("faults", |r| r.faults),
            ("crashes", |r| r.transactions.crashes),
            ("zombies", |r| r.transactions.zombies),
            ("truncations", |r| r.transactions.truncations),
            ("coordinators", |r| r.transactions.moves),
            ("transformed", |r| r.transactions.transformed),
            ("deliveries", |r| r.deliveries),
            ("version 2", |r| u64::from(r.transactions.implicit)),
            ("recovery, s", |r| r.recovery.as_secs()),
            ("steps", |r| r.steps),
        ];
        let of_processing: [Figure; 20] = [
            ("starts", |r| r.processed.starts),
            ("repeats", |r| r.processed.repeats),
            ("spared", |r| r.processed.spared),
            ("hopeless", |r| r.processed.hopeless),
            ("given away", |r| r.processed.given),
            ("resets", |r| r.processed.resets),
            ("failed commits", |r| r.processed.failed_commits),
            ("assignments", |r| r.processed.assignments),
            ("lost", |r| r.processed.lost),
            ("crashes", |r| r.processed.crashes),
            ("ends", |r| r.processed.ends),
            ("exactly once", |r| u64::from(r.transactions.committed > 0)),
            ("committed", |r| r.transactions.committed),
            ("aborted", |r| r.transactions.aborted),
            ("fenced", |r| r.transactions.fenced),
            ("zombies", |r| r.transactions.zombies),
            ("coordinators", |r| r.transactions.moves),
            ("faults", |r| r.faults),
            ("recovery, s", |r| r.recovery.as_secs()),
            ("steps", |r| r.steps),
        ];
        let figures = match self.reports.first().map(|report| report.mode) {
            Some(Mode::Transactions) => &of_transactions[..],
            Some(Mode::Processing) => &of_processing[..],
            _ => &of_groups[..],
        };
        writeln!(f, "{} seeds{:>16} {:>8} {:>8} {:>10}", self.reports.len(), "min", "median", "max", "sum")?;
        for (name, figure) in figures {
            let mut values: Vec<u64> = self.reports.iter().map(*figure).collect();
            values.sort_unstable();
            let (Some(least), Some(most)) = (values.first(), values.last()) else { return Ok(()) };
            let (median, sum) = (values[values.len() / 2], values.iter().sum::<u64>());
            writeln!(f, "  {name:16} {least:>8} {median:>8} {most:>8} {sum:>10}")?;
        }
        Ok(())
    }
}
