//! `ottla consume`, `produce`, `topics offsets` and `cluster` beside the real kcat, on one topic: the same bytes for the same flags, and
//! what differs on purpose.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::SystemTime;

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla::{Producer, ProducerRecord, Timestamp};
use ottla_conformance::process::{Output, Process, ProcessError, run};
use ottla_conformance::targets::{Target, unique};
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::groups_shown::shown;
use crate::kit::{PATIENCE, admin, consumer, create_as, equal, holds, producer, take, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run).with_program("kcat");
    vec![
        case("consume_prints_byte_for_byte_what_kcat_prints", printed),
        case("consume_differs_from_kcat_where_it_is_to", differs),
        case("committed_records_are_those_that_kcat_reads", |target| wait(committed(target))),
        case("produce_writes_what_kcat_writes", |target| wait(written(target))),
        case("offsets_of_a_time_and_the_cluster_are_those_of_kcat", |target| wait(asked(target))),
    ]
}

fn kcat(target: &Target, args: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", &target.bootstrap()]).args(args);
    // No file of whoever runs this; and the system's librdkafka, not the one that these tests build, which has no zlib.
    command.env("KCAT_CONFIG", "/dev/null").env("LD_LIBRARY_PATH", "");
    command
}

/// What both print of a topic to its end, without what they note.
fn both(target: &Target, topic: &str, flags: &[&str]) -> Result<(Output, Output), Failed> {
    let theirs = run(&kcat(target, &[&["-C", "-t", topic, "-e", "-q"], flags].concat()), PATIENCE)?;
    let ours = run(&ottla(target, &[&["consume", "-t", topic, "-e", "-q"], flags].concat())?, PATIENCE)?;
    Ok((ours, theirs))
}

fn same(target: &Target, topic: &str, flags: &[&str]) -> Outcome {
    let (ours, theirs) = both(target, topic, flags)?;
    if ours.bytes != theirs.bytes {
        let why = format!("{flags:?}: {:?}\nkcat: {:?}", ours.stdout, theirs.stdout);
        return Err(why.into());
    }
    equal("on stderr", ours.but_waits(), Vec::new())
}

fn seconds_ago(seconds: i64) -> Result<i64, Failed> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64 - seconds * 1000)
}

/// Records of every kind that is told apart, a second each: in partition 0 all that is text, in 1 what is none.
async fn odd(target: &Target, first: i64) -> Result<String, Failed> {
    let name = topic(target, "kcat", 2).await?;
    let producer = producer(target).await?;
    let plain =
        |n: i64| ProducerRecord::to(name.as_str()).partition(0).timestamp(Timestamp(first + n * 1000));
    let bytes = |n: i64| plain(n).partition(1);
    let escaped: String = (1..0x80).map(char::from).chain("é/<>&\u{2028}😀".chars()).collect();
    let records = [
        plain(0).value("plain"),
        plain(1).key("").value(""),
        plain(2).key("gone"),
        plain(3).key("h").value("headers").header("a", "1").null_header("b").header("a", "2"),
        plain(4).key(escaped.clone().into_bytes()).value(escaped.into_bytes()),
        plain(5).key("k\u{0}k").value("v\u{0}v"),
        plain(6).value("x".repeat(70_000).into_bytes()),
        bytes(0).key(vec![0xff, 0]).value(vec![0x80, 0xfe]),
        bytes(1).value("text").header("nul", vec![b'a', 0, b'b']),
    ];
    for record in records {
        drop(within("room for a record", producer.send(record)).await??);
    }
    within("records that are acknowledged", producer.close()).await??;
    Ok(name)
}

/// Two records of a topic in which brokers write the time.
async fn appended(target: &Target) -> Result<String, Failed> {
    let name = unique("appended");
    let new = NewTopic::new(&name).partitions(1).config("message.timestamp.type", "LogAppendTime");
    create_as(target, new).await?;
    let producer = producer(target).await?;
    for value in ["a", "b"] {
        let record = ProducerRecord::to(name.as_str()).timestamp(Timestamp(1)).value(value);
        drop(within("room for a record", producer.send(record)).await??);
    }
    within("records that are acknowledged", producer.close()).await??;
    Ok(name)
}

/// All that both know, of which each prints the same.
fn printed(target: &Target) -> Outcome {
    let first = seconds_ago(600)?;
    let name = wait(odd(target, first))?;
    let at = |prefix: &str, n: i64| format!("{prefix}@{}", first + n * 1000);
    let (from, until, never) = (at("s", 2), at("e", 4), at("s", 99));
    let of_text: &[&[&str]] = &[
        &[],
        &["-J"],
        &["-J", "-D", ",\\n"],
        &["-J", "-f", ";\\n%s"],
        &["-J", "-f", "%s"],
        &["-J", "-Z", "-K", ":"],
        &["-f", "%t %p %o %k %s %T %h %K %S %R %%\\n"],
        &["-c", "3"],
        &["-o", "3"],
        &["-o", "-2"],
        &["-o", "-30"],
        &["-o", "end"],
        &["-o", &from],
        &["-o", &never],
        &["-o", &until],
        &["-o", &from, "-o", &until],
    ];
    let of_any: &[&[&str]] = &[
        &[],
        &["-K", ":"],
        &["-K", "\\t", "-D", "\\x01\\r\\n"],
        &["-K", "::", "-D", ""],
        &["-K", ""],
        &["-Z"],
        &["-Z", "-K", ":"],
        &["-f", "%k|%s|%K|%S\\n", "-Z"],
        &["-f", "%R%s", "-K", ":"],
        &["-f", "\\x41\\ttext\\n"],
    ];
    for flags in of_text {
        same(target, &name, &[&["-p", "0"], *flags].concat())?;
    }
    // Where it is the broker who writes the time, which is told.
    let appended = wait(appended(target))?;
    for flags in [&["-J"][..], &["-f", "%T %s\\n"], &["-o", &at("s", 2)]] {
        same(target, &appended, flags)?;
    }
    let (ours, _) = both(target, &appended, &["-J"])?;
    holds("whose time it is", ours.stdout.lines().count() == 2)?;
    holds("whose time it is", ours.stdout.lines().all(|line| line.contains(r#""tstype":"logappend""#)))?;
    for flags in of_any {
        same(target, &name, &[&["-p", "0"], *flags].concat())?;
    }
    for flags in
        of_any.iter().filter(|flags| flags.is_empty() || flags.contains(&"%R%s") || flags.contains(&"::"))
    {
        same(target, &name, &[&["-p", "1"], *flags].concat())?;
    }
    // A group's member, too, of its own group each: `-t` and positions are the same words.
    let (one, other) = (unique("kcat"), unique("kcat"));
    let args = ["-e", "-q", "-o", "beginning", "-f", "%p %o %S\\n"];
    let theirs = run(&kcat(target, &[&["-G", &one], &args[..], &[&name]].concat()), PATIENCE)?;
    let ours = run(&ottla(target, &[&["consume", &name, "-G", &other], &args[..]].concat())?, PATIENCE)?;
    let sorted = |output: &Output| {
        let mut lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    equal("what members print", sorted(&ours), sorted(&theirs))
}

fn status(command: &Command) -> Result<Output, ProcessError> {
    let spawned = Process::spawn(command).map_err(|error| ProcessError::not_started(command, error));
    spawned?.end(PATIENCE)
}

/// Each line of "Unlike kcat" in the help that a topic can show.
fn differs(target: &Target) -> Outcome {
    let name = wait(odd(target, seconds_ago(600)?))?;
    // Bytes that are not UTF-8: no JSON with kcat.
    let (ours, theirs) = both(target, &name, &["-p", "1", "-J"])?;
    holds("kcat's is not UTF-8", String::from_utf8(theirs.bytes).is_err())?;
    let first: Value = serde_json::from_str(ours.stdout.lines().next().unwrap_or_default())?;
    equal("in base64", &first["base64"], &serde_json::json!(["key", "payload"]))?;
    // A header's value ends at its first NUL with kcat.
    let (ours, theirs) = both(target, &name, &["-p", "1", "-o", "1", "-f", "%h"])?;
    equal("headers", (ours.stdout.as_str(), theirs.stdout.as_str()), ("nul=a\0b", "nul=a"))?;
    // Out of range: nothing, and success, with kcat.
    let consume = |flags: &[&str]| -> Result<(Output, Output), Failed> {
        let theirs = status(&kcat(target, &[&["-C", "-t", &name, "-e", "-q", "-p", "0"], flags].concat()))?;
        let ours = [&["consume", "-t", &name, "-e", "-q", "-p", "0"], flags].concat();
        Ok((status(&ottla(target, &ours)?)?, theirs))
    };
    let (ours, theirs) = consume(&["-o", "99"])?;
    equal("kcat's status", (theirs.status.code(), theirs.stdout.as_str()), (Some(0), ""))?;
    equal("the status", (ours.status.code(), ours.stdout.as_str()), (Some(1), ""))?;
    holds("it says where the log ends", ours.stderr.contains("ends before 7"))?;
    // More than there is of a log that does not begin at 0.
    wait(async {
        let deleted = admin(target).await?.delete_records([((name.as_str(), 0), 3)]).await?;
        Ok(deleted.into_values().collect::<Result<Vec<_>, _>>().map(drop)?)
    })?;
    let (ours, theirs) = consume(&["-o", "-7", "-f", "%o "])?;
    equal("both", (ours.stdout.as_str(), theirs.stdout.as_str()), ("3 4 5 6 ", ""))?;
    // No records, and no limit.
    let (ours, theirs) = consume(&["-c", "0", "-f", "%o "])?;
    equal("both", (ours.stdout.as_str(), theirs.stdout.as_str()), ("", "3 4 5 6 "))?;
    // Wrong usage.
    let (ours, theirs) = consume(&["-f", "%z"])?;
    equal("both", (ours.status.code(), theirs.status.code()), (Some(2), Some(1)))
}

/// A transaction that is committed, one that is aborted, and a record behind them.
async fn committed(target: &Target) -> Outcome {
    let name = topic(target, "kcat-tx", 1).await?;
    let builder =
        Producer::builder().bootstrap_servers([target.bootstrap()]).transactional_id(unique("kcat"));
    let mut producer = within("a transactional producer", builder.build_transactional()).await??;
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        let transaction = producer.begin().await?;
        let sent = within("room", transaction.send(ProducerRecord::to(name.as_str()).value(value))).await??;
        // One that is not sent yet is none of an aborted transaction.
        within("a record that is acknowledged", sent).await??;
        match commit {
            true => within("a commit", transaction.commit()).await??,
            false => within("an abort", transaction.abort()).await??,
        }
    }
    within("its end", producer.close()).await??;
    let read = |command: Command| run(&command, PATIENCE).map(|output| output.stdout);
    let theirs = |flags: &[&str]| read(kcat(target, &[&["-C", "-t", &name, "-e", "-q"], flags].concat()));
    let ours = |flags: &[&str]| -> Result<String, Failed> {
        Ok(read(ottla(target, &[&["consume", "-t", &name, "-e", "-q"], flags].concat())?)?)
    };
    equal("kcat's default", theirs(&[])?, "a\nc\n".to_owned())?;
    equal("the same here", ours(&["--isolation", "read_committed"])?, theirs(&[])?)?;
    equal("ours", ours(&[])?, "a\nb\nc\n".to_owned())?;
    equal("the same there", theirs(&["-X", "isolation.level=read_uncommitted"])?, ours(&[])?)?;
    // The last two offsets are a record and a marker.
    equal(
        "the last two",
        (ours(&["-o", "-2"])?, theirs(&["-o", "-2"])?),
        ("c\n".to_owned(), "c\n".to_owned()),
    )
}

/// What is in a topic: keys, values and headers.
type Written = Vec<(i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>)>;

async fn written_to(target: &Target, topic: &str, count: usize) -> Result<Written, Failed> {
    let mut consumer = consumer(target).build().await?;
    consumer.assign([(topic, 0), (topic, 1)])?;
    let records = take(&mut consumer, count).await?;
    let mut written: Written = Vec::new();
    for record in &records {
        let headers = record.headers().collect::<Result<Vec<_>, _>>()?;
        let headers =
            headers.into_iter().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)));
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        written.push((record.partition(), bytes(record.key()), bytes(record.value()), headers.collect()));
    }
    consumer.close().await?;
    // Each partition's own are in order.
    written.sort_by_key(|(partition, ..)| *partition);
    Ok(written)
}

async fn written(target: &Target) -> Outcome {
    let (input, keyed) = (&b"a\nb:c\n \n\xff\xfe\nlast"[..], &b"k:v\n:no key\ngone:\nplain\nx:y:z\n"[..]);
    for (flags, input, count) in [
        (&["-p", "0"][..], input, 5),
        (&["-p", "1", "-H", "a=1", "-H", "b=2=3", "-z", "gzip"], input, 5),
        (&["-p", "0", "-K", ":"], keyed, 5),
        (&["-p", "0", "-K", ":", "-Z"], keyed, 5),
        (&["-p", "1", "-D", ";", "-K", "::"], b"k::v;w;x:y;\n", 4),
        (&["-p", "0", "-D", "\\x01\\t"], b"1\x01\t2\t3\x01\t", 2),
    ] {
        let (ours, theirs) = (topic(target, "ours", 2).await?, topic(target, "kcats", 2).await?);
        for command in [
            ottla(target, &[&["produce", "-t", &ours], flags].concat())?,
            kcat(target, &[&["-P", "-t", &theirs], flags].concat()),
        ] {
            let name = format!("{command:?}");
            let mut process = Process::spawn_with_input(&command)?;
            process.write(input)?;
            process.close_input();
            process.finish(PATIENCE).map_err(|error| format!("{name}: {error}"))?;
        }
        let (ours, theirs) =
            (written_to(target, &ours, count).await?, written_to(target, &theirs, count).await?);
        equal(&format!("{flags:?}"), ours, theirs)?;
    }
    Ok(())
}

async fn asked(target: &Target) -> Outcome {
    let first = seconds_ago(600)?;
    let name = odd(target, first).await?;
    for (partition, time) in
        [(0, first + 2_000), (0, first - 1), (1, first + 1_000), (1, first + 60_000), (0, -1), (1, -2)]
    {
        let query = format!("{name}:{partition}:{time}");
        let told = run(&kcat(target, &["-Q", "-t", &query]), PATIENCE)?;
        let theirs: i64 = told.stdout.trim().rsplit(' ').next().unwrap_or_default().parse()?;
        let ours = shown(target, &["topics", "offsets", "-t", &query])?;
        equal(&query, ours[0]["offset"].as_i64().unwrap_or(-1), theirs)?;
    }
    let told = run(&kcat(target, &["-L", "-J", "-t", &name]), PATIENCE)?;
    let told: Value = serde_json::from_str(&told.stdout)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let theirs: BTreeMap<i64, String> = list(&told["brokers"])
        .iter()
        .filter_map(|broker| Some((broker["id"].as_i64()?, broker["name"].as_str()?.to_owned())))
        .collect();
    let ours: BTreeMap<i64, String> = shown(target, &["cluster"])?
        .iter()
        .filter_map(|broker| Some((broker["broker"].as_i64()?, broker["address"].as_str()?.to_owned())))
        .collect();
    equal("brokers", ours, theirs)?;
    let ids = |value: &Value| list(value).iter().map(|node| node["id"].clone()).collect::<Vec<_>>();
    let theirs: Vec<_> = list(&told["topics"][0]["partitions"])
        .iter()
        .map(|it| (it["partition"].clone(), it["leader"].clone(), ids(&it["replicas"]), ids(&it["isrs"])))
        .collect();
    let ours: Vec<_> = shown(target, &["topics", "describe", &name])?
        .iter()
        .map(|it| (it["partition"].clone(), it["leader"].clone(), list(&it["replicas"]), list(&it["isr"])))
        .collect();
    equal("partitions", ours, theirs)
}
