//! How facts are gathered: line by line, in the order of time, and then once more where all outcomes are to be known.

use std::collections::{BTreeMap, HashMap};

use crate::{
    BadHistory, History,
    history::{Decision, Entry, Op, Outcome, Position},
};

use super::facts::{At, Commit, Facts, Fate, Seen, Sent, Txn};

impl<'a> Facts<'a> {
    pub(super) fn gather(history: &'a History) -> Result<Self, BadHistory> {
        let mut facts = Self { history: Some(history), ..Self::default() };
        facts.order(history);
        let mut gathering = Gathering::default();
        for (_, line) in std::mem::take(&mut facts.entries) {
            facts.take(line, &mut gathering).map_err(|what| {
                BadHistory::new(history.files.get(line.file).map_or("", |file| file), line.line, what)
            })?;
        }
        facts.order(history);
        facts.settle(gathering);
        Ok(facts)
    }

    /// By time; one that goes back in a process, as a clock that was set does, stands still instead.
    fn order(&mut self, history: &'a History) {
        let mut last: HashMap<(usize, &str), u64> = HashMap::new();
        self.entries = history
            .entries
            .iter()
            .map(|line| {
                let last = last.entry((line.file, &line.operation.process)).or_default();
                // What is written once it is known takes its place then.
                let time = match line.operation.op {
                    Op::Poll { .. } => line.operation.ended(),
                    _ => line.operation.at,
                };
                *last = (*last).max(time);
                (*last, line)
            })
            .collect();
        self.entries.sort_by_key(|(time, _)| *time);
    }

    fn take(&mut self, line: &'a Entry, gathering: &mut Gathering<'a>) -> Result<(), String> {
        let operation = &line.operation;
        let process = operation.process.as_str();
        let me = gathering.processes.entry(process).or_default();
        self.counts.operations += 1;
        match &operation.op {
            Op::Start { group, idempotent, .. } => {
                *me = Process { life: me.life + 1, group: group.as_deref(), retries_by_hand: !idempotent };
            }
            Op::Crash {} => self.counts.crashes += 1,
            Op::Topic { topic, compacted: true } => _ = self.compacted.insert(topic),
            Op::Trimmed { topic, partition, offset } => {
                let trimmed = self.trimmed.entry((topic, *partition)).or_default();
                *trimmed = (*trimmed).max(*offset);
            }
            Op::Send { .. } => {
                let idempotent = !me.retries_by_hand;
                self.take_send(line, idempotent)?;
            }
            Op::Assign { partitions, .. } => {
                self.counts.assignments += 1;
                partitions.iter().for_each(|at| gathering.begin(process, (&at.topic, at.partition), false));
            }
            Op::Seek { topic, partition, .. } => gathering.begin(process, (topic, *partition), true),
            Op::Poll { records } => {
                self.counts.handed_out += records.len();
                for record in records {
                    let slot = self.log.entry((&record.topic, record.partition)).or_default();
                    if let Some(seen) = seen(slot.entry(record.offset).or_default(), &record.value) {
                        seen.read.get_or_insert(line);
                    }
                }
            }
            Op::Commit { id, offsets, .. } => {
                let (life, group) = (me.life, me.group.unwrap_or_default());
                let run = |at: &'a Position| gathering.runs.get(&(process, (&at.topic, at.partition)));
                let runs = offsets.iter().map(|at| run(at).copied().unwrap_or_default()).collect();
                // Without an id each is a commit of its own.
                let place = id.map_or(gathering.commits.len() as u64, |id| id);
                let commit = gathering.commits.entry((process, life, id.is_some(), place));
                commit.or_insert(Pending { line, runs, group }).line = line;
            }
            Op::Begin { txn } => match self.txns.get(txn.as_str()) {
                Some(_) => return Err(format!("transaction `{txn}` begins again: name each one anew")),
                None => _ = self.txn(txn, line),
            },
            Op::End { .. } => self.take_end(line)?,
            Op::Final { topic, partition, .. } => {
                self.counts.final_reads += 1;
                self.final_readers.insert((process, (topic, *partition)));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_send(&mut self, line: &'a Entry, idempotent: bool) -> Result<(), String> {
        let Op::Send { topic, partition, value, key, outcome, offset, txn, from } = &line.operation.op else {
            return Ok(());
        };
        let mut sent = Sent {
            line,
            done: line.operation.ended(),
            partition: *partition,
            offset: *offset,
            outcome: *outcome,
            key: key.as_deref(),
            txn: txn.as_deref(),
            from: from.as_ref(),
            idempotent,
        };
        if let Some(before) = self.sends.get(&(topic.as_str(), value.as_str())) {
            if before.outcome != Outcome::Unknown || before.line.operation.process != line.operation.process {
                let first = before.line.line;
                return Err(format!(
                    "`{value}` was sent before, in line {first}: give each send a value of its own"
                ));
            }
            // What the first line says need not be said again.
            sent.partition = sent.partition.or(before.partition);
            sent.key = sent.key.or(before.key);
            sent.txn = sent.txn.or(before.txn);
            sent.from = sent.from.or(before.from);
        } else if let Some(txn) = txn {
            self.txn(txn, line).sends.push((topic, value));
        }
        if let (Some(partition), Some(offset)) = (partition, offset)
            && *outcome == Outcome::Ok
        {
            let slot = self.log.entry((topic, *partition)).or_default();
            if let Some(seen) = seen(slot.entry(*offset).or_default(), value) {
                seen.acked.get_or_insert(line);
            }
        }
        self.sends.insert((topic, value), sent);
        Ok(())
    }

    fn take_end(&mut self, line: &'a Entry) -> Result<(), String> {
        let Op::End { txn: name, decision, outcome, group, offsets } = &line.operation.op else {
            return Ok(());
        };
        let (at, done) = (line.operation.at, line.operation.ended());
        let txn = self.txn(name, line);
        let fate = match (decision, outcome) {
            (Decision::Commit, Outcome::Ok) => Fate::Committed,
            (Decision::Commit, Outcome::Unknown) => Fate::MaybeCommitted,
            (Decision::Commit, Outcome::Failed) | (Decision::Abort, Outcome::Ok) => Fate::Aborted,
            // It may be committed still, where that was asked for before.
            (Decision::Abort, _) if txn.fate == Fate::MaybeCommitted => Fate::MaybeCommitted,
            (Decision::Abort, _) => Fate::Aborted,
        };
        if matches!((txn.fate, fate), (Fate::Committed, Fate::Aborted) | (Fate::Aborted, Fate::Committed)) {
            let first = txn.line.line;
            return Err(format!("transaction `{name}` ended otherwise in line {first}: it ends once"));
        }
        txn.fate = if txn.fate == Fate::Committed { txn.fate } else { fate };
        txn.line = line;
        if *decision == Decision::Commit {
            txn.commit_begun.get_or_insert(at);
            txn.commit_done = (*outcome == Outcome::Ok).then_some(done);
            txn.group = group.as_deref().or(txn.group);
            txn.offsets = if offsets.is_empty() { txn.offsets } else { offsets };
        }
        Ok(())
    }

    fn txn(&mut self, name: &'a str, line: &'a Entry) -> &mut Txn<'a> {
        self.txns.entry(name).or_insert_with(|| Txn {
            fate: Fate::Open,
            line,
            commit_begun: None,
            commit_done: None,
            group: None,
            offsets: &[],
            sends: Vec::new(),
        })
    }

    /// What can only be counted, or put in order, once each outcome is known.
    fn settle(&mut self, gathering: Gathering<'a>) {
        self.counts.processes = gathering.processes.len();
        self.counts.sent = self.sends.len();
        for sent in self.sends.values() {
            self.counts.acknowledged += usize::from(sent.outcome == Outcome::Ok);
            self.counts.failed += usize::from(sent.outcome == Outcome::Failed);
        }
        for Pending { line, runs, group } in gathering.commits.into_values() {
            let Op::Commit { offsets, generation, outcome, .. } = &line.operation.op else { continue };
            self.counts.commits += usize::from(*outcome == Outcome::Ok);
            if *outcome == Outcome::Failed {
                continue;
            }
            let commit = |offset, (run, sought)| Commit {
                line,
                run,
                sought,
                begun: line.operation.at,
                done: line.operation.ended(),
                offset,
                generation: *generation,
                certain: *outcome == Outcome::Ok,
            };
            for (Position { topic, partition, offset }, run) in offsets.iter().zip(runs) {
                let at = (group, (topic.as_str(), *partition));
                self.commits.entry(at).or_default().push(commit(*offset, run));
            }
        }
        for txn in self.txns.values() {
            self.counts.transactions += usize::from(txn.fate == Fate::Committed);
            let (Fate::Committed | Fate::MaybeCommitted, Some(begun)) = (txn.fate, txn.commit_begun) else {
                continue;
            };
            for Position { topic, partition, offset } in txn.offsets {
                let at = (txn.group.unwrap_or_default(), (topic.as_str(), *partition));
                self.commits.entry(at).or_default().push(Commit {
                    line: txn.line,
                    run: 0,
                    sought: false,
                    begun,
                    done: txn.commit_done.unwrap_or(begun),
                    offset: *offset,
                    generation: None,
                    certain: txn.fate == Fate::Committed,
                });
            }
        }
        self.commits.values_mut().for_each(|commits| commits.sort_by_key(|commit| commit.begun));
        for (at, slots) in self.log.iter().filter(|(at, _)| self.compacted.contains(at.0)) {
            for (offset, seen) in
                slots.iter().flat_map(|(offset, seen)| seen.iter().map(move |s| (offset, s)))
            {
                if let Some(key) = self.sends.get(&(at.0, seen.value)).and_then(|sent| sent.key) {
                    self.last_of_key.insert((*at, key), *offset);
                }
            }
        }
    }
}

/// What is needed while gathering alone.
#[derive(Debug, Default)]
struct Gathering<'a> {
    processes: HashMap<&'a str, Process<'a>>,
    /// The number of the run of each process through each partition, and whether a seek began it.
    runs: HashMap<(&'a str, At<'a>), (usize, bool)>,
    /// By process and life, and by id or, without one, by place.
    commits: BTreeMap<(&'a str, usize, bool, u64), Pending<'a>>,
}

#[derive(Debug, Default)]
struct Process<'a> {
    /// How often it was started.
    life: usize,
    group: Option<&'a str>,
    /// Its sends may be in the log more than once.
    retries_by_hand: bool,
}

impl<'a> Gathering<'a> {
    fn begin(&mut self, process: &'a str, at: At<'a>, sought: bool) {
        let run = self.runs.entry((process, at)).or_default();
        *run = (run.0 + 1, sought);
    }
}

/// A commit whose outcome may come with a later line.
#[derive(Debug)]
struct Pending<'a> {
    line: &'a Entry,
    /// Those in which it began, of each of its partitions.
    runs: Vec<(usize, bool)>,
    group: &'a str,
}

fn seen<'s, 'a>(slot: &'s mut Vec<Seen<'a>>, value: &'a str) -> Option<&'s mut Seen<'a>> {
    if !slot.iter().any(|seen| seen.value == value) {
        slot.push(Seen { value, acked: None, read: None });
    }
    slot.iter_mut().find(|seen| seen.value == value)
}
