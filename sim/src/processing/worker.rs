//! A process with a processor: a consumer, a machine, and what the client's pump does for both of them.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{
    CommittedOffset, Consumer, OpFailure, OpId, Reader, TopicPartition,
    processing::{JobId, Parting, Processing},
};
use ottla_protocol::ErrorCode;

use super::{
    judge::{Judge, Life},
    keeper::Keeper,
    plan::{Habits, Plan, TOPIC},
    rules::Rules,
};
use crate::{
    client::{spin, spin_in_transactions},
    dice::{Dice, secs},
    gather::READING,
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
    pub(super) commit: Option<Result<OpId, OpFailure>>,
    /// Where it commits in transactions.
    pub(super) keeper: Option<Box<Keeper>>,
    /// There is something for the pump.
    pub(super) stirred: bool,
    /// When the pump looks again by itself.
    pub(super) until: Duration,
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
    /// Until the last transaction of what is given up has ended, or this time.
    Parting {
        parting: Parting,
        end: Duration,
    },
}

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
            keeper: None,
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
            let kept = self.keep_books(stage, judge);
            let pumped = match self.doing {
                Doing::Pumping => self.pump(woken || listened, stage, judge),
                Doing::Closing => self.close(stage, judge),
                Doing::Gone => false,
            };
            if !woken && !handled && !listened && !kept && !pumped && !self.is_stirred() {
                break;
            }
        }
        let paused = self.host.machine.paused();
        judge.rests(self.life, &paused, self.is_full(), stage);
        self.host.end(stage);
        if let Some(keeper) = &mut self.keeper {
            keeper.host.end(stage);
        }
        self.set_alarm(stage);
    }

    pub(super) fn is_stirred(&self) -> bool {
        self.stirred && self.doing == Doing::Pumping && !self.slips(Slip::StirIsIgnored)
    }

    /// What the consumer's driver does in a turn. Returns whether it has woken who waits.
    fn spin(&mut self, stage: &mut Stage) -> bool {
        let woken = match self.keeper.is_some() {
            true => spin_in_transactions(&mut self.host, stage),
            false => spin(&mut self.host, stage, |_, _| ()),
        };
        while let Some(happened) = self.host.machine.poll_event() {
            let life = self.life;
            stage.tell(|| format!("w{life} {:?}", happened.event));
        }
        woken
    }

    fn set_alarm(&mut self, stage: &mut Stage) {
        let listener = match &self.listening {
            Listening::Draining { deadline, end, .. } => {
                Some(if stage.time < *deadline { *deadline } else { *end })
            }
            Listening::Parting { end, .. } => Some(*end),
            _ => None,
        };
        let machine = self.machine.poll_timeout().map(|at| stage.time_of(at));
        let machine = machine.filter(|_| listener.is_some() || self.doing == Doing::Closing);
        let handlers = self.running.values().filter_map(|it| it.until).min();
        let given = self.given.iter().map(|it| it.until).min();
        let pump = (self.doing == Doing::Pumping).then_some(self.until);
        let rest = self.keeper.as_ref().and_then(|keeper| keeper.books.poll_timeout());
        let rest = rest.map(|at| stage.time_of(at));
        let next = [listener, machine, handlers, given, pump, rest]
            .into_iter()
            .flatten()
            .filter(|at| *at > stage.time)
            .min();
        if let Some(at) = next.filter(|_| next != self.alarm) {
            stage.schedule(at, Event::User(self.host.who, 0));
        }
        self.alarm = next;
    }
}

pub(super) fn is_too_large(failure: &OpFailure) -> bool {
    matches!(failure, OpFailure::Broker(ErrorCode::OffsetMetadataTooLarge, _))
}
