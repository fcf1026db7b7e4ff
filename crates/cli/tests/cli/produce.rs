//! `ottla produce`.

use std::{
    io::Write,
    process::{ChildStdin, Stdio},
};

use crate::support::{Broker, Lines, Process, numbers, until};

#[test]
fn every_codec_carries_the_same_lines_in_order() {
    let broker = Broker::start(&["t:1"]);
    for (index, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        broker.produce(&["t", "-z", codec], &numbers(0..20_000)).ok();
        let from = (index * 20_000).to_string();
        assert_eq!(broker.run(&["consume", "t", "-e", "-o", &from]).ok(), numbers(0..20_000), "{codec}");
    }
}

#[test]
fn fewer_acknowledgements_than_all_carry_the_same_lines_in_order() {
    let broker = Broker::start(&["t:1"]);
    for acks in ["1", "all", "0"] {
        broker.produce(&["t", "--acks", acks], &numbers(0..20_000)).ok();
    }
    // Who writes without acknowledgements has ended, and does not know whether the broker has it.
    let text = broker.run(&["consume", "t", "-c", "60000"]).ok();
    assert_eq!(text, numbers(0..20_000).repeat(3));
}

#[test]
fn a_key_stands_before_the_first_delimiter() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", "::"], "a::b::c\nplain\n::empty\n\n").ok();
    let text = broker.run(&["consume", "t", "-e", "-f", "%K %k|%s\\n"]).ok();
    assert_eq!(text, "1 a|b::c\n-1 |plain\n0 |empty\n-1 |\n");
}

#[test]
fn keys_go_where_javas_producer_sends_them() {
    // The hashes that Kafka's own test of murmur2 expects.
    let broker = Broker::start(&["t:10"]);
    broker.produce(&["t", "-K", ":"], "21:a\nfoobar:b\nabc:c\n").ok();
    let text = broker.run(&["consume", "t", "-e", "-f", "%k %p\\n"]).ok();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let expected = [("21", -973_932_308), ("abc", 479_470_107), ("foobar", -790_332_482)]
        .map(|(key, hash): (&str, i32)| format!("{key} {}", (hash & i32::MAX) % 10));
    assert_eq!(lines, expected);
}

#[test]
fn a_partition_and_headers_are_every_records() {
    let broker = Broker::start(&["t:3"]);
    broker.produce(&["t", "-p", "2", "-H", "a=b=c", "-H", "d="], "1\n2").ok();
    let text = broker.run(&["consume", "t", "-e", "-f", "%p %s %h\\n"]).ok();
    assert_eq!(text, "2 1 a=b=c,d=\n2 2 a=b=c,d=\n");
}

#[test]
fn what_was_read_before_sigterm_is_sent() {
    let broker = Broker::start(&["t:1"]);
    let mut reader = broker.start_command(&["consume", "t"]);
    let lines = Lines::of(&mut reader);
    let mut command = broker.command(&["produce", "t", "-X", "linger.ms=0"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nb\n").unwrap();
    assert_eq!(lines.take(2), ["a", "b"], "without waiting for the input to end");
    let terminated = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(terminated.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_record_that_is_too_large_is_told_and_those_before_it_are_sent() {
    let broker = Broker::start(&["t:1"]);
    let refused = broker.produce(&["t"], &format!("before\n{}\n", "x".repeat(2 << 20))).failed(1);
    assert!(refused.contains("too large"), "{refused}");
    assert_eq!(broker.run(&["consume", "t", "-e"]).ok(), "before\n");
}

#[test]
fn a_topic_deleted_meanwhile_is_told_while_input_still_comes() {
    let broker = Broker::start(&["t:1"]);
    let args = [
        "produce",
        "t",
        "-X",
        "max.block.ms=1000",
        "-X",
        "delivery.timeout.ms=3000",
        "-X",
        "request.timeout.ms=1000",
    ];
    let mut producer = Process::start(broker.command(&args).stdin(Stdio::piped()));
    let mut stdin = producer.stdin();
    stdin.write_all(b"a\n").unwrap();
    until("the record", || (broker.run(&["consume", "t", "-e"]).ok() == "a\n").then_some(()));
    broker.run(&["topics", "delete", "t"]).ok();
    stdin.write_all(b"b\n").unwrap();
    let refused = producer.wait().failed(1);
    assert!(refused.contains("t"), "{refused}");
    drop(stdin);
}

#[test]
fn delimiters_have_the_escapes_of_f_and_a_line_without_one_is_told() {
    let broker = Broker::start(&["t:1"]);
    let done = broker.produce(&["t", "-K", r"\t"], "k\tv\nnone\nneither\n");
    let told = done.complaints();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("line 2 lacks the delimiter of -K"), "{told:?}");
    assert!(told[1].contains("2 lines lack"), "{told:?}");
    broker.produce(&["t", "-D", r"\x00;", "-K", "::"], "a::1\n\0;b::2\0;").ok();
    let all = broker.run(&["consume", "t", "-e", "-f", r"%k|%s|%K\x0a"]).ok();
    assert_eq!(all, "k|v|1\n|none|-1\n|neither|-1\na|1\n|1\nb|2|1\n");
}

#[test]
fn z_makes_nulls_of_what_is_empty() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", ":"], "k:\n:v\n").ok();
    broker.produce(&["t", "-K", ":", "-Z"], "k:\n:v\n").ok();
    assert_eq!(broker.run(&["consume", "t", "-e", "-f", "%K %S,"]).ok(), "1 0,0 1,1 -1,-1 1,");
}

/// The first three numbers are in the log, in a transaction that is open.
fn load_under_way(broker: &Broker) -> (Process, ChildStdin) {
    let args = ["produce", "t", "--transactional-id", "loads", "-X", "linger.ms=0"];
    let mut load = Process::start(broker.command(&args).stdin(Stdio::piped()));
    let mut stdin = load.stdin();
    stdin.write_all(numbers(0..3).as_bytes()).unwrap();
    let all = || broker.run(&["consume", "t", "-e", "--isolation", "read_uncommitted"]).ok();
    until("they are in the log", || (all() == numbers(0..3)).then_some(()));
    (load, stdin)
}

fn committed(broker: &Broker) -> String {
    broker.run(&["consume", "t", "-e", "--isolation", "read_committed"]).ok()
}

#[test]
fn the_records_of_a_transaction_are_seen_once_the_input_has_ended() {
    let broker = Broker::start(&["t:1"]);
    let (load, mut stdin) = load_under_way(&broker);
    assert_eq!(committed(&broker), "");
    stdin.write_all(numbers(3..5).as_bytes()).unwrap();
    drop(stdin);
    load.wait().ok();
    assert_eq!(committed(&broker), numbers(0..5));
}

#[test]
fn a_transaction_whose_input_is_not_read_to_its_end_is_aborted() {
    let broker = Broker::start(&["t:1"]);
    let (load, stdin) = load_under_way(&broker);
    load.terminate();
    let refused = load.wait().failed(1);
    assert!(refused.contains("stopped") && refused.contains("aborted"), "{refused}");
    drop(stdin);
    // The next of that name writes as ever.
    broker.produce(&["t", "--transactional-id", "loads"], &numbers(7..9)).ok();
    assert_eq!(committed(&broker), numbers(7..9));
    let refused = broker.produce(&["t", "--transactional-id", "loads", "--acks", "1"], "a\n").failed(2);
    assert!(refused.contains("acks"), "{refused}");
}
