//! A group that reads what never stops being written, while things happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::flow::{Delivery, Feed, History, Log, Member, millis, quantile};
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::Outcome;
use crate::kit::{PATIENCE, admin, create, equal, holds, wait};

pub(crate) const PARTITIONS: i32 = 12;

/// How a group's members belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    Eager,
    Cooperative,
    Consumer,
}

impl Membership {
    pub(crate) const ALL: [Self; 3] = [Self::Eager, Self::Cooperative, Self::Consumer];

    /// As a case's name has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Cooperative => "cooperative",
            Self::Consumer => "consumer_protocol",
        }
    }

    /// With sessions of 6 s: the consumer protocol has those of the broker.
    pub(crate) fn properties(self) -> Vec<(String, String)> {
        let classic = |assignor: &str| {
            vec![
                ("partition.assignment.strategy", format!("org.apache.kafka.clients.consumer.{assignor}")),
                ("session.timeout.ms", "6000".to_owned()),
                ("heartbeat.interval.ms", "500".to_owned()),
            ]
        };
        let properties = match self {
            Self::Eager => classic("RangeAssignor"),
            Self::Cooperative => classic("CooperativeStickyAssignor"),
            Self::Consumer => vec![("group.protocol", "consumer".to_owned())],
        };
        properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Starts a member of a group: in sessions of 6 s, from the earliest record, with automatic commits.
pub(crate) fn start_member(
    target: &Target,
    membership: Membership,
    group: &str,
    topic: &str,
    more: &[(&str, &str)],
) -> Result<Member, Failed> {
    let bootstrap = target.bootstrap();
    let common = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
        ("auto.commit.interval.ms", "200"),
        ("metadata.max.age.ms", "1000"),
    ];
    let mut properties = membership.properties();
    let all = common.iter().chain(more);
    properties.extend(all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Ok(Member::start(env!("CARGO_BIN_EXE_ottla-conformance-member"), topic, &properties)?)
}

/// Something that happened to the group, and what must hold until it has settled.
#[derive(Debug)]
struct Happened {
    what: &'static str,
    during: Range<u64>,
    /// So many partitions at least must not move, and flow on.
    stay: usize,
    /// Nothing may be handed out twice.
    clean: bool,
}

/// A topic, who writes it, and the members of a group that read it. A member keeps its place when it has ended.
pub(crate) struct Scene {
    pub(crate) target: Target,
    pub(crate) membership: Membership,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) members: Vec<Member>,
    /// Reads beside the group, in one of its own in which nothing happens: what holds it up is the machine, or a broker.
    beside: Option<Member>,
    feed: Feed,
    happened: Vec<Happened>,
    since: u64,
    /// What members that others wrote repeat is theirs to answer for.
    pub(crate) may_repeat: bool,
}

impl Scene {
    /// Members that have shared the partitions, and read for a while.
    pub(crate) fn start(
        target: &Target,
        membership: Membership,
        name: &str,
        members: usize,
    ) -> Result<Self, Failed> {
        Self::start_with(target, membership, name, members, &[])
    }

    /// The same with members that are given more.
    pub(crate) fn start_with(
        target: &Target,
        membership: Membership,
        name: &str,
        members: usize,
        more: &[(&str, &str)],
    ) -> Result<Self, Failed> {
        let mut scene = Self::empty(target, membership, name, PARTITIONS, 1000)?;
        for _ in 0..members {
            scene.add(more)?;
        }
        let beside = format!("{}-beside", scene.group);
        scene.beside = Some(start_member(target, membership, &beside, &scene.topic, &[])?);
        scene.settle(&even(PARTITIONS, members))?;
        scene.flow(1000)?;
        Ok(scene)
    }

    /// No member yet.
    pub(crate) fn empty(
        target: &Target,
        membership: Membership,
        name: &str,
        partitions: i32,
        per_second: u32,
    ) -> Result<Self, Failed> {
        let topic = unique(&format!("{name}-{}", membership.name()));
        Self::of_group(target, membership, topic.clone(), topic, partitions, per_second)
    }

    /// The same for a group whose name matters.
    pub(crate) fn of_group(
        target: &Target,
        membership: Membership,
        topic: String,
        group: String,
        partitions: i32,
        per_second: u32,
    ) -> Result<Self, Failed> {
        wait(create(target, &topic, partitions))?;
        Self::of_topic(target, membership, topic, group, partitions, per_second)
    }

    /// The same for a topic that is there.
    pub(crate) fn of_topic(
        target: &Target,
        membership: Membership,
        topic: String,
        group: String,
        partitions: i32,
        per_second: u32,
    ) -> Result<Self, Failed> {
        let feed = Feed::start(&target.bootstrap(), &topic, &group, partitions, per_second)?;
        Ok(Self {
            target: *target,
            membership,
            topic,
            group,
            members: Vec::new(),
            beside: None,
            feed,
            happened: Vec::new(),
            since: millis(),
            may_repeat: false,
        })
    }

    /// One member more; its place.
    pub(crate) fn add(&mut self, more: &[(&str, &str)]) -> Result<usize, Failed> {
        self.add_as(self.membership, more)
    }

    /// One member more, of a membership that may differ from the others'.
    pub(crate) fn add_as(&mut self, membership: Membership, more: &[(&str, &str)]) -> Result<usize, Failed> {
        self.members.push(start_member(&self.target, membership, &self.group, &self.topic, more)?);
        Ok(self.members.len() - 1)
    }

    pub(crate) fn log(&mut self, member: usize) -> &Log {
        self.members[member].log()
    }

    /// How often each running member has joined.
    pub(crate) fn joins(&mut self) -> Vec<usize> {
        self.members.iter_mut().map(|member| member.log().joined.len()).collect()
    }

    /// Waits until it holds; what all members say of themselves, if it does not.
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) -> Outcome {
        let mut failure = None;
        let waited = until(PATIENCE, what, || {
            failure = self.feed.failure();
            failure.is_some() || condition(self)
        });
        match (waited, failure) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(failure)) => Err(format!("the producer failed: {failure}").into()),
            (Err(late), _) => Err(format!("{late}\n{}", self.explained()).into()),
        }
    }

    fn explained(&mut self) -> String {
        for member in &mut self.members {
            member.tell("explain");
        }
        let told = |member: &mut Member| member.status().is_some() || !member.log().why.is_empty();
        let _ = until(Duration::from_secs(5), "explanations", || self.members.iter_mut().all(told));
        let mut text = format!("acknowledged: {:?}\n", self.feed.ends());
        for (place, member) in self.members.iter_mut().enumerate() {
            let (status, stderr) = (member.status(), member.stderr());
            let log = member.log();
            let _ = writeln!(
                text,
                "member {place}: {status:?}, owns {:?}, read {:?}, fatal {:?}, joined {:?}\n  {}\n{stderr}",
                log.owns(),
                log.last,
                log.fatal,
                log.joined,
                log.why.join("\n  "),
            );
        }
        text
    }

    /// Until the running members have these shares, and all partitions among them.
    pub(crate) fn settle(&mut self, shares: &[usize]) -> Outcome {
        let partitions = self.feed.partitions() as usize;
        self.until(&format!("shares {shares:?}"), |scene| {
            let running = scene.members.iter_mut().filter_map(|member| {
                let ended = member.status().is_some();
                let owned = member.log().owns();
                (!ended).then_some(owned)
            });
            let owned: Vec<BTreeSet<i32>> = running.collect();
            let mut found: Vec<usize> = owned.iter().map(BTreeSet::len).collect();
            found.sort_unstable();
            found == shares && owned.iter().flatten().collect::<BTreeSet<_>>().len() == partitions
        })?;
        self.catch_up()
    }

    /// Until all that is acknowledged by now has been handed out.
    pub(crate) fn catch_up(&mut self) -> Outcome {
        let ends = self.feed.ends();
        self.until("all that is acknowledged", |scene| {
            let mut left = ends.clone();
            for member in &mut scene.members {
                let last = &member.log().last;
                left.retain(|partition, end| last.get(partition).is_none_or(|last| last < end));
            }
            left.is_empty()
        })
    }

    /// Until so many records more have been written and read.
    pub(crate) fn flow(&mut self, records: usize) -> Outcome {
        let goal = self.feed.acked() + records;
        self.until("records that are written", |scene| scene.feed.acked() >= goal)?;
        self.catch_up()
    }

    /// Does something, waits until the group has these shares, and holds it to what must be true meanwhile: so many
    /// partitions flow on where the protocol lets them, and nothing is repeated if it was clean.
    pub(crate) fn when(
        &mut self,
        what: &'static str,
        act: impl FnOnce(&mut Self) -> Outcome,
        shares: &[usize],
        (stay, clean): (usize, bool),
    ) -> Outcome {
        let start = millis();
        act(self)?;
        self.settle(shares)?;
        self.flow(500)?;
        let end = millis() + 1;
        // What comes next is not to fall into this one's last millisecond.
        until(PATIENCE, "the next millisecond", || millis() >= end)?;
        let stay = if self.membership == Membership::Eager { 0 } else { stay };
        self.happened.push(Happened { what, during: start..end, stay, clean });
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, member: usize) {
        self.members[member].kill();
    }

    /// Asks a member to close, and waits until it has.
    pub(crate) fn close(&mut self, member: usize) -> Outcome {
        self.members[member].close();
        self.closed(member)
    }

    /// Waits until a member that was told to has closed.
    pub(crate) fn closed(&mut self, member: usize) -> Outcome {
        self.until("a member that has closed", |scene| scene.members[member].status().is_some())?;
        equal("its fatal error", self.log(member).fatal.clone(), None)
    }

    /// More partitions for the topic, which are written to at once.
    pub(crate) fn widen(&mut self, partitions: i32) -> Outcome {
        wait(async {
            Ok(admin(&self.target).await?.create_partitions(self.topic.as_str(), partitions).await?)
        })?;
        self.feed.widen(partitions);
        Ok(())
    }

    /// Of each partition the last offset that the group has committed.
    fn committed(&self) -> Result<BTreeMap<i32, i64>, Failed> {
        let committed =
            wait(async { Ok(admin(&self.target).await?.committed_offsets(self.group.as_str()).await?) })?;
        let here = committed.into_iter().filter(|(at, _)| at.topic == self.topic);
        Ok(here.map(|(at, committed)| (at.partition, committed.offset - 1)).collect())
    }

    /// Stops the writing, reads all of it, closes all members, and checks the whole.
    pub(crate) fn finish(mut self) -> Outcome {
        self.feed.stop_writing();
        self.until("the last acknowledgement", |scene| scene.feed.is_written())?;
        self.catch_up()?;
        let ends = self.feed.ends();
        if self.may_repeat {
            // librdkafka 2.12.1 was seen to close without its last commit, in a consumer group on Kafka itself.
            self.until("commits of all", |scene| scene.committed().is_ok_and(|committed| committed == ends))?;
        }
        for member in 0..self.members.len() {
            if self.members[member].status().is_none() {
                self.close(member)?;
            }
        }
        equal("committed at the end", self.committed()?, ends.clone())?;
        let fed = self.feed.end()?;
        let delivered: Vec<Vec<Delivery>> =
            self.members.iter_mut().map(|member| member.log().delivered.clone()).collect();
        let beside = self.beside.iter_mut().map(|member| member.log().delivered.clone());
        let beside = History::new(fed.clone(), beside.collect::<Vec<_>>());
        let history = History::new(fed, delivered);
        let all: BTreeSet<i32> = ends.keys().copied().collect();
        let some = |found: Vec<Delivery>| found.into_iter().take(5).collect::<Vec<_>>();
        equal("lost", history.lost().into_iter().take(5).collect(), Vec::new())?;
        if !self.may_repeat {
            equal("repeated below what was committed", some(history.repeats_below_committed()), Vec::new())?;
        }
        equal("committed before it was seen", history.committed_unseen(), Vec::new())?;
        let first = self.happened.first().map_or(u64::MAX, |first| first.during.start);
        let before = history.waits(self.since..first, &(0..PARTITIONS).collect());
        let usual = quantile(&before, 0.999);
        let mut told = format!("{}: {} records", self.topic, history.written());
        for Happened { what, during, stay, clean } in &self.happened {
            let repeats = history.repeats(during.clone());
            let _ = write!(told, "; {what}: {} repeated", repeats.len());
            if *clean {
                equal(&format!("{what}: repeated"), some(repeats), Vec::new())?;
            }
            let owned: Vec<_> =
                self.members.iter_mut().map(|member| member.log().owned_during(during.clone())).collect();
            let unmoved = unmoved(&owned);
            holds(
                &format!("{what}: {stay} partitions stay, {unmoved:?} did; {during:?}: {owned:?}"),
                unmoved.len() >= *stay,
            )?;
            let longest = quantile(&history.waits(during.clone(), &unmoved), 1.0);
            let others = quantile(&beside.waits(during.clone(), &all), 1.0);
            let limit = 500.max(2 * usual) + others;
            let _ = write!(
                told,
                ", {} unmoved, no longer than {longest} ms ({others} ms beside the group)",
                unmoved.len()
            );
            holds(
                &format!(
                    "{what}: an unmoved partition waits at most {limit} ms, not {longest} ({others} ms beside the \
                     group)"
                ),
                *stay == 0 || longest <= limit,
            )?;
        }
        eprintln!("{told}; usual waits {usual} ms");
        Ok(())
    }
}

/// The partitions that one member had all the time, and nobody else ever: of what each owned, and when.
fn unmoved(owned: &[Vec<(u64, BTreeSet<i32>)>]) -> BTreeSet<i32> {
    let ever = |sets: &Vec<(u64, BTreeSet<i32>)>| sets.iter().flat_map(|(_, set)| set).copied().collect();
    let ever: Vec<BTreeSet<i32>> = owned.iter().map(ever).collect();
    let partitions: BTreeSet<i32> = ever.iter().flatten().copied().collect();
    let stayed = |partition: &i32| {
        let mut owners = ever.iter().zip(owned).filter(|(ever, _)| ever.contains(partition));
        let always =
            |(_, sets): (_, &Vec<(u64, BTreeSet<i32>)>)| sets.iter().all(|(_, set)| set.contains(partition));
        owners.next().is_some_and(always) && owners.next().is_none()
    };
    partitions.into_iter().filter(stayed).collect()
}

/// Partitions in equal shares, the smaller ones first.
pub(crate) fn even(partitions: i32, members: usize) -> Vec<usize> {
    let partitions = partitions as usize;
    (0..members)
        .rev()
        .map(|member| partitions / members + usize::from(member < partitions % members))
        .collect()
}

/// Goes on for so long; for what must *not* happen meanwhile.
pub(crate) fn rest(how_long: Duration) {
    let start = Instant::now();
    while start.elapsed() < how_long {
        std::thread::sleep(Duration::from_millis(50));
    }
}
