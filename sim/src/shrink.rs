//! Makes a failure smaller: what the plan has in store is left out, piece by piece, while the same invariant breaks.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{case::Case, report::Failure, run::run};

/// The smallest failure that is found in this time, with its journal.
pub fn shrink(failure: &Failure, patience: Duration) -> Box<Failure> {
    let until = Instant::now() + patience;
    let invariant = failure.violation.invariant;
    let fails = |without: &BTreeSet<usize>| {
        let case = Case { without: without.clone(), ..failure.case.clone() };
        run(&case, true).err().filter(|failure| failure.violation.invariant == invariant)
    };
    let mut without = failure.case.without.clone();
    let mut best = fails(&without);
    let mut size = failure.items.div_ceil(2).max(1);
    loop {
        let mut smaller = false;
        let kept: Vec<usize> = (0..failure.items).filter(|item| !without.contains(item)).collect();
        for chunk in kept.chunks(size) {
            if Instant::now() > until {
                break;
            }
            let fewer: BTreeSet<usize> = without.iter().chain(chunk).copied().collect();
            if let Some(failure) = fails(&fewer) {
                (without, best, smaller) = (fewer, Some(failure), true);
            }
        }
        match size {
            _ if Instant::now() > until => break,
            1 if !smaller => break,
            _ => size = size.div_ceil(2),
        }
    }
    best.unwrap_or_else(|| Box::new(failure.clone()))
}
