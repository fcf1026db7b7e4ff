//! Histories of a small model of a log, a group and transactions are clean; with one thing changed they are not.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers")]

use ottla_check::{
    History, Kind, Report,
    history::{Decision, Isolation, Op, Operation, Outcome, Place, Position, Record, Reset},
    judge,
};
use proptest::{collection::vec, prelude::*, sample::Index};

const PARTITIONS: i32 = 2;

/// What happens next. Whoever cannot do it does nothing.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Is it in the log, and is that known?
    Send {
        partition: i32,
        appended: bool,
        known: bool,
    },
    /// A transaction of a record in each partition.
    Transaction {
        commit: bool,
        known: bool,
        aborted_anyway: bool,
    },
    /// The owner of a partition is handed up to so many records.
    Poll {
        partition: i32,
        most: usize,
    },
    Commit {
        partition: i32,
        done: bool,
        known: bool,
    },
    /// The partition goes to the other member, or to the next life of one that crashed.
    Rebalance {
        partition: i32,
        crash: bool,
    },
    SeekBack {
        partition: i32,
        by: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        4 => (partition.clone(), any::<bool>(), any::<bool>()).prop_map(|(partition, appended, known)| Step::Send { partition, appended, known }),
        2 => any::<(bool, bool, bool)>().prop_map(|(commit, known, aborted_anyway)| Step::Transaction { commit, known, aborted_anyway }),
        4 => (partition.clone(), 1..5usize).prop_map(|(partition, most)| Step::Poll { partition, most }),
        3 => (partition.clone(), any::<bool>(), any::<bool>()).prop_map(|(partition, done, known)| Step::Commit { partition, done, known }),
        1 => (partition.clone(), any::<bool>()).prop_map(|(partition, crash)| Step::Rebalance { partition, crash }),
        1 => (partition, 1..4i64).prop_map(|(partition, by)| Step::SeekBack { partition, by }),
    ]
}

#[derive(Debug, Default)]
struct Partition {
    /// By offset: the value, and whether it is visible; none for markers.
    log: Vec<Option<(String, bool)>>,
    owner: String,
    position: usize,
    committed: i64,
    generation: i32,
    /// Handed out since the last commit was begun.
    uncommitted: bool,
}

/// The cluster and its clients.
#[derive(Debug, Default)]
struct Model {
    operations: Vec<Operation>,
    now: u64,
    named: u64,
    partitions: Vec<Partition>,
}

impl Model {
    fn play(steps: &[Step]) -> Self {
        let mut model = Self::default();
        for partition in 0..PARTITIONS {
            model.partitions.push(Partition::default());
            model.assign(partition);
        }
        steps.iter().for_each(|step| model.step(*step));
        model.finish();
        model
    }

    fn say(&mut self, process: &str, op: Op) {
        self.now += 2;
        self.operations.push(Operation { process: process.to_owned(), at: self.now, done: None, op });
    }

    fn settle(&mut self, process: &str, at: u64, op: Op) {
        self.now += 2;
        let done = Some(self.now);
        self.operations.push(Operation { process: process.to_owned(), at, done, op });
    }

    fn name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    fn assign(&mut self, partition: i32) {
        let process = format!("g{}", self.name());
        self.say(
            &process,
            Op::Start {
                group: Some("g".to_owned()),
                isolation: Isolation::ReadCommitted,
                reset: Some(Reset::Earliest),
                idempotent: true,
            },
        );
        let it = &mut self.partitions[partition as usize];
        it.owner = process.clone();
        it.position = it.committed as usize;
        it.generation += 1;
        it.uncommitted = false;
        let generation = Some(it.generation);
        let partitions = vec![Place { topic: String::new(), partition }];
        self.say(&process, Op::Assign { partitions, generation });
    }

    fn send(&mut self, partition: i32, txn: Option<&str>, appended: bool, known: bool) -> Option<usize> {
        let value = format!("v{}", self.name());
        let it = &mut self.partitions[partition as usize];
        let offset = appended.then_some(it.log.len());
        if appended {
            it.log.push(Some((value.clone(), txn.is_none())));
        }
        let op = |outcome, offset: Option<usize>| Op::Send {
            topic: String::new(),
            partition: Some(partition),
            value: value.clone(),
            key: None,
            outcome,
            offset: offset.map(|offset| offset as i64),
            txn: txn.map(str::to_owned),
            from: None,
        };
        let process = txn.map_or("w".to_owned(), |txn| format!("w{txn}"));
        self.say(&process, op(Outcome::Unknown, None));
        let at = self.now;
        if known {
            self.settle(&process, at, op(if appended { Outcome::Ok } else { Outcome::Failed }, offset));
        }
        offset
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { partition, appended, known } => _ = self.send(partition, None, appended, known),
            Step::Transaction { commit, known, aborted_anyway } => {
                let txn = format!("t{}", self.name());
                let process = format!("w{txn}");
                self.say(&process, Op::Begin { txn: txn.clone() });
                let sent: Vec<_> = (0..PARTITIONS)
                    .filter_map(|partition| self.send(partition, Some(&txn), true, true))
                    .collect();
                let decision = if commit { Decision::Commit } else { Decision::Abort };
                let op = |outcome| Op::End {
                    txn: txn.clone(),
                    decision,
                    outcome,
                    group: None,
                    offsets: Vec::new(),
                };
                self.say(&process, op(Outcome::Unknown));
                let at = self.now;
                if known {
                    self.settle(&process, at, op(Outcome::Ok));
                }
                let visible = commit && (known || !aborted_anyway);
                for (it, offset) in self.partitions.iter_mut().zip(sent) {
                    it.log[offset].as_mut().unwrap().1 = visible;
                    it.log.push(None);
                }
            }
            Step::Poll { partition, most } => {
                let it = &mut self.partitions[partition as usize];
                let visible = |(offset, slot): (usize, &Option<(String, bool)>)| {
                    let (value, visible) = slot.as_ref()?;
                    let value = value.clone();
                    visible.then(|| Record { topic: String::new(), partition, offset: offset as i64, value })
                };
                let records: Vec<Record> =
                    it.log.iter().enumerate().skip(it.position).filter_map(visible).take(most).collect();
                if let Some(last) = records.last() {
                    it.position = last.offset as usize + 1;
                    it.uncommitted = true;
                    let owner = it.owner.clone();
                    self.say(&owner, Op::Poll { records });
                }
            }
            Step::Commit { partition, done, known } => {
                let id = Some(self.name());
                let it = &mut self.partitions[partition as usize];
                if !std::mem::take(&mut it.uncommitted) {
                    return;
                }
                let (offset, generation, owner) = (it.position as i64, Some(it.generation), it.owner.clone());
                if done {
                    it.committed = offset;
                }
                let op = |outcome| Op::Commit {
                    id,
                    offsets: vec![Position { topic: String::new(), partition, offset }],
                    generation,
                    outcome,
                };
                self.say(&owner, op(Outcome::Unknown));
                let at = self.now;
                if known {
                    self.settle(&owner, at, op(if done { Outcome::Ok } else { Outcome::Failed }));
                }
            }
            Step::Rebalance { partition, crash } => {
                let owner = self.partitions[partition as usize].owner.clone();
                let partitions = vec![Place { topic: String::new(), partition }];
                let op = if crash { Op::Crash {} } else { Op::Revoke { partitions, lost: false } };
                self.say(&owner, op);
                self.assign(partition);
            }
            Step::SeekBack { partition, by } => {
                let it = &mut self.partitions[partition as usize];
                let to = (it.position as i64 - by).max(0);
                it.position = to as usize;
                let owner = it.owner.clone();
                self.say(&owner, Op::Seek { topic: String::new(), partition, offset: Some(to) });
            }
        }
    }

    /// All is read once more.
    fn finish(&mut self) {
        self.say(
            "r",
            Op::Start { group: None, isolation: Isolation::ReadCommitted, reset: None, idempotent: true },
        );
        let places = (0..PARTITIONS).map(|partition| Place { topic: String::new(), partition });
        self.say("r", Op::Assign { partitions: places.collect(), generation: None });
        for partition in 0..PARTITIONS {
            let log = &self.partitions[partition as usize].log;
            let to = log.len() as i64;
            let record = |(offset, slot): (usize, &Option<(String, bool)>)| {
                let (value, visible) = slot.clone()?;
                visible.then_some(Record { topic: String::new(), partition, offset: offset as i64, value })
            };
            let records = log.iter().enumerate().filter_map(record).collect();
            self.say("r", Op::Poll { records });
            self.say("r", Op::Final { topic: String::new(), partition, from: 0, to });
        }
    }
}

fn judged(operations: &[Operation]) -> Report {
    let mut history = History::default();
    operations.iter().for_each(|operation| history.push(operation.clone()));
    judge(&history).unwrap_or_else(|error| panic!("{error}"))
}

/// All records that were handed out: which operation, which of its records.
fn handed(operations: &[Operation], by: impl Fn(&str) -> bool) -> Vec<(usize, usize)> {
    let of = |(place, operation): (usize, &Operation)| match &operation.op {
        Op::Poll { records } if by(&operation.process) => (0..records.len()).map(|n| (place, n)).collect(),
        _ => Vec::new(),
    };
    operations.iter().enumerate().flat_map(of).collect()
}

fn records(operation: &mut Operation) -> &mut Vec<Record> {
    match &mut operation.op {
        Op::Poll { records } => records,
        other => panic!("{other:?}"),
    }
}

/// Records of the last read that were acknowledged, and not by a transaction.
fn plain(operations: &[Operation]) -> Vec<(usize, usize)> {
    let acked: Vec<&str> = operations
        .iter()
        .filter_map(|operation| match &operation.op {
            Op::Send { value, outcome: Outcome::Ok, txn: None, .. } => Some(value.as_str()),
            _ => None,
        })
        .collect();
    let is_plain = |(place, n): &(usize, usize)| match &operations[*place].op {
        Op::Poll { records } => acked.contains(&records[*n].value.as_str()),
        _ => false,
    };
    handed(operations, |process| process == "r").into_iter().filter(is_plain).collect()
}

proptest! {
    // Not each history has what is to be changed.
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_the_model_does_is_clean(steps in vec(step(), 0..80)) {
        let report = judged(&Model::play(&steps).operations);
        prop_assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn a_record_that_the_last_read_misses_is_lost(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let candidates = plain(&operations);
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        let removed = records(&mut operations[place]).remove(n);
        let report = judged(&operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::Lost], "{}", report);
        prop_assert_eq!(&report.anomalies[0].values, &[removed.value]);
    }

    #[test]
    fn a_record_of_a_transaction_that_the_last_read_misses_tears_it(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let plain_or_unknown: Vec<String> = operations.iter().filter_map(|operation| match &operation.op {
            Op::Send { value, txn: None, .. } => Some(value.clone()),
            _ => None,
        }).collect();
        let of_txn = |(place, n): &(usize, usize)| match &operations[*place].op {
            Op::Poll { records } => !plain_or_unknown.contains(&records[*n].value),
            _ => false,
        };
        let candidates: Vec<_> = handed(&operations, |process| process == "r").into_iter().filter(of_txn).collect();
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        records(&mut operations[place]).remove(n);
        let report = judged(&operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::TornTransaction], "{}", report);
    }

    #[test]
    fn a_value_that_is_read_at_another_offset_too_is_a_duplicate(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let candidates = plain(&operations);
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        let last = records(&mut operations[place]);
        let again = Record { offset: last.last().unwrap().offset + 1000, ..last[n].clone() };
        last.push(again);
        let report = judged(&operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::Duplicate], "{}", report);
    }

    #[test]
    fn another_value_in_the_place_of_one_is_inconsistent_and_the_first_is_lost(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let candidates = plain(&operations);
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        records(&mut operations[place])[n].value = "another".to_owned();
        let report = judged(&operations);
        let all = [&Kind::Lost, &Kind::InconsistentOffset, &Kind::NeverSent];
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), all, "{}", report);
    }

    #[test]
    fn a_record_that_a_member_is_not_handed_is_skipped(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        // In the middle of a poll neither a rebalance nor a seek excuses it; it is read in the end.
        let acked: Vec<String> = plain(&operations).into_iter().map(|(place, n)| records(&mut operations[place])[n].value.clone()).collect();
        let of_member = handed(&operations, |process| process.starts_with('g'));
        let in_the_middle = |(place, n): &(usize, usize)| match &operations[*place].op {
            Op::Poll { records } => *n > 0 && *n + 1 < records.len() && acked.contains(&records[*n].value),
            _ => false,
        };
        let candidates: Vec<_> = of_member.into_iter().filter(in_the_middle).collect();
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        records(&mut operations[place]).remove(n);
        let report = judged(&operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::PollSkip], "{}", report);
    }

    #[test]
    fn records_in_another_order_are_not_monotonic(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let of_member = handed(&operations, |process| process.starts_with('g'));
        let candidates: Vec<_> = of_member.into_iter().filter(|(_, n)| *n > 0).collect();
        prop_assume!(!candidates.is_empty());
        let (place, n) = *which.get(&candidates);
        records(&mut operations[place]).swap(n - 1, n);
        let report = judged(&operations);
        prop_assert!(report.totals.contains_key(&Kind::NonMonotonicPoll), "{}", report);
    }

    #[test]
    fn a_transaction_that_was_read_and_is_said_to_be_aborted_is_told(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let committed: Vec<String> = operations.iter().filter_map(|operation| match &operation.op {
            Op::End { txn, decision: Decision::Commit, outcome: Outcome::Ok, .. } => Some(txn.clone()),
            _ => None,
        }).collect();
        prop_assume!(!committed.is_empty());
        let chosen = which.get(&committed);
        for operation in &mut operations {
            if let Op::End { txn, decision, .. } = &mut operation.op && txn == chosen {
                *decision = Decision::Abort;
            }
        }
        let report = judged(&operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::AbortedRead], "{}", report);
    }

    #[test]
    fn a_member_that_begins_before_what_was_committed_repeats(steps in vec(step(), 0..60)) {
        let mut model = Model::play(&[Step::Send { partition: 0, appended: true, known: true }]);
        // The last read is over: what comes is the group's alone.
        steps.iter().for_each(|step| model.step(*step));
        model.step(Step::Rebalance { partition: 0, crash: false });
        model.step(Step::Send { partition: 0, appended: true, known: true });
        model.step(Step::Poll { partition: 0, most: 100 });
        model.step(Step::Commit { partition: 0, done: true, known: true });
        model.step(Step::Rebalance { partition: 0, crash: true });
        prop_assert!(judged(&model.operations).totals.is_empty());
        model.partitions[0].position = 0;
        model.step(Step::Poll { partition: 0, most: 1 });
        let report = judged(&model.operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::RepeatAfterCommit], "{}", report);
    }

    #[test]
    fn a_member_that_begins_behind_what_was_committed_skips(steps in vec(step(), 0..60)) {
        let mut model = Model::play(&steps);
        model.step(Step::Send { partition: 0, appended: true, known: true });
        model.step(Step::Send { partition: 0, appended: true, known: true });
        model.step(Step::Rebalance { partition: 0, crash: false });
        model.step(Step::Poll { partition: 0, most: 1000 });
        model.step(Step::Rebalance { partition: 0, crash: true });
        prop_assert!(judged(&model.operations).totals.is_empty());
        model.partitions[0].position = model.partitions[0].log.len() - 1;
        model.step(Step::Poll { partition: 0, most: 1 });
        let report = judged(&model.operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::SkipAfterRebalance], "{}", report);
    }

    #[test]
    fn a_commit_of_an_offset_that_its_owner_has_passed_is_told(steps in vec(step(), 0..60)) {
        let mut model = Model::play(&steps);
        model.step(Step::Rebalance { partition: 0, crash: false });
        for known in [true, false] {
            model.step(Step::Send { partition: 0, appended: true, known });
            model.step(Step::Poll { partition: 0, most: 1000 });
            model.step(Step::Commit { partition: 0, done: true, known: true });
        }
        prop_assert!(judged(&model.operations).totals.is_empty());
        model.partitions[0].position -= 1;
        model.partitions[0].uncommitted = true;
        model.step(Step::Commit { partition: 0, done: true, known: true });
        let report = judged(&model.operations);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::CommitRegression], "{}", report);
    }

    #[test]
    fn a_transaction_that_is_read_before_its_commit_is_asked_for_is_dirty(steps in vec(step(), 20..80), which: Index) {
        let mut operations = Model::play(&steps).operations;
        let committed: Vec<String> = operations.iter().filter_map(|operation| match &operation.op {
            Op::End { txn, decision: Decision::Commit, outcome: Outcome::Ok, .. } => Some(txn.clone()),
            _ => None,
        }).collect();
        prop_assume!(!committed.is_empty());
        let chosen = which.get(&committed);
        let is_end = |operation: &Operation| matches!(&operation.op, Op::End { txn, .. } if txn == chosen);
        let (mut ends, mut rest): (Vec<_>, Vec<_>) = operations.drain(..).partition(is_end);
        let late = rest.last().unwrap().at + 10;
        ends.iter_mut().for_each(|end| (end.at, end.done) = (late, Some(late + 1)));
        rest.append(&mut ends);
        let report = judged(&rest);
        prop_assert_eq!(report.totals.keys().collect::<Vec<_>>(), [&Kind::DirtyRead], "{}", report);
    }
}
