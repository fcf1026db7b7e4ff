//! `-v`, `-vv`.

use crate::support::{Broker, numbers};

#[test]
fn v_shows_the_join_on_stderr_and_leaves_the_records_alone() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..10)).ok();
    for (group, flags) in [("a", &["-v"][..]), ("b", &["-vv"]), ("c", &[])] {
        let args = ["consume", "t", "-G", group, "-o", "beginning", "-e"];
        let done = broker.run(&[&args[..], flags].concat());
        let line = |level: &str, event: &str| {
            let whose = format!("group=\"{group}\"}}: ottla::");
            let is_it = |line: &&str| {
                let (head, tail) = line.split_once(&whose).unwrap_or_default();
                head.contains(&format!(" {level} consumer{{")) && tail.contains(&format!(": {event} "))
            };
            done.stderr.lines().any(|line| is_it(&line))
        };
        for event in ["coordinator found", "joined", "assigned", "left"] {
            assert_eq!(line("INFO", event), !flags.is_empty(), "{event}: {done:?}");
        }
        assert_eq!(line("DEBUG", "connected"), flags == ["-vv"], "{done:?}");
        assert!(!done.stderr.contains('\u{1b}'), "no colours: {done:?}");
        assert_eq!(done.ok(), numbers(0..10), "{flags:?}");
    }
}

#[test]
fn v_tells_in_one_line_that_a_broker_cannot_be_reached_however_often_it_is_tried() {
    let broker = Broker::start(&["t:1"]);
    let nowhere = broker.servers.clone();
    broker.stop();
    let done =
        crate::support::run(&["-v", "-b", &nowhere, "-X", "default.api.timeout.ms=1500", "topics", "list"]);
    let lost: Vec<_> = done.stderr.lines().filter(|line| line.contains(" WARN ")).collect();
    assert!(lost.len() == 1 && lost[0].contains("ottla::connection: disconnected"), "{done:?}");
    assert_eq!(done.status, Some(1));
}
