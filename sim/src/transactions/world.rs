//! The loop: what comes next happens, until all is done or an invariant is broken.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::{Cluster, TopicSpec};
use ottla_core::{TopicPartition, caught};
use ottla_protocol::ApiKey;

use super::{
    actor::{Process, index_of},
    plan::{INPUT, OUTPUT, Phase, Plan},
    producing::GROUP,
    record::Record,
};
use crate::{
    between::{self, Between},
    case::Case,
    client::Arrival,
    dice::{Dice, ms},
    pump::pump,
    report::{Failure, Processed, Report},
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
    pub(super) record: Record,
    pub(super) cluster: Cluster,
    alarm: Option<Duration>,
    pub(super) processes: Vec<Process>,
    pub(super) dice: Dice,
    pub(super) phase: Phase,
    pub(super) recovery: Duration,
    /// What the group has committed.
    committed: BTreeMap<(String, i32), i64>,
    /// The next batch whose answer is lost is lost with its leader.
    pub(super) cuts: usize,
    pub(super) faults: u64,
    steps: u64,
}

impl Between for World {
    fn sides(&mut self) -> (&mut Stage, &mut Cluster) {
        (&mut self.stage, &mut self.cluster)
    }

    fn arrives(&mut self, who: Who, arrival: Arrival) {
        let index = index_of(who);
        self.processes[index].arrives(who, arrival, &mut self.stage, &mut self.record);
        self.bury(index);
    }

    fn pump(&mut self) {
        pump(&mut self.cluster, &mut self.alarm, &mut self.stage);
    }
}

impl World {
    fn new(case: &Case, journal: bool) -> Self {
        let plan = Plan::draw(case);
        let mut dice = Dice::new(case.seed ^ 0x6f74_746c_6173_696d);
        let mut stage = Stage::new(dice.fork(), plan.weather.clone(), journal);
        let mut cluster = between::cluster(&plan.broker, case);
        if plan.is_upgraded {
            cluster.set_transaction_version(1);
        }
        for (topic, partitions) in [(INPUT, plan.input), (OUTPUT, plan.output)] {
            cluster.create_topic(&TopicSpec::new(topic, partitions)).expect("its name is free");
        }
        for (index, (at, _)) in plan.items.iter().enumerate() {
            if !case.without.contains(&index) {
                stage.schedule(*at, Event::Plan(index));
            }
        }
        stage.schedule(plan.trouble, Event::Quiet);
        stage.schedule(ms(50), Event::Look);
        let mut record = Record::default();
        record.counts.implicit = plan.is_implicit();
        Self {
            case: case.clone(),
            plan,
            stage,
            record,
            cluster,
            alarm: None,
            processes: Vec::new(),
            dice,
            phase: Phase::Trouble,
            recovery: Duration::ZERO,
            committed: BTreeMap::new(),
            cuts: 0,
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
            self.handle(event);
        }
        if self.stage.violation.is_none() {
            self.judge();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Alarm(who) => self.arrives(who, Arrival::Alarm),
            Event::User(who, _) => self.turn(index_of(who)),
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
                    self.look_at_offsets();
                }
            }
            Event::Plan(index) => {
                let item = self.plan.items[index].1.clone();
                self.dice = Dice::of(self.case.seed, index);
                self.carry_out(item);
            }
            Event::Restore(node) => self.restore(node),
            Event::Quiet => self.quiet(),
            Event::Look => self.look(),
            Event::Helper(..) | Event::Burst | Event::Follow(_) | Event::Done(..) | Event::Unlock => {}
        }
    }

    /// A process does what it can, and is over where its producer is of no use any more.
    pub(super) fn turn(&mut self, index: usize) {
        self.processes[index].turn(&mut self.stage, &mut self.record);
        self.bury(index);
    }

    fn up(&mut self, id: LinkId, frame: Vec<u8>) {
        let Some(broker) = self.heard_by(id) else { return };
        let key = ApiKey::from_key(i16::from_be_bytes([frame[0], frame[1]]));
        let ends = self.ends();
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        if key == Some(ApiKey::Produce) && self.cuts > 0 {
            self.cut_behind(id, &ends);
            self.pump();
        }
        if !matches!(key, Some(ApiKey::Fetch | ApiKey::Metadata)) {
            self.look_at_offsets();
        }
    }

    /// Where logs end that may be cut.
    fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        if self.cuts == 0 { BTreeMap::new() } else { self.all_ends() }
    }

    pub(super) fn all_ends(&self) -> BTreeMap<TopicPartition, i64> {
        let all = [INPUT, OUTPUT].into_iter().flat_map(|topic| self.plan.partitions(topic));
        all.map(|at| {
            let end = self.cluster.log_end_offset(&at.topic, at.partition).unwrap_or_default();
            (at, end)
        })
        .collect()
    }

    /// What the group has committed never goes back, and is of a transaction that was to be committed.
    fn look_at_offsets(&mut self) {
        let committed = self.cluster.committed(GROUP);
        for (at, offset) in &committed {
            let before = self.committed.get(at).copied().unwrap_or(-1);
            if *offset == before {
                continue;
            }
            let partition = TopicPartition::new(at.0.as_str(), at.1);
            if *offset < before {
                self.stage.violate("committed offsets do not go back", || {
                    format!("{partition} is committed at {offset} after {before}")
                });
            }
            if !self.record.is_asked(&partition, *offset) {
                self.stage.violate("offsets are committed with their transaction", || {
                    format!("{partition} is committed at {offset}, which no transaction was to commit")
                });
            }
        }
        self.committed = committed;
    }

    fn report(&self) -> Report {
        Report {
            mode: self.case.mode,
            seed: self.case.seed,
            brokers: self.plan.broker.brokers.into(),
            topics: 2,
            partitions: u64::from(self.plan.input + self.plan.output),
            consumers: self.processes.len() as u64,
            rebalances: 0,
            faults: self.faults,
            acknowledged: 0,
            deliveries: self.record.deliveries,
            repeats: 0,
            lost: 0,
            expelled: 0,
            seeks: 0,
            commits: 0,
            recovery: self.recovery,
            longest_wait: Duration::ZERO,
            took: self.stage.time,
            steps: self.steps,
            transactions: self.record.counts,
            processed: Processed::default(),
        }
    }
}
