//! The table, and whether the aims are met.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use ottla_bench_child::Way;

use super::Who;
use crate::stats::median;

/// What one client was measured to cost in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// From the process's start to its first record.
    pub(super) first_millis: u64,
    /// And to the last that was there.
    pub(super) all_millis: u64,
    /// Of an idle second.
    pub(super) cpu_micros: f64,
    /// Of the fetches of an idle second, and of their answers.
    pub(super) bytes: f64,
    /// The same of the topic with few partitions.
    pub(super) bytes_of_few: Option<f64>,
    /// Beyond a consumer of one partition.
    pub(super) kib: u64,
    pub(super) rebalance_millis: Option<u64>,
}

/// A figure with its aim.
struct Figure {
    name: &'static str,
    of: fn(&Measured) -> Option<f64>,
    /// So much of the best peer's at most.
    aim: f64,
}

const FIGURES: [Figure; 5] = [
    Figure { name: "first record", of: |measured| Some(measured.first_millis as f64), aim: 1.0 },
    Figure { name: "idle CPU", of: |measured| Some(measured.cpu_micros), aim: 0.5 },
    Figure { name: "idle bytes", of: |measured| Some(measured.bytes), aim: 0.5 },
    Figure { name: "memory", of: |measured| Some(measured.kib as f64), aim: 0.5 },
    Figure {
        name: "rebalance",
        of: |measured| measured.rebalance_millis.map(|millis| millis as f64),
        aim: 1.0,
    },
];

#[derive(Default)]
pub(super) struct Report(BTreeMap<(usize, usize), Vec<Measured>>);

impl Report {
    pub(super) fn add(&mut self, way: Way, who: Who, measured: Measured) {
        self.0.entry((way as usize, who as usize)).or_default().push(measured);
    }

    /// The median of the rounds; `None` where it was not measured.
    fn of(&self, way: Way, who: Who, figure: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        let rounds = self.0.get(&(way as usize, who as usize))?;
        Some(median(rounds.iter().filter_map(figure))).filter(|median| !median.is_nan())
    }

    pub(super) fn table(&self, partitions: u32, few: u32) -> String {
        let mut text = format!(
            "| {partitions} partitions | client | first record ms | all records ms | idle CPU ms/s | idle fetches B/s \
             | of {few} partitions B/s | memory MiB | B/partition | rebalance ms |\n|---|---|---|---|---|---|---|---|---|---|\n"
        );
        for way in Way::value_variants() {
            for who in Who::value_variants() {
                let figure = |of: &dyn Fn(&Measured) -> Option<f64>| self.of(*way, *who, of);
                let Some(first) = figure(&|measured| Some(measured.first_millis as f64)) else { continue };
                let known = |figure: Option<f64>| figure.unwrap_or(f64::NAN);
                let told = |figure: Option<f64>| {
                    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.0}"))
                };
                let kib = known(figure(&|measured| Some(measured.kib as f64)));
                let _ = writeln!(
                    text,
                    "| {} | {} | {first:.0} | {:.0} | {:.2} | {:.0} | {} | {:.1} | {:.0} | {} |",
                    way.name(),
                    who.name(),
                    known(figure(&|measured| Some(measured.all_millis as f64))),
                    known(figure(&|measured| Some(measured.cpu_micros))) / 1_000.0,
                    known(figure(&|measured| Some(measured.bytes))),
                    told(figure(&|measured| measured.bytes_of_few)),
                    kib / 1_024.0,
                    kib * 1_024.0 / f64::from(partitions),
                    told(figure(&|measured| measured.rebalance_millis.map(|millis| millis as f64))),
                );
            }
        }
        text.push('\n');
        for way in Way::value_variants() {
            for Figure { name, of, aim } in FIGURES {
                let peers = Who::value_variants().iter().filter(|who| **who != Who::Ottla);
                let peers = peers.filter_map(|who| Some((self.of(*way, *who, of)?, who.name())));
                let best = peers.min_by(|(a, _), (b, _)| a.total_cmp(b));
                let (Some(own), Some((best, peer))) = (self.of(*way, Who::Ottla, of), best) else { continue };
                let met = if own <= best * aim { "met" } else { "missed" };
                let way = way.name();
                let _ = writeln!(
                    text,
                    "- {way}, {name}: {:.2} of the best peer's, {peer} (aim {aim}): {met}",
                    own / best
                );
            }
        }
        text
    }
}
