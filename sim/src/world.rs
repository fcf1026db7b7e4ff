//! The loop: what comes next happens, until all is done or an invariant is broken.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::{Cluster, TopicSpec};
use ottla_core::{TopicPartition, caught};
use ottla_protocol::ApiKey;

use crate::{
    between::{self, Between},
    case::{Bug, Case},
    client::{Arrival, Client as _},
    dice::{Dice, ms},
    ghosts::Ghosts,
    leaders::Leaders,
    member::Member,
    mode::Mode,
    phase::Phase,
    places::Places,
    plan::{FLEETING, Plan},
    pump::pump,
    reasons::Doubts,
    report::{Failure, Processed, Report, Transactions},
    resting::Rests,
    source::Source,
    stage::{Event, LinkId, Stage, Who},
    trouble,
    truth::Truth,
};

/// More steps than any seed takes.
const MOST_STEPS: u64 = 3_000_000;

/// Runs a seed of a group. `journal` keeps what happened, for a failure's sake.
pub(crate) fn run(case: &Case, journal: bool) -> Result<Report, Box<Failure>> {
    let mut world = World::new(case, journal);
    let items = world.plan.items.len();
    // A panic, such as of an assertion in a machine, is a finding as any other.
    let panic = caught(|| world.run()).err();
    Failure::of(case, items, world.report(), panic, &mut world.stage)
}

pub(super) struct World {
    pub(super) case: Case,
    pub(super) plan: Plan,
    pub(super) stage: Stage,
    pub(super) truth: Truth,
    pub(super) cluster: Cluster,
    pub(super) cluster_alarm: Option<Duration>,
    pub(super) source: Source,
    pub(super) members: Vec<Member>,
    pub(super) dice: Dice,
    pub(super) phase: Phase,
    pub(super) phase_since: Duration,
    pub(super) recovery: Duration,
    /// When the last consumer was closed.
    pub(super) closed_since: Option<Duration>,
    /// Whether somebody closes whose connection swallows what he says.
    pub(super) hushed: bool,
    /// How much was handed out when that was looked at last after the trouble, and when it was less.
    pub(super) progress: (u64, Duration),
    pub(super) generation: i32,
    /// What is not as members say, and since when.
    pub(super) doubts: Doubts,
    /// Which offset is missing of each partition after the trouble, and since when.
    pub(super) waits: BTreeMap<TopicPartition, (i64, Duration)>,
    pub(super) longest_wait: Duration,
    pub(super) ghosts: Ghosts,
    /// Answers to what came late.
    pub(super) stray: Vec<Vec<u8>>,
    pub(super) leaders: Leaders,
    pub(super) places: Places,
    /// What is awaited once all is read and committed.
    pub(super) rests: Rests,
    /// How often there was more trouble than the plan's.
    pub(super) made_up: usize,
    pub(super) rebalances: u64,
    pub(super) faults: u64,
    pub(super) steps: u64,
}

impl Between for World {
    fn sides(&mut self) -> (&mut Stage, &mut Cluster) {
        (&mut self.stage, &mut self.cluster)
    }

    fn arrives(&mut self, who: Who, arrival: Arrival) {
        let (stage, truth) = (&mut self.stage, &mut self.truth);
        match who {
            Who(0) => self.source.handle(arrival, stage, truth),
            Who(n) => self.members[n - 1].handle(arrival, stage, truth),
        }
    }

    fn pump(&mut self) {
        let stray = pump(&mut self.cluster, &mut self.cluster_alarm, &mut self.stage);
        self.stray.extend(stray);
    }
}

impl World {
    fn new(case: &Case, journal: bool) -> Self {
        let plan = Plan::draw(case);
        let mut dice = Dice::new(case.seed ^ 0x6f74_746c_6173_696d);
        let mut stage = Stage::new(dice.fork(), plan.weather.clone(), journal);
        stage.security.clone_from(&plan.security);
        let mut cluster = between::cluster(&plan.broker, case);
        // The producer is the same in each mode: one is enough, and the seeds of the others stay as they are known.
        if case.mode == Mode::ConsumerProtocol {
            trouble::of_the_first_batches(&mut cluster, &mut Dice::of(case.seed, usize::MAX - 1));
        }
        if case.mode == Mode::Eager {
            trouble::of_late_heartbeats(&mut cluster, &mut Dice::of(case.seed, usize::MAX - 2));
        }
        for (index, (at, _)) in plan.items.iter().enumerate() {
            if !case.without.contains(&index) {
                stage.schedule(*at, Event::Plan(index));
            }
        }
        stage.schedule(ms(10), Event::Burst);
        stage.schedule(plan.trouble, Event::Quiet);
        stage.schedule(ms(50), Event::Look);
        let mut source = Source::new(&plan, dice.fork(), &stage);
        if let Some(Bug::Core(bug)) = case.planted {
            source.host.machine.plant(bug);
        }
        let mut world = Self {
            case: case.clone(),
            plan,
            stage,
            truth: Truth::default(),
            cluster,
            cluster_alarm: None,
            source,
            members: Vec::new(),
            dice,
            phase: Phase::Trouble,
            phase_since: Duration::ZERO,
            recovery: Duration::ZERO,
            closed_since: None,
            hushed: false,
            progress: (0, Duration::ZERO),
            generation: -1,
            doubts: Doubts::default(),
            waits: BTreeMap::new(),
            longest_wait: Duration::ZERO,
            ghosts: Ghosts::default(),
            stray: Vec::new(),
            leaders: Leaders::default(),
            places: Places::default(),
            rests: Rests::default(),
            made_up: 0,
            rebalances: 0,
            faults: 0,
            steps: 0,
        };
        for (name, partitions) in world.plan.topics.clone() {
            world.create_topic(name, partitions);
        }
        world
    }

    pub(super) fn create_topic(&mut self, name: String, partitions: u32) {
        let id = self.cluster.create_topic(&TopicSpec::new(name.as_str(), partitions));
        self.truth.topics += usize::from(name != FLEETING);
        self.truth.topic_ids.insert(id.expect("its name is free"), name);
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
            self.look_at_deliveries();
            self.try_again();
        }
        if self.stage.violation.is_none() {
            self.check_logs();
        }
    }

    fn handle(&mut self, event: Event) {
        let (stage, truth) = (&mut self.stage, &mut self.truth);
        match event {
            Event::Alarm(who) => self.arrives(who, Arrival::Alarm),
            Event::User(Who(n), stamp) => self.members[n - 1].handle_user(stamp, stage, truth),
            Event::Helper(Who(n), index, stamp) => {
                self.members[n - 1].handle_helper(index, stamp, stage, truth);
            }
            Event::Connect(id) => self.connect(id),
            Event::Refuse(id) => self.refuse(id),
            Event::Up(id, frame) => self.up(id, frame),
            Event::Down(id, frame) => self.down(id, frame),
            Event::TellClient(id, why) => self.tell_client(id, why),
            Event::TellBroker(id) => self.tell_broker(id),
            Event::Cluster => {
                if self.cluster_alarm == Some(stage.time) {
                    self.cluster_alarm = None;
                    self.cluster.handle_timeout(stage.now());
                    self.pump();
                    self.look_at_logs();
                    self.look_at_commits();
                    self.look_at_group();
                    self.look_at_places();
                }
            }
            // Who would come after the end does not come.
            Event::Plan(_) if !matches!(self.phase, Phase::Trouble | Phase::Draining) => {}
            Event::Plan(index) => {
                let item = self.plan.items[index].1.clone();
                self.dice = Dice::of(self.case.seed, index);
                self.carry_out(item);
            }
            Event::Burst => self.source.burst(&self.plan, stage, truth),
            Event::Restore(node) => self.restore(node),
            Event::Follow(node) => self.cluster.set_metadata_lag(node, false),
            Event::Done(who, conn, done) => self.arrives(who, Arrival::Done(conn, done)),
            Event::Unlock => self.unlock(true),
            Event::Quiet => self.quiet(),
            Event::Look => self.look(),
        }
    }

    fn up(&mut self, id: LinkId, frame: Vec<u8>) {
        let Some(broker) = self.heard_by(id) else { return };
        let key = ApiKey::from_key(i16::from_be_bytes([frame[0], frame[1]]));
        self.ghosts.note(key, &frame);
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        match key {
            Some(ApiKey::Produce) => self.look_at_logs(),
            Some(ApiKey::OffsetCommit) => self.look_at_commits(),
            Some(
                ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::LeaveGroup | ApiKey::ConsumerGroupHeartbeat,
            ) => {
                self.look_at_group();
                self.look_at_places();
            }
            _ => {}
        }
    }

    fn report(&self) -> Report {
        let sum = |count: fn(&Member) -> u64| self.members.iter().map(count).sum();
        let groups = self.truth.groups.keys();
        Report {
            mode: self.case.mode,
            seed: self.case.seed,
            brokers: self.plan.broker.brokers.into(),
            topics: self.plan.topics.len() as u64,
            partitions: self.plan.partitions().len() as u64,
            consumers: self.members.len() as u64,
            rebalances: self.rebalances,
            faults: self.faults,
            acknowledged: self.source.acknowledged,
            deliveries: self.truth.deliveries,
            repeats: groups.map(|group| self.truth.repeated(group)).sum(),
            lost: sum(|member| member.counts.lost),
            expelled: sum(|member| member.counts.expelled),
            seeks: sum(|member| member.counts.seeks),
            commits: sum(|member| member.counts.commits),
            recovery: self.recovery,
            longest_wait: self.longest_wait,
            took: self.stage.time,
            steps: self.steps,
            transactions: Transactions::default(),
            processed: Processed::default(),
        }
    }
}
