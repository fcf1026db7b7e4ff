//! `ottla consume` without a group.

use std::{
    io::{BufRead, Read},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::support::{Broker, Lines, numbers, until};

fn ten() -> Broker {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    broker
}

#[test]
fn without_an_offset_it_begins_at_the_beginning_and_e_ends_it_at_the_end() {
    let broker = ten();
    assert_eq!(broker.run(&["consume", "t", "-e"]).ok(), numbers(0..10));
}

#[test]
fn every_offset_form_begins_where_it_says() {
    let broker = ten();
    for (offset, expected) in [
        ("beginning", 0..10),
        ("0", 0..10),
        ("7", 7..10),
        ("10", 10..10),
        ("-3", 7..10),
        ("-30", 0..10),
        ("end", 10..10),
        ("s@0", 0..10),
        ("s@99999999999999", 10..10),
        ("e@0", 0..0),
        ("e@99999999999999", 0..10),
    ] {
        assert_eq!(broker.run(&["consume", "t", "-e", "-o", offset]).ok(), numbers(expected), "{offset}");
    }
}

#[test]
fn times_bound_what_is_read_without_e_too() {
    let broker = Broker::start(&["t:2"]);
    let stamp = |from: &str| {
        let args = ["consume", "t", "-p", "0", "-o", from, "-c", "1", "-f", "%T"];
        broker.run(&args).ok().parse::<i64>().unwrap()
    };
    broker.produce(&["t", "-p", "0"], &numbers(0..5)).ok();
    let first = stamp("-1");
    until("another millisecond", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        (now > first as u128).then_some(())
    });
    broker.produce(&["t", "-p", "0"], &numbers(5..8)).ok();
    broker.produce(&["t", "-p", "1"], &numbers(8..9)).ok();
    let second = stamp("5");
    let (start, end) = (format!("s@{second}"), format!("e@{second}"));
    assert_eq!(broker.run(&["consume", "t", "-p", "0", "-o", &start, "-e"]).ok(), numbers(5..8));
    let earlier = broker.run(&["consume", "t", "-o", "s@0", "-o", &end]).ok();
    assert_eq!(earlier, numbers(0..5), "each partition ends by itself");
}

#[test]
fn an_offset_that_is_not_there_is_an_error() {
    let refused = ten().run(&["consume", "t", "-e", "-o", "11"]).failed(1);
    assert!(refused.contains("t-0") && refused.contains("ends before 10"), "{refused}");
}

#[test]
fn c_ends_it_after_so_many() {
    let broker = ten();
    assert_eq!(broker.run(&["consume", "t", "-c", "4"]).ok(), numbers(0..4));
    assert_eq!(broker.run(&["consume", "t", "-c", "0"]).ok(), "");
    assert_eq!(broker.run(&["consume", "t", "-c", "3", "-o", "8", "-e"]).ok(), numbers(8..10));
    assert_eq!(broker.run(&["consume", "t", "-c", "4", "-X", "max.poll.records=3"]).ok(), numbers(0..4));
}

#[test]
fn e_ends_at_the_ends_that_partitions_had_also_when_some_are_empty() {
    let broker = Broker::start(&["t:8", "u:1"]);
    broker.produce(&["t", "-p", "5"], &numbers(0..3)).ok();
    broker.produce(&["u"], &numbers(3..4)).ok();
    let both = broker.run(&["consume", "t", "u", "-e"]).ok();
    let mut lines: Vec<_> = both.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "1", "2", "3"]);
    assert_eq!(broker.run(&["consume", "t", "-e", "-p", "0"]).ok(), "");
}

#[test]
fn a_pattern_reads_the_topics_whose_whole_names_match_alone_and_in_a_group() {
    let broker = ten();
    for protocol in ["classic", "consumer"] {
        let group = format!("{protocol}-readers");
        let protocol = format!("group.protocol={protocol}");
        let args = ["consume", "t|u.*", "--regex", "-e", "-o", "beginning", "-G", &group, "-X", &protocol];
        assert_eq!(broker.run(&args).ok(), numbers(0..10), "{protocol}");
    }
    assert_eq!(broker.run(&["consume", "[a-z]", "--regex", "-e"]).ok(), numbers(0..10));
    let refused = broker.run(&["consume", "x.*", "--regex", "-e"]).failed(1);
    assert!(refused.contains("no topic has such a name"), "{refused}");
}

#[test]
fn it_goes_on_when_records_come_until_sigterm() {
    let broker = Broker::start(&["t:1"]);
    let mut reader = broker.start_command(&["consume", "t"]);
    let lines = Lines::of(&mut reader);
    broker.produce(&["t"], "a\n").ok();
    assert_eq!(lines.take(1), ["a"]);
    broker.produce(&["t"], "b\n").ok();
    assert_eq!(lines.take(1), ["b"]);
    reader.terminate();
    assert_eq!(reader.wait().status, Some(0));
    assert_eq!(lines.rest(), Vec::<String>::new());
}

#[test]
fn o_end_reads_what_comes_from_then_on() {
    let broker = ten();
    let mut reader = broker.start_command(&["consume", "t", "-o", "end", "-c", "1"]);
    let lines = Lines::of(&mut reader);
    // Whatever comes first, it is none of the ten.
    let line = loop {
        broker.produce(&["t"], "new\n").ok();
        if let Some(line) = lines.soon() {
            break line;
        }
    };
    assert_eq!(line, "new");
    reader.wait().ok();
}

#[test]
fn a_format_prints_every_field() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "1", "-K", ":", "-H", "a=1", "-H", "a=2"], "key:value\nnone\n:\n").ok();
    let text = broker.run(&["consume", "t", "-e", "-f", r"%t/%p/%o %k=%s (%K,%S) %h\t%%\x21\n"]).ok();
    let expected =
        "t/1/0 key=value (3,5) a=1,a=2\t%!\nt/1/1 =none (-1,4) a=1,a=2\t%!\nt/1/2 = (0,0) a=1,a=2\t%!\n";
    assert_eq!(text, expected);
}

#[test]
fn j_prints_kcats_envelope() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", ":", "-H", "h=\"q\""], "k:v\nnone\n").ok();
    let text = broker.run(&["consume", "t", "-e", "-J"]).ok();
    assert_eq!(broker.run(&["consume", "t", "-e", "--output", "json"]).ok(), text);
    let rows = crate::support::rows(&text);
    let keys: Vec<_> =
        ["topic", "partition", "offset", "tstype", "ts", "broker", "headers", "key", "payload"].into();
    for row in &rows {
        let mut expected = keys.clone();
        expected.sort_unstable();
        assert_eq!(row.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), expected);
    }
    let places: Vec<_> = keys.iter().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!((&rows[0]["key"], &rows[0]["payload"]), (&"k".into(), &"v".into()));
    assert_eq!((&rows[0]["tstype"], &rows[0]["offset"]), (&"create".into(), &0.into()));
    assert!(rows[0]["ts"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(rows[0]["headers"], serde_json::json!(["h", "\"q\""]));
    assert_eq!(rows[1]["key"], serde_json::Value::Null);
    assert_eq!(rows[0]["broker"], 1);
    broker.produce(&["t"], "bare\n").ok();
    let bare = broker.run(&["consume", "t", "-e", "-J", "-o", "-1"]).ok();
    assert!(!bare.contains("headers") && !bare.contains("base64"), "{bare}");
}

#[test]
fn every_byte_can_be_had_back_from_j() {
    let broker = Broker::start(&["t:1"]);
    let mut producer = crate::support::Process::start(
        broker.command(&["produce", "t", "-K", ":", "-H", "h=v"]).stdin(std::process::Stdio::piped()),
    );
    producer.feed(b"k\xff:\x00\xfe\n");
    producer.wait().ok();
    let row = &crate::support::rows(&broker.run(&["consume", "t", "-e", "-J"]).ok())[0];
    assert_eq!((&row["key"], &row["payload"]), (&"a/8=".into(), &"AP4=".into()));
    assert_eq!(row["base64"], serde_json::json!(["key", "payload"]));
}

#[test]
fn earliest_and_latest_are_beginning_and_end() {
    let broker = ten();
    assert_eq!(broker.run(&["consume", "t", "-e", "-o", "earliest"]).ok(), numbers(0..10));
    assert_eq!(broker.run(&["consume", "t", "-e", "-o", "latest"]).ok(), "");
}

#[test]
fn a_reader_of_stdout_that_has_enough_is_no_failure() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..200_000)).ok();
    let mut reader = broker.start_command(&["consume", "t"]);
    let mut stdout = reader.stdout();
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "0\n");
    drop(stdout);
    let done = reader.wait();
    assert_eq!((done.status, done.complaints()), (Some(0), vec![]));
}

#[test]
fn large_values_and_bytes_that_are_no_text_pass_through() {
    let broker = Broker::start(&["t:1"]);
    let value = "x".repeat(900_000);
    broker.produce(&["t", "-z", "gzip"], &format!("{value}\n")).ok();
    assert_eq!(broker.run(&["consume", "t", "-e"]).ok().len(), value.len() + 1);
    let mut producer =
        crate::support::Process::start(broker.command(&["produce", "t"]).stdin(std::process::Stdio::piped()));
    producer.feed(b"\xff\x00\xfe\n");
    producer.wait().ok();
    let mut reader = broker.start_command(&["consume", "t", "-e", "-o", "1"]);
    let mut bytes = Vec::new();
    reader.stdout().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"\xff\x00\xfe\n");
}

#[test]
fn stored_offsets_of_a_group_are_found_without_joining_it() {
    let broker = ten();
    broker.run(&["consume", "t", "-G", "g", "-o", "beginning", "-c", "6"]).ok();
    let stored = broker.run(&["consume", "t", "-e", "-o", "stored", "-X", "group.id=g"]).ok();
    assert_eq!(stored, numbers(6..10));
    assert_eq!(
        broker.run(&["consume", "t", "-e", "-o", "stored", "-X", "group.id=g"]).ok(),
        stored,
        "none was committed"
    );
}
