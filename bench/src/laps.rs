//! Laps of several contenders in turn, round by round, and what can be said of them together.

use std::fs;

use anyhow::Result;
use ottla_bench_child::Lap;

use crate::stats::{median, middle_half};

/// Each round's, in the contenders' order.
pub(crate) struct Laps(Vec<Vec<Lap>>);

impl Laps {
    /// Each other round goes the other way, so that who comes behind whom favours nobody. `lap` is told the round, from 1,
    /// and the contender's place.
    pub(crate) fn run(
        rounds: usize,
        contenders: usize,
        mut lap: impl FnMut(usize, usize) -> Result<Lap>,
    ) -> Result<Self> {
        let mut laps = Vec::new();
        for round in 1..=rounds {
            let forward = round % 2 == 1;
            let place = |turn| if forward { turn } else { contenders - 1 - turn };
            let mut in_turn =
                (0..contenders).map(|turn| lap(round, place(turn))).collect::<Result<Vec<_>>>()?;
            if !forward {
                in_turn.reverse();
            }
            laps.push(in_turn);
        }
        Ok(Self(laps))
    }

    pub(crate) fn rounds(&self) -> usize {
        self.0.len()
    }

    /// Those of one contender.
    pub(crate) fn each(&self, contender: usize) -> impl Iterator<Item = &Lap> {
        self.0.iter().filter_map(move |laps| laps.get(contender))
    }

    /// The median of a figure of one contender.
    pub(crate) fn of(&self, contender: usize, value: impl Fn(&Lap) -> f64) -> f64 {
        median(self.each(contender).map(value))
    }

    /// The peak of memory, in MiB.
    pub(crate) fn peak(&self, contender: usize) -> f64 {
        self.of(contender, |lap| lap.vm_hwm_kib as f64 / 1024.0)
    }

    /// The rounds' own ratios of one contender's figure to another's.
    pub(crate) fn ratios(
        &self,
        contender: usize,
        over: usize,
        value: impl Fn(&Lap) -> f64,
    ) -> impl Iterator<Item = f64> {
        self.each(contender).zip(self.each(over)).map(move |(lap, other)| value(lap) / value(other))
    }

    /// `1.10 (1.05-1.20)`: the median, and the middle half of the rounds.
    pub(crate) fn range(&self, contender: usize, over: usize, value: impl Fn(&Lap) -> f64) -> String {
        let ratios: Vec<f64> = self.ratios(contender, over, value).collect();
        let (low, high) = middle_half(ratios.iter().copied());
        format!("{:.2} ({low:.2}-{high:.2})", median(ratios.into_iter()))
    }
}

/// What a round's lap has cost, as it is told meanwhile.
pub(crate) fn tell(what: &str, (round, rounds): (usize, usize), name: &str, lap: &Lap) {
    let (micros, load) = (lap.micros_per_record(), load_average());
    eprintln!("{what} {round}/{rounds} {name}: {micros:.3} µs/record; load {load}");
}

/// Of the last minute: what else the machine did.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
