//! A process with a processor: a consumer, a machine, and what the client's pump does for both of them.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{
    CloseKind, CommittedOffset, Consumer, Filter, LeaveGroup, Look, Machine as _, OpFailure, OpId, Outcome,
    ReadFailure, Reader, TopicPartition,
    processing::{Arrival, CommitEnd, JobId, Processing},
};
use ottla_protocol::ErrorCode;

use super::{
    judge::{Judge, Life},
    plan::{Habits, Plan, TOPIC},
    rules::Rules,
    written::SIZE,
};
use crate::{
    dice::{Dice, secs},
    gather::{READING, poll},
    host::{Frame, Host},
    slip::Slip,
    stage::{Event, Stage, Who},
};

pub(super) struct Worker {
    pub(super) life: Life,
    pub(super) host: Host<Consumer<Frame>>,
    pub(super) reader: Reader<Frame>,
    pub(super) machine: Processing<(TopicPartition, i64), &'static str>,
    pub(super) rules: Rules,
    pub(super) habits: Habits,
    pub(super) dice: Dice,
    pub(super) slip: Option<Slip>,
    /// Handlers that run, by the numbers that the judge gave them.
    pub(super) running: BTreeMap<u64, Handling>,
    /// Records that somebody is to take over, and when that is decided.
    pub(super) given: Vec<Giving>,
    pub(super) listening: Listening,
    /// The first record of one of the keys takes so long.
    pub(super) stuck: Option<Duration>,
    commit: Option<Result<OpId, OpFailure>>,
    /// There is something for the pump.
    pub(super) stirred: bool,
    /// When the pump looks again by itself.
    until: Duration,
    pub(super) doing: Doing,
    alarm: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Pumping,
    Closing,
    Gone,
}

/// A handler.
#[derive(Debug)]
pub(super) struct Handling {
    pub(super) id: JobId,
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
    /// When it ends; `None` where it does not by itself.
    pub(super) until: Option<Duration>,
    pub(super) end: super::judge::End,
}

/// A record that somebody is to take over.
#[derive(Debug)]
pub(super) struct Giving {
    pub(super) id: JobId,
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
    /// What the judge calls the time in which that was given.
    pub(super) tenure: Option<u64>,
    /// When it is decided.
    pub(super) until: Duration,
}

/// What the rebalance listener does.
#[derive(Debug)]
pub(super) enum Listening {
    Not,
    Assigned {
        partitions: Vec<TopicPartition>,
        asked: Option<OpId>,
    },
    /// Until all is drained, or the second of these times.
    Draining {
        partitions: Vec<TopicPartition>,
        deadline: Duration,
        end: Duration,
    },
    Committing {
        done: BTreeMap<TopicPartition, CommittedOffset>,
        asked: Result<OpId, OpFailure>,
    },
}

/// The longest wait for records in one call.
const IDLE: Duration = secs(60);

/// How long handlers that were told to end have.
pub(super) const GRACE: Duration = secs(1);

/// More than this at one moment is a busy loop.
const MOST_ROUNDS: u32 = 2_000;

impl Worker {
    pub(super) fn new(
        life: Life,
        plan: &Plan,
        planted: Option<ottla_core::Planted>,
        slip: Option<Slip>,
        d: &mut Dice,
        stage: &Stage,
    ) -> Self {
        let mut consumer = Consumer::new(plan.consumer(d), stage.now());
        let mut machine = Processing::new(plan.machine(d));
        if let Some(bug) = planted {
            consumer.plant(bug);
            machine.plant(bug);
        }
        consumer.subscribe([TOPIC.to_owned()], stage.now()).expect("it has a group");
        let reader = Reader::new(&mut consumer, READING, stage.now());
        Self {
            life,
            host: Host::new(Who(life), consumer),
            reader,
            machine,
            rules: plan.rules,
            habits: plan.habits.clone(),
            dice: d.fork(),
            slip,
            running: BTreeMap::new(),
            given: Vec::new(),
            listening: Listening::Not,
            stuck: plan.habits.stuck,
            commit: None,
            stirred: true,
            until: stage.time,
            doing: Doing::Pumping,
            alarm: None,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.doing == Doing::Gone
    }

    pub(super) fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    /// Does what the driver, the workers, the listener and the pump do, until there is nothing left to do now.
    pub(super) fn turn(&mut self, stage: &mut Stage, judge: &mut Judge) {
        for round in 0.. {
            if self.is_gone() || stage.violation.is_some() {
                return;
            }
            if round > MOST_ROUNDS {
                let life = self.life;
                return stage.violate("no busy loop", || format!("w{life} wakes itself for ever"));
            }
            // Who closes looks only where the listener is to be called.
            let woken = self.spin(stage) && self.doing == Doing::Pumping;
            let handled = self.handle(stage, judge);
            let listened = self.listen(stage, judge);
            let pumped = match self.doing {
                Doing::Pumping => self.pump(woken || listened, stage, judge),
                Doing::Closing => self.close(stage, judge),
                Doing::Gone => false,
            };
            if !woken && !handled && !listened && !pumped && !self.is_stirred() {
                break;
            }
        }
        let paused = self.host.machine.paused();
        judge.rests(self.life, &paused, stage);
        self.host.end(stage);
        self.set_alarm(stage);
    }

    fn is_stirred(&self) -> bool {
        self.stirred && self.doing == Doing::Pumping && !self.slips(Slip::StirIsIgnored)
    }

    /// What the consumer's driver does in a turn. Returns whether it has woken who waits.
    fn spin(&mut self, stage: &mut Stage) -> bool {
        let now = stage.now();
        self.host.begin(stage);
        while let Some(effect) = self.host.machine.poll_send(now) {
            self.host.act(effect, stage);
        }
        // What was stirred by now has been carried out.
        _ = self.host.machine.take_stir();
        while let Some(happened) = self.host.machine.poll_event() {
            let life = self.life;
            stage.tell(|| format!("w{life} {:?}", happened.event));
        }
        self.host.machine.take_wake()
    }

    fn set_alarm(&mut self, stage: &mut Stage) {
        let listener = match &self.listening {
            Listening::Draining { deadline, end, .. } => {
                Some(if stage.time < *deadline { *deadline } else { *end })
            }
            _ => None,
        };
        let machine = self.machine.poll_timeout().map(|at| stage.time_of(at));
        let machine = machine.filter(|_| listener.is_some() || self.doing == Doing::Closing);
        let handlers = self.running.values().filter_map(|it| it.until).min();
        let given = self.given.iter().map(|it| it.until).min();
        let pump = (self.doing == Doing::Pumping).then_some(self.until);
        let next = [listener, machine, handlers, given, pump]
            .into_iter()
            .flatten()
            .filter(|at| *at > stage.time)
            .min();
        if let Some(at) = next.filter(|_| next != self.alarm) {
            stage.schedule(at, Event::User(self.host.who, 0));
        }
        self.alarm = next;
    }

    /// The pump: what `processor/pump.rs` of the client does. Returns whether that was anything.
    fn pump(&mut self, woken: bool, stage: &mut Stage, judge: &mut Judge) -> bool {
        let committed = self.take_committed(stage, judge);
        if !woken && !committed && !self.is_stirred() && stage.time < self.until {
            return false;
        }
        self.host.machine.unpark(self.reader.id(), stage.now());
        self.stirred = false;
        let now = stage.now();
        self.machine.handle_timeout(now);
        let pauses: Vec<_> = std::iter::from_fn(|| self.machine.poll_pause()).collect();
        let (commit, room) = (self.machine.poll_commit(now), self.machine.room());
        let due = self.machine.poll_timeout().map(|due| stage.time_of(due));
        self.settle(stage, judge);
        if self.machine.is_stopping() {
            self.begin_to_close(stage, judge);
            return true;
        }
        judge.turns(self.life);
        for (at, is_paused) in pauses {
            if is_paused || !self.slips(Slip::ResumeIsForgotten) {
                self.host.machine.set_paused(&at, is_paused, now);
            }
        }
        if let Some(offsets) = commit {
            let life = self.life;
            stage.note(|| format!("w{life} commits {offsets:?}"));
            judge.commit(life, &offsets, false, stage);
            let covers = |(at, position): (&TopicPartition, i64)| {
                offsets.get(at).is_some_and(|committed| committed.offset >= position)
            };
            let all = self.reader.positions().all(covers);
            self.reader.sync(&mut self.host.machine, all, now);
            self.commit = Some(self.host.machine.commit(Some(offsets), now));
        }
        self.until = due.map_or(stage.time + IDLE, |due| due.min(stage.time + IDLE));
        let again = self.receive(room, stage, judge)
            || self.until <= stage.time
            || matches!(self.commit, Some(Err(_)));
        // What has come about is looked at before the next call.
        self.stirred |= again;
        again
    }

    /// A call for records. Returns whether there is to be another at once.
    fn receive(&mut self, room: usize, stage: &mut Stage, judge: &mut Judge) -> bool {
        if !matches!(self.listening, Listening::Not) {
            return false;
        }
        let life = self.life;
        match poll(&mut self.reader, &mut self.host.machine, &Filter::All, room, stage.now()) {
            Ok(records) => {
                let mut next: BTreeMap<TopicPartition, CommittedOffset> =
                    records.next_offsets().map(|(at, next)| (at.clone(), next)).collect();
                for (at, records) in records.by_partition() {
                    let records: Vec<_> = records.collect();
                    let offsets: Vec<i64> = records.iter().map(|(_, _, span)| span.offset).collect();
                    stage.note(|| format!("w{life} is handed {at} offsets {offsets:?}"));
                    judge.arrive(life, at, &offsets, room, stage);
                    let (log, now) = (judge.logs.of(at), stage.now());
                    let arrivals = records.into_iter().map(|(block, bytes, span)| Arrival {
                        offset: span.offset,
                        leader_epoch: block.leader_epoch,
                        key: span.key.of(bytes),
                        bytes: SIZE,
                        due: log[&span.offset].due.map(|due| now.mono + due.saturating_sub(stage.time)),
                        patience: None,
                        work: (at.clone(), span.offset),
                    });
                    if let Some(next) = next.remove(at) {
                        self.machine.handle_arrived(at, arrivals, next, stage.now());
                    }
                    self.settle(stage, judge);
                }
                true
            }
            Err(Some(Look::Tell(callback))) => {
                self.tell(callback, stage, judge);
                true
            }
            // Brokers that close connections many times in a row look like a wrong port: the pump calls again.
            Err(Some(Look::Failed(ReadFailure::Connection(refused)))) if !refused.why.is_final() => true,
            Err(Some(look)) => {
                stage.violate("nothing fails for good", || format!("w{life}: {look:?}"));
                false
            }
            Err(None) => false,
        }
    }

    /// The commit that is under way may have ended.
    fn take_committed(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        let Some(asked) = self.commit.take() else { return false };
        let ended = match asked {
            Err(failure) => Err(failure),
            Ok(op) => match self.host.machine.take_outcome(op) {
                None => {
                    self.commit = Some(Ok(op));
                    return false;
                }
                Some(ended) => ended.map(|_: Outcome| ()),
            },
        };
        let life = self.life;
        let end = match ended {
            Ok(()) => CommitEnd::Committed,
            Err(failure) => {
                stage.note(|| format!("w{life} has not committed: {failure:?}"));
                match is_too_large(&failure) {
                    true => CommitEnd::MetadataTooLarge,
                    false => CommitEnd::Failed,
                }
            }
        };
        let refused = end == CommitEnd::MetadataTooLarge;
        judge.committed(life, end == CommitEnd::Committed, refused, stage.time);
        let slips = self.slips(Slip::FailedCommitCounts);
        self.machine.handle_committed(if slips { CommitEnd::Committed } else { end }, stage.now());
        self.settle(stage, judge);
        true
    }

    /// Stops, as a program's `run_until` does.
    pub(super) fn stop(&mut self, stage: &mut Stage, judge: &mut Judge) {
        if self.doing == Doing::Pumping {
            self.begin_to_close(stage, judge);
            self.turn(stage, judge);
        }
    }

    fn begin_to_close(&mut self, stage: &mut Stage, judge: &mut Judge) {
        let (life, now) = (self.life, stage.now());
        stage.tell(|| format!("w{life} stops"));
        judge.stops(life);
        self.machine.stop();
        self.settle(stage, judge);
        // Nobody waits for the last commit any more.
        if let Some(Ok(op)) = self.commit.take() {
            self.host.machine.forget_op(op);
        }
        self.reader.sync(&mut self.host.machine, true, now);
        let limit = self.rules.drain + GRACE + secs(30);
        self.host.machine.close(CloseKind::Closed, LeaveGroup::Default, now.mono + limit, now);
        self.doing = Doing::Closing;
    }

    /// The consumer closes. Returns whether there was anything to do.
    fn close(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        if self.host.machine.is_closed() {
            let life = self.life;
            stage.tell(|| format!("w{life} is closed"));
            self.reader.close(&mut self.host.machine, stage.now());
            self.is_over(judge);
            return true;
        }
        // Handlers have no more time than before while the last commit is awaited, and the listener not called yet.
        self.machine.handle_timeout(stage.now());
        self.settle(stage, judge);
        if matches!(self.listening, Listening::Not)
            && let Some(callback) = self.host.machine.take_callback()
        {
            self.tell(callback, stage, judge);
            return true;
        }
        false
    }

    /// The process is gone: nobody closes anything.
    pub(super) fn crash(&mut self, stage: &mut Stage, judge: &mut Judge) {
        let life = self.life;
        stage.tell(|| format!("w{life} crashes"));
        self.host.crash(stage);
        self.is_over(judge);
    }

    fn is_over(&mut self, judge: &mut Judge) {
        self.doing = Doing::Gone;
        self.running.clear();
        judge.gone(self.life);
    }
}

pub(super) fn is_too_large(failure: &OpFailure) -> bool {
    matches!(failure, OpFailure::Broker(ErrorCode::OffsetMetadataTooLarge, _))
}
