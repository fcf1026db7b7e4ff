//! The loop: what comes next happens, until all is done or an invariant is broken.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use ottla_broker::{Cluster, Output};
use ottla_core::{Consumer, Disconnected, TopicPartition, group::consumer_protocol::Assignment};
use ottla_protocol::{
    ApiKey, Request, RequestHeader,
    records::{BatchHeader, Compression, Decompressor, RecordWalk, walk_headers},
};

use crate::{
    dice::{Dice, ms, secs},
    member::{Member, Role, names},
    plan::{Bug, Item, Plan},
    report::{Failure, Report},
    source::Source,
    stage::{Event, LinkId, LinkState, Outage, Stage, Violation, Who},
    trouble,
    truth::Truth,
};

/// The group that most consumers are in.
const GROUP: &str = "group";
/// More steps than any seed takes.
const MOST_STEPS: u64 = 3_000_000;

/// Runs a seed, with a bug switched on or without one. `journal` keeps what happened, for a failure's sake.
pub fn run(seed: u64, planted: Option<Bug>, journal: bool) -> Result<Report, Failure> {
    let mut world = World::new(seed, planted, journal);
    // A panic, such as of an assertion in a machine, is a finding as any other.
    let panic = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    let violation = panic.map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Violation { invariant: "nothing panics", detail: text.unwrap_or_default(), at: world.stage.time }
    });
    let report = world.report(seed);
    match violation.or(world.stage.violation.take()) {
        Some(violation) => {
            let journal = world.stage.journal.take().unwrap_or_default();
            Err(Failure { report, violation, planted, journal })
        }
        None => Ok(report),
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Trouble,
    /// That everything acknowledged is done.
    Draining,
    /// That everything done is committed.
    Settling,
    /// That everybody is closed, and the group empty.
    Closing,
    Over,
}

struct World {
    plan: Plan,
    planted: Option<Bug>,
    stage: Stage,
    truth: Truth,
    cluster: Cluster,
    cluster_alarm: Option<Duration>,
    source: Source,
    members: Vec<Member>,
    dice: Dice,
    phase: Phase,
    phase_since: Duration,
    recovery: Duration,
    generation: i32,
    /// Commits that were sent, each with its generation: see [`Item::Ghost`].
    commits: Vec<(i32, Vec<u8>)>,
    rebalances: u64,
    faults: u64,
    steps: u64,
}

impl World {
    fn new(seed: u64, planted: Option<Bug>, journal: bool) -> Self {
        let plan = Plan::draw(seed);
        let mut dice = Dice::new(seed ^ 0x6f74_746c_6173_696d);
        let mut stage = Stage::new(dice.fork(), plan.weather.clone(), journal);
        let mut cluster = Cluster::new(plan.broker.clone());
        for node in 1..=plan.broker.brokers as i32 {
            cluster.set_address(node, format!("broker-{node}"), 9092);
        }
        if let Some(Bug::Broker(bug)) = planted {
            cluster.plant(bug);
        }
        for (index, (at, _)) in plan.items.iter().enumerate() {
            stage.schedule(*at, Event::Plan(index));
        }
        stage.schedule(ms(10), Event::Burst);
        stage.schedule(plan.trouble, Event::Quiet);
        let source = Source::new(&plan, dice.fork(), &stage);
        Self {
            plan,
            planted,
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
            generation: -1,
            commits: Vec::new(),
            rebalances: 0,
            faults: 0,
            steps: 0,
        }
    }

    fn run(&mut self) {
        let plan = format!("{:?}", self.plan);
        self.stage.note(|| plan);
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
            self.check_logs();
        }
    }

    fn handle(&mut self, event: Event) {
        let (stage, truth) = (&mut self.stage, &mut self.truth);
        match event {
            Event::Alarm(Who(0)) => self.source.handle_alarm(stage, truth),
            Event::Alarm(Who(n)) => self.members[n - 1].handle_alarm(stage, truth),
            Event::User(Who(n), stamp) => self.members[n - 1].handle_user(stamp, stage, truth),
            Event::Connect(id) => self.connect(id),
            Event::Refuse(id) => self.tell_client(id, Disconnected::Refused("nobody listens".to_owned())),
            Event::Up(id, frame) => self.up(id, frame),
            Event::Down(id, frame) => self.down(id, frame),
            Event::TellClient(id, why) => self.tell_client(id, why),
            Event::TellBroker(id) => {
                if let Some(broker) = stage.part(id) {
                    self.cluster.handle_disconnect(broker, stage.now());
                    self.pump();
                }
            }
            Event::Cluster => {
                if self.cluster_alarm == Some(stage.time) {
                    self.cluster_alarm = None;
                    self.cluster.handle_timeout(stage.now());
                    self.pump();
                    self.look_at_logs();
                    self.look_at_commits();
                    self.look_at_group();
                }
            }
            // Who would come after the end does not come.
            Event::Plan(_) if !matches!(self.phase, Phase::Trouble | Phase::Draining) => {}
            Event::Plan(index) => {
                let item = self.plan.items[index].1.clone();
                self.carry_out(item);
            }
            Event::Burst => self.source.burst(&self.plan, stage, truth),
            Event::Restore(node) => {
                stage.note(|| format!("broker {node} can be reached again"));
                stage.net.outages.remove(&node);
            }
            Event::Quiet => self.quiet(),
            Event::Look => self.look(),
        }
    }

    // Between clients and brokers.

    fn connect(&mut self, id: LinkId) {
        let stage = &mut self.stage;
        let Some(link) = stage.link(id).filter(|link| link.state == LinkState::Open) else { return };
        let (node, who, conn) = (link.node, link.who, link.conn);
        let broker = self.cluster.handle_connect(node, stage.now());
        stage.accept(id, broker);
        match who {
            Who(0) => self.source.handle_connected(conn, stage, &mut self.truth),
            Who(n) => self.members[n - 1].handle_connected(conn, stage, &mut self.truth),
        }
        self.pump();
    }

    fn up(&mut self, id: LinkId, frame: Vec<u8>) {
        let stage = &mut self.stage;
        let passes = |link: &&mut crate::stage::Link| {
            matches!(link.state, LinkState::Open | LinkState::ClientGone)
        };
        let Some(broker) = stage.link(id).filter(passes).and_then(|link| link.broker) else { return };
        let key = ApiKey::from_key(i16::from_be_bytes([frame[0], frame[1]]));
        if key == Some(ApiKey::OffsetCommit)
            && let Ok((_, Request::OffsetCommit(commit))) = RequestHeader::decode(&frame)
            && commit.group_id == GROUP
            && self.commits.last().is_none_or(|(last, _)| *last < commit.generation_id_or_member_epoch)
        {
            self.commits.push((commit.generation_id_or_member_epoch, frame.clone()));
        }
        self.cluster.handle_frame(broker, frame, stage.now());
        self.pump();
        match key {
            Some(ApiKey::Produce) => self.look_at_logs(),
            Some(ApiKey::OffsetCommit) => self.look_at_commits(),
            Some(ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::LeaveGroup) => self.look_at_group(),
            _ => {}
        }
    }

    fn down(&mut self, id: LinkId, frame: Vec<u8>) {
        let stage = &mut self.stage;
        let passes =
            |link: &&mut crate::stage::Link| matches!(link.state, LinkState::Open | LinkState::BrokerGone);
        let Some(link) = stage.link(id).filter(passes) else { return };
        let (who, conn) = (link.who, link.conn);
        match who {
            Who(0) => self.source.handle_frame(conn, frame, stage, &mut self.truth),
            Who(n) => self.members[n - 1].handle_frame(conn, frame, stage, &mut self.truth),
        }
    }

    fn tell_client(&mut self, id: LinkId, why: Disconnected) {
        let stage = &mut self.stage;
        let Some(link) = stage.link(id) else { return };
        let (who, conn) = (link.who, link.conn);
        match who {
            Who(0) => self.source.handle_disconnected(conn, why, stage, &mut self.truth),
            Who(n) => self.members[n - 1].handle_disconnected(conn, why, stage, &mut self.truth),
        }
    }

    /// Carries out what the cluster wants done.
    fn pump(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Reply { conn, mut frame } => {
                    if let Some(id) = self.stage.link_of(conn) {
                        frame.drain(..4);
                        self.stage.send_down(id, frame);
                    }
                }
                Output::Close { conn } => {
                    if let Some(id) = self.stage.link_of(conn) {
                        self.stage.close_from_broker(id);
                    }
                }
            }
        }
        let deadline = self.cluster.poll_timeout().map(|at| self.stage.time_of(at));
        if let Some(at) = deadline.filter(|_| deadline != self.cluster_alarm) {
            self.stage.schedule(at, Event::Cluster);
        }
        self.cluster_alarm = deadline.map(|at| at.max(self.stage.time));
    }

    // What is looked at from outside.

    fn look_at_logs(&mut self) {
        for at in self.plan.partitions() {
            let end = self.cluster.log_end_offset(&at.topic, at.partition).unwrap_or_default();
            self.truth.ends.insert(at, end);
        }
    }

    fn look_at_commits(&mut self) {
        for group in [GROUP, "by hand"] {
            for ((topic, partition), offset) in self.cluster.committed(group) {
                let at = TopicPartition::new(topic, partition);
                self.truth.progress(group, &at).commit(group, &at, offset, &mut self.stage);
            }
        }
    }

    /// One owner a partition, as the coordinator sees it and as the members do.
    fn look_at_group(&mut self) {
        let Some(group) = self.cluster.group(GROUP).filter(|group| group.state == "Stable") else { return };
        if group.generation_id == self.generation {
            return;
        }
        self.generation = group.generation_id;
        self.rebalances += 1;
        let mut owners: BTreeMap<TopicPartition, String> = BTreeMap::new();
        for member in group.members {
            let assignment = Assignment::decode(&member.assignment).unwrap_or_default();
            let generation = group.generation_id;
            let client = &member.client_id;
            let assigned = names(&assignment.partitions);
            self.stage.note(|| format!("generation {generation}: {client} ({}) has {assigned}", member.member_id));
            for at in assignment.partitions {
                if let Some(other) = owners.insert(at.clone(), member.member_id.clone()) {
                    let one = &member.member_id;
                    self.stage.violate("a partition has one owner in a generation", || {
                        format!("{at} in generation {generation}: {other} and {one}")
                    });
                }
            }
        }
    }

    // What happens to clients.

    fn carry_out(&mut self, item: Item) {
        match item {
            Item::Join(role) => self.join(role),
            Item::Close => self.with_any(|member, stage, truth| member.close(stage, truth)),
            Item::Drop => self.with_any(|member, stage, truth| member.drop_handle(stage, truth)),
            Item::Unsubscribe => self.with_any(|member, stage, truth| {
                if member.in_group() {
                    member.unsubscribe(stage, truth);
                }
            }),
            Item::Crash { again_after } => {
                let mut role = None;
                self.with_any(|member, stage, _| {
                    role = Some(member.role.clone());
                    member.crash(stage);
                });
                if let (Some(role), Some(wait)) = (role, again_after) {
                    self.plan.items.push((Duration::ZERO, Item::Join(role)));
                    self.stage.after(wait, Event::Plan(self.plan.items.len() - 1));
                }
            }
            Item::Change(topics) => self.with_any(|member, stage, truth| member.change(topics, stage, truth)),
            Item::Ghost => self.send_late(),
            Item::Fault => {
                let said = trouble::script(&mut self.cluster, &mut self.dice);
                self.stage.note(|| format!("fault: {said}"));
                self.faults += 1;
            }
            Item::Cut | Item::Darken => {
                let standing = |link: &crate::stage::Link| link.broker.is_some() && link.state == LinkState::Open;
                let links = self.stage.net.links.iter().filter(|(_, link)| standing(link));
                let links: Vec<(LinkId, Who)> = links.map(|(id, link)| (*id, link.who)).collect();
                if !links.is_empty() {
                    let (id, who) = self.dice.pick(&links);
                    self.stage.note(|| format!("network: {item:?} of a connection of {who}"));
                    match item {
                        Item::Cut => self.stage.cut(id),
                        _ => self.stage.darken(id),
                    }
                    self.faults += 1;
                }
            }
            Item::Outage { lasts, swallows } => {
                let node = self.dice.number(1..=self.plan.broker.brokers as usize) as i32;
                self.stage.note(|| format!("broker {node} cannot be reached for {lasts:?} (swallows: {swallows})"));
                let outage = if swallows { Outage::Swallows } else { Outage::Refuses };
                self.stage.net.outages.insert(node, outage);
                let links: Vec<LinkId> =
                    self.stage.net.links.iter().filter(|(_, link)| link.node == node).map(|(id, _)| *id).collect();
                for id in links {
                    match swallows {
                        true => self.stage.darken(id),
                        false => self.stage.cut(id),
                    }
                }
                self.stage.after(lasts, Event::Restore(node));
                self.faults += 1;
            }
            Item::MoveLeader => {
                let at = self.dice.pick(&self.plan.partitions());
                let node = self.dice.number(1..=self.plan.broker.brokers as usize) as i32;
                self.stage.note(|| format!("{at} is led by broker {node} now"));
                self.cluster.move_leader(&at.topic, at.partition, node, self.stage.now());
                self.pump();
                self.faults += 1;
            }
        }
    }

    fn join(&mut self, role: Role) {
        let who = Who(self.members.len() + 1);
        let habits = self.plan.habits(&mut self.dice, &role);
        let config = self.plan.consumer(&role, &habits, &mut self.dice);
        self.stage.note(|| format!("{who} begins: {role:?}, {habits:?}"));
        let mut machine = Consumer::new(config, self.stage.now());
        if let Some(Bug::Core(bug)) = self.planted {
            machine.plant(bug);
        }
        let (most, dice) = ((self.plan.most_held(), self.plan.max_poll), self.dice.fork());
        let mut member = Member::new(who, machine, role, habits, most, dice, &mut self.stage);
        member.turn(&mut self.stage, &mut self.truth);
        self.members.push(member);
    }

    /// A commit of an earlier generation arrives, and must change nothing.
    fn send_late(&mut self) {
        let current = self.cluster.group(GROUP).map_or(-1, |group| group.generation_id);
        let late: Vec<_> = self.commits.iter().filter(|(generation, _)| (0..current).contains(generation)).collect();
        if late.is_empty() {
            return;
        }
        let (generation, frame) = self.dice.pick(&late).clone();
        self.stage.note(|| format!("a commit of generation {generation} arrives late"));
        let before = self.cluster.committed(GROUP);
        let broker = self.cluster.handle_connect(self.cluster.coordinator(GROUP), self.stage.now());
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        self.cluster.handle_disconnect(broker, self.stage.now());
        if self.cluster.committed(GROUP) != before {
            self.stage.violate("a commit of an earlier generation is refused", || {
                format!("one of {generation} is taken in {current}")
            });
        }
    }

    fn with_any(&mut self, what: impl FnOnce(&mut Member, &mut Stage, &mut Truth)) {
        let live: Vec<usize> =
            self.members.iter().enumerate().filter(|(_, member)| member.is_live()).map(|(n, _)| n).collect();
        if !live.is_empty() {
            let index = self.dice.pick(&live);
            what(&mut self.members[index], &mut self.stage, &mut self.truth);
        }
    }

    // The end.

    fn quiet(&mut self) {
        self.stage.note(|| "the trouble is over".to_owned());
        self.stage.quiet = true;
        self.cluster.faults().clear();
        self.stage.net.outages.clear();
        if !self.members.iter().any(|member| member.is_live() && member.in_group()) {
            let role = self.plan.in_group(&mut self.dice);
            self.join(role);
        }
        let topics: Vec<String> = self.plan.topics.iter().map(|(name, _)| name.clone()).collect();
        for member in self.members.iter_mut().filter(|member| member.is_live() && member.in_group()) {
            member.change(topics.clone(), &mut self.stage, &mut self.truth);
        }
        self.enter(Phase::Draining);
        self.stage.after(ms(100), Event::Look);
    }

    fn enter(&mut self, phase: Phase) {
        self.stage.note(|| format!("{phase:?}"));
        (self.phase, self.phase_since) = (phase, self.stage.time);
    }

    fn look(&mut self) {
        self.stage.after(ms(100), Event::Look);
        let waited = self.stage.time - self.phase_since;
        match self.phase {
            Phase::Draining => match self.missing() {
                None => {
                    self.recovery = waited;
                    self.enter(Phase::Settling);
                }
                Some(missing) if waited > self.plan.bound() => {
                    let explained = self.explain();
                    self.stage.violate("everything acknowledged is delivered once the trouble is over", || {
                        format!("{missing} after {waited:?}\n{explained}")
                    });
                }
                Some(_) => {}
            },
            Phase::Settling => match self.uncommitted() {
                None => {
                    self.enter(Phase::Closing);
                    for member in self.members.iter_mut().filter(|member| member.is_live()) {
                        member.close(&mut self.stage, &mut self.truth);
                    }
                }
                Some(late) if waited > self.plan.bound() => {
                    let explained = self.explain();
                    self.stage.violate("everything done is committed once the trouble is over", || {
                        format!("{late} after {waited:?}\n{explained}")
                    });
                }
                Some(_) => {}
            },
            Phase::Closing => {
                let open = self.members.iter().find(|member| !member.is_gone()).map(|member| member.who);
                let left = self.cluster.group(GROUP).map_or(0, |group| group.members.len());
                match open {
                    Some(who) if waited > secs(6) => {
                        self.stage.violate("close ends in time", || format!("{who} after {waited:?}"));
                    }
                    None if left == 0 => self.enter(Phase::Over),
                    None if waited > secs(12) => {
                        self.stage.violate("closed consumers have left the group", || format!("{left} are members"));
                    }
                    _ => {}
                }
            }
            Phase::Trouble | Phase::Over => {}
        }
    }

    /// What somebody has yet to do.
    fn missing(&self) -> Option<String> {
        if !self.source.is_idle() {
            return Some("the producer waits for acknowledgements".to_owned());
        }
        let partitions = self.plan.partitions();
        let in_group = partitions.iter().map(|at| (GROUP, at));
        let alone = self.members.iter().filter(|member| member.is_live() && !member.in_group());
        let alone = alone.flat_map(|member| member.owns().map(|at| (member.group.as_str(), at)));
        in_group.chain(alone).find_map(|(group, at)| {
            let offset = self.truth.missing(group, at)?;
            Some(format!("{group} lacks {at} offset {offset}"))
        })
    }

    fn uncommitted(&mut self) -> Option<String> {
        self.plan.partitions().into_iter().find_map(|at| {
            let end = self.truth.end(&at);
            let committed = self.truth.progress(GROUP, &at).committed();
            (end > 0 && committed != Some(end)).then(|| format!("{at}: {committed:?} of {end} are committed"))
        })
    }

    fn explain(&self) -> String {
        let now = self.stage.now();
        let live = self.members.iter().filter(|member| member.is_live());
        live.map(|member| format!("{}:\n{}", member.who, member.host.machine.explain(now))).collect()
    }

    /// The logs hold what the producer was told, once.
    fn check_logs(&mut self) {
        let mut seen: BTreeMap<u64, (TopicPartition, i64)> = BTreeMap::new();
        for at in self.plan.partitions() {
            let log = self.cluster.log(&at.topic, at.partition).unwrap_or_default();
            for (offset, id) in records(&log) {
                self.truth.see(&at, offset, id, &mut self.stage);
                if let Some((other, before)) = seen.insert(id, (at.clone(), offset)) {
                    self.stage.violate("an idempotent producer's record is in the log once", || {
                        format!("record {id} is {other} offset {before} and {at} offset {offset}")
                    });
                }
            }
        }
        for (at, acknowledged) in &self.truth.acknowledged {
            for (offset, id) in acknowledged {
                if seen.get(id) != Some(&(at.clone(), *offset)) {
                    self.stage.violate("what was acknowledged is in the log", || format!("{at} offset {offset}"));
                }
            }
        }
        let repeated = self.truth.repeated(GROUP);
        if self.plan.orderly && repeated > 0 {
            self.stage.violate("without crashes and faults nothing is delivered twice", || {
                format!("{repeated} repeats")
            });
        }
        for member in self.members.iter().filter(|member| member.closed_in_order()) {
            let (who, held) = (member.who, member.host.memory.records.get());
            if held > 0 {
                self.stage.violate("a closed consumer leaves nothing behind", || format!("{who}: {held} bytes"));
            }
        }
    }

    fn report(&self, seed: u64) -> Report {
        let sum = |count: fn(&Member) -> u64| self.members.iter().map(count).sum();
        let groups = self.truth.groups.keys();
        Report {
            seed,
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
            took: self.stage.time,
            steps: self.steps,
        }
    }
}

/// Every record of a log, by offset.
fn records(log: &[u8]) -> Vec<(i64, u64)> {
    let mut found = Vec::new();
    let mut decompressor = Decompressor::new();
    for batch in walk_headers(log) {
        let (range, header) = batch.expect("the broker checked it");
        let packed = &log[range.start + BatchHeader::SIZE..range.end];
        let mut unpacked = Vec::new();
        match header.compression().expect("the broker checked it") {
            Compression::None => unpacked.extend_from_slice(packed),
            codec => decompressor.decompress(codec, packed, &mut unpacked, 1 << 24).expect("it was compressed"),
        }
        for record in RecordWalk::new(&header, &unpacked) {
            let record = record.expect("it was written");
            let id = record.value.and_then(<[u8]>::first_chunk).expect("it begins with its number");
            found.push((record.offset, u64::from_be_bytes(*id)));
        }
    }
    found
}
