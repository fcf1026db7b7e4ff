//! Faults of the network, of brokers, of quotas and of rights, and a transaction that nobody ends, injected into real Kafkas one after
//! the other: `ottla doctor` names the cause of each, and accuses nobody else. docs/doctor.md has the table, with those of groups.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::{CommittedOffset, NewTopic};
use ottla::{Admin, Consumer, Producer, ProducerRecord, Timestamp};
use ottla_conformance::kafka::{Access, Cluster, Config, Listener, Mechanism, OPEN, Secured, User};
use ottla_conformance::ports;
use ottla_conformance::targets::{Target, unique};
use ottla_protocol::ErrorCode;

use crate::brokers::{Own, in_sync};
use crate::cases::{Case, Outcome};
use crate::doctor::Told;
use crate::groups_staged::without_a_leader;
use crate::kit::{admin, create, equal, poll_until, wait};
use crate::raw::Raw;

/// What is said of a broker whose answers take long.
const SLOW: [&str; 2] = ["to answer", "\"severity\":\"warning\""];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("doctor_names_what_is_wrong_with_brokers_and_the_way_to_them", brokers)
            .with_java()
            .heavy(),
        Case::secured("doctor_names_quotas_certificates_and_missing_rights", rights).with_java(),
        Case::secured("doctor_tells_clocks_from_records_that_bear_the_time_of_their_append", clocks)
            .with_java()
            .with_program("faketime"),
    ]
}

/// A cluster of its own behind proxies, with a group whose coordinator and whose topic's only copy are on one node.
struct Stage<'a> {
    /// Another cluster, with which nothing is wrong.
    other: &'a Target,
    own: &'a Own,
    group: String,
    /// The node that is in nobody's way: neither the group's coordinator, nor the leader of what it reads.
    victim: u32,
}

fn brokers(other: &Target) -> Outcome {
    // As releases before 3.6, and clients that are older than KIP-890, have it.
    let config = Config::new(3).behind_proxies().set("transaction.partition.verification.enable", false);
    let own = Own::start(config)?;
    let stage = Stage::set(other, &own)?;
    stage.network()?;
    stage.quota()?;
    stage.transaction()?;
    stage.broken()
}

async fn commit(admin: &Admin, group: &str, topic: &str, partitions: i32) -> Outcome {
    let all = (0..partitions).map(|partition| ((topic, partition), CommittedOffset::new(0)));
    admin.alter_offsets(group, all).await?.into_values().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

impl<'a> Stage<'a> {
    fn set(other: &'a Target, own: &'a Own) -> Result<Self, Failed> {
        let (target, group) = (own.target(), unique("reader"));
        let victim = wait(async {
            let admin = admin(&target).await?;
            let coordinator = admin.find_coordinator(group.as_str()).await?.node.0 as u32;
            create(&target, "copied", 1).await?;
            let copied = admin.describe_topics(["copied"]).await?.remove("copied").ok_or("no answer")??;
            let leaders = copied.partitions.values().filter_map(|it| Some(it.leader?.0 as u32));
            let busy: Vec<u32> = leaders.chain([coordinator]).collect();
            let victim = own.0.node_ids().find(|node| !busy.contains(node)).ok_or("all are busy")?;
            commit(&admin, &group, "copied", 1).await?;
            Ok(victim)
        })?;
        Ok(Self { other, own, group, victim })
    }

    fn cluster(&self) -> &'static Cluster {
        self.own.0
    }

    fn address(&self) -> Result<String, Failed> {
        Ok(self.cluster().address(self.victim)?.to_string())
    }

    /// One look, by way of these addresses.
    fn told(&self, servers: &str, more: &[&str]) -> Result<Told, Failed> {
        let args = ["-b", servers, "-G", &self.group, "--looks", "1", "--patience", "3s"];
        Told::by(&[args.as_slice(), more].concat())
    }

    /// The fault is named, at the victim and nowhere else.
    fn names(&self, fault: &str, finding: &str, says: &[&str]) -> Outcome {
        let victim = format!("\"broker\":{}", self.victim);
        let says = [&[victim.as_str()], says].concat();
        // A question whose time is up while its connection is being made again tells that, and not why it was lost.
        let mut looks = 3;
        let told = loop {
            let told = self.told(&self.cluster().bootstrap(), &["-X", "default.api.timeout.ms=5000"])?;
            looks -= 1;
            match told.names(fault, finding, &says) {
                Ok(()) => break told,
                Err(_) if looks > 0 => {}
                Err(missed) => return Err(missed),
            }
        };
        told.accuses_none_but(fault, &[(finding, &victim)])?;
        told.failed()
    }

    fn network(&self) -> Outcome {
        let (proxy, all) = (self.cluster().proxy(self.victim)?, self.cluster().bootstrap());
        in_sync(&self.own.target())?;
        self.told(&all, &[])?.accuses_none_but("nothing is wrong yet", &[])?;

        proxy.hold(true);
        self.names("a proxy that swallows what a broker says", "silent", &["answers nothing"])?;
        proxy.hold(false);

        proxy.refuse(true);
        proxy.cut();
        self.names("a proxy that hangs up", "closed", &[])?;
        proxy.refuse(false);

        let another = self.cluster().node_ids().find(|node| *node != self.victim).ok_or("one node alone")?;
        proxy.redirect(Some(self.cluster().behind(another)?));
        proxy.cut();
        self.names("a port that is mapped to another broker", "advertised-other", &[])?;
        proxy.redirect(None);
        proxy.cut();

        let nobody = format!("127.0.0.1:{}", ports::free()?);
        let told = self.told(&format!("{nobody},{all}"), &[])?;
        let fault = "an address of several where nobody listens";
        told.names(fault, "unreachable", &[&nobody, "refused", "\"severity\":\"warning\""])?;
        told.accuses_none_but(fault, &[])?;

        let other = self.other.bootstrap();
        let stranger = other.split(',').next().ok_or("no address")?;
        let told = self.told(&format!("{all},{stranger}"), &[])?;
        told.names("addresses of two clusters", "other-cluster", &[stranger])?;
        told.accuses_none_but("addresses of two clusters", &[("other-cluster", stranger)])
    }

    /// Each answer says for how long nothing more is read of this client, and that is a second at the most.
    fn quota(&self) -> Outcome {
        let client = unique("greedy");
        let of = [("clients", client.as_str())];
        self.cluster().tools().set_quota(&of, "request_percentage", 0.0001)?;
        let fault = "a quota of a client's requests";
        let (all, client) = (self.cluster().bootstrap(), format!("client.id={client}"));
        let args = ["-b", &all, "-G", &self.group, "--looks", "1", "-X", &client];
        let told = Told::until_named(fault, "slow", &SLOW, || Told::by(&args))?;
        told.advises(fault, "slow", "request_percentage")?;
        told.accuses_none_but(fault, &[])
    }

    /// A producer writes to a partition that it has not added to its transaction, as one does whose coordinator forgot it.
    fn transaction(&self) -> Outcome {
        let target = self.own.target();
        let (mut raw, group) = (Raw::new(&target, "hanging")?, unique("held"));
        let who = raw.producer("hanging")?;
        equal("a write outside of any transaction", raw.write(11, &who, 0, 0)?, ErrorCode::None)?;
        wait(async { commit(&admin(&target).await?, &group, &raw.topic, 2).await })?;
        let args = ["-b", &target.bootstrap(), "-G", &group, "--looks", "2", "--interval", "100ms"];
        let (told, fault) = (Told::by(&args)?, "a transaction that no coordinator knows");
        let id = format!("producer {}", who.id);
        let says = [group.as_str(), raw.topic.as_str(), "\"partition\":0", &id, "since offset 0"];
        told.names(fault, "hanging-transaction", &says)?;
        told.accuses_none_but(fault, &[("hanging-transaction", &raw.topic), ("no-members", &group)])?;
        told.failed()
    }

    /// One that hangs, and one that is gone.
    fn broken(&self) -> Outcome {
        let target = self.own.target();
        self.cluster().freeze(self.victim, true)?;
        let named = self.names("a broker that hangs (SIGSTOP)", "silent", &["answers nothing"]);
        self.cluster().freeze(self.victim, false)?;
        named?;
        in_sync(&target)?;

        let (alone, at) = wait(self.led_by_the_victim(&target))?;
        self.cluster().stop(self.victim)?;
        let fault = "a broker that is down";
        let told = self.told(&self.cluster().bootstrap(), &[])?;
        told.names(fault, "no-leader", &[&alone, "1 of 3 partitions", &format!("no leader: {at} ")])?;
        told.names(fault, "under-replicated", &["copied"])?;
        // Its own address is one of several.
        told.names(fault, "closed", &[&self.address()?, "\"severity\":\"warning\""])?;
        told.accuses_none_but(fault, &[("no-leader", &alone)])?;
        told.failed()?;
        without_a_leader(&target, &self.group, &alone, at)
    }

    /// A topic without copies that the group reads, and which of its partitions is the victim's.
    async fn led_by_the_victim(&self, target: &Target) -> Result<(String, i32), Failed> {
        let (admin, name) = (admin(target).await?, "alone");
        admin.create_topic(NewTopic::new(name).partitions(3).replication_factor(1)).await?;
        self.cluster().wait_for_topic(name)?;
        commit(&admin, &self.group, name, 3).await?;
        let topic = admin.describe_topics([name]).await?.remove(name).ok_or("no answer")??;
        let is_its = |leader: i32| leader == self.victim as i32;
        let found = topic.partitions.iter().find(|(_, it)| it.leader.is_some_and(|node| is_its(node.0)));
        Ok((name.to_owned(), *found.ok_or("the victim leads none")?.0))
    }
}

fn access(secured: &Secured, listener: Listener, user: User) -> Result<Access, Failed> {
    Ok(secured.java(listener, Some((Mechanism::Plain, user)))?)
}

fn told(secured: &Secured, access: &Access, more: &[&str]) -> Result<Told, Failed> {
    let file = access.file(secured.certificates())?.display().to_string();
    Told::by(&[&["--config", file.as_str(), "--looks", "1"], more].concat())
}

/// A topic that anybody may see, and that the node has heard of itself, and not its controller alone: it may be committed to.
async fn create_on(secured: &Secured, admin: &Admin, topic: NewTopic) -> Outcome {
    let name = topic.name.clone();
    admin.create_topic(topic).await?;
    Ok(secured.cluster().wait_for_topic(&name)?)
}

fn rights(secured: &Secured) -> Outcome {
    let alice = access(secured, Listener::Sasl, User::Alice)?;
    let (group, hidden) = (unique(OPEN), unique("hidden-group"));
    // Alice hears of the topic by the member that reads it: of offsets she is told those that she may see.
    let (forbidden, _member) = wait(async {
        let pairs = access(secured, Listener::Sasl, User::Admin)?;
        let admin = Admin::builder().properties(pairs.pairs())?.build().await?;
        let (forbidden, open) = (unique("forbidden"), unique(OPEN));
        admin.create_topic(NewTopic::new(&forbidden).partitions(1)).await?;
        create_on(secured, &admin, NewTopic::new(&open).partitions(1)).await?;
        commit(&admin, &hidden, &open, 1).await?;
        let builder = Consumer::builder().properties(pairs.pairs())?.group_id(&group);
        let mut member = builder.subscribe([forbidden.as_str()]).build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        Ok((forbidden, member))
    })?;
    let fault = "a group that may not be described";
    let asked = told(secured, &alice, &["-G", &hidden])?;
    asked.names(fault, "permission", &[&format!("DESCRIBE on group `{hidden}`")])?;
    asked.accuses_none_but(fault, &[("permission", &hidden)])?;
    asked.failed()?;

    let fault = "a topic that may not be described";
    let asked = told(secured, &alice, &["-G", &group])?;
    asked.names(fault, "permission", &[&format!("DESCRIBE on topic `{forbidden}`")])?;
    asked.accuses_none_but(fault, &[("permission", &forbidden)])?;
    asked.failed()?;

    let fault = "a wrong password";
    let wrong = alice.clone().sasl(Mechanism::Plain, "alice", "no");
    let asked = told(secured, &wrong, &[])?;
    asked.names(fault, "sasl", &["refused"])?;
    asked.accuses_none_but(fault, &[("sasl", "")])?;

    let fault = "a certificate that has expired";
    let asked = told(secured, &secured.java(Listener::Expired, None)?, &[])?;
    asked.names(fault, "tls", &["expired"])?;
    asked.accuses_none_but(fault, &[("tls", "")])?;

    let (fault, client) = ("a quota of a user's requests by one client", unique("greedy"));
    let of = [("users", User::Alice.name()), ("clients", client.as_str())];
    secured.tools(User::Admin)?.set_quota(&of, "request_percentage", 0.0001)?;
    let (greedy, group) = (alice.set("client.id", &client), unique(OPEN));
    let asked = Told::until_named(fault, "slow", &SLOW, || told(secured, &greedy, &["-G", &group]))?;
    asked.accuses_none_but(fault, &[("group-missing", "")])
}

/// Of a user who may not look at commits: what a group reads tells the time where brokers write it.
fn clocks(secured: &Secured) -> Outcome {
    let alice = access(secured, Listener::Sasl, User::Alice)?;
    let properties = access(secured, Listener::Sasl, User::Admin)?;
    let (group, topic) = (unique(OPEN), unique(OPEN));
    wait(async {
        let admin = Admin::builder().properties(properties.pairs())?.build().await?;
        let appended = NewTopic::new(&topic).partitions(1).config("message.timestamp.type", "LogAppendTime");
        create_on(secured, &admin, appended).await?;
        commit(&admin, &group, &topic, 1).await
    })?;
    let file = alice.file(secured.certificates())?.display().to_string();
    let args = ["--config", &file, "-G", &group, "--looks", "4", "--interval", "300ms"];
    let fault = "no time of a broker can be read";
    let says = ["unknown: no time can be read", "DESCRIBE on topic `__consumer_offsets`"];
    Told::by(&args)?.names(fault, "clock-unknown", &says)?;

    let is_over = AtomicBool::new(false);
    let (right, ahead, behind) = thread::scope(|scope| {
        let writer = scope.spawn(|| wait(written(&properties, &topic, &is_over)));
        let told =
            [Told::by(&args), Told::by_another_clock("-1h", &args), Told::by_another_clock("+1h", &args)];
        is_over.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "who writes has panicked")??;
        let [right, ahead, behind] = told;
        Ok::<_, Failed>((right?, ahead?, behind?))
    })?;
    right.names("a clock that is right", "clock", &["between"])?;
    for (told, fault, says) in
        [(ahead, "a clock that is ahead", "ahead of"), (behind, "a clock that is behind", "behind")]
    {
        told.names(fault, "clock-skew", &[says, "this machine's by 3", "\"severity\":\"error\""])?;
        told.accuses_none_but(fault, &[("clock-skew", says), ("no-members", &group)])?;
        told.failed()?;
    }
    Ok(())
}

async fn written(properties: &Access, topic: &str, is_over: &AtomicBool) -> Outcome {
    let producer = Producer::builder().properties(properties.pairs())?.build().await?;
    while !is_over.load(Ordering::Relaxed) {
        // Its own time is long past, and counts for nothing.
        producer
            .send(ProducerRecord::to(topic).timestamp(Timestamp(1)).value(b"v".as_slice()))
            .await?
            .await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
