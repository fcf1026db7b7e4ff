//! `ottla consume` with the flags of `kcat -C`, and what it says beside the records. What kcat prints for the same flags is asked
//! by the conformance suite.

use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::support::{Broker, DEADLINE, Done, Lines, Process, numbers, until};

/// Keys and values, of which some are empty and some are null.
fn mixed() -> Broker {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t", "-K", ":"], "k:v\nplain\n:\n").ok();
    broker.produce(&["t", "-K", ":", "-Z"], "gone:\n").ok();
    broker
}

/// What it notes of ends and of the group.
fn notes(done: &Done) -> Vec<&str> {
    let is_note = |line: &&str| line.starts_with("ottla: reached ") || line.starts_with("ottla: group `");
    done.stderr.lines().filter(is_note).collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn delimiters_stand_behind_keys_and_records() {
    let broker = mixed();
    for (args, expected) in [
        (&["-K", ":"][..], "k:v\n:plain\n:\ngone:\n"),
        (&["-K", r"\t", "-D", r";\x00"], "k\tv;\0\tplain;\0\t;\0gone\t;\0"),
        (&["-D", ""], "vplain"),
        (&["-Z"], "v\nplain\nNULL\nNULL\n"),
        (&["-Z", "-K", "="], "k=v\nNULL=plain\nNULL=NULL\ngone=NULL\n"),
        (&["-K", ":", "-D", ";", "-f", "%k,"], "k,,,gone,"),
    ] {
        let args = [&["consume", "-t", "t", "-e"], args].concat();
        assert_eq!(broker.run(&args).ok(), expected, "{args:?}");
    }
    let refused = broker.run(&["consume", "t", "-K", r"\q"]).failed(2);
    assert!(refused.contains("-K"), "{refused}");
}

#[test]
fn topics_are_named_with_t_or_without() {
    let broker = Broker::start(&["t:1", "u:1"]);
    broker.produce(&["-t", "t"], "a\n").ok();
    broker.produce(&["u"], "b\n").ok();
    for args in [["-t", "t", "-t", "u"].as_slice(), &["t", "-t", "u"], &["-t", "t|u", "--regex"]] {
        let both = broker.run(&[&["consume", "-e"], args].concat()).ok();
        let mut lines: Vec<_> = both.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["a", "b"], "{args:?}");
    }
    broker.run(&["consume", "-e"]).failed(2);
    broker.produce(&["t", "-t", "u"], "").failed(2);
}

#[test]
fn a_length_of_four_bytes_goes_before_a_value() {
    let broker = mixed();
    let mut reader = broker.start_command(&["consume", "t", "-e", "-f", "%R%s"]);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader.stdout(), &mut bytes).unwrap();
    assert_eq!(bytes, b"\0\0\0\x01v\0\0\0\x05plain\0\0\0\0\xff\xff\xff\xff");
}

#[test]
fn what_follows_an_object_is_the_delimiter_or_the_text_that_a_format_begins_with() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "a\nb\n").ok();
    for (args, between) in [
        (&[][..], "\n"),
        (&["-D", ","], ","),
        (&["-f", ";%s"], ";"),
        (&["-f", "%s"], ""),
        (&["-K", ":", "-Z"], "\n"),
    ] {
        let text = broker.run(&[&["consume", "t", "-e", "-J"], args].concat()).ok();
        let ends: Vec<_> =
            text.split_inclusive('}').map(|object| object.trim_start_matches(between)).collect();
        assert_eq!(ends.len(), 2 + usize::from(!between.is_empty()), "{args:?}: {text}");
        assert!(text.ends_with(&format!("}}{between}")), "{args:?}: {text}");
        for object in &ends[..2] {
            let object: serde_json::Value = serde_json::from_str(object).unwrap();
            assert!(object["payload"].is_string() && object["key"].is_null(), "{args:?}: {text}");
        }
    }
}

#[test]
fn ends_that_are_reached_are_noted_unless_it_is_to_be_quiet() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "1"], &numbers(0..3)).ok();
    let done = broker.run(&["consume", "t", "-e"]);
    let told = ["ottla: reached the end of t-0 at offset 0", "ottla: reached the end of t-1 at offset 3"];
    assert_eq!(notes(&done), told);
    assert_eq!(done.ok(), numbers(0..3));
    let quiet = broker.run(&["consume", "t", "-e", "-q"]);
    assert!(notes(&quiet).is_empty(), "{quiet:?}");
    assert_eq!(quiet.ok(), numbers(0..3));
}

#[test]
fn an_end_is_noted_once_while_reading_goes_on() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "a\n").ok();
    let mut reader = broker.start_command(&["consume", "t"]);
    let lines = Lines::of(&mut reader);
    let mut said = reader.stderr_lines().filter(|line| line.contains("reached the end"));
    assert_eq!(said.next().unwrap(), "ottla: reached the end of t-0 at offset 1");
    broker.produce(&["t"], "b\n").ok();
    assert_eq!(lines.take(2), ["a", "b"]);
    // Longer than it takes to look again.
    std::thread::sleep(Duration::from_millis(600));
    reader.terminate();
    reader.wait().ok();
    assert_eq!(said.count(), 0);
}

#[test]
fn what_the_group_gives_and_takes_is_noted_unless_it_is_to_be_quiet() {
    let broker = Broker::start(&["t:2", "u:1"]);
    for protocol in ["classic", "consumer"] {
        let protocol = format!("group.protocol={protocol}");
        let args = ["consume", "t", "u", "-G", "g", "-o", "beginning", "-e", "-X", &protocol];
        let done = broker.run(&args);
        let told = notes(&done);
        assert_eq!(told.first(), Some(&"ottla: group `g`: assigned t:0,1 u:0"), "{done:?}");
        assert_eq!(told.last(), Some(&"ottla: group `g`: revoked t:0,1 u:0"), "{done:?}");
        let quiet = broker.run(&[&args[..], &["-q"]].concat());
        assert!(notes(&quiet).is_empty() && quiet.status == Some(0), "{quiet:?}");
    }
}

#[test]
fn a_time_that_has_come_ends_partitions_that_have_nothing_as_young() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..5)).ok();
    let later = until("another millisecond", || (now() > stamp(&broker)).then(now));
    let done = broker.run(&["consume", "t", "-o", &format!("e@{later}")]);
    assert!(notes(&done).contains(&"ottla: reached the end of t-0 at offset 5"), "{done:?}");
    assert_eq!(done.ok(), numbers(0..5), "the empty one has ended, too");
    broker.produce(&["t", "-p", "0"], &numbers(5..6)).ok();
    let done = broker.run(&["consume", "t", "-o", &format!("e@{later}")]);
    assert!(notes(&done).contains(&"ottla: reached the time of -o e@MS in t-0 at offset 5"), "{done:?}");
    assert_eq!(done.ok(), numbers(0..5));
}

/// The timestamp of the last record.
fn stamp(broker: &Broker) -> i64 {
    broker.run(&["consume", "t", "-p", "0", "-o", "-1", "-e", "-f", "%T"]).ok().parse().unwrap()
}

#[test]
fn a_time_to_come_is_waited_for() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "first\nearly\n").ok();
    let end = now() + 8000;
    let until = format!("e@{end}");
    let readers = [&["-o", "1"][..], &["-o", "-1"], &["-o", "beginning"]].map(|start| {
        let mut reader = broker.start_command(&[&["consume", "t", "-o", &until], start].concat());
        (Lines::of(&mut reader), reader)
    });
    for (lines, _) in &readers[..2] {
        assert_eq!(lines.take(1), ["early"]);
    }
    assert_eq!(readers[2].0.take(2), ["first", "early"]);
    broker.produce(&["t"], "in time\n").ok();
    for (lines, reader) in readers {
        assert_eq!(lines.rest(), ["in time"], "and nothing of it again, once the end is known");
        assert_eq!(reader.wait().status, Some(0));
    }
    assert!(now() >= end, "not before");
}

#[test]
fn u_writes_each_record_by_itself() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    for (args, expected) in [(&["-u"][..], &["0\n", "1\n", "2\n"][..]), (&[], &["0\n1\n2\n"])] {
        // A write is a datagram.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = broker.command(&[&["consume", "t", "-e"], args].concat());
        let reader = Process::start(command.stdout(Stdio::from(OwnedFd::from(theirs))));
        let mut datagram = [0; 100];
        for expected in expected {
            let length = ours.recv(&mut datagram).unwrap();
            assert_eq!(std::str::from_utf8(&datagram[..length]), Ok(*expected), "{args:?}");
        }
        assert_eq!(reader.wait().status, Some(0));
    }
}
