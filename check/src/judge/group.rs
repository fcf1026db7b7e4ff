//! What a group has committed: what a member may have been told that it is, and that it does not fall.

use std::collections::{BTreeMap, HashMap};

use crate::{Anomaly, Kind, history::Reset};

use super::facts::{At, Commit, Facts};

/// What may be committed at some time.
#[derive(Debug)]
pub(super) struct Standing<'f, 'a> {
    /// The lowest and the highest offset that it may be, with what committed them; `None` where that is where the reset policy
    /// leads, at the log's start.
    pub(super) low: (i64, Option<&'f Commit<'a>>),
    pub(super) high: (i64, Option<&'f Commit<'a>>),
}

/// What a member of the group can have found committed that asked no sooner than `from` and no later than `until`. `None`:
/// nothing can be said.
pub(super) fn standing<'f, 'a>(
    facts: &'f Facts<'a>,
    (group, reset): (&'a str, Option<Reset>),
    at: At<'a>,
    from: u64,
    until: u64,
) -> Option<Standing<'f, 'a>> {
    let commits = facts.commits.get(&(group, at)).map(Vec::as_slice).unwrap_or_default();
    // What they came after cannot be in force any more.
    let mut last_begun = None;
    let mut last_generation = None;
    let mut last_of_run: HashMap<(&str, usize), u64> = HashMap::new();
    for commit in commits.iter().filter(|commit| commit.certain && commit.done < from) {
        last_begun = last_begun.max(Some(commit.begun));
        last_generation = last_generation.max(commit.generation);
        let of_run = last_of_run.entry((&commit.line.operation.process, commit.run)).or_default();
        *of_run = (*of_run).max(commit.begun);
    }
    let in_force = |commit: &&Commit<'a>| {
        let of_run = last_of_run.get(&(commit.line.operation.process.as_str(), commit.run));
        // Commits of one process are made in the order in which they begin.
        let overtaken = of_run.is_some_and(|last| *last > commit.begun);
        // One that is not known to be done may be done later, but not once its generation is over.
        let over = match commit.certain {
            true => last_begun.is_some_and(|last| last > commit.done),
            false => commit.generation.is_some() && last_generation > commit.generation,
        };
        commit.begun < until && !overtaken && !over
    };
    let mut low = None;
    let mut high = None;
    if last_begun.is_none() {
        if reset != Some(Reset::Earliest) {
            return None;
        }
        (low, high) = (Some((0, None)), Some((0, None)));
    }
    for commit in commits.iter().filter(in_force) {
        if low.is_none_or(|(offset, _)| commit.offset < offset) {
            low = Some((commit.offset, Some(commit)));
        }
        if high.is_none_or(|(offset, _)| commit.offset > offset) {
            high = Some((commit.offset, Some(commit)));
        }
    }
    Some(Standing { low: low?, high: high? })
}

/// Commits of an offset below one that was committed before, where nobody had moved a position back.
pub(super) fn check<'a>(facts: &Facts<'a>, found: &mut Vec<Anomaly>) {
    for ((_, at), commits) in &facts.commits {
        let mut by_done: Vec<&Commit<'a>> = commits.iter().filter(|commit| commit.certain).collect();
        by_done.sort_by_key(|commit| commit.done);
        let mut done = by_done.into_iter().peekable();
        // What was done before the commit that is looked at: the highest of each generation and process.
        let mut highest: BTreeMap<(i32, &str), &Commit<'a>> = BTreeMap::new();
        let mut of_run: HashMap<(&str, usize), &Commit<'a>> = HashMap::new();
        // Transactions are fenced by their own means.
        for commit in commits.iter().filter(|commit| commit.run > 0 || commit.generation.is_some()) {
            let process = commit.line.operation.process.as_str();
            while let Some(before) = done.next_if(|before| before.done < commit.begun) {
                if let Some(generation) = before.generation {
                    let key = (generation, before.line.operation.process.as_str());
                    let highest = highest.entry(key).or_insert(before);
                    *highest = if before.offset > highest.offset { before } else { *highest };
                }
            }
            let own = of_run.entry((process, commit.run)).or_insert(commit);
            if commit.offset < own.offset {
                let says = "its own before, without a rebalance or a seek";
                found.push(fell(facts, *at, own, commit, says));
                continue;
            }
            *own = commit;
            let (false, true, Some(generation)) = (commit.sought, commit.certain, commit.generation) else {
                continue;
            };
            let after = highest.range((generation, "")..).map(|(_, before)| *before);
            let mut after = after
                .filter(|before| before.offset > commit.offset && before.line.operation.process != process);
            if let Some(before) = after.next() {
                let says = match before.generation == Some(generation) {
                    true => "another process's of the same generation: it had two owners",
                    false => "another process's of a later generation: this one was not to be taken any more",
                };
                found.push(fell(facts, *at, before, commit, says));
            }
        }
    }
}

fn fell<'a>(facts: &Facts<'a>, at: At<'a>, before: &Commit<'a>, now: &Commit<'a>, says: &str) -> Anomaly {
    let says = format!("offset {} was committed after {}, {says}", now.offset, before.offset);
    let mut anomaly = facts.anomaly(Kind::CommitRegression, at, says);
    anomaly.offsets.extend([before.offset, now.offset]);
    facts.prove(&mut anomaly, Some(before.line), committed(before));
    facts.prove(&mut anomaly, Some(now.line), committed(now));
    anomaly
}

pub(super) fn committed(commit: &Commit<'_>) -> String {
    let sure = if commit.certain { "committed" } else { "may have committed" };
    match commit.generation {
        Some(generation) => format!("{sure} {} in generation {generation}", commit.offset),
        None => format!("{sure} {}", commit.offset),
    }
}
