//! What a seed contained, and what many did.

use std::{fmt, time::Duration};

use crate::{plan::Bug, stage::Violation};

/// What one seed contained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
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
    /// Generations that became stable.
    pub rebalances: u64,
    /// Faults of the brokers and of the network.
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
    /// The whole, in virtual time.
    pub took: Duration,
    /// Steps of the simulation.
    pub steps: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} brokers, {} topics, {} partitions, {} consumers; rebalances {}, faults {}, deliveries {} of \
             {} ({} repeats), lost {}, expelled {}, seeks {}, commits {}; recovered in {:.1} s of {:.1} s, {} steps",
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

/// A seed in which an invariant does not hold.
#[derive(Debug)]
pub struct Failure {
    /// What it contained so far.
    pub report: Report,
    /// The invariant.
    pub violation: Violation,
    /// The bug that was switched on.
    pub planted: Option<Bug>,
    /// What happened, line by line, where that was asked for.
    pub journal: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let planted = self.planted.map(|bug| format!(" --planted {bug}")).unwrap_or_default();
        writeln!(f, "seed {}, {}", self.report.seed, self.violation)?;
        write!(f, "replay: cargo run -p ottla-sim -- {}{planted}", self.report.seed)
    }
}

/// The distribution over many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    reports: Vec<Report>,
}

impl Summary {
    /// One more.
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Figure = (&'static str, fn(&Report) -> u64);
        let figures: [Figure; 10] = [
            ("rebalances", |r| r.rebalances),
            ("faults", |r| r.faults),
            ("deliveries", |r| r.deliveries),
            ("repeats", |r| r.repeats),
            ("consumers", |r| r.consumers),
            ("lost", |r| r.lost),
            ("expelled", |r| r.expelled),
            ("seeks", |r| r.seeks),
            ("recovery, s", |r| r.recovery.as_secs()),
            ("steps", |r| r.steps),
        ];
        writeln!(f, "{} seeds{:>16} {:>8} {:>8} {:>10}", self.reports.len(), "min", "median", "max", "sum")?;
        for (name, figure) in figures {
            let mut values: Vec<u64> = self.reports.iter().map(figure).collect();
            values.sort_unstable();
            let (Some(least), Some(most)) = (values.first(), values.last()) else { return Ok(()) };
            let (median, sum) = (values[values.len() / 2], values.iter().sum::<u64>());
            writeln!(f, "  {name:16} {least:>8} {median:>8} {most:>8} {sum:>10}")?;
        }
        Ok(())
    }
}
