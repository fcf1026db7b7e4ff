//! What processes hold over the day: memory, descriptors, threads, tasks.

use std::{collections::BTreeMap, fs, time::Instant};

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Hours since its start.
    pub(crate) hours: f64,
    /// Resident memory, in KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
}

/// The part of a life that counts for nothing: pools fill, code is read in.
const WARM_UP: f64 = 0.25;

/// Below this a slope is noise: what a pool's next buffer is beside minutes.
const MEASURED: f64 = 0.5;

/// How much more of memory an hour is a leak, in KiB; and how much in all, where that is more.
pub(crate) const STEEPEST: f64 = 1024.0;
pub(crate) const GROWN: f64 = 8192.0;

/// How many more of anything else may stay.
const SLACK: u64 = 2;

struct Life {
    pid: u32,
    since: Instant,
    tasks: u64,
    samples: Vec<Sample>,
}

/// Of each actor that lives all day.
#[derive(Default)]
pub(crate) struct Samples(BTreeMap<&'static str, Life>);

/// What became of one of them.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) first: Sample,
    pub(crate) last: Sample,
    /// KiB an hour, by least squares behind the warm-up.
    pub(crate) slope: f64,
    pub(crate) leaks: Vec<String>,
}

impl Samples {
    pub(crate) fn started(&mut self, name: &'static str, pid: u32, is_kept: bool) {
        if is_kept {
            let life = Life { pid, since: Instant::now(), tasks: 0, samples: Vec::new() };
            self.0.insert(name, life);
        }
    }

    pub(crate) fn ended(&mut self, name: &str) {
        if let Some(life) = self.0.get_mut(name) {
            // A number that is given to another process is not looked at.
            life.pid = 0;
        }
    }

    pub(crate) fn tasks(&mut self, name: &str, tasks: u64) {
        if let Some(life) = self.0.get_mut(name) {
            life.tasks = tasks;
        }
    }

    pub(crate) fn take(&mut self) {
        for life in self.0.values_mut().filter(|life| life.pid != 0) {
            let hours = life.since.elapsed().as_secs_f64() / 3600.0;
            life.samples.extend(sample(life.pid, hours, life.tasks));
        }
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.0.iter().filter_map(|(name, life)| verdict(name, &life.samples)).collect()
    }
}

fn sample(pid: u32, hours: f64, tasks: u64) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample { hours, memory: number("VmRSS:")?, descriptors, threads: number("Threads:")?, tasks })
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

fn verdict(name: &'static str, samples: &[Sample]) -> Option<Verdict> {
    let warm = samples.get((samples.len() as f64 * WARM_UP) as usize..)?;
    let (first, last) = (*warm.first()?, *warm.last()?);
    let memory: Vec<(f64, f64)> = warm.iter().map(|sample| (sample.hours, sample.memory as f64)).collect();
    let (slope, hours) = (slope(&memory), last.hours - first.hours);
    let mut leaks = Vec::new();
    if hours >= MEASURED && slope > STEEPEST && slope * hours > GROWN / 4.0 || slope * hours > GROWN {
        leaks.push(format!("memory: {slope:.0} KiB an hour, over {hours:.2} h"));
    }
    let quarter = warm.len() / 4;
    let (early, late) = (warm.get(..quarter)?, warm.get(warm.len() - quarter..)?);
    let descriptors: fn(&Sample) -> u64 = |sample| sample.descriptors;
    for (what, of) in
        [("descriptors", descriptors), ("threads", |sample| sample.threads), ("tasks", |sample| sample.tasks)]
    {
        // What faults have a process hold for a while is in its most; what never gets fewer again is in its least.
        if let (Some(most), Some(least)) = (early.iter().map(of).max(), late.iter().map(of).min())
            && least > most + SLACK
        {
            leaks.push(format!("{what}: at most {most} at first, at least {least} at last"));
        }
    }
    Some(Verdict { name, first, last, slope, leaks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(hours: f64, of: impl Fn(f64) -> (f64, u64)) -> Vec<Sample> {
        let at = |index: u32| {
            let at = hours * f64::from(index) / 400.0;
            let (memory, descriptors) = of(at);
            Sample { hours: at, memory: memory as u64, descriptors, threads: 3, tasks: 1 }
        };
        (0..400).map(at).collect()
    }

    #[test]
    fn memory_that_grows_is_a_leak_and_the_slope_is_told() {
        let grows = samples(2.0, |hours| (20_000.0 + 3000.0 * hours, 20));
        let verdict = verdict("grows", &grows).unwrap();
        assert!((verdict.slope - 3000.0).abs() < 10.0, "{verdict:?}");
        assert_eq!(verdict.leaks.len(), 1, "{verdict:?}");
    }

    #[test]
    fn memory_that_fills_a_pool_and_swings_is_none() {
        let swings = samples(2.0, |hours| {
            (20_000.0 + 4000.0 * (hours * 8.0).min(1.0) + 900.0 * (hours * 50.0).sin(), 20)
        });
        assert_eq!(verdict("swings", &swings).unwrap().leaks, Vec::<String>::new());
        let short = samples(0.15, |hours| (20_000.0 + 9000.0 * hours, 20));
        assert_eq!(verdict("short", &short).unwrap().leaks, Vec::<String>::new());
    }

    #[test]
    fn descriptors_that_stay_are_a_leak_and_those_that_come_and_go_are_none() {
        let stay = samples(1.0, |hours| (20_000.0, 20 + (hours * 12.0) as u64));
        assert_eq!(verdict("stay", &stay).unwrap().leaks.len(), 1);
        let go = samples(1.0, |hours| (20_000.0, 20 + (hours * 12.0) as u64 % 6));
        assert_eq!(verdict("go", &go).unwrap().leaks, Vec::<String>::new());
    }
}
