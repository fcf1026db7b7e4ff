//! How handlers end that do not by themselves, and how `ottla process` ends.

use std::{path::PathBuf, process::Command, time::Duration};

use crate::{
    group::committed,
    support::{Broker, File, Lines, Process, numbers, rows, until},
};

fn start(broker: &Broker, args: &[&str]) -> Process {
    broker.start_command(&[&["process", "t", "-G", "g"], args].concat())
}

/// A path where nothing is.
fn nowhere(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ottla-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn runs(pid: &str) -> bool {
    // A zombie of nobody does not run either.
    let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

fn first_message(broker: &Broker) -> String {
    until("a dead letter", || {
        let letters = rows(&broker.run(&["consume", "dead", "-e", "-J"]).ok());
        let headers = letters.first()?["headers"].as_array()?.clone();
        let message = headers.chunks(2).find(|pair| pair[0] == "__dlq.errors.message")?;
        Some(message[1].as_str()?.to_owned())
    })
}

#[test]
fn a_command_that_cannot_be_run_ends_it_and_costs_no_record() {
    let broker = Broker::start(&["t:1", "dead:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let done = broker.run(&[
        "process",
        "t",
        "-G",
        "g",
        "--exec",
        "/no/such/handler",
        "--retries",
        "0",
        "--dead-letter",
        "dead",
    ]);
    assert_eq!(done.status, Some(1), "{done:?}");
    let last = done.stderr.lines().last().unwrap();
    assert!(last.contains("/no/such/handler") && last.contains("exit status 127"), "{last}");
    assert_eq!(broker.run(&["consume", "dead", "-e"]).ok(), "");
    assert!(committed(&broker, "g").iter().all(|(current, _)| *current <= 0));
}

#[test]
fn a_handler_that_a_signal_killed_has_failed() {
    let broker = Broker::start(&["t:1", "dead:1"]);
    broker.produce(&["t"], "x\n").ok();
    let running = start(&broker, &["--exec", "kill -9 $$", "--retries", "0", "--dead-letter", "dead"]);
    assert_eq!(first_message(&broker), "killed by signal 9 (SIGKILL)");
    running.terminate();
    running.wait().ok();
}

#[test]
fn a_handler_that_hangs_is_killed_with_all_that_it_started_though_it_does_not_heed_sigterm() {
    let broker = Broker::start(&["t:1", "dead:1"]);
    broker.produce(&["t"], "x\n").ok();
    let exec =
        "trap '' TERM; sleep 1000 & echo $! $$; echo hanging >&2; wait; wait; while :; do sleep 1; done";
    let args = ["--exec", exec, "--retries", "0", "--timeout", "500ms", "--dead-letter", "dead"];
    let mut running = start(&broker, &args);
    let lines = Lines::of(&mut running);
    let pids = lines.take(1).remove(0);
    assert_eq!(first_message(&broker), "not ended after 500ms, and killed: hanging");
    for pid in pids.split(' ') {
        assert!(!runs(pid), "{pid}");
    }
    running.terminate();
    running.wait().ok();
}

#[test]
fn what_a_handler_leaves_running_on_its_streams_holds_nothing_up() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], "x\n").ok();
    let mut running = start(&broker, &["--exec", "sleep 1000 & echo $!"]);
    let lines = Lines::of(&mut running);
    let pid = lines.take(1).remove(0);
    until("the commit", || (committed(&broker, "g") == [(1, 1)]).then_some(()));
    assert!(!runs(&pid));
    running.terminate();
    running.wait().ok();
}

#[test]
fn a_signal_lets_handlers_end_and_commits_what_they_did() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let go = nowhere("go");
    let exec = format!("cat; echo; while [ ! -e {} ]; do sleep 0.05; done; echo ended", go.display());
    let mut running = start(&broker, &["--exec", &exec]);
    let lines = Lines::of(&mut running);
    assert_eq!(lines.take(1), ["0"]);
    let mut stderr = running.stderr_lines();
    running.terminate();
    stderr.find(|line| line.contains("stopping: 1 records are with handlers")).unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(running.wait().status, Some(0));
    assert_eq!(lines.rest(), ["ended"]);
    assert_eq!(committed(&broker, "g"), [(1, 3)]);
    let _ = std::fs::remove_file(&go);
}

#[test]
fn a_second_signal_kills_handlers_and_says_whose_records_they_had() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let mut running = start(&broker, &["--exec", "echo $$; exec sleep 1000"]);
    let pid = Lines::of(&mut running).take(1).remove(0);
    let mut stderr = running.stderr_lines();
    running.terminate();
    stderr.find(|line| line.contains("stopping: 1 records are with handlers")).unwrap();
    running.terminate();
    let last = stderr.last().unwrap();
    assert!(last.contains("stopped twice") && last.contains("t-0 offset 0"), "{last}");
    assert_eq!(running.wait().status, Some(1));
    until("the handler's end", || (!runs(&pid)).then_some(()));
}

#[test]
fn a_handler_that_does_not_end_in_its_time_is_killed_and_its_record_is_told_as_unfinished() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let mut running = start(&broker, &["--exec", "echo $$; exec sleep 1000", "--drain-timeout", "300ms"]);
    let pid = Lines::of(&mut running).take(1).remove(0);
    let mut stderr = running.stderr_lines();
    running.terminate();
    stderr.find(|line| line.contains("stopping: 1 records are with handlers")).unwrap();
    let last = stderr.last().unwrap();
    for part in ["1 records are unfinished: t-0 offset 0", "--drain-timeout", "they come again"] {
        assert!(last.contains(part), "{part}: {last}");
    }
    assert_eq!(running.wait().status, Some(1));
    assert!(!runs(&pid));
    assert!(committed(&broker, "g").iter().all(|(current, _)| *current <= 0));
}

#[test]
fn handlers_of_partitions_that_go_to_another_member_are_ended() {
    let broker = Broker::start(&["t:2"]);
    for partition in ["0", "1"] {
        broker.produce(&["t", "-p", partition], "x\n").ok();
    }
    let cooperative =
        "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let limits = ["-X", cooperative, "-X", "heartbeat.interval.ms=100", "-X", "max.poll.interval.ms=3000"];
    let args = [&["--exec", "echo $OTTLA_PARTITION $$; exec sleep 1000"][..], &limits].concat();
    let mut one = start(&broker, &args);
    let of_one = Lines::of(&mut one);
    let begun = of_one.take(2);
    let mut two = start(&broker, &args);
    let of_two = Lines::of(&mut two).take(1).remove(0);
    let partition = of_two.split(' ').next().unwrap();
    let moved = begun.iter().find(|line| line.starts_with(partition)).unwrap();
    let pid = moved.split(' ').nth(1).unwrap();
    until("the end of what the first had of it", || (!runs(pid)).then_some(()));
    // Killed, they would leave their handlers behind.
    for mut member in [one, two] {
        let mut stderr = member.stderr_lines();
        member.terminate();
        stderr.find(|line| line.contains("stopping:")).unwrap();
        member.terminate();
        // Whichever comes first: the second signal, or its end without a handler.
        assert!(matches!(member.wait().status, Some(0 | 1)));
    }
}

#[test]
fn when_nobody_reads_its_output_any_more_it_ends_and_that_record_is_not_done() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let mut running = start(&broker, &["--exec", "cat"]);
    drop(running.stdout());
    assert_eq!(running.wait().status, Some(0));
    assert!(committed(&broker, "g").iter().all(|(current, _)| *current <= 0));
}

#[test]
fn what_a_shell_script_says_is_the_reason_as_far_as_it_fits() {
    let broker = Broker::start(&["t:1", "dead:1"]);
    broker.produce(&["t"], "x\n").ok();
    let script = File::new("loud.sh", "yes long | head -n 100000 >&2; echo the reason >&2; exit 3\n");
    let exec = format!("sh {}", script.path());
    let mut running = start(&broker, &["--exec", &exec, "--retries", "0", "--dead-letter", "dead"]);
    // Who reads what it says slowly holds it up, and its end.
    let said = std::thread::spawn({
        let stderr = running.stderr_lines().enumerate();
        let slowly = move |(index, line): (usize, String)| {
            if index % 20_000 == 0 {
                std::thread::sleep(Duration::from_millis(500));
            }
            line == "long"
        };
        move || stderr.map(slowly).filter(|is_long| *is_long).count()
    });
    let message = first_message(&broker);
    assert!(message.starts_with("exit status 3: ") && message.ends_with("the reason"), "{message}");
    assert!(message.len() < 5_000, "{}", message.len());
    running.terminate();
    running.wait().ok();
    assert_eq!(said.join().unwrap(), 100_000, "all of it is passed on");
}
