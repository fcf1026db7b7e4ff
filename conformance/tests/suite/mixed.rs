//! Groups of members of several kinds: Ottla, Java and librdkafka.

use std::collections::{BTreeMap, BTreeSet};

use ottla_conformance::flow::Member;
use ottla_conformance::kafka::GroupTools;
use ottla_conformance::targets::Target;
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::groups_shown::shown;
use crate::kit::{PATIENCE, equal};
use crate::scene::{Membership, PARTITIONS, Scene, even};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = STRATEGIES
        .iter()
        .map(|strategy| {
            let name = format!("ottla_java_and_librdkafka_share_a_topic_whoever_leads::{}", strategy.name);
            let case = Case::kafka(name, move |target| each_leads(target, strategy));
            match strategy.membership {
                Membership::Cooperative => case.and_kafka_3_9().with_java(),
                _ => case,
            }
        })
        .collect();
    let verifiable = |args: &'static [&'static str], properties: &'static [(&'static str, &'static str)]| {
        move |scene: &mut Scene| -> Outcome {
            let tools = scene.target.tools()?;
            let java = Member::start_java(&tools, &scene.topic, &scene.group, args, properties)?;
            scene.members.push(java);
            Ok(())
        }
    };
    let of_librdkafka = |more: &'static [(&'static str, &'static str)]| {
        move |scene: &mut Scene| -> Outcome {
            let member = librdkafka(scene, more)?;
            scene.members.push(member);
            Ok(())
        }
    };
    let classic = verifiable(&["--session-timeout", "6000"], &[HEARTBEAT]);
    let consumer = verifiable(&["--group-protocol", "consumer"], &[]);
    cases.extend([
        Case::both("verifiable_consumers_of_java_in_a_classic_group", move |target| {
            of_one_kind(target, classic)
        })
        .with_java(),
        Case::both("verifiable_consumers_of_java_in_a_consumer_group", move |target| {
            of_one_kind(target, consumer)
        })
        .with_java(),
    ]);
    let classic = of_librdkafka(&[("partition.assignment.strategy", "cooperative-sticky")]);
    let consumer = of_librdkafka(&[("group.protocol", "consumer")]);
    cases.extend([
        Case::both("librdkafka_in_a_cooperative_group", move |target| of_one_kind(target, classic))
            .and_kafka_3_9(),
        Case::both("librdkafka_in_a_consumer_group", move |target| of_one_kind(target, consumer)),
    ]);
    cases
        .push(Case::both("a_live_group_moves_to_the_consumer_protocol_and_back", moves_and_back).with_java());
    cases
}

/// How soon a member of Java's learns of a rebalance; 3 s would be its default.
pub(crate) const HEARTBEAT: (&str, &str) = ("heartbeat.interval.ms", "500");

/// So long that a leader which has to wait for a processor leads on.
pub(crate) const SESSION: (&str, &str) = ("session.timeout.ms", "30000");

/// An assignor that all three have.
struct Strategy {
    name: &'static str,
    java: &'static str,
    membership: Membership,
}

const STRATEGIES: [Strategy; 3] = [
    Strategy {
        name: "range",
        java: "org.apache.kafka.clients.consumer.RangeAssignor",
        membership: Membership::Eager,
    },
    Strategy {
        name: "roundrobin",
        java: "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        membership: Membership::Eager,
    },
    Strategy {
        name: "cooperative-sticky",
        java: "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        membership: Membership::Cooperative,
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Ottla,
    Java,
    Librdkafka,
}

impl Client {
    /// With which the ids of its members begin.
    fn id(self) -> (&'static str, &'static str) {
        let id = match self {
            Self::Ottla => "of-ottla",
            Self::Java => "of-java",
            Self::Librdkafka => "of-librdkafka",
        };
        ("client.id", id)
    }
}

/// Until a group's partitions are shared out by a client of this id.
pub(crate) fn led_by(scene: &mut Scene, id: &str) -> Outcome {
    let Target::Kafka(cluster) = scene.target else { return Err("only Kafka's log tells who leads".into()) };
    let leader = || cluster.leader_of(&scene.group).unwrap_or_default();
    let led = until(PATIENCE, id, || leader().starts_with(id));
    led.map_err(|late| format!("{late}, who leads the group, but {}", leader()).into())
}

fn join(scene: &mut Scene, client: Client, strategy: &Strategy) -> Outcome {
    let (topic, group) = (scene.topic.clone(), scene.group.clone());
    match client {
        Client::Ottla => {
            let more = [("partition.assignment.strategy", strategy.java), client.id(), SESSION];
            scene.add(&more)?;
        }
        Client::Java => {
            let args = ["--session-timeout", SESSION.1, "--assignment-strategy", strategy.java];
            let (tools, properties) = (scene.target.tools()?, [HEARTBEAT, client.id()]);
            scene.members.push(Member::start_java(&tools, &topic, &group, &args, &properties)?);
        }
        Client::Librdkafka => {
            let more = [("partition.assignment.strategy", strategy.name), client.id(), SESSION];
            scene.members.push(librdkafka(scene, &more)?);
        }
    }
    Ok(())
}

/// A member that is librdkafka's, with sessions of 6 s.
pub(crate) fn librdkafka(scene: &Scene, more: &[(&str, &str)]) -> std::io::Result<Member> {
    let bootstrap = scene.target.bootstrap();
    let common = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", &scene.group),
        ("auto.offset.reset", "earliest"),
        ("auto.commit.interval.ms", "200"),
    ];
    let classic = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    let new = more.contains(&("group.protocol", "consumer"));
    let classic = classic.iter().filter(|_| !new);
    let all = common.iter().chain(classic).chain(more);
    let properties: Vec<_> = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Member::start(env!("CARGO_BIN_EXE_ottla-conformance-librdkafka-member"), &scene.topic, &properties)
}

/// Who is left alone in the group leads it when the others come.
fn each_leads(target: &Target, strategy: &Strategy) -> Outcome {
    let name = format!("mixed-{}", strategy.name);
    let mut scene = Scene::empty(target, strategy.membership, &name, PARTITIONS, 500)?;
    let all = [Client::Ottla, Client::Java, Client::Librdkafka];
    let mut places: Vec<(Client, usize)> = Vec::new();
    for leader in all {
        // The leader of the round before is among those who leave.
        let (stay, leave): (Vec<_>, Vec<_>) = places.into_iter().partition(|(client, _)| *client == leader);
        for (_, member) in &leave {
            scene.members[*member].close();
        }
        for (_, member) in leave {
            scene.close(member)?;
        }
        places = stay;
        if places.is_empty() {
            places.push((leader, scene.members.len()));
            join(&mut scene, leader, strategy)?;
        }
        scene.settle(&[PARTITIONS as usize])?;
        for client in all.into_iter().filter(|client| *client != leader) {
            places.push((client, scene.members.len()));
            join(&mut scene, client, strategy)?;
        }
        scene.settle(&even(PARTITIONS, 3))?;
        led_by(&mut scene, leader.id().1)?;
        scene.flow(500)?;
    }
    scene.finish()
}

/// Three members that others wrote: one closes, another is killed.
fn of_one_kind(target: &Target, join: impl Fn(&mut Scene) -> Outcome) -> Outcome {
    let mut scene = Scene::empty(target, Membership::Eager, "foreign", PARTITIONS, 300)?;
    // librdkafka 2.12.1 does, in a consumer group on Kafka itself, after a rebalance.
    scene.may_repeat = true;
    for _ in 0..2 {
        join(&mut scene)?;
    }
    scene.settle(&even(PARTITIONS, 2))?;
    join(&mut scene)?;
    scene.settle(&even(PARTITIONS, 3))?;
    scene.close(0)?;
    scene.kill(1);
    scene.settle(&[PARTITIONS as usize])?;
    scene.finish()
}

/// Member by member, as one rolls out a new release, and rolls it back.
fn moves_and_back(target: &Target) -> Outcome {
    let mut scene = Scene::start(target, Membership::Cooperative, "moving", 3)?;
    let mut oldest = 0;
    for membership in [Membership::Consumer, Membership::Cooperative] {
        for left in 0..3 {
            scene.add_as(membership, &[])?;
            scene.settle(&even(PARTITIONS, 4))?;
            if left == 1 {
                shows_who_is_upgraded(&scene)?;
            }
            scene.close(oldest)?;
            oldest += 1;
            scene.settle(&even(PARTITIONS, 3))?;
            scene.flow(300)?;
        }
    }
    scene.finish()
}

/// Some of its members speak the consumer protocol, and some do not yet, or no more.
fn shows_who_is_upgraded(scene: &Scene) -> Outcome {
    let mut tools = GroupTools::start(&scene.target.bootstrap())?;
    let args = ["--describe", "--members", "--verbose", "--group", &scene.group];
    let told = tools.ask("consumer", &args)?;
    let theirs: BTreeMap<String, String> = told
        .rows()
        .into_iter()
        .filter_map(|mut row| Some((row.remove("CONSUMER-ID")?, row.remove("UPGRADED")?)))
        .collect();
    let rows = shown(&scene.target, &["groups", "describe", &scene.group, "--verbose"])?;
    let ours: BTreeMap<String, String> = rows
        .iter()
        .filter_map(|row| Some((row["member"].as_str()?.to_owned(), row["upgraded"].as_bool()?.to_string())))
        .collect();
    let kinds: BTreeSet<&String> = ours.values().collect();
    equal("kinds of members", kinds.len(), 2).map_err(|_| told.all())?;
    equal("who is upgraded", ours, theirs)
}
