//! Who is there, on what: a cluster, its topics, and the actors.

use ottla_conformance::kafka::{Certificates, Cluster, Config};

use crate::{
    cast::{Clock, Spec},
    faults::SIDE,
    judge::{Kind, Role, Topic},
    scene::Failure,
};

/// A listener with TLS.
pub(crate) const TLS: &str = "TLS";

pub(crate) const ORDERS: usize = 6;
pub(crate) const MOST_ORDERS: usize = 12;
pub(crate) const LEDGER: usize = 4;
/// Of the dead letters, of which each has its record's partition.
const DEAD: usize = 16;

/// Who has to have each record of `orders`, and of `ledger`: each is a group of that name.
pub(crate) const OF_ORDERS: [(&str, Kind); 5] = [
    ("range", Kind::Group),
    ("sticky", Kind::Group),
    ("static", Kind::Group),
    ("consumer", Kind::Group),
    ("processor", Kind::Processor),
];
pub(crate) const OF_LEDGER: [(&str, Kind); 2] =
    [("transformer", Kind::ExactlyOnce { ordered: true }), ("copier", Kind::ExactlyOnce { ordered: false })];

pub(crate) fn partitions_of_outcomes(of: Topic) -> usize {
    if of == Topic::Orders { DEAD } else { LEDGER }
}

/// The topics, and how many partitions each has at first.
pub(crate) const TOPICS: [(&str, usize); 7] = [
    ("orders", ORDERS),
    ("orders-dlt", DEAD),
    ("ledger", LEDGER),
    ("ledger-dlt", LEDGER),
    ("transformed", LEDGER),
    ("copied", LEDGER),
    (SIDE, 2),
];

pub(crate) fn config(certificates: &Certificates) -> Config {
    let file = |name: &str| certificates.path(name).display().to_string();
    Config::new(3)
        .behind_proxies()
        .listener_behind_a_proxy(TLS, "SSL")
        .set("min.insync.replicas", 2)
        .set("transaction.state.log.min.isr", 2)
        .set("offsets.topic.segment.bytes", 4 << 20)
        .set("transaction.state.log.segment.bytes", 4 << 20)
        .set("log.segment.bytes", 4 << 20)
        .set("log.retention.ms", -1)
        .set("log.message.timestamp.type", "LogAppendTime")
        .set("listener.name.tls.ssl.keystore.type", "PEM")
        .set("listener.name.tls.ssl.keystore.location", file("server.pem"))
        .set("listener.name.tls.ssl.truststore.type", "PEM")
        .set("listener.name.tls.ssl.truststore.location", file("ca.crt"))
        .set("listener.name.tls.ssl.client.auth", "required")
}

/// Who is there. Of two members the first lives all day.
pub(crate) fn company(cluster: &Cluster, certificates: &Certificates) -> Result<Vec<Spec>, Failure> {
    let plain = vec![format!("bootstrap.servers={}", cluster.bootstrap())];
    let nodes = cluster.node_ids().map(|node| Ok(cluster.listener(node, TLS)?.to_string()));
    let nodes = nodes.collect::<Result<Vec<_>, Failure>>()?;
    let file = |name: &str| certificates.path(name).display().to_string();
    let secured = vec![
        format!("bootstrap.servers={}", nodes.join(",")),
        "security.protocol=SSL".to_owned(),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", file("ca.crt")),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", file("client.pem")),
    ];
    let own = |list: &[&str]| list.iter().map(|pair| format!("own.{pair}")).collect::<Vec<_>>();
    let group = |name: &str, more: &[&str]| {
        let mut properties = vec![
            format!("group.id={name}"),
            "auto.offset.reset=earliest".to_owned(),
            "metadata.max.age.ms=5000".to_owned(),
            "default.api.timeout.ms=15000".to_owned(),
            // What comes within half a second comes together: brokers on few cores have better things to do.
            "fetch.min.bytes=8192".to_owned(),
        ];
        if !more.contains(&"group.protocol=consumer") {
            properties.push("session.timeout.ms=6000".to_owned());
            properties.push("heartbeat.interval.ms=1000".to_owned());
        }
        properties.extend(more.iter().map(|pair| (*pair).to_owned()));
        properties
    };
    let mut cast = Vec::new();
    let mut add = |name, part, role, clock, is_kept, concerns: &[&str], arguments: &[Vec<String>]| {
        let arguments = arguments.concat();
        let concerns = concerns.iter().map(|name| (*name).to_owned()).collect();
        cast.push(Spec { name, part, role, arguments, clock, is_kept, concerns, writer: None });
    };
    use Clock::{Both, True, Wall};
    let orders = own(&["topic=orders"]);
    let rate = own(&["topic=orders", "rate=50"]);
    add("writer-a", "writer", Role::Writer, Wall, true, &["writer-a"], &[rate.clone(), plain.clone()]);
    add("writer-b", "writer", Role::Writer, Both, false, &["writer-b"], &[rate, secured.clone()]);
    let transactions = ["transactions", "transformer", "copier", "audit-ledger"];
    for (name, is_kept) in [("ledger-a", true), ("ledger-b", false)] {
        let id = own(&["topic=ledger", &format!("partitions={LEDGER}"), &format!("id={name}")]);
        let concerns = [&[name], transactions.as_slice()].concat();
        add(name, "ledger", Role::Ledger, True, is_kept, &concerns, &[id, plain.clone()]);
    }
    // Each kind of group, by what its second member has, too.
    let sticky = "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let range = "partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor";
    let by_hand = "enable.auto.commit=false";
    for (follower, names, clocks, more, access) in [
        (0, ["range-a", "range-b"], [Wall, Both], vec![range, "auto.commit.interval.ms=1000"], &plain),
        (1, ["sticky-a", "sticky-b"], [True, Wall], vec![sticky, by_hand], &plain),
        (2, ["static-a", "static-b"], [Both, True], vec![sticky, by_hand], &plain),
        (3, ["consumer-a", "consumer-b"], [Wall, Both], vec!["group.protocol=consumer", by_hand], &secured),
    ] {
        let Some((group_id, _)) = OF_ORDERS.get(follower) else { continue };
        for (place, (name, clock)) in names.into_iter().zip(clocks).enumerate() {
            let instance = format!("group.instance.id={name}");
            let more = if follower == 2 { [more.as_slice(), &[&instance]].concat() } else { more.clone() };
            let role = Role::Member(Topic::Orders, follower);
            let arguments = [orders.clone(), group(group_id, &more), access.clone()];
            add(name, "reader", role, clock, place == 0, &[group_id], &arguments);
        }
    }
    for (name, clock, is_kept) in [("processor-a", Wall, true), ("processor-b", True, false)] {
        let role = Role::Member(Topic::Orders, 4);
        let arguments = [orders.clone(), group("processor", &[]), plain.clone()];
        add(name, "processor", role, clock, is_kept, &["processor"], &arguments);
    }
    let ledger =
        |output: &str, id: &str| own(&["topic=ledger", &format!("output={output}"), &format!("id={id}")]);
    for (name, clock, is_kept) in [("transformer-a", Both, true), ("transformer-b", Wall, false)] {
        let arguments =
            [ledger("transformed", name), group("transformer", &["max.poll.records=50"]), plain.clone()];
        add(name, "transformer", Role::Worker, clock, is_kept, &["transformer"], &arguments);
    }
    for (name, clock, is_kept) in [("copier-a", True, true), ("copier-b", Both, false)] {
        let arguments = [ledger("copied", name), group("copier", &[]), plain.clone()];
        add(name, "copier", Role::Worker, clock, is_kept, &["copier"], &arguments);
    }
    // Partitions that are added are read from their beginning, too.
    let whole = ["isolation.level=read_committed", "auto.offset.reset=earliest", "fetch.min.bytes=8192"];
    let whole = whole.map(str::to_owned).to_vec();
    for (name, topic, role, is_kept, concerns) in [
        (
            "audit-orders",
            "orders",
            Role::Audit(Topic::Orders),
            true,
            ["audit-orders", "processor"].as_slice(),
        ),
        ("audit-ledger", "ledger", Role::Audit(Topic::Ledger), true, &transactions),
        ("audit-transformed", "transformed", Role::Outcome(Topic::Ledger, 0), false, &["transformer"]),
        ("audit-copied", "copied", Role::Outcome(Topic::Ledger, 1), false, &["copier"]),
        ("audit-ledger-dlt", "ledger-dlt", Role::Outcome(Topic::Ledger, 1), false, &["copier"]),
        ("audit-orders-dlt", "orders-dlt", Role::Outcome(Topic::Orders, 4), false, &["processor"]),
    ] {
        let arguments = [own(&[&format!("topic={topic}")]), whole.clone(), plain.clone()];
        add(name, "reader", role, True, is_kept, concerns, &arguments);
    }
    let side = own(&[&format!("topic={}", SIDE)]);
    let more = [by_hand, "group.protocol=consumer"];
    add(
        "side-reader",
        "reader",
        Role::Side,
        True,
        true,
        &["side"],
        &[side.clone(), group("side", &more), plain.clone()],
    );
    let rate = own(&["rate=25", "partitions=2"]);
    add("side-writer", "writer", Role::Worker, True, false, &["side"], &[side, rate, plain]);
    for (number, spec) in (0..).zip(&mut cast) {
        if ["writer", "ledger"].contains(&spec.part) {
            spec.writer = Some(number);
        }
    }
    Ok(cast)
}
