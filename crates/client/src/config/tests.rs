//! What builders take, and what they say to the rest.

use std::time::Duration;

use ottla_core::{Address, GroupProtocol, IsolationLevel, RangeAssignor, producer::Acks};
use ottla_protocol::records::Compression;

use super::{
    AdminBuilder, ConsumerBuilder, ConsumerConfig, OffsetReset, ProducerBuilder, ProducerConfig, Properties,
    Property,
};
use crate::error::{BuildError, BuildErrorKind};

fn consumer() -> ConsumerBuilder {
    ConsumerBuilder::default().bootstrap_servers(["localhost:9092"]).group_id("g")
}

fn with(properties: &[(&str, &str)]) -> Result<ConsumerConfig, BuildError> {
    consumer().properties(properties.iter().copied())?.parse()
}

fn debug(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn refused(properties: &[(&str, &str)]) -> (BuildErrorKind, String) {
    let error = with(properties).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn an_answer_is_believed_to_be_as_long_as_what_a_fetch_asks_for_and_a_batch_beyond_that() {
    let believed = |bytes: &str| with(&[("fetch.max.bytes", bytes)]).unwrap().driver().limits.receive_max;
    assert_eq!(believed("1000"), 128 << 20);
    assert_eq!(believed("209715200"), (200 << 20) + (64 << 20));
}

#[test]
fn an_unknown_property_that_is_longer_than_any_is_compared_with_none() {
    // Each comparison takes the product of both lengths: with all names it would be some 20,000,000,000 steps.
    let long = "a".repeat(4 << 20);
    let refused = ConsumerBuilder::from_properties([(long.as_str(), "1")]).unwrap_err();
    assert_eq!(refused.kind(), BuildErrorKind::UnknownProperty);
    assert!(!refused.to_string().contains("did you mean"));
}

#[test]
fn an_unknown_property_suggests_the_nearest() {
    for (wrong, nearest) in [
        ("enable.autocommit", "enable.auto.commit"),
        ("group_id", "group.id"),
        ("Group.Id", "group.id"),
        ("bootstrap.server", "bootstrap.servers"),
        ("isolation.levels", "isolation.level"),
    ] {
        let (kind, text) = refused(&[(wrong, "x")]);
        assert_eq!(kind, BuildErrorKind::UnknownProperty);
        assert_eq!(text, format!("`{wrong}`: unknown property (did you mean `{nearest}`?)"));
    }
    assert_eq!(refused(&[("colour", "red")]).1, "`colour`: unknown property");
}

#[test]
fn a_property_of_another_client_says_whose_it_is() {
    let (kind, text) = refused(&[("linger.ms", "5")]);
    assert_eq!(
        (kind, text.as_str()),
        (
            BuildErrorKind::ForeignProperty,
            "`linger.ms`: not this client's property (it is a producer's); leave it out"
        )
    );
    let error = ProducerBuilder::from_properties([("group.id", "g")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`group.id`: not this client's property (it is a consumer's); leave it out"
    );
}

#[test]
fn a_known_property_that_is_not_supported_is_told_apart() {
    let (kind, text) = refused(&[("interceptor.classes", "a")]);
    assert_eq!(kind, BuildErrorKind::UnsupportedProperty);
    assert_eq!(
        text,
        "`interceptor.classes`: known to Kafka, not supported yet (`interceptor(..)` of the builder takes one that is written \
         in Rust); leave it out"
    );
    let error = ProducerBuilder::from_properties([("interceptor.classes", "a")]).unwrap_err();
    assert_eq!(error.to_string(), text);
    let (_, text) = refused(&[("exclude.internal.topics", "true")]);
    assert_eq!(text, "`exclude.internal.topics`: known to Kafka, not supported yet; leave it out");
    let (kind, text) = refused(&[("client.dns.lookup", "resolve_canonical_bootstrap_servers_only")]);
    assert_eq!(kind, BuildErrorKind::UnsupportedProperty);
    assert_eq!(
        text,
        "`client.dns.lookup`: known to Kafka, not supported yet (`resolve_canonical_bootstrap_servers_only`; only `use_all_dns_ips` is); leave it out"
    );
}

#[test]
fn a_value_that_is_what_is_done_anyway_is_taken() {
    let fixed = [("client.dns.lookup", "use_all_dns_ips"), ("security.protocol", "plaintext")];
    with(&fixed).unwrap();
}

#[test]
fn a_wrong_value_names_the_key_the_value_and_what_is_expected() {
    for (key, value, expected) in [
        ("session.timeout.ms", "soon", "`soon`; expected milliseconds, from 0 to 2147483647"),
        ("session.timeout.ms", "0", "`0`; expected milliseconds, from 1 to 2147483647"),
        ("session.timeout.ms", "2147483648", "`2147483648`; expected milliseconds, from 1 to 2147483647"),
        ("session.timeout.ms", "-1", "`-1`; expected milliseconds, from 0 to 2147483647"),
        ("heartbeat.interval.ms", "45000", "`45000`; expected less than session.timeout.ms"),
        ("ottla.rebalance.timeout.ms", "3000", "`3000`; expected more than heartbeat.interval.ms"),
        ("fetch.max.wait.ms", "30000", "`30000`; expected less than request.timeout.ms"),
        ("isolation.level", "serializable", "`serializable`; expected read_uncommitted or read_committed"),
        ("fetch.max.bytes", "1M", "`1M`; expected a number of bytes"),
        ("fetch.min.bytes", "0", "`0`; expected 1 to 2147483647"),
        ("max.partition.fetch.bytes", "0", "`0`; expected 1 to 2147483647"),
        ("max.poll.records", "0", "`0`; expected 1 to 2147483647"),
        ("enable.auto.commit", "yes", "`yes`; expected true or false"),
        (
            "auto.offset.reset",
            "first",
            "`first`; expected earliest, latest, none or by_duration:PnDTnHnMn.nS",
        ),
        ("group.id", " ", "``; expected a name; leave it out to read without a group"),
        ("bootstrap.servers", "a:1,b", "`b`; expected host:port or [v6]:port, as in localhost:9092"),
    ] {
        let error = with(&[(key, value)]).unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::InvalidValue, "{error}");
        assert_eq!(error.key(), Some(key));
        assert_eq!(error.to_string(), format!("`{key}`: invalid value ({expected})"));
    }
}

#[test]
fn every_supported_property_is_taken() {
    let sample = |key: &str| match key {
        "auto.offset.reset" => "earliest",
        "acks" => "all",
        "compression.type" => "zstd",
        "partitioner" => "consistent",
        "partitioner.class" => "RoundRobinPartitioner",
        "partitioner.adaptive.partitioning.enable" | "partitioner.ignore.keys" => "false",
        "group.protocol" => "consumer",
        "isolation.level" => "read_committed",
        "partition.assignment.strategy" => "sticky",
        "bootstrap.servers" => "h:1",
        "security.protocol" => "SSL",
        "sasl.login.callback.handler.class" => "OAuthBearerLoginCallbackHandler",
        "sasl.oauthbearer.header.urlencode" => "true",
        "allow.auto.create.topics"
        | "check.crcs"
        | "enable.auto.commit"
        | "enable.idempotence"
        | "enable.metrics.push" => "false",
        _ => "5",
    };
    for Property { name, .. } in ConsumerBuilder::known_properties() {
        ConsumerBuilder::from_properties([(name, sample(name))]).unwrap();
    }
    for Property { name, .. } in ProducerBuilder::known_properties() {
        ProducerBuilder::from_properties([(name, sample(name))]).unwrap();
    }
    for Property { name, .. } in AdminBuilder::known_properties() {
        AdminBuilder::from_properties([(name, sample(name))]).unwrap();
    }
}

#[test]
fn the_defaults_that_are_told_are_those_that_stand() {
    let told = |property: &Property| !property.default.is_empty();
    for Property { name, default, .. } in ConsumerBuilder::known_properties().filter(told) {
        let set = consumer().properties([(name, default)]).unwrap();
        assert_eq!(debug(&set.parse()), debug(&consumer().parse()), "{name}");
    }
    let producer = || ProducerBuilder::default().bootstrap_servers("h:1");
    for Property { name, default, .. } in ProducerBuilder::known_properties().filter(told) {
        let set = producer().properties([(name, default)]).unwrap();
        assert_eq!(debug(&set.parse()), debug(&producer().parse()), "{name}");
    }
    let admin = || AdminBuilder::default().bootstrap_servers("h:1");
    for Property { name, default, .. } in AdminBuilder::known_properties().filter(told) {
        let set = admin().properties([(name, default)]).unwrap();
        assert_eq!(debug(&set.parse()), debug(&admin().parse()), "{name}");
    }
}

#[test]
fn a_limit_that_another_property_breaks_is_blamed_on_what_was_set() {
    for (properties, blamed) in [
        (&[("group.id", "g"), ("session.timeout.ms", "5")][..], "session.timeout.ms"),
        (&[("group.id", "g"), ("heartbeat.interval.ms", "50000")], "heartbeat.interval.ms"),
        (&[("request.timeout.ms", "400")], "request.timeout.ms"),
        (&[("fetch.max.wait.ms", "40000")], "fetch.max.wait.ms"),
    ] {
        let error = with(properties).unwrap_err();
        assert_eq!(error.key(), Some(blamed), "{error}");
    }
    let late =
        ProducerBuilder::from_properties([("bootstrap.servers", "h:1"), ("request.timeout.ms", "300000")]);
    assert_eq!(late.unwrap().parse().unwrap_err().key(), Some("request.timeout.ms"));
}

#[test]
fn properties_do_what_setters_do() {
    let config = with(&[
        ("bootstrap.servers", " a:1, [::1]:2 ,a:1"),
        ("client.id", ""),
        ("group.id", "billing"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", " 1000 "),
        ("auto.commit.interval.ms", "100"),
        ("auto.offset.reset", "by_duration:P1DT2H3M4.5S"),
        ("check.crcs", "FALSE"),
        ("retry.backoff.ms", "2000"),
        ("ottla.buffer.memory", "1000000"),
    ])
    .unwrap();
    let address = |host: &str, port| Address { host: host.to_owned(), port };
    assert_eq!(config.common.bootstrap_servers, [address("a", 1), address("::1", 2)]);
    assert_eq!(config.common.client_id, None);
    assert_eq!(config.common.retry_backoff.most, Duration::from_secs(2), "never less than the first");
    let group = config.group.unwrap();
    assert_eq!((group.id.as_str(), group.session_timeout), ("billing", Duration::from_secs(6)));
    assert_eq!(group.auto_commit_interval, Some(Duration::from_millis(100)));
    assert_eq!(config.auto_offset_reset, OffsetReset::ByDuration(Duration::from_millis(93_784_500)));
    assert!(!config.check_crcs);
    assert_eq!(config.buffer_memory, 1_000_000);
}

#[test]
fn assignors_go_by_their_names_in_joingroup_and_by_those_of_javas_classes() {
    let names = |value: &str| {
        let config = with(&[("group.id", "g"), ("partition.assignment.strategy", value)]).unwrap();
        let assignors = config.machine(0).group.unwrap().assignors;
        assignors.iter().map(|assignor| assignor.name().to_owned()).collect::<Vec<_>>()
    };
    let java = "org.apache.kafka.clients.consumer.";
    let both = format!("range, {java}RoundRobinAssignor,{java}CooperativeStickyAssignor,sticky");
    assert_eq!(names(&both), ["range", "roundrobin", "cooperative-sticky", "sticky"]);
    let error = with(&[("partition.assignment.strategy", "best")]).unwrap_err();
    assert!(error.to_string().contains("`best`; expected range, roundrobin"), "{error}");
    let defaults = with(&[("group.id", "g")]).unwrap().machine(0).group.unwrap().assignors;
    let defaults: Vec<_> = defaults.iter().map(|assignor| assignor.name()).collect();
    assert_eq!(defaults, ["range", "cooperative-sticky"], "Java's");
}

#[test]
fn what_the_coordinator_decides_cannot_be_set_with_the_consumer_protocol() {
    for (key, value) in [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1000"),
        ("partition.assignment.strategy", "range"),
    ] {
        let error = with(&[("group.id", "g"), ("group.protocol", "consumer"), (key, value)]).unwrap_err();
        assert_eq!((error.kind(), error.key()), (BuildErrorKind::InvalidValue, Some(key)));
    }
    let error = with(&[("group.id", "g"), ("group.remote.assignor", "uniform")]).unwrap_err();
    assert_eq!(error.key(), Some("group.remote.assignor"));
    with(&[("group.id", "g"), ("group.protocol", "CONSUMER"), ("group.remote.assignor", "uniform")]).unwrap();
}

#[test]
fn durations_are_read_as_iso_8601_writes_them() {
    let read = |text: &str| {
        with(&[("auto.offset.reset", &format!("by_duration:{text}"))])
            .ok()
            .map(|config| config.auto_offset_reset)
    };
    for (text, millis) in
        [("PT1S", 1000), ("P2D", 172_800_000), ("pt15m", 900_000), ("PT0.25S", 250), ("PT1H30S", 3_630_000)]
    {
        assert_eq!(read(text), Some(OffsetReset::ByDuration(Duration::from_millis(millis))), "{text}");
    }
    for wrong in [
        "",
        "P",
        "PT",
        "1S",
        "P1S",
        "PT1D",
        "PT1S1M",
        "PT1.S",
        "PT.5S",
        "PT-1S",
        "P1Y",
        "PT99999999999999999999S",
        "PT1.1234567890S",
        "P999999999999999999D",
    ] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn addresses_are_a_host_and_a_port() {
    let builder = |servers: &str| AdminBuilder::default().bootstrap_servers([servers]).parse();
    for right in ["h:1", "127.0.0.1:9092", "[::1]:9092", "PLAINTEXT://h-1.example_x.org:65535", "a:1,b:2"] {
        builder(right).unwrap();
    }
    for wrong in [
        "h",
        "h:",
        ":1",
        "h:0",
        "h:65536",
        "::1:9092",
        "[::1]",
        "[h]:1",
        "h:+1",
        "h:1/x",
        "http://h:1",
        "h h:1",
    ] {
        let error = builder(wrong).unwrap_err();
        assert_eq!(
            (error.kind(), error.key()),
            (BuildErrorKind::InvalidValue, Some("bootstrap.servers")),
            "{wrong}"
        );
    }
    for missing in ["", " , "] {
        assert_eq!(builder(missing).unwrap_err().kind(), BuildErrorKind::MissingProperty);
    }
}

#[test]
fn auto_commit_is_on_with_a_group_and_off_without_one() {
    let without = ConsumerBuilder::default().bootstrap_servers(["h:1"]);
    assert!(without.parse().unwrap().group.is_none());
    assert!(consumer().parse().unwrap().group.unwrap().auto_commit_interval.is_some());
    let off = consumer().enable_auto_commit(false).parse().unwrap();
    assert!(off.group.unwrap().auto_commit_interval.is_none());
    for wrong in [without.clone().enable_auto_commit(true), without.clone().subscribe(["t"])] {
        let error = wrong.parse().unwrap_err();
        assert_eq!(
            (error.kind(), error.key()),
            (BuildErrorKind::MissingProperty, Some("group.id")),
            "{error}"
        );
    }
    without.enable_auto_commit(false).parse().unwrap();
}

#[test]
fn a_topic_that_no_broker_can_have_is_refused() {
    for wrong in ["", ".", "..", "a b", "a/b", "\u{e9}", &"x".repeat(250)] {
        let error = consumer().subscribe([wrong]).parse().unwrap_err();
        assert_eq!((error.kind(), error.key()), (BuildErrorKind::InvalidValue, Some("subscribe")));
    }
    consumer().subscribe(["a.B_c-9"]).parse().unwrap();
}

fn producer<const N: usize>(properties: [(&str, &str); N]) -> Result<ProducerConfig, BuildError> {
    ProducerBuilder::default().bootstrap_servers(["h:1"]).properties(properties).and_then(|b| b.parse())
}

#[test]
fn what_a_producer_is_told_has_to_fit_together() {
    assert_eq!(producer([("compression.type", "lz4")]).unwrap().compression, Compression::Lz4);
    for wrong in
        [("compression.type", "rar"), ("delivery.timeout.ms", "30004"), ("acks", "2"), ("retries", "-1")]
    {
        let error = producer([wrong]).unwrap_err();
        assert_eq!((error.kind(), error.key()), (BuildErrorKind::InvalidValue, Some(wrong.0)), "{error}");
    }
}

#[test]
fn a_partitioner_is_told_by_javas_class_or_librdkafkas_name() {
    for (key, value, expected) in [
        ("partitioner", "consistent_random", "ConsistentRandom"),
        ("partitioner", "murmur2_random", "Murmur2Random"),
        ("partitioner", "fnv1a", "Fnv1a"),
        ("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner", "RoundRobin"),
        ("partitioner.class", "RoundRobinPartitioner", "RoundRobin"),
        ("partitioner.class", "", "Murmur2Random"),
    ] {
        assert_eq!(debug(&producer([(key, value)]).unwrap().partitioning), expected);
    }
    for wrong in [("partitioner", "sticky"), ("partitioner.class", "com.example.Mine")] {
        assert_eq!(producer([wrong]).unwrap_err().key(), Some(wrong.0));
    }
    let last = producer([("partitioner.class", "RoundRobinPartitioner"), ("partitioner", "random")]).unwrap();
    assert_eq!(debug(&last.partitioning), "Random");
}

#[test]
fn a_producer_with_fewer_acknowledgements_than_all_or_without_retries_is_not_idempotent() {
    for (properties, acks, idempotent) in [
        ([("acks", "all"), ("linger.ms", "5")], Acks::All, true),
        ([("acks", "-1"), ("enable.idempotence", "true")], Acks::All, true),
        ([("acks", "all"), ("enable.idempotence", "false")], Acks::All, false),
        ([("acks", "all"), ("retries", "0")], Acks::All, false),
        ([("acks", "1"), ("linger.ms", "5")], Acks::Leader, false),
        ([("acks", " 0 "), ("enable.idempotence", "false")], Acks::None, false),
    ] {
        let config = producer(properties).unwrap();
        assert_eq!((config.acks, config.idempotent), (acks, idempotent), "{properties:?}");
        let builder = ProducerBuilder::from_properties(properties).unwrap();
        assert_eq!((builder.settings().acks(), builder.settings().enable_idempotence()), (acks, idempotent));
    }
}

#[test]
fn what_idempotence_does_not_go_with_is_told_with_both_properties() {
    for (properties, told) in [
        (
            [("enable.idempotence", "true"), ("acks", "1")],
            "`acks`: invalid value (`1`; expected all, with enable.idempotence=true)",
        ),
        (
            [("transactional.id", "a"), ("acks", "0")],
            "`acks`: invalid value (`0`; expected all, with a transactional.id)",
        ),
        (
            [("enable.idempotence", "true"), ("retries", "0")],
            "`retries`: invalid value (`0`; expected 1 or more, with enable.idempotence=true)",
        ),
        (
            [("transactional.id", "a"), ("enable.idempotence", "false")],
            "`enable.idempotence`: invalid value (`false`; expected true, with a transactional.id)",
        ),
        (
            [("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "6")],
            "`max.in.flight.requests.per.connection`: invalid value (`6`; expected 1 to 5, with enable.idempotence=true)",
        ),
    ] {
        assert_eq!(producer(properties).unwrap_err().to_string(), told);
    }
    let many = ("max.in.flight.requests.per.connection", "6");
    assert_eq!(
        producer([many]).unwrap_err().key(),
        Some(many.0),
        "it is idempotent unless it is told otherwise"
    );
    assert_eq!(producer([many, ("acks", "1")]).unwrap().max_in_flight, 6);
    assert!(producer([("max.in.flight.requests.per.connection", "256"), ("acks", "1")]).is_err());
}

#[test]
fn the_defaults_are_javas() {
    let (millis, seconds) = (Duration::from_millis, Duration::from_secs);
    let config = consumer().parse().unwrap();
    let machine = config.machine(0);
    let group = machine.group.unwrap();
    assert_eq!(config.max_poll_records, 500);
    assert_eq!((group.max_poll_interval, group.session_timeout), (seconds(300), seconds(45)));
    assert_eq!((group.heartbeat_interval, machine.auto_commit), (seconds(3), Some(seconds(5))));
    assert_eq!((group.protocol, group.instance_id, group.rack), (GroupProtocol::Classic, None, None));
    assert_eq!((machine.fetch.max_bytes, machine.fetch.partition_max_bytes), (50 << 20, 1 << 20));
    assert_eq!((machine.fetch.max_wait, machine.fetch.min_bytes), (millis(500), 1));
    assert_eq!(
        (machine.connections.request_timeout, machine.fetch.request_timeout),
        (seconds(30), seconds(30))
    );
    assert_eq!((machine.api_timeout, machine.connections.max_idle), (seconds(60), seconds(9 * 60)));
    assert_eq!((machine.metadata.max_age, machine.metadata.allow_auto_create), (seconds(5 * 60), true));
    assert_eq!((machine.reset, config.check_crcs), (OffsetReset::Latest, true));
    assert_eq!(machine.fetch.isolation, IsolationLevel::ReadUncommitted);
    let backoffs = [machine.retry_backoff, machine.connections.reconnect_backoff];
    assert_eq!(
        backoffs.map(|backoff| (backoff.first, backoff.most)),
        [(millis(100), seconds(1)), (millis(50), seconds(1)),]
    );
}

#[test]
fn no_property_is_taken_in_silence() {
    let sample = |key: &str| match key {
        "allow.auto.create.topics"
        | "check.crcs"
        | "enable.auto.commit"
        | "enable.idempotence"
        | "enable.metrics.push" => "false",
        "auto.offset.reset" => "earliest",
        "bootstrap.servers" => "h:1",
        "isolation.level" => "read_committed",
        "group.protocol" => "consumer",
        "group.remote.assignor" => "uniform",
        "partition.assignment.strategy" => "sticky",
        "security.protocol" => "SASL_SSL",
        "sasl.oauthbearer.header.urlencode" => "true",
        _ => "4321",
    };
    let protocol = |key: &str| if key == "group.remote.assignor" { "consumer" } else { "classic" };
    let told = |properties: &[(&str, &str)]| format!("{:?}", with(properties).unwrap());
    let set = |properties: &[(&str, &str)]| ConsumerBuilder::from_properties(properties.to_vec()).unwrap();
    // What files of Java's say, and is so here anyway.
    let is_fixed = |key: &str| key == "sasl.login.callback.handler.class";
    for Property { name: key, .. } in
        ConsumerBuilder::known_properties().filter(|known| !is_fixed(known.name))
    {
        let before = [("group.protocol", protocol(key))];
        let after = [before[0], (key, sample(key))];
        match key.starts_with("sasl.") || key.starts_with("ssl.") || key.starts_with("security.") {
            // What they come to is read, and tried, elsewhere.
            true => assert_ne!(debug(&set(&after)), debug(&set(&before)), "{key} changes nothing"),
            false => assert_ne!(told(&after), told(&before), "{key} changes nothing"),
        }
    }
}

#[test]
fn what_the_coordinator_decides_cannot_be_set_by_setters_either() {
    let consumer = || consumer().group_protocol(GroupProtocol::Consumer);
    for (builder, key) in [
        (consumer().session_timeout(Duration::from_secs(6)), "session.timeout.ms"),
        (consumer().heartbeat_interval(Duration::from_secs(1)), "heartbeat.interval.ms"),
        (consumer().assignor(RangeAssignor), "partition.assignment.strategy"),
    ] {
        let error = builder.parse().unwrap_err();
        assert_eq!((error.kind(), error.key()), (BuildErrorKind::InvalidValue, Some(key)));
        assert!(error.to_string().contains("the coordinator's to decide"), "{error}");
    }
    consumer().parse().unwrap();
}

#[test]
fn what_a_builder_was_told_is_read_by_its_settings() {
    let builder = ConsumerBuilder::default().bootstrap_servers("h:1").request_timeout(Duration::from_secs(7));
    let builder =
        builder.properties([("max.poll.records", "9"), ("default.api.timeout.ms", "10000")]).unwrap();
    let told = builder.settings();
    assert_eq!(told.bootstrap_servers(), ["h:1"]);
    assert_eq!((told.max_poll_records(), told.default_api_timeout()), (9, Duration::from_secs(10)));
    assert_eq!((told.request_timeout(), told.client_id()), (Duration::from_secs(7), "ottla"));
    assert_eq!((told.group_id(), told.enable_auto_commit()), (None, false), "there is nothing to commit to");
    assert!(builder.clone().group_id("g").settings().enable_auto_commit());
    let away = builder.max_poll_interval(Duration::from_secs(60));
    assert_eq!(away.settings().rebalance_timeout(), Duration::from_secs(60));
    assert_eq!(ProducerBuilder::default().settings().linger(), Duration::from_millis(5));
    assert_eq!(AdminBuilder::default().settings().connections_max_idle(), Duration::from_secs(300));
}

#[test]
fn a_secret_is_in_no_text() {
    for key in
        ["sasl.jaas.config", "ssl.key.password", "ssl.keystore.key", "sasl.password", "sasl.jaas.confg"]
    {
        let mut properties = Properties::new();
        properties.push("group.id", "billing");
        properties.push(key, "hunter2");
        let text = debug(&properties);
        assert!(text.contains("billing") && text.contains(key) && !text.contains("hunter2"), "{text}");
        let told = match ConsumerBuilder::from_properties(properties.iter()) {
            Ok(builder) => {
                format!("{builder:?} {:?}", builder.clone().bootstrap_servers("h:1").parse())
            }
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains("hunter2"), "{told}");
    }
}
