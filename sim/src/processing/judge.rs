//! The judge: keeps a record of its own of what workers are handed, start, end and commit, and holds it against what a
//! processor promises. It knows nothing of the machine but what workers do with it.
//!
//! - Nothing is handled twice in one tenure of a partition, nor what was told as done when that began; and never more than
//!   [`Rules::concurrency`] at once.
//! - Where order matters, a record starts when all before it that it waits for are done.
//! - What is committed is what is done, and all of it: never a record that is not.
//! - A record that fails is tried again, no sooner than its policy says, and as often.
//! - Where there is work and a free slot, something runs.
//! - No more is taken in than there is room for.
//! - Handlers are told to end when their time is over, or their partition is gone, and no sooner.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::{
    CommittedOffset, TopicPartition,
    processing::{CancelReason, OnHopeless},
};

use super::{
    rules::Rules,
    tenure::{State, Tenure},
    told::Told,
    written::{Logs, Nature, SIZE},
};
use crate::{report::Processed, stage::Stage};

/// A worker's number.
pub(super) type Life = usize;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed,
    /// No other attempt can succeed.
    Fatal,
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Judge {
    pub(super) rules: Rules,
    pub(super) logs: Logs,
    /// What is done, by whomever.
    done: BTreeMap<TopicPartition, BTreeSet<i64>>,
    lives: BTreeMap<Life, Worker>,
    /// What the group has committed.
    committed: BTreeMap<TopicPartition, i64>,
    serial: u64,
    pub(super) counts: Processed,
}

#[derive(Debug, Default)]
struct Worker {
    tenures: BTreeMap<TopicPartition, Tenure>,
    running: BTreeMap<u64, Attempt>,
    /// Nothing is to be started any more.
    stops: bool,
    /// What is to be committed of partitions that were given up.
    owed: BTreeMap<TopicPartition, CommittedOffset>,
    /// The partitions of the commit that is under way.
    under_way: Option<Vec<(TopicPartition, u64)>>,
    last_commit: Duration,
    /// No text is taken beside offsets.
    refused: bool,
    /// Partitions whose share of the room was used up at the last turn, and how many records there was room for.
    full: BTreeSet<TopicPartition>,
    room: usize,
}

#[derive(Debug)]
struct Attempt {
    at: TopicPartition,
    offset: i64,
    tenure: u64,
    since: Duration,
    told: bool,
}

/// What is due at a time is not late for so long: the time of events is exact, but sums of jitter are rounded.
const SLACK: Duration = Duration::from_millis(1);

impl Judge {
    pub(super) fn new(rules: Rules, logs: Logs) -> Self {
        let (done, lives, committed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rules, logs, done, lives, committed, serial: 0, counts: Processed::default() }
    }

    fn life(&mut self, life: Life) -> &mut Worker {
        self.lives.entry(life).or_default()
    }

    fn tenure(&mut self, life: Life, at: &TopicPartition) -> Option<&mut Tenure> {
        self.life(life).tenures.get_mut(at)
    }

    fn begin(&mut self, life: Life, at: &TopicPartition, begun_with: Option<Told>) {
        self.serial += 1;
        let next = begun_with.as_ref().map_or(0, |told| told.offset);
        let next = if begun_with.as_ref().is_some_and(|told| told.beyond.is_empty()) { 0 } else { next };
        let tenure = Tenure { serial: self.serial, begun_with, next, ..Tenure::default() };
        self.life(life).tenures.insert(at.clone(), tenure);
    }

    /// A partition is assigned, with what is committed of it as far as the worker knows.
    pub(super) fn assigned(
        &mut self,
        life: Life,
        at: &TopicPartition,
        committed: Option<&CommittedOffset>,
        stage: &mut Stage,
    ) {
        let told = committed.map(|committed| Told::read(committed.offset, &committed.metadata));
        match told.transpose() {
            Ok(told) => self.begin(life, at, told),
            Err(text) => stage.violate("a text beside an offset can be read", || text),
        }
    }

    /// The pump looks at what is to be done, before it receives.
    pub(super) fn turns(&mut self, life: Life) {
        let rules = self.rules;
        let worker = self.life(life);
        let (partitions, in_hand) =
            (worker.tenures.len(), worker.tenures.values().map(|tenure| tenure.items.len()).sum());
        worker.room = rules.room.records.saturating_sub(in_hand).max(1);
        let full = worker.tenures.iter().filter(|(_, tenure)| tenure.is_full(SIZE, partitions, &rules));
        worker.full = full.map(|(at, _)| at.clone()).collect();
    }

    /// Records are handed to a worker, which asked for so many at most.
    pub(super) fn arrive(
        &mut self,
        life: Life,
        at: &TopicPartition,
        offsets: &[i64],
        asked: usize,
        stage: &mut Stage,
    ) {
        let worker = self.life(life);
        if asked > worker.room {
            let room = worker.room;
            stage.violate("no more is asked for than there is room for", || {
                format!("w{life} asks for {asked} records and has room for {room}")
            });
        }
        if worker.full.contains(at) {
            stage.violate("a partition whose share of the room is used up is paused", || {
                format!("w{life} is handed {at} from offset {}", offsets[0])
            });
        }
        if self.tenure(life, at).is_none_or(|tenure| tenure.is_reset_by(offsets[0])) {
            let before = self.life(life).tenures.remove(at);
            self.counts.resets += u64::from(before.is_some());
            self.begin(life, at, None);
            if let Some((before, tenure)) = before.zip(self.tenure(life, at)) {
                before.goes_on(offsets[0], tenure);
            }
        }
        for offset in offsets {
            let written = *self.logs.of(at).get(offset).expect("it was written");
            let tenure = self.tenure(life, at).expect("it has begun");
            if !tenure.arrives(*offset, &written) {
                tenure.owed_since.get_or_insert(stage.time);
                self.counts.spared += 1;
            }
        }
    }

    /// A handler starts. Returns the attempt's number.
    pub(super) fn start(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        attempt: u32,
        stage: &mut Stage,
    ) -> u64 {
        let rules = self.rules;
        self.serial += 1;
        let serial = self.serial;
        let is_done = self.done.get(at).is_some_and(|done| done.contains(&offset));
        self.counts.starts += 1;
        self.counts.repeats += u64::from(is_done && attempt == 1);
        let now = stage.time;
        let worker = self.life(life);
        let mut wrong = |invariant, why: &str| {
            stage.violate(invariant, || {
                format!("w{life} starts {at} offset {offset}, attempt {attempt}: {why}")
            });
        };
        if worker.stops {
            wrong("who stops starts nothing", "it stops");
        }
        if worker.running.len() >= rules.concurrency {
            wrong("no more is handled at once than the concurrency", "others are running");
        }
        let Some(tenure) = worker.tenures.get_mut(at) else {
            wrong("only what is owned is started", "it is not its");
            return serial;
        };
        if tenure.drains_until.is_some() {
            wrong("nothing is started of what is revoked", "it is revoked");
        }
        if let Some(before) = tenure.before(offset, rules.order) {
            wrong("records wait for those before them", &format!("{before} is not done"));
        }
        let begun = tenure.serial;
        let Some(item) = tenure.items.get_mut(&offset) else {
            wrong("what is done is not done again", "it is done, or was never handed out");
            return serial;
        };
        match item.state {
            State::Queued => {}
            State::Waiting(earliest, _) if now >= earliest => {}
            State::Waiting(..) => wrong("a record is handled no sooner than it is due", "too soon"),
            state => wrong("a record is handled by one at a time", &format!("{state:?}")),
        }
        if attempt != item.attempts + 1 || attempt > rules.retries.attempts + item.given_away {
            wrong("attempts are counted", &format!("there were {}", item.attempts));
        }
        (item.state, item.attempts) = (State::Running, attempt);
        let attempt = Attempt { at: at.clone(), offset, tenure: begun, since: now, told: false };
        worker.running.insert(serial, attempt);
        serial
    }

    /// A handler is told to end.
    pub(super) fn tell(&mut self, life: Life, attempt: u64, reason: CancelReason, stage: &mut Stage) {
        let timeout = self.rules.handler_timeout;
        let worker = self.life(life);
        let Some(attempt) = worker.running.get_mut(&attempt) else { return };
        attempt.told = true;
        let tenure = worker.tenures.get(&attempt.at).filter(|tenure| tenure.serial == attempt.tenure);
        let may = match reason {
            CancelReason::TimedOut => {
                timeout.is_some_and(|timeout| attempt.since + timeout <= stage.time + SLACK)
            }
            CancelReason::Gone => {
                tenure.is_none_or(|it| it.drains_until.is_some_and(|until| until <= stage.time + SLACK))
            }
        };
        if !may {
            let (at, offset) = (&attempt.at, attempt.offset);
            stage.violate("handlers have their time", || {
                format!("w{life} tells {at} offset {offset} to end: {reason:?}")
            });
        }
    }

    /// A handler has ended. Returns whether its record is to be given away, once the machine says so.
    pub(super) fn end(&mut self, life: Life, attempt: u64, end: End, stage: &mut Stage) {
        let (rules, now) = (self.rules, stage.time);
        let Some(Attempt { at, offset, tenure: serial, .. }) = self.life(life).running.remove(&attempt)
        else {
            return;
        };
        if end == End::Done {
            self.done.entry(at.clone()).or_default().insert(offset);
        }
        let worker = self.life(life);
        let Some(tenure) = worker.tenures.get_mut(&at).filter(|tenure| tenure.serial == serial) else {
            return;
        };
        let Some(item) = tenure.items.get_mut(&offset) else { return };
        let hopeless = end == End::Fatal || end == End::Failed && item.attempts >= rules.retries.attempts;
        let is_done = end == End::Done || hopeless && rules.on_hopeless == OnHopeless::Skip;
        if is_done {
            tenure.items.remove(&offset);
            tenure.done.insert(offset);
            tenure.owed_since.get_or_insert(now);
        } else if hopeless {
            item.state = match rules.on_hopeless {
                OnHopeless::GiveAway => State::Hopeless,
                _ => State::Stopped,
            };
            worker.stops |= rules.on_hopeless == OnHopeless::Stop;
        } else if end == End::Failed {
            let (least, most) = rules.retries.after(item.attempts);
            item.state = State::Waiting(now + least, now + most);
        } else {
            item.state = State::Stopped;
        }
        self.counts.hopeless += u64::from(hopeless);
        if is_done {
            self.done.entry(at).or_default().insert(offset);
        }
    }

    /// A record is given away. Returns the tenure that this is of.
    pub(super) fn give(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        stage: &mut Stage,
    ) -> Option<u64> {
        self.counts.given += 1;
        let tenure = self.tenure(life, at)?;
        let serial = tenure.serial;
        match tenure.items.get_mut(&offset) {
            Some(item) if item.state == State::Hopeless => item.state = State::Given,
            item => {
                let state = item.map(|item| item.state);
                stage.violate("only what is hopeless is given away", || {
                    format!("w{life} gives {at} offset {offset} away: {state:?}")
                });
            }
        }
        Some(serial)
    }

    /// Whoever a record was given to has taken it, or not. Of a tenure that is over that counts for nothing, but that somebody has
    /// the record.
    pub(super) fn given(
        &mut self,
        life: Life,
        (at, offset): (&TopicPartition, i64),
        tenure: Option<u64>,
        taken: bool,
        now: Duration,
    ) {
        if taken {
            self.done.entry(at.clone()).or_default().insert(offset);
        }
        let rules = self.rules;
        let Some(tenure) = self.tenure(life, at).filter(|it| Some(it.serial) == tenure) else { return };
        let given = tenure.items.get_mut(&offset).filter(|item| item.state == State::Given);
        let Some(item) = given else { return };
        if taken {
            tenure.items.remove(&offset);
            tenure.done.insert(offset);
            tenure.owed_since.get_or_insert(now);
            return;
        }
        item.given_away += 1;
        let (least, most) = rules.retries.after_giving_away(item.given_away);
        item.state = State::Waiting(now + least, now + most);
    }

    /// Partitions are revoked: their handlers may go on until then.
    pub(super) fn revoke(&mut self, life: Life, partitions: &[TopicPartition], until: Duration) {
        for at in partitions {
            if let Some(tenure) = self.tenure(life, at) {
                tenure.drains_until = Some(until);
            }
        }
    }

    /// Partitions are given up, with what is to be committed of them. `is_late` says that the time for their handlers is over.
    pub(super) fn release(
        &mut self,
        life: Life,
        partitions: &[TopicPartition],
        commit: &BTreeMap<TopicPartition, CommittedOffset>,
        is_late: bool,
        stage: &mut Stage,
    ) {
        self.check(life, commit, stage);
        let worker = self.life(life);
        worker.owed.extend(commit.iter().map(|(at, offset)| (at.clone(), offset.clone())));
        for at in partitions {
            let Some(tenure) = worker.tenures.remove(at) else { continue };
            let busy = |state| matches!(state, State::Running | State::Given | State::Hopeless);
            let busy = tenure.items.iter().find(|(_, item)| busy(item.state)).filter(|_| !is_late);
            if let Some((offset, item)) = busy {
                stage.violate("handlers have ended before their partition is given up", || {
                    format!("w{life} gives up {at}, and {offset} is {:?}", item.state)
                });
            }
            if tenure.owed_since.is_some() && !commit.contains_key(at) {
                stage.violate("what is done is committed when its partition is given up", || {
                    format!("w{life} {at}")
                });
            }
        }
    }

    /// The listener returns from a revocation.
    pub(super) fn revoked(&mut self, life: Life, stage: &mut Stage) {
        let owed = std::mem::take(&mut self.life(life).owed);
        if !owed.is_empty() {
            stage.violate("what is done is committed when its partition is given up", || {
                format!("w{life}: {owed:?}")
            });
        }
    }

    pub(super) fn lose(&mut self, life: Life, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|at| _ = self.life(life).tenures.remove(at));
    }

    /// A commit is asked for: of what is owned, or of what was given up just now.
    pub(super) fn commit(
        &mut self,
        life: Life,
        commit: &BTreeMap<TopicPartition, CommittedOffset>,
        of_released: bool,
        stage: &mut Stage,
    ) {
        if of_released {
            return self.life(life).owed.retain(|at, _| !commit.contains_key(at));
        }
        self.check(life, commit, stage);
        let worker = self.life(life);
        let mut under_way = Vec::new();
        for at in commit.keys() {
            if let Some(tenure) = worker.tenures.get_mut(at) {
                tenure.owed_since = None;
                under_way.push((at.clone(), tenure.serial));
            }
        }
        if worker.under_way.replace(under_way).is_some() {
            stage.violate("one commit is under way at once", || format!("w{life}"));
        }
    }

    /// The commit that was under way has ended.
    pub(super) fn committed(&mut self, life: Life, is_done: bool, refused: bool, now: Duration) {
        self.counts.failed_commits += u64::from(!is_done);
        let worker = self.life(life);
        let under_way = worker.under_way.take().unwrap_or_default();
        (worker.last_commit, worker.refused) = (now, worker.refused | refused);
        for (at, serial) in under_way.into_iter().filter(|_| !is_done) {
            if let Some(tenure) = worker.tenures.get_mut(&at).filter(|tenure| tenure.serial == serial) {
                tenure.owed_since.get_or_insert(now);
            }
        }
    }

    /// What is to be committed is what is done.
    fn check(&mut self, life: Life, commit: &BTreeMap<TopicPartition, CommittedOffset>, stage: &mut Stage) {
        for (at, offset) in commit {
            let worker = &self.lives[&life];
            let Some(tenure) = worker.tenures.get(at) else {
                stage.violate("only what is owned is committed", || format!("w{life}: {at}"));
                continue;
            };
            let told = match Told::read(offset.offset, &offset.metadata) {
                Ok(told) if offset.metadata.len() < 4096 => told,
                _ => {
                    return stage
                        .violate("a text beside an offset can be read", || format!("{at}: {offset:?}"));
                }
            };
            if worker.refused && !offset.metadata.is_empty() {
                stage.violate("no text is sent again that is not taken", || {
                    format!("w{life} {at} {offset:?}")
                });
            }
            let log = self.logs.of(at);
            let began = tenure.begun_with.as_ref();
            let first = began.map(|told| told.offset).into_iter().chain(tenure.first).min().unwrap_or(0);
            let is_done = |record: i64| tenure.done.contains(&record) || tenure.is_told(record);
            for record in log.range(first..).map(|(record, _)| *record) {
                match (told.covers(record), is_done(record)) {
                    // One that was deleted before it came is none of its.
                    (true, false) if record < tenure.next && !tenure.items.contains_key(&record) => {}
                    (true, false) => stage.violate("what is not done is not committed", || {
                        format!("w{life} commits {at} {offset:?}, and {record} is not done")
                    }),
                    (false, true) if !worker.refused => stage
                        .violate("all that is done is committed", || {
                            format!("w{life} commits {at} {offset:?}, and {record} is done")
                        }),
                    _ => {}
                }
            }
            let undone = log.range(offset.offset..).next();
            if let Some((record, written)) =
                undone.filter(|(_, written)| offset.leader_epoch > Some(written.leader_epoch))
            {
                stage.violate("the leader epoch is that of the record before", || {
                    format!("w{life} commits {at} {offset:?}, and {record} is of {}", written.leader_epoch)
                });
            }
        }
    }

    /// What the group has committed of a partition is another offset, or has another text.
    pub(super) fn holds(
        &mut self,
        at: &TopicPartition,
        offset: i64,
        text: &str,
        start: i64,
        stage: &mut Stage,
    ) {
        let told = match Told::read(offset, text) {
            Ok(told) => told,
            Err(text) => return stage.violate("a text beside an offset can be read", || text),
        };
        self.committed.insert(at.clone(), offset);
        let done = self.done.entry(at.clone()).or_default();
        let log = self.logs.of(at).range(start..).map(|(record, _)| *record);
        if let Some(record) = log.filter(|record| told.covers(*record)).find(|record| !done.contains(record))
        {
            stage.violate("what is not done is not committed", || {
                format!("{at} is committed at {told:?}, and {record} is not done")
            });
        }
    }

    /// The offset that the group has committed.
    pub(super) fn committed_at(&self, at: &TopicPartition) -> i64 {
        self.committed.get(at).copied().unwrap_or_default()
    }

    /// A worker has nothing to do now, with these partitions paused.
    pub(super) fn rests(&mut self, life: Life, paused: &[TopicPartition], stage: &mut Stage) {
        let (rules, now) = (self.rules, stage.time);
        let worker = &self.lives.entry(life).or_default();
        for attempt in worker.running.values().filter(|attempt| !attempt.told) {
            let tenure = worker.tenures.get(&attempt.at).filter(|tenure| tenure.serial == attempt.tenure);
            let is_late = |since: Duration| now >= since + SLACK;
            let drained = tenure.is_none_or(|it| it.drains_until.is_some_and(is_late));
            if drained || rules.handler_timeout.is_some_and(|timeout| is_late(attempt.since + timeout)) {
                stage.violate("handlers whose time is over are told", || format!("w{life}: {attempt:?}"));
            }
        }
        for (at, tenure) in &worker.tenures {
            let hopeless = tenure.items.iter().find(|(_, item)| item.state == State::Hopeless);
            if let Some((offset, _)) = hopeless {
                stage.violate("what is hopeless is given away", || format!("w{life} {at} offset {offset}"));
            }
            let due = tenure.owed_since.map(|since| since.max(worker.last_commit) + rules.commit_interval);
            if due.is_some_and(|due| now > due + SLACK)
                && worker.under_way.is_none()
                && tenure.drains_until.is_none()
                && !worker.stops
            {
                stage
                    .violate("what is done is committed in time", || format!("w{life} {at}, due at {due:?}"));
            }
            if worker.stops || tenure.drains_until.is_some() {
                continue;
            }
            if tenure.items.is_empty() && paused.contains(at) {
                stage.violate("a partition that has room is resumed", || format!("w{life} {at}"));
            }
            if worker.running.len() < rules.concurrency
                && let Some(offset) = tenure.ready(now.saturating_sub(SLACK), rules.order)
            {
                stage.violate("where there is work and a free slot something runs", || {
                    format!("w{life} {at} offset {offset}, {} are running", worker.running.len())
                });
            }
        }
    }

    /// A worker starts nothing any more.
    pub(super) fn stops(&mut self, life: Life) {
        self.life(life).stops = true;
    }

    /// A worker is gone.
    pub(super) fn gone(&mut self, life: Life) {
        self.lives.remove(&life);
    }

    /// A record that nobody has handled, from where the logs begin.
    pub(super) fn unhandled(
        &self,
        starts: &BTreeMap<TopicPartition, i64>,
    ) -> Option<(TopicPartition, i64, Nature)> {
        self.logs.iter().find_map(|(at, log)| {
            let done = self.done.get(at);
            let is_done = |offset: &i64| done.is_some_and(|done| done.contains(offset));
            let (offset, written) = log.range(starts[at]..).find(|(offset, _)| !is_done(offset))?;
            Some((at.clone(), *offset, written.nature))
        })
    }
}
