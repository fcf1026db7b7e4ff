//! A walk through what each process was handed, in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    Anomaly, Kind,
    history::{Entry, Isolation, Op, Outcome, Record, Reset},
};

use super::{
    facts::{At, Facts, Fate, Seen},
    group::{Standing, committed, standing},
    told::place,
};

/// What the walk leaves for later.
#[derive(Debug, Default)]
pub(super) struct Walked<'a> {
    /// What is told as lost already.
    pub(super) lost: BTreeSet<(At<'a>, i64)>,
    pub(super) finals: Vec<Final<'a>>,
}

/// A partition as it was read from its start to its end.
#[derive(Debug)]
pub(super) struct Final<'a> {
    pub(super) line: &'a Entry,
    pub(super) at: At<'a>,
    pub(super) isolation: Isolation,
    /// When it began.
    pub(super) since: u64,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) handed: BTreeMap<i64, &'a str>,
}

#[derive(Debug, Default)]
struct Process<'a> {
    group: Option<&'a str>,
    isolation: Isolation,
    reset: Option<Reset>,
    runs: HashMap<At<'a>, Run<'a>>,
    /// Where it was in partitions that were revoked: one that comes back may go on there.
    left: HashMap<At<'a>, i64>,
}

#[derive(Debug)]
struct Run<'a> {
    next: Next<'a>,
    /// When it began.
    since: u64,
    handed: BTreeMap<i64, &'a str>,
}

/// What a process must be handed next of a partition.
#[derive(Debug, Clone, Copy)]
enum Next<'a> {
    Anything,
    /// What is at the committed offset, or where this process was before.
    Committed(Option<i64>, &'a Entry),
    /// What is at this offset or, where nothing is, behind it.
    At(i64, &'a Entry),
}

pub(super) fn check<'a>(facts: &Facts<'a>, found: &mut Vec<Anomaly>) -> Walked<'a> {
    let mut walk = Walk { facts, found, walked: Walked::default() };
    let mut processes: HashMap<&str, Process<'a>> = HashMap::new();
    for (_, line) in &facts.entries {
        walk.step(processes.entry(&line.operation.process).or_default(), line);
    }
    walk.walked
}

struct Walk<'f, 'a> {
    facts: &'f Facts<'a>,
    found: &'f mut Vec<Anomaly>,
    walked: Walked<'a>,
}

impl<'a> Walk<'_, 'a> {
    fn step(&mut self, process: &mut Process<'a>, line: &'a Entry) {
        let since = line.operation.at;
        match &line.operation.op {
            Op::Start { group, isolation, reset, .. } => {
                let group = group.as_deref();
                *process = Process { group, isolation: *isolation, reset: *reset, ..Process::default() };
            }
            Op::Stop {} | Op::Crash {} => {
                process.runs.clear();
                process.left.clear();
            }
            Op::Assign { partitions, .. } => {
                for at in partitions {
                    let at = (at.topic.as_str(), at.partition);
                    let before = match process.runs.get(&at).map(|run| run.next) {
                        Some(Next::At(offset, _)) => Some(offset),
                        _ => process.left.get(&at).copied(),
                    };
                    let next = process.group.map_or(Next::Anything, |_| Next::Committed(before, line));
                    process.runs.insert(at, Run { next, since, handed: BTreeMap::new() });
                }
            }
            Op::Revoke { partitions, .. } => {
                for at in partitions {
                    let at = (at.topic.as_str(), at.partition);
                    if let Some(Run { next: Next::At(offset, _), .. }) = process.runs.remove(&at) {
                        process.left.insert(at, offset);
                    }
                }
            }
            Op::Seek { topic, partition, offset } => {
                let run = process.runs.entry((topic, *partition));
                let run = run.or_insert(Run { next: Next::Anything, since, handed: BTreeMap::new() });
                run.next = offset.map_or(Next::Anything, |offset| Next::At(offset, line));
            }
            Op::Fetched { offsets } => {
                for told in offsets {
                    self.fetched(process, line, (&told.topic, told.partition), told.offset);
                }
            }
            Op::Poll { records } => records.iter().for_each(|record| self.handed(process, line, record)),
            Op::Final { topic, partition, from, to } => {
                let at = (topic.as_str(), *partition);
                let run = process.runs.remove(&at);
                let (since, handed) = run.map_or((since, BTreeMap::new()), |run| (run.since, run.handed));
                let (isolation, from, to) = (process.isolation, *from, *to);
                self.walked.finals.push(Final { line, at, isolation, since, from, to, handed });
            }
            _ => {}
        }
    }

    fn fetched(&mut self, process: &mut Process<'a>, line: &'a Entry, at: At<'a>, offset: i64) {
        let Some(group) = process.group else { return };
        let operation = &line.operation;
        let standing = standing(self.facts, (group, process.reset), at, operation.at, operation.ended());
        if let Some(Standing { low: (low, Some(commit)), .. }) = standing
            && offset < low
        {
            let says = format!("{offset} was told as committed after {low} was");
            let mut anomaly = self.facts.anomaly(Kind::CommitRegression, at, says);
            anomaly.offsets.extend([low, offset]);
            self.facts.prove(&mut anomaly, Some(commit.line), committed(commit));
            self.facts.prove(&mut anomaly, Some(line), format!("was told {offset}"));
            self.found.push(anomaly);
        }
        if let Some(run) = process.runs.get_mut(&at)
            && matches!(run.next, Next::Committed(..))
        {
            run.next = Next::At(offset, line);
        }
    }

    fn handed(&mut self, process: &mut Process<'a>, line: &'a Entry, record: &'a Record) {
        let (at, offset) = ((record.topic.as_str(), record.partition), record.offset);
        self.read(process.isolation, line, record);
        let is_final = self.facts.final_readers.contains(&(line.operation.process.as_str(), at));
        let since = line.operation.at;
        let run = process.runs.entry(at);
        let run = run.or_insert(Run { next: Next::Anything, since, handed: BTreeMap::new() });
        match run.next {
            Next::Anything => {}
            Next::Committed(before, assigned) => {
                let group = (process.group.unwrap_or_default(), process.reset);
                let until = line.operation.ended();
                if let Some(standing) = standing(self.facts, group, at, run.since, until) {
                    self.first(&standing, before, (assigned, process.isolation), line, record);
                }
            }
            Next::At(next, before) if offset < next => {
                let says = format!("offset {offset} was handed out where {next} was next");
                let mut anomaly = self.facts.anomaly(Kind::NonMonotonicPoll, at, says);
                place(&mut anomaly, offset, &record.value);
                self.facts.prove(&mut anomaly, Some(before), format!("was to go on at {next}"));
                self.facts.prove(&mut anomaly, Some(line), format!("was handed offset {offset}"));
                self.found.push(anomaly);
            }
            // What a final read goes past is lost: that is judged once it is over.
            Next::At(..) if is_final => {}
            Next::At(next, before) => {
                let skipped = self.facts.due(at, next..offset, process.isolation);
                let how = format!("was to go on at {next}");
                self.skipped(Kind::PollSkip, &skipped, (before, how), line, record);
            }
        }
        run.next = Next::At(offset.saturating_add(1), line);
        if is_final {
            run.handed.insert(offset, &record.value);
        }
    }

    /// The first record of a partition that the group gave to the process.
    fn first(
        &mut self,
        standing: &Standing<'_, 'a>,
        before: Option<i64>,
        (assigned, isolation): (&'a Entry, Isolation),
        line: &'a Entry,
        record: &'a Record,
    ) {
        let (at, offset) = ((record.topic.as_str(), record.partition), record.offset);
        if let (low, Some(commit)) = standing.low
            && offset < low
        {
            let says =
                format!("offset {offset} was handed out although {low} was committed before the assignment");
            let mut anomaly = self.facts.anomaly(Kind::RepeatAfterCommit, at, says);
            place(&mut anomaly, offset, &record.value);
            self.facts.prove(&mut anomaly, Some(commit.line), committed(commit));
            self.facts.prove(&mut anomaly, Some(assigned), "was assigned the partition");
            self.facts.prove(&mut anomaly, Some(line), format!("was handed offset {offset}"));
            self.found.push(anomaly);
        }
        let from = standing.high.0.max(before.unwrap_or(0));
        let skipped = self.facts.due(at, from..offset, isolation);
        let how = format!("was assigned the partition, where at most {from} was committed");
        self.skipped(Kind::SkipAfterRebalance, &skipped, (assigned, how), line, record);
    }

    /// A process went past these: lost, where nobody has read them.
    fn skipped(
        &mut self,
        kind: Kind,
        skipped: &[(i64, &Seen<'a>)],
        (before, how): (&'a Entry, String),
        line: &'a Entry,
        record: &'a Record,
    ) {
        let (at, offset) = ((record.topic.as_str(), record.partition), record.offset);
        let (read, unread): (Vec<_>, Vec<_>) = skipped.iter().partition(|(_, seen)| seen.read.is_some());
        let is_new = |lost: &&(i64, &Seen<'a>)| self.walked.lost.insert((at, lost.0));
        let lost: Vec<_> = unread.into_iter().filter(is_new).collect();
        for (kind, of_kind) in [(kind, read), (Kind::Lost, lost)] {
            if of_kind.is_empty() {
                continue;
            }
            let whose = &line.operation.process;
            let says = match kind {
                Kind::Lost => {
                    format!("{} acknowledged records before offset {offset} are not there", of_kind.len())
                }
                _ => format!("{whose} went past {} records to offset {offset}", of_kind.len()),
            };
            let mut anomaly = self.facts.anomaly(kind, at, says);
            self.facts.prove(&mut anomaly, Some(before), how.clone());
            self.facts.prove(&mut anomaly, Some(line), format!("was handed offset {offset}"));
            for (offset, seen) in of_kind {
                place(&mut anomaly, *offset, seen.value);
                self.facts.prove(&mut anomaly, seen.line(), format!("offset {offset} is `{}`", seen.value));
            }
            self.found.push(anomaly);
        }
    }

    /// Whether the value was to be read at all.
    fn read(&mut self, isolation: Isolation, line: &'a Entry, record: &'a Record) {
        let (topic, value) = (record.topic.as_str(), record.value.as_str());
        let Some(sent) = self.facts.sent(topic, value) else { return };
        let failed = sent.outcome == Outcome::Failed;
        let txn = self.facts.txn_of(topic, value).filter(|_| isolation == Isolation::ReadCommitted);
        let too_early = |begun: Option<u64>| begun.is_none_or(|begun| line.operation.ended() < begun);
        let (kind, says, why) = match txn {
            _ if failed => (Kind::AbortedRead, "its send had failed".to_owned(), sent.line),
            Some((name, txn)) if txn.fate == Fate::Aborted => {
                (Kind::AbortedRead, format!("its transaction `{name}` was aborted"), txn.line)
            }
            Some((name, txn)) if txn.fate == Fate::Open => {
                (Kind::DirtyRead, format!("its transaction `{name}` was never committed"), txn.line)
            }
            Some((name, txn)) if too_early(txn.commit_begun) => {
                (Kind::DirtyRead, format!("the commit of its transaction `{name}` had not begun"), txn.line)
            }
            _ => return,
        };
        let at = (topic, record.partition);
        let says = format!("`{value}` at offset {} was handed out although {says}", record.offset);
        let mut anomaly = self.facts.anomaly(kind, at, says);
        place(&mut anomaly, record.offset, value);
        self.facts.prove(&mut anomaly, Some(sent.line), format!("sent `{value}`"));
        self.facts.prove(&mut anomaly, Some(why), "tells what came of it");
        self.facts.prove(&mut anomaly, Some(line), format!("was handed `{value}`"));
        self.found.push(anomaly);
    }
}
