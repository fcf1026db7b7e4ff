//! The loop: what comes next happens, until all is done or an invariant is broken.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::{Cluster, TopicSpec};
use ottla_core::{TopicPartition, caught};
use ottla_protocol::ApiKey;

use super::{
    judge::Judge,
    keeper::PRODUCERS,
    once::{LETTERS, OUTPUT},
    plan::{GROUP, Phase, Plan, TOPIC},
    worker::Worker,
    written::Logs,
};
use crate::{
    between::{self, Between},
    case::Case,
    client::{Arrival, feed},
    dice::{Dice, ms},
    pump::pump,
    report::{Failure, Report},
    stage::{Event, LinkId, Stage, Who},
};

/// More steps than any seed takes.
const MOST_STEPS: u64 = 1_000_000;

/// Runs a seed. `journal` keeps what happened, for a failure's sake.
pub(crate) fn run(case: &Case, journal: bool) -> Result<Report, Box<Failure>> {
    let mut world = World::new(case, journal);
    let items = world.plan.items.len();
    let panic = caught(|| world.run()).err();
    Failure::of(case, items, world.report(), panic, &mut world.stage)
}

pub(super) struct World {
    pub(super) case: Case,
    pub(super) plan: Plan,
    pub(super) stage: Stage,
    pub(super) judge: Judge,
    pub(super) cluster: Cluster,
    alarm: Option<Duration>,
    /// Every process that there was, by its number.
    pub(super) workers: Vec<Worker>,
    pub(super) dice: Dice,
    pub(super) phase: Phase,
    pub(super) recovery: Duration,
    /// What the group has committed.
    pub(super) committed: BTreeMap<TopicPartition, (i64, String)>,
    pub(super) faults: u64,
    steps: u64,
}

impl Between for World {
    fn sides(&mut self) -> (&mut Stage, &mut Cluster) {
        (&mut self.stage, &mut self.cluster)
    }

    fn arrives(&mut self, who: Who, arrival: Arrival) {
        let (life, is_producer) = match who.0 {
            number if number > PRODUCERS => (number - PRODUCERS, true),
            number => (number, false),
        };
        let (worker, stage) = (&mut self.workers[life - 1], &mut self.stage);
        if worker.is_gone() {
            return;
        }
        let came = match &mut worker.keeper {
            Some(keeper) if is_producer => feed(&mut keeper.host, arrival, stage),
            _ => feed(&mut worker.host, arrival, stage),
        };
        if came {
            self.turn(Who(life));
        }
    }

    fn pump(&mut self) {
        pump(&mut self.cluster, &mut self.alarm, &mut self.stage);
    }
}

impl World {
    fn new(case: &Case, journal: bool) -> Self {
        let plan = Plan::draw(case);
        let mut dice = Dice::new(case.seed ^ 0x7072_6f63_6573_7321);
        let mut stage = Stage::new(dice.fork(), plan.weather.clone(), journal);
        let mut cluster = between::cluster(&plan.broker, case);
        cluster.create_topic(&TopicSpec::new(TOPIC, plan.partitions)).expect("its name is free");
        if let Some(once) = &plan.once {
            for (topic, partitions) in [(OUTPUT, once.outputs), (LETTERS, 1)] {
                cluster.create_topic(&TopicSpec::new(topic, partitions)).expect("its name is free");
            }
        }
        for (index, (at, _)) in plan.items.iter().enumerate() {
            if !case.without.contains(&index) {
                stage.schedule(*at, Event::Plan(index));
            }
        }
        stage.schedule(plan.trouble, Event::Quiet);
        stage.schedule(ms(20), Event::Burst);
        stage.schedule(ms(50), Event::Look);
        let judge = Judge::new(plan.rules, Logs::new(&plan.all_partitions()), plan.once.is_some());
        Self {
            case: case.clone(),
            plan,
            stage,
            judge,
            cluster,
            alarm: None,
            workers: Vec::new(),
            dice,
            phase: Phase::Trouble,
            recovery: Duration::ZERO,
            committed: BTreeMap::new(),
            faults: 0,
            steps: 0,
        }
    }

    fn run(&mut self) {
        let plan = self.plan.to_string();
        self.stage.tell(|| plan);
        while self.phase != Phase::Over
            && self.stage.violation.is_none()
            && let Some(event) = self.stage.next()
        {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.stage.violate("no busy loop", || format!("{MOST_STEPS} steps"));
            }
            self.happens(event);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Alarm(who) => self.arrives(who, Arrival::Alarm),
            Event::User(who, _) => self.turn(who),
            Event::Connect(id) => self.connect(id),
            Event::Refuse(id) => self.refuse(id),
            Event::Up(id, frame) => self.up(id, frame),
            Event::Down(id, frame) => self.down(id, frame),
            Event::TellClient(id, why) => self.tell_client(id, why),
            Event::TellBroker(id) => self.tell_broker(id),
            Event::Cluster => {
                if self.alarm == Some(self.stage.time) {
                    self.alarm = None;
                    self.cluster.handle_timeout(self.stage.now());
                    self.pump();
                    if self.plan.once.is_some() {
                        self.look_at_offsets();
                    }
                }
            }
            Event::Plan(index) => {
                let item = self.plan.items[index].1.clone();
                self.dice = Dice::of(self.case.seed, index);
                self.carry_out(item);
            }
            Event::Burst => self.burst(),
            Event::Restore(node) => self.restore(node),
            Event::Quiet => self.quiet(),
            Event::Look => self.look(),
            Event::Helper(..) | Event::Follow(_) | Event::Done(..) | Event::Unlock => {}
        }
    }

    /// A process does what it can; where one has stopped by itself, another begins.
    pub(super) fn turn(&mut self, who: Who) {
        let worker = &mut self.workers[who.0 - 1];
        let was_gone = worker.is_gone();
        worker.turn(&mut self.stage, &mut self.judge);
        if !was_gone && worker.is_gone() {
            self.ends(who);
        }
    }

    fn up(&mut self, id: LinkId, frame: Vec<u8>) {
        let Some(broker) = self.heard_by(id) else { return };
        let key = ApiKey::from_key(i16::from_be_bytes([frame[0], frame[1]]));
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        let may_commit = match self.plan.once {
            Some(_) => !matches!(key, Some(ApiKey::Fetch | ApiKey::Metadata)),
            None => key == Some(ApiKey::OffsetCommit),
        };
        if may_commit {
            self.look_at_offsets();
        }
    }

    fn look_at_offsets(&mut self) {
        for at in self.plan.all_partitions() {
            let all = self.cluster.committed(GROUP);
            let Some(offset) = all.get(&(at.topic.clone(), at.partition)).copied() else { continue };
            let text = self.cluster.committed_metadata(GROUP, &at.topic, at.partition).unwrap_or_default();
            let text = text.to_owned();
            let start = self.cluster.log_start_offset(&at.topic, at.partition).unwrap_or_default();
            if self.committed.get(&at).is_none_or(|(was, beside)| (*was, beside) != (offset, &text)) {
                self.judge.holds(&at, offset, &text, start, &mut self.stage);
                self.committed.insert(at, (offset, text));
            }
        }
    }

    fn report(&self) -> Report {
        let counts = self.judge.counts;
        Report {
            mode: self.case.mode,
            seed: self.case.seed,
            brokers: self.plan.broker.brokers.into(),
            topics: 1,
            partitions: u64::from(self.plan.partitions),
            consumers: self.workers.len() as u64,
            rebalances: counts.assignments,
            faults: self.faults,
            acknowledged: self.judge.logs.len() as u64,
            deliveries: counts.starts,
            repeats: counts.repeats,
            lost: counts.lost,
            expelled: 0,
            seeks: 0,
            commits: 0,
            recovery: self.recovery,
            longest_wait: Duration::ZERO,
            took: self.stage.time,
            steps: self.steps,
            transactions: self.judge.once.counts,
            processed: counts,
        }
    }
}
