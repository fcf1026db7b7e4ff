//! Faults of topics, groups, transactions, clocks and of users' own code, all there at once: one `ottla doctor` names the cause of
//! each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::Failed;
use ottla::admin::{CommittedOffset, NewTopic};
use ottla::producer::TransactionalProducer;
use ottla::{Admin, Consumer, GroupProtocol, Producer, ProducerRecord, Timestamp};
use ottla_conformance::targets::{Embedded, Target, unique};

use crate::cases::{Case, Outcome};
use crate::doctor::Told;
use crate::kit::{PATIENCE, admin, create, equal, holds, member_by, numbers, poll_until, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("embedded::doctor_names_what_is_wrong_with_topics_groups_and_transactions", || {
            let broker: &'static Embedded = Box::leak(Box::new(Embedded::start(3)?));
            faults(&Target::Embedded(broker))
        }),
        Case::kafka("doctor_names_what_is_wrong_with_topics_groups_and_transactions", faults),
    ]
}

/// How many partitions each topic has.
const PARTITIONS: i32 = 2;
/// Where coordinators write commits.
const COMMITS: &str = "__consumer_offsets";
/// How many records lie in each partition.
const RECORDS: i64 = 10;

/// A fault, the finding that names it, and what that says.
type Fault = (&'static str, &'static str, Vec<String>);

/// What is wrong, and what has to live for it.
struct Stage<'a> {
    target: &'a Target,
    admin: Admin,
    groups: Vec<String>,
    /// Those in which nobody is, which is told of each.
    deserted: Vec<String>,
    faults: Vec<Fault>,
    members: Vec<Consumer>,
    producers: Vec<TransactionalProducer>,
}

fn faults(target: &Target) -> Outcome {
    let (stage, moving) = wait(async {
        let admin = admin(target).await?;
        let (groups, deserted, faults) = (Vec::new(), Vec::new(), Vec::new());
        let (members, producers) = (Vec::new(), Vec::new());
        let mut stage = Stage { target, admin, groups, deserted, faults, members, producers };
        stage.places().await?;
        stage.members().await?;
        stage.rebalances().await?;
        stage.transactions().await?;
        stage.topics().await?;
        let moving = stage.moving().await?;
        Ok((stage, moving))
    })?;
    let bootstrap = target.bootstrap();
    let mut args = vec!["-b", &bootstrap, "--interval", "1s"];
    args.extend(stage.groups.iter().flat_map(|group| ["-G", group.as_str()]));
    let told = Told::by(&args);
    moving.stop()?;
    let told = told?;
    for (fault, finding, says) in &stage.faults {
        told.names(fault, finding, &says.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    // Whose each is stands first.
    let mut culprits: Vec<(&str, &str)> = stage
        .faults
        .iter()
        .filter_map(|(_, finding, says)| Some((*finding, says.first()?.as_str())))
        .collect();
    culprits.extend(stage.deserted.iter().map(|group| ("no-members", group.as_str())));
    told.accuses_none_but("all of them", &culprits)?;
    told.failed()
}

/// The members of a group that has begun to rebalance: one has `fetched` records in hand, which are all there are, and another has come.
/// It goes on once the first is polled.
pub(crate) async fn amid_a_rebalance(
    target: &Target,
    admin: &Admin,
    group: &str,
    topic: &str,
    protocol: GroupProtocol,
    fetched: u64,
) -> Result<[Consumer; 2], Failed> {
    let mut member = member_by(target, group, topic, protocol).build().await?;
    // Which partition goes to the other is the assignor's choice: it has records of each in hand.
    poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
    member.seek_to_beginning(member.assignment())?;
    let begun = Instant::now();
    while member.stats().buffer.records < fetched {
        holds("it fetches ahead", begun.elapsed() < PATIENCE)?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let in_hand = member.poll(PATIENCE).await?.iter().count() as u64;
    equal("how many records are in hand", in_hand, fetched)?;
    let other = member_by(target, group, topic, protocol).build().await?;
    let rebalances = async || -> Result<bool, Failed> {
        let told = admin.describe_groups(group).await?.remove(group).ok_or("no answer")??;
        // One member alone may be on its way in yet.
        Ok(told.members.len() == 2 && told.is_rebalancing())
    };
    let begun = Instant::now();
    while !rebalances().await? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{group} does not rebalance").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok([member, other])
}

/// Nodes forget the one before a moment after it was deleted.
async fn create_anew(target: &Target, topic: &str) -> Outcome {
    let begun = Instant::now();
    while let Err(error) = create(target, topic, PARTITIONS).await {
        holds(&format!("it is made anew: {error:?}"), begun.elapsed() < PATIENCE)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// As JSON has it.
fn at_partition(partition: i32) -> String {
    format!("\"partition\":{partition}")
}

impl Stage<'_> {
    /// A topic with records in each partition.
    async fn topic(&self, name: &str) -> Result<String, Failed> {
        let name = crate::kit::topic(self.target, name, PARTITIONS).await?;
        numbers(self.target, &name, PARTITIONS, 0..RECORDS as i32 * PARTITIONS).await?;
        Ok(name)
    }

    fn group(&mut self, name: &str) -> String {
        let group = unique(name);
        self.groups.push(group.clone());
        group
    }

    /// One without members.
    fn deserted(&mut self, name: &str) -> String {
        let group = self.group(name);
        self.deserted.push(group.clone());
        group
    }

    fn expect(&mut self, fault: &'static str, finding: &'static str, says: &[&str]) {
        self.faults.push((fault, finding, says.iter().map(ToString::to_string).collect()));
    }

    async fn commit(&self, group: &str, topic: &str, offset: i64) -> Outcome {
        let all = (0..PARTITIONS).map(|partition| ((topic, partition), CommittedOffset::new(offset)));
        let committed = self.admin.alter_offsets(group, all).await?;
        committed.into_values().collect::<Result<Vec<_>, _>>()?;
        Ok(())
    }

    /// A member that has partitions, and does nothing with them.
    async fn member(&self, group: &str, topic: &str, protocol: GroupProtocol) -> Result<Consumer, Failed> {
        let mut member = member_by(self.target, group, topic, protocol).build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        Ok(member)
    }

    /// Groups without members, whose commits are where they should not be.
    async fn places(&mut self) -> Outcome {
        let (beyond, before, left) =
            (self.deserted("beyond"), self.deserted("before"), self.deserted("left"));
        let (whole, cut) = (self.topic("whole").await?, self.topic("cut").await?);
        self.commit(&beyond, &whole, RECORDS + 15).await?;
        self.expect("a commit beyond the log's end", "beyond-end", &[&beyond, "committed 25", "ends at 10"]);
        self.commit(&before, &cut, 2).await?;
        within("a log that is cut", self.admin.delete_records([((cut.as_str(), 1), 6)])).await??;
        let says = [before.as_str(), "committed 2", "begins at 6", &at_partition(1)];
        self.expect("records deleted before they were read", "before-begin", &says);
        self.commit(&left, &whole, 3).await?;
        self.expect("a group whose consumers do not run", "no-members", &[&left, "14 records wait"]);

        let (anew, again) = (self.topic("anew").await?, self.deserted("anew"));
        within("a topic that goes", self.admin.delete_topic(anew.as_str())).await??;
        create_anew(self.target, &anew).await?;
        numbers(self.target, &anew, PARTITIONS, 0..6).await?;
        // As a member does whose requests name the topic, and not which one of that name.
        self.commit(&again, &anew, RECORDS).await?;
        let says = [again.as_str(), "committed 10", "ends at 3"];
        self.expect("a topic that was deleted and made anew", "beyond-end", &says);
        Ok(())
    }

    async fn members(&mut self) -> Outcome {
        let topic = self.topic("read").await?;
        let (stuck, idle, gone) = (self.group("stuck"), self.group("idle"), self.group("gone"));
        self.commit(&stuck, &topic, 1).await?;
        let member = self.member(&stuck, &topic, GroupProtocol::Classic).await?;
        self.members.push(member);
        let says = [stuck.as_str(), "has not moved in", "18 records wait"];
        self.expect("a handler that hangs", "member-stuck", &says);

        for _ in 0..=PARTITIONS {
            let member = member_by(self.target, &idle, &topic, GroupProtocol::Consumer);
            self.members.push(member.build().await?);
        }
        self.expect(
            "more members than partitions",
            "member-idle",
            &[&idle, "1 of 3 members have no partition"],
        );

        let missing = unique("misspelt");
        let member = member_by(self.target, &gone, &topic, GroupProtocol::Classic);
        let mut member = member.subscribe([topic.as_str(), missing.as_str()]).build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        self.members.push(member);
        self.expect("a topic that does not exist", "topic-gone", &[&gone, &missing]);

        // What it knows of the topic is asked again in five minutes.
        let (grown, unowned) = (self.topic("grown").await?, self.group("unowned"));
        let member = self.member(&unowned, &grown, GroupProtocol::Classic).await?;
        self.members.push(member);
        self.admin.create_partitions(grown.as_str(), PARTITIONS + 1).await?;
        let says = [unowned.as_str(), "no member has 1 of 3 partitions", &at_partition(PARTITIONS)];
        self.expect("a partition that no member has", "partition-unowned", &says);
        Ok(())
    }

    async fn rebalances(&mut self) -> Outcome {
        let topic = self.topic("rebalanced").await?;
        for (protocol, fault, says) in [
            (GroupProtocol::Classic, "a member that does not join again", "have not joined again"),
            (GroupProtocol::Consumer, "a member that does not give up what it has", "has not given up"),
        ] {
            let group = self.group("rebalancing");
            let fetched = RECORDS as u64 * PARTITIONS as u64;
            let pair = amid_a_rebalance(self.target, &self.admin, &group, &topic, protocol, fetched).await?;
            self.members.extend(pair);
            self.expect(fault, "rebalance-stuck", &[&group, says]);
        }
        Ok(())
    }

    async fn transactions(&mut self) -> Outcome {
        let (topic, group, id) = (self.topic("open").await?, self.deserted("committed"), unique("open"));
        self.commit(&group, &topic, RECORDS).await?;
        let builder = Producer::builder().bootstrap_servers([self.target.bootstrap()]);
        // However long the rest takes on a busy machine.
        let builder = builder.transactional_id(id.as_str()).transaction_timeout(Duration::from_secs(600));
        let mut producer = builder.build_transactional().await?;
        let transaction = producer.begin().await?;
        let record = ProducerRecord::to(topic.as_str()).partition(0).value(b"v".as_slice());
        transaction.send(record).await?.await?;
        // Nobody ends it: dropped, it would be aborted.
        std::mem::forget(transaction);
        self.producers.push(producer);
        let says = [group.as_str(), &id, "since offset 10", &at_partition(0), "\"severity\":\"error\""];
        self.expect("a transaction that stays open", "open-transaction", &says);
        Ok(())
    }

    async fn topics(&mut self) -> Outcome {
        match self.target {
            Target::Embedded(broker) => {
                let (topic, group) = (self.topic("leaderless").await?, self.deserted("leaderless"));
                self.commit(&group, &topic, 0).await?;
                let server = broker.server();
                server.with_cluster(|cluster| cluster.depose_leader(&topic, 1, server.now()));
                self.expect("a partition without a leader", "no-leader", &[&topic, "1 of 2 partitions"]);
                // A coordinator whose clock is an hour ahead writes commits while it is looked.
                create(self.target, COMMITS, 1).await?;
                self.expect("a clock that is ahead", "clock-skew", &["ahead of", "\"severity\":\"error\""]);
            }
            Target::Kafka(cluster) => {
                let (name, group) = (unique("min-isr"), self.deserted("min-isr"));
                let topic = NewTopic::new(&name).partitions(PARTITIONS).config("min.insync.replicas", "4");
                self.admin.create_topic(topic).await?;
                cluster.wait_for_topic(&name)?;
                self.commit(&group, &name, 0).await?;
                self.expect("fewer replicas in sync than are needed", "under-min-isr", &[&name, "=4"]);
                // Those that move commit while it is looked.
                self.expect("a clock that is right", "clock", &["between"]);
            }
        }
        Ok(())
    }

    /// What moves while it is looked: a topic of which one partition is written to far more than its member reads, one whose member
    /// commits nothing, and one whose commits go back.
    async fn moving(&mut self) -> Result<Moving, Failed> {
        let topic = self.topic("hot").await?;
        let (slow, silent, back) = (self.group("slow"), self.group("silent"), self.group("back"));
        for group in [&slow, &back] {
            self.commit(group, &topic, if *group == slow { 1 } else { RECORDS }).await?;
        }
        let readers = [
            self.member(&slow, &topic, GroupProtocol::Classic).await?,
            self.member(&back, &topic, GroupProtocol::Classic).await?,
        ];
        let member = self.member(&silent, &topic, GroupProtocol::Consumer).await?;
        self.members.push(member);
        let says = [slow.as_str(), "grew by", &at_partition(0), "% of what grew"];
        self.expect("keys of which one partition has most", "lag-grows", &says);
        self.expect("a member that never commits", "not-committing", &[&silent, "has committed nothing"]);
        self.expect("a group that was reset", "rewound", &[&back]);
        let restless = self.group("restless");
        let says = [restless.as_str(), "members came", "went"];
        self.expect("a member that leaves and joins again and again", "members-come-and-go", &says);
        Moving::start(*self.target, topic, readers, restless)
    }
}

/// Writes and commits, and has members come and go, until it is stopped.
struct Moving {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<Outcome>; 2],
}

impl Moving {
    fn start(
        target: Target,
        topic: String,
        readers: [Consumer; 2],
        restless: String,
    ) -> Result<Self, Failed> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, hot) = (stop.clone(), topic.clone());
        let moves = spawn(move || {
            let is_ahead = matches!(target, Target::Embedded(_));
            wait(go_on(&target.bootstrap(), &hot, readers, is_ahead, &stopped))
        });
        let stopped = stop.clone();
        let crashes = spawn(move || wait(come_and_go(&target, &topic, &restless, &stopped)));
        Ok(Self { stop, threads: [moves, crashes] })
    }

    fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().try_for_each(|it| it.join().map_err(|_| "what moves has panicked")?)
    }
}

/// A member after the other, each for a while.
async fn come_and_go(target: &Target, topic: &str, group: &str, stop: &AtomicBool) -> Outcome {
    while !stop.load(Ordering::Relaxed) {
        let builder = member_by(target, group, topic, GroupProtocol::Classic).enable_auto_commit(true);
        let mut member = builder.build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            member.poll(Duration::from_millis(50)).await?;
        }
        within("a close", member.close()).await??;
    }
    Ok(())
}

async fn go_on(
    bootstrap: &str,
    topic: &str,
    readers: [Consumer; 2],
    is_ahead: bool,
    stop: &AtomicBool,
) -> Outcome {
    let producer = Producer::builder().bootstrap_servers([bootstrap]).build().await?;
    let [mut slow, mut back] = readers;
    let begun = Instant::now();
    for step in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Between two looks something is written, however long a step takes: a commit alone would have the lag fall.
        let mut written = Vec::new();
        for partition in [0, 0, 0, 0, 0, 0, 0, 0, 1, 1] {
            let record = ProducerRecord::to(topic).partition(partition).value(b"v".as_slice());
            written.push(producer.send(record).await?);
        }
        for record in written {
            record.await?;
        }
        if is_ahead {
            let ahead = ProducerRecord::to(COMMITS).timestamp(Timestamp(now() + 3_600_000));
            producer.send(ahead.value(b"v".as_slice())).await?.await?;
        }
        within("a commit", slow.commit_offsets((0..PARTITIONS).map(|at| ((topic, at), 1 + step)))).await??;
        // By time, as steps take long on a busy machine: it falls all the while, and never comes back to where it was.
        let lower = (RECORDS - begun.elapsed().as_secs() as i64 / 2).max(1);
        within("a commit", back.commit_offsets((0..PARTITIONS).map(|at| ((topic, at), lower)))).await??;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
