//! Everything at random, from a seed: arrivals, how handlers end, commits, rebalances, crashes. What was handed out is held
//! against a model.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    env,
    hash::{BuildHasher, Hasher},
};

use super::*;

/// Runs a property on many seeds, or on the one that `SEED` gives.
pub(super) fn seeded(test: &str, rounds: u64, property: impl Fn(&mut fastrand::Rng)) {
    let given = env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let first = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
    let rounds = env::var("ROUNDS").map_or(rounds, |rounds| rounds.parse().unwrap());
    for seed in first..first + if given.is_some() { 1 } else { rounds } {
        // Shown only if the test fails: the last line is the seed to replay.
        println!("replay: SEED={seed} cargo test -p ottla-core {test}");
        property(&mut fastrand::Rng::with_seed(seed));
    }
}

/// A record of a partition's log.
#[derive(Debug, Clone, Copy)]
struct Logged {
    offset: i64,
    key: Option<u8>,
}

#[derive(Debug, Default)]
struct Part {
    log: Vec<Logged>,
    committed: Option<CommittedOffset>,
    /// What is done.
    done: BTreeSet<i64>,
    /// What was done when the commit was made that counts now.
    saved: BTreeSet<i64>,
    /// Where it is read next: an index.
    position: usize,
}

/// What is committed, and what was done when that was made.
type Commit = BTreeMap<i32, (CommittedOffset, BTreeSet<i64>)>;

struct Model<'a> {
    rng: &'a mut fastrand::Rng,
    order: Order,
    parts: Vec<Part>,
    world: World,
    running: Vec<Job<(i32, i64)>>,
    cancelled: Vec<JobId>,
    given: Vec<JobId>,
    under_way: Option<Commit>,
    paused: BTreeSet<i32>,
    starts: u64,
    repeats: u64,
}

impl<'a> Model<'a> {
    fn new(rng: &'a mut fastrand::Rng) -> Self {
        let order = [Order::Partition, Order::Key, Order::Unordered][rng.usize(..3)];
        let parts = (0..rng.i32(1..4)).map(|_| Part { log: log(rng), ..Part::default() }).collect();
        let world = World::new(config());
        let mut model = Self {
            rng,
            order,
            parts,
            world,
            running: vec![],
            cancelled: vec![],
            given: vec![],
            under_way: None,
            paused: BTreeSet::new(),
            starts: 0,
            repeats: 0,
        };
        model.restart();
        model
    }

    /// As after a crash: what was committed is all that is known.
    fn restart(&mut self) {
        let rng = &mut self.rng;
        let config = ProcessingConfig {
            order: self.order,
            concurrency: rng.usize(1..20),
            retries: RetryPolicy::exponential(Duration::from_millis(10)..=Duration::from_millis(100))
                .attempts(rng.u32(1..4)),
            on_hopeless: [OnHopeless::Skip, OnHopeless::GiveAway][rng.usize(..2)],
            handler_timeout: rng.bool().then_some(Duration::from_millis(50)),
            room: Room { records: rng.usize(1..100), bytes: rng.usize(100..10_000) },
            commit_interval: Duration::from_millis(rng.u64(1..100)),
            seed: rng.u64(..),
        };
        self.world.machine = Processing::new(config);
        self.running.clear();
        self.cancelled.clear();
        self.given.clear();
        self.under_way = None;
        self.paused.clear();
        for number in 0..self.parts.len() {
            self.assign(number as i32);
        }
    }

    fn assign(&mut self, number: i32) {
        let part = &mut self.parts[number as usize];
        self.world.machine.handle_assigned(at(number), part.committed.as_ref());
        let from = part.committed.as_ref().map_or(0, |committed| committed.offset);
        part.position = part.log.partition_point(|record| record.offset < from);
        // What was done and is in no commit is forgotten: it is done again.
        self.repeats += part.done.difference(&part.saved).count() as u64;
        part.done = part.saved.clone();
        self.paused.remove(&number);
    }

    fn step(&mut self, crashes: bool) {
        match self.rng.u32(..100) {
            0..20 => self.arrive(),
            20..40 => self.take(),
            40..70 => self.end_any(),
            70..78 => self.commit(),
            78..86 => self.committed(),
            86..96 => {
                let by = Duration::from_millis(self.rng.u64(..30));
                self.world.pass(by);
            }
            96 if crashes => self.restart(),
            97 if crashes => self.revoke(),
            98 if crashes => self.lose(),
            _ => self.give(),
        }
        self.look();
    }

    fn look(&mut self) {
        self.cancelled.extend(self.world.cancels().into_iter().map(|(job, _)| job));
        for (number, paused) in self.world.pauses() {
            if paused {
                self.paused.insert(number)
            } else {
                self.paused.remove(&number)
            };
        }
        self.given.extend(std::iter::from_fn(|| self.world.machine.poll_given_away()).map(|given| given.id));
    }

    fn arrive(&mut self) {
        let number = self.rng.i32(0..self.parts.len() as i32);
        if self.paused.contains(&number) {
            return;
        }
        let part = &mut self.parts[number as usize];
        let some = part.log[part.position..]
            .len()
            .min(self.rng.usize(1..20))
            .min(self.world.machine.room().unwrap_or_default());
        let records = &part.log[part.position..part.position + some];
        part.position += some;
        let Some(last) = records.last() else { return };
        let keys: Vec<String> =
            records.iter().map(|record| record.key.map_or(String::new(), |key| key.to_string())).collect();
        let arrivals = records.iter().zip(&keys).map(|(record, key)| arrival(number, record.offset, key));
        let next = CommittedOffset::new(last.offset + 1).with_leader_epoch(0);
        self.world.machine.handle_arrived(&at(number), arrivals, next, self.world.now);
    }

    fn line(&self, work: (i32, i64)) -> Option<(i32, u8)> {
        let part = &self.parts[work.0 as usize];
        let index = part.log.partition_point(|record| record.offset < work.1);
        match self.order {
            Order::Partition => Some((work.0, 0)),
            Order::Key => part.log[index].key.map(|key| (work.0, key)),
            Order::Unordered => None,
        }
    }

    fn take(&mut self) {
        let Some(job) = self.world.machine.take(self.world.now) else { return };
        self.starts += 1;
        let part = &self.parts[job.work.0 as usize];
        assert!(!part.saved.contains(&job.work.1), "{:?} was done and saved", job.work);
        assert!(!part.done.contains(&job.work.1), "{:?} is done", job.work);
        if let Some(line) = self.line(job.work) {
            let beside =
                |other: &&Job<(i32, i64)>| self.line(other.work) == Some(line) && self.is_current(other);
            assert_eq!(self.running.iter().find(beside), None, "beside {:?}", job.work);
            let from = part.committed.as_ref().map_or(0, |committed| committed.offset);
            let before = part.log.iter().filter(|record| (from..job.work.1).contains(&record.offset));
            for record in before.filter(|record| self.line((job.work.0, record.offset)) == Some(line)) {
                assert!(part.done.contains(&record.offset), "{} before {:?}", record.offset, job.work);
            }
        }
        self.running.push(job);
    }

    /// Whether its partition has not begun anew since.
    fn is_current(&self, job: &Job<(i32, i64)>) -> bool {
        let machine = &self.world.machine;
        machine.named.get(&at(job.work.0)) == Some(&job.id.partition)
    }

    fn end_any(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let index = match self.running.iter().position(|job| self.cancelled.contains(&job.id)) {
            Some(index) if self.rng.bool() => index,
            _ => self.rng.usize(..self.running.len()),
        };
        let job = self.running.swap_remove(index);
        let is_current = self.is_current(&job);
        let ended = match self.rng.u32(..10) {
            _ if self.cancelled.contains(&job.id) && !is_current => Ended::Cancelled,
            0..3 => Ended::Failed(FailureClass::Retriable, "no luck"),
            3 => Ended::Failed(FailureClass::Fatal, "hopeless"),
            4 => Ended::Deferred(Duration::from_millis(self.rng.u64(..30))),
            _ => Ended::Done,
        };
        let before = self.world.machine.in_hand();
        self.world.machine.handle_ended(job.id, ended.clone(), self.world.now);
        // A hopeless one that is skipped is done, too.
        if is_current && self.world.machine.in_hand() < before {
            self.parts[job.work.0 as usize].done.insert(job.work.1);
        }
        assert!(!is_current || ended != Ended::Done || self.world.machine.in_hand() < before);
    }

    fn give(&mut self) {
        let Some(id) = self.given.pop() else { return };
        let number = self.world.machine.named.iter().find(|(_, named)| **named == id.partition);
        let number = number.map(|(at, _)| at.partition);
        let taken = self.rng.bool();
        self.world.machine.handle_given_away(id, taken, self.world.now);
        if let Some(number) = number.filter(|_| taken) {
            self.parts[number as usize].done.insert(id.offset);
        }
    }

    fn commit(&mut self) {
        let commit = match self.rng.bool() {
            true => self.world.machine.poll_commit(self.world.now),
            false => self.world.machine.commit_now(),
        };
        if let Some(commit) = commit {
            assert!(self.under_way.is_none(), "two commits at once");
            self.under_way = Some(self.checked(commit));
        }
    }

    /// Nothing that is not done is passed or saved, and nothing that is done is left out.
    fn checked(&self, commit: BTreeMap<TopicPartition, CommittedOffset>) -> Commit {
        let of = |(at, commit): (TopicPartition, CommittedOffset)| {
            let part = &self.parts[at.partition as usize];
            let saved = saved::Saved::decode(commit.offset, &commit.metadata);
            assert_eq!(saved.is_none(), commit.metadata.is_empty());
            assert!(commit.metadata.len() < 4096);
            let ranges = saved.map_or(vec![], |saved| saved.done);
            for Logged { offset, .. } in &part.log {
                let after = ranges.partition_point(|range| range.end <= *offset);
                let told =
                    *offset < commit.offset || ranges.get(after).is_some_and(|range| range.contains(offset));
                assert_eq!(told, part.done.contains(offset), "{at}: {offset} in {commit:?}");
            }
            (at.partition, (commit, part.done.clone()))
        };
        commit.into_iter().map(of).collect()
    }

    fn committed(&mut self) {
        let Some(commit) = self.under_way.take() else { return };
        let end = match self.rng.u32(..4) {
            // It may have been taken all the same.
            0 if self.rng.bool() => {
                return self.world.machine.handle_committed(CommitEnd::Failed, self.world.now);
            }
            0 => CommitEnd::Failed,
            _ => CommitEnd::Committed,
        };
        self.world.machine.handle_committed(end, self.world.now);
        for (number, commit) in commit {
            self.keep(number, commit);
        }
    }

    fn keep(&mut self, number: i32, (commit, saved): (CommittedOffset, BTreeSet<i64>)) {
        let part = &mut self.parts[number as usize];
        part.committed = Some(commit);
        part.saved = saved;
    }

    /// A partition goes in good order, and comes back.
    fn revoke(&mut self) {
        self.committed();
        let number = self.rng.i32(0..self.parts.len() as i32);
        let deadline = self.world.now.mono + Duration::from_millis(self.rng.u64(..50));
        self.world.machine.handle_revoked(&[at(number)], deadline);
        for _ in 0..100 {
            if self.world.machine.is_drained(&[at(number)]) {
                break;
            }
            let by = Duration::from_millis(self.rng.u64(..5));
            self.world.pass(by);
            self.look();
            self.take();
            self.end_any();
            self.give();
        }
        let commit = self.world.machine.release(&[at(number)]);
        for (number, commit) in self.checked(commit) {
            self.keep(number, commit);
        }
        self.assign(number);
    }

    fn lose(&mut self) {
        // A commit under way is refused.
        if self.under_way.take().is_some() {
            self.world.machine.handle_committed(CommitEnd::Failed, self.world.now);
        }
        let number = self.rng.i32(0..self.parts.len() as i32);
        self.world.machine.handle_lost(&[at(number)]);
        self.assign(number);
    }

    fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.done.len() == part.log.len())
    }

    fn run(&mut self, crashes: bool) {
        let mut steps = 0;
        while !self.is_done() {
            self.step(crashes && steps < 3000);
            steps += 1;
            assert!(steps < 100_000, "it stalls: {:?}", self.world.machine);
        }
        self.committed();
        if let Some(commit) = self.world.machine.commit_now() {
            self.checked(commit);
        }
        let machine = &self.world.machine;
        assert_eq!((machine.in_hand(), machine.running()), (0, self.running.len()));
    }
}

/// Offsets with gaps, some of them large.
fn log(rng: &mut fastrand::Rng) -> Vec<Logged> {
    let (mut offset, keys) = (rng.i64(0..1000), rng.u8(1..10));
    let mut log = Vec::new();
    for _ in 0..rng.usize(1..300) {
        offset += match rng.u32(..50) {
            0 => rng.i64(1..40_000),
            1..10 => rng.i64(1..5),
            _ => 1,
        };
        log.push(Logged { offset, key: (rng.u32(..5) > 0).then(|| rng.u8(..keys)) });
    }
    log
}

#[test]
fn lines_keep_their_order_and_no_commit_passes_what_is_not_done() {
    seeded("lines_keep_their_order", 300, |rng| Model::new(rng).run(false));
}

#[test]
fn after_crashes_and_rebalances_only_what_was_not_done_or_not_saved_is_repeated() {
    let repeats = std::cell::Cell::new(0);
    seeded("after_crashes_and_rebalances", 300, |rng| {
        let mut model = Model::new(rng);
        model.run(true);
        repeats.set(repeats.get() + model.repeats);
    });
    assert!(repeats.get() > 0 || env::var("SEED").is_ok(), "nothing was repeated: nothing was tried");
}
