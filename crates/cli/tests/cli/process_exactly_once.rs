//! `ottla process --exactly-once`.

use crate::{
    group::committed,
    support::{Broker, Process, numbers, until},
};

fn start(broker: &Broker, args: &[&str]) -> Process {
    broker.start_command(&[&["process", "t", "-G", "g", "--exactly-once"], args].concat())
}

/// What readers of what is committed find.
fn read(broker: &Broker, topic: &str) -> String {
    broker.run(&["consume", topic, "-e", "--isolation", "read_committed"]).ok()
}

fn until_done(broker: &Broker) {
    until("all is committed", || {
        let partitions = committed(broker, "g");
        (!partitions.is_empty() && partitions.iter().all(|(current, end)| current == end)).then_some(())
    });
}

#[test]
fn what_handlers_write_and_what_is_given_up_is_there_once_though_one_is_killed() {
    let broker = Broker::start(&["t:1", "out:1"]);
    broker.produce(&["t"], &numbers(0..60)).ok();
    let exec = r#"read -r n; sleep 0.01; [ "$n" = 7 ] && exit 65; printf '%s' "$n""#;
    let to = ["--exec", exec, "--to", "out", "--dead-letter", "dead", "--transactional-id", "copies"];
    let args = [&to[..], &["-X", "session.timeout.ms=6000"]].concat();
    let killed = start(&broker, &args);
    until("some is there", || (!read(&broker, "out").is_empty()).then_some(()));
    drop(killed);
    let running = start(&broker, &args);
    until_done(&broker);
    running.terminate();
    running.wait().ok();
    assert_eq!(read(&broker, "out"), numbers(0..60).replace("\n7\n", "\n"));
    assert_eq!(read(&broker, "dead"), "7\n");
}

#[test]
fn another_process_with_its_transactional_id_ends_it() {
    let broker = Broker::start(&["t:2", "out:1"]);
    let args = ["--exec", "cat", "--to", "out", "--transactional-id", "copies"];
    let first = start(&broker, &args);
    broker.produce(&["t"], "one\n").ok();
    until("it is there", || (read(&broker, "out") == "one\n").then_some(()));
    let second = start(&broker, &args);
    let mut count = 1;
    // The first has to have something to commit.
    let first = std::thread::spawn(move || first.wait());
    until("it has ended", || {
        broker.produce(&["t"], "more\n").ok();
        count += 1;
        first.is_finished().then_some(())
    });
    let refused = first.join().unwrap().failed(1);
    assert!(refused.contains("transactional.id"), "{refused}");
    until("all is there", || (read(&broker, "out").lines().count() == count).then_some(()));
    second.terminate();
    second.wait().ok();
    assert_eq!(read(&broker, "out").lines().count(), count);
}

#[test]
fn it_is_refused_where_nothing_is_written_to_a_topic() {
    let broker = Broker::start(&["t:1"]);
    let refused = broker.run(&["process", "t", "-G", "g", "--exec", "cat", "--exactly-once"]).failed(2);
    assert!(refused.contains("--to"), "{refused}");
}
