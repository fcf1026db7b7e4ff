//! The harness itself: what the other cases stand on works.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::bad_server::{BadServer, Garbage};
use ottla_conformance::kafka::{Cluster, Config, Consume, Java, Load};
use ottla_conformance::process::Process;
use ottla_conformance::schemas::schemas;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("a_child_process_dies_with_its_tether", a_child_process_dies_with_its_tether),
        Case::alone("a_bad_server_answers_garbage", a_bad_server_answers_garbage),
        Case::alone("the_jar_holds_the_schemas_of_the_protocol", the_jar_holds_the_schemas).with_java(),
        Case::kafka("a_topic_is_created_and_described", a_topic_is_created_and_described),
        Case::kafka("a_load_in_lz4_is_read_by_the_console_consumer", a_load_is_read),
        Case::kafka("a_group_that_read_all_has_no_lag", a_group_that_read_all_has_no_lag),
        Case::kafka("offsets_are_found_by_time", offsets_are_found_by_time),
        Case::kafka("the_java_producer_picks_a_partition_for_each_key", keys_have_partitions),
        Case::alone("a_killed_node_comes_back", a_killed_node_comes_back).with_java().heavy(),
        Case::alone("a_proxy_delays_and_tears_responses", a_proxy_delays_and_tears).with_java().heavy(),
    ]
}

/// Fails with the two values, unless they are equal.
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, left: T, right: T) -> Outcome {
    if left == right { Ok(()) } else { Err(format!("{what}: {left:?}, not {right:?}").into()) }
}

fn a_child_process_dies_with_its_tether() -> Outcome {
    let mut sleeper = Command::new("sh");
    sleeper.args(["-c", "echo started; exec sleep 600"]);
    let process = Process::spawn(&sleeper)?;
    until(Duration::from_secs(10), "its first line", || process.lines() == ["started"])?;
    let pid = process.id();
    drop(process);
    until(Duration::from_secs(10), "its end", || !std::path::Path::new(&format!("/proc/{pid}")).exists())?;
    Ok(())
}

fn a_bad_server_answers_garbage() -> Outcome {
    for garbage in Garbage::ALL {
        let server = BadServer::start(garbage)?;
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(&[0, 0, 0, 1, 0])?;
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer).is_ok();
        let expected: (bool, &[u8]) = match garbage {
            Garbage::Http => (true, b"HTTP/1.1 400"),
            Garbage::TlsAlert => (true, &[0x15, 3, 3]),
            Garbage::HugeLength => (false, &[0x7f, 0xff, 0xff, 0xff]),
            Garbage::Silence => (false, b""),
            Garbage::Close => (true, b""),
        };
        equal(&format!("{garbage:?} closed"), closed, expected.0)?;
        equal(&format!("{garbage:?} answered"), answer.starts_with(expected.1), true)?;
    }
    Ok(())
}

fn the_jar_holds_the_schemas() -> Outcome {
    let schemas = schemas(&Java::get()?.clients_jar())?;
    let fetch = schemas.get("FetchRequest").ok_or("no FetchRequest")?;
    equal("the API key of Fetch", fetch["apiKey"].as_i64(), Some(1))?;
    equal("enough schemas", schemas.len() > 150, true)
}

fn a_topic_is_created_and_described(target: &Target) -> Outcome {
    let (tools, topic) = (target.tools()?, unique("described"));
    tools.create_topic(&topic, 12, 3, &[("min.insync.replicas", "2")])?;
    let rows = tools.describe_topic(&topic)?;
    equal("partitions", rows.iter().map(|row| row.partition).collect(), (0..12).collect::<Vec<_>>())?;
    equal("replicas", rows.iter().all(|row| row.replicas.len() == 3 && row.in_sync.len() == 3), true)?;
    equal("leaders", rows.iter().all(|row| row.leader.is_some()), true)?;
    tools.delete_topic(&topic)?;
    Ok(())
}

fn a_load_is_read(target: &Target) -> Outcome {
    const RECORDS: usize = 10_000;
    let (tools, topic) = (target.tools()?, unique("load"));
    tools.create_topic(&topic, 3, 3, &[])?;
    let printed =
        tools.produce_load(&Load::new(&topic, RECORDS).size(64).codec("lz4").set("linger.ms", 5))?;
    equal("the tool's own count", printed.contains("10000 records sent"), true)?;
    let consumed = tools.console_consume(&Consume::all(&topic).messages(RECORDS))?;
    let mut places: Vec<_> = consumed.iter().map(|record| (record.partition, record.offset)).collect();
    places.sort_unstable();
    places.dedup();
    equal("distinct records", places.len(), RECORDS)?;
    equal("their sizes", consumed.iter().all(|r| r.value.as_ref().is_some_and(|v| v.len() == 64)), true)
}

fn a_group_that_read_all_has_no_lag(target: &Target) -> Outcome {
    let (tools, topic, group) = (target.tools()?, unique("lag"), unique("group"));
    equal("before it is there", tools.describe_group(&group)?, Vec::new())?;
    tools.create_topic(&topic, 1, 3, &[])?;
    let lines: Vec<String> = (0..10).map(|n| format!("value {n}")).collect();
    tools.console_produce(&topic, &lines, None, &[])?;
    tools.console_consume(&Consume::group(&topic, &group).messages(10))?;
    tools.console_produce(&topic, &lines[..3], None, &[])?;
    let rows = tools.describe_group(&group)?;
    let [row] = rows.as_slice() else { return Err(format!("one row, not {rows:?}").into()) };
    equal("offsets", (row.committed, row.end, row.lag), (Some(10), Some(13), Some(3)))?;
    equal("no member is left", row.member.clone(), None)?;
    let mut member = tools.spawn_console_consumer(&Consume::group(&topic, &group).forever())?;
    until(Duration::from_secs(60), "the rest of the records", || member.line_count() == 3)?;
    equal("a member", tools.describe_group(&group)?.iter().all(|row| row.member.is_some()), true)?;
    member.signal("TERM")?;
    member.wait(Duration::from_secs(60))?;
    equal("lag", tools.describe_group(&group)?.first().and_then(|row| row.lag), Some(0))
}

fn offsets_are_found_by_time(target: &Target) -> Outcome {
    let (tools, topic) = (target.tools()?, unique("offsets"));
    tools.create_topic(&topic, 2, 3, &[])?;
    tools.console_produce(&topic, &["k:a", "k:b", "k:c"], Some(":"), &[])?;
    let consumed = tools.console_consume(&Consume::all(&topic).messages(3))?;
    let first = consumed.first().ok_or("no record")?;
    let time = first.timestamp.ok_or("no timestamp")?;
    let (full, empty) = (first.partition, 1 - first.partition);
    equal("the end", tools.offsets(&topic, -1)?, [(full, Some(3)), (empty, Some(0))].into())?;
    equal("the beginning", tools.offsets(&topic, -2)?, [(0, Some(0)), (1, Some(0))].into())?;
    equal("at its time", tools.offsets(&topic, time)?.get(&full), Some(&Some(0)))?;
    let last = tools.console_consume(&Consume::at(&topic, full, 2).messages(1))?;
    equal("from an offset", last.iter().map(|r| r.value.as_deref()).collect(), vec![Some("c")])
}

fn keys_have_partitions(target: &Target) -> Outcome {
    let (tools, topic) = (target.tools()?, unique("keys"));
    tools.create_topic(&topic, 12, 3, &[])?;
    let keys: Vec<String> = (0..1000).map(|n| format!("key-{n}")).collect();
    let partitions = tools.partitions_of_keys(&topic, &keys)?;
    equal("keys", partitions.len(), keys.len())?;
    equal("all partitions are used", (0..12).all(|p| partitions.values().any(|q| *q == p)), true)
}

fn a_killed_node_comes_back() -> Outcome {
    let cluster = Cluster::start(Config::new(3))?;
    let (tools, topic) = (cluster.tools(), "survivor");
    tools.create_topic(topic, 3, 3, &[])?;
    let in_sync = || -> Result<Vec<usize>, Failed> {
        Ok(tools.describe_topic(topic)?.iter().map(|row| row.in_sync.len()).collect())
    };
    cluster.kill(2)?;
    tools.console_produce(topic, &["written without it"], None, &[])?;
    equal("in sync without it", in_sync()?, vec![2, 2, 2])?;
    cluster.restart(2)?;
    let mut last = Vec::new();
    until(Duration::from_secs(60), "a node in sync again", || {
        last = in_sync().unwrap_or_default();
        last == [3, 3, 3]
    })
    .map_err(|expired| format!("{expired}; {last:?}"))?;
    cluster.stop(3)?;
    equal("read without another", tools.console_consume(&Consume::all(topic).messages(1))?.len(), 1)
}

fn a_proxy_delays_and_tears() -> Outcome {
    const METADATA: i16 = 3;
    let cluster = Cluster::start(Config::new(1).behind_proxies())?;
    let proxy = cluster.proxy(1)?;
    let mut stream = TcpStream::connect(proxy.address())?;
    // A Metadata request, v1, for no topics.
    let request = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];
    let ask = |stream: &mut TcpStream| -> std::io::Result<Vec<u8>> {
        stream.write_all(&request)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut rest = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut rest).map(|()| rest)
    };
    let advertised = ask(&mut stream)?;
    let port = u32::from(proxy.address().port()).to_be_bytes();
    equal("the proxy is advertised", advertised.windows(4).any(|bytes| bytes == port), true)?;
    proxy.delay(Some(METADATA), Duration::from_millis(200));
    let start = Instant::now();
    ask(&mut stream)?;
    equal("delayed", start.elapsed() >= Duration::from_millis(200), true)?;
    equal("counted", proxy.traffic().get(&METADATA).map(|traffic| traffic.requests), Some(2))?;
    proxy.tear_next(METADATA);
    equal("torn", ask(&mut stream).is_err(), true)?;
    let mut stream = TcpStream::connect(proxy.address())?;
    ask(&mut stream)?;
    equal("cut", proxy.cut(), 1)?;
    equal("closed", ask(&mut stream).is_err(), true)
}
