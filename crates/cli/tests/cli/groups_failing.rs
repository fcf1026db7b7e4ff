//! What `ottla groups` and `ottla lag` make of brokers that refuse a part, move, or say nothing.

use std::time::{Duration, Instant};

use ottla_broker::{ApiKey, Config, ErrorCode, Fault, Server, TopicSpec};
use serde_json::Value;

use crate::support::{Done, Process, ottla, rows};

/// Three brokers, and a group `g` that has committed 0 in both partitions of `t`.
fn server() -> Server {
    let config = Config { brokers: 3, topics: vec![TopicSpec::new("t", 2)], ..Config::default() };
    let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
    reset(&server, "g", &["--to-earliest", "--execute"]).ok();
    server
}

fn run(server: &Server, args: &[&str]) -> Done {
    let more = ["-b", &server.bootstrap(), "-X", "default.api.timeout.ms=4000"];
    Process::start(&mut ottla(&[args, &more].concat())).wait()
}

fn reset(server: &Server, group: &str, args: &[&str]) -> Done {
    run(server, &[&["groups", "reset-offsets", "-G", group, "-t", "t", "--output", "json"], args].concat())
}

fn always(server: &Server, api: ApiKey, fault: Fault) {
    server.with_cluster(|cluster| cluster.faults().on(api).always().then(fault));
}

#[test]
fn the_end_of_a_log_that_is_refused_fails_a_group_that_was_named_and_hides_no_other_row() {
    let server = server();
    always(&server, ApiKey::ListOffsets, Fault::ErrorInSome(ErrorCode::TopicAuthorizationFailed));
    let done = run(&server, &["lag", "g", "--output", "json"]);
    let ends: Vec<Value> = rows(&done.stdout).iter().map(|row| row["log_end_offset"].clone()).collect();
    assert_eq!(ends, [Value::from(0), Value::Null]);
    let complaints = done.complaints();
    let told = complaints.iter().filter(|line| line.contains("t-1")).count();
    assert_eq!((done.status, told), (Some(1), 1), "{done:?}");
    let all = run(&server, &["lag"]);
    assert!(all.complaints().iter().any(|line| line.contains("t-1")), "{all:?}");
    all.ok();
}

#[test]
fn a_partition_that_is_not_moved_is_told_and_those_that_are_are_shown() {
    let server = server();
    for (error, says) in [
        (ErrorCode::OffsetMetadataTooLarge, "t-1"),
        // What is answered once a member has joined.
        (ErrorCode::UnknownMemberId, "group `g`: it has members by now, and 1 of its partitions"),
    ] {
        always(&server, ApiKey::OffsetCommit, Fault::ErrorInSome(error));
        let done = reset(&server, "g", &["--to-latest", "--execute"]);
        let moved: Vec<Value> = rows(&done.stdout).iter().map(|row| row["partition"].clone()).collect();
        assert_eq!(moved, [0], "{done:?}");
        let told = done.failed(1);
        assert!(told.contains(says), "{told}");
        server.with_cluster(|cluster| cluster.faults().clear());
    }
}

#[test]
fn a_coordinator_that_has_moved_is_looked_up_again() {
    let server = server();
    server.with_cluster(|cluster| {
        for api in [
            ApiKey::DescribeGroups,
            ApiKey::OffsetFetch,
            ApiKey::OffsetCommit,
            ApiKey::OffsetDelete,
            ApiKey::LeaveGroup,
            ApiKey::DeleteGroups,
        ] {
            cluster.faults().on(api).times(1).then(Fault::Error(ErrorCode::NotCoordinator));
        }
    });
    assert_eq!(rows(&reset(&server, "g", &["--to-latest", "--execute"]).ok()).len(), 2);
    run(&server, &["groups", "delete-offsets", "-G", "g", "-t", "t:0"]).ok();
    let nobody = run(&server, &["groups", "remove-member", "-G", "g", "nobody"]).failed(1);
    assert!(nobody.contains("UNKNOWN_MEMBER_ID"), "{nobody}");
    assert_eq!(run(&server, &["groups", "delete", "g"]).ok(), "deleted g\n");
    assert!(server.with_cluster(|cluster| cluster.faults().is_empty()), "each was met");
}

#[test]
fn a_coordinator_that_says_nothing_is_not_waited_for_without_end() {
    let server = server();
    for (api, args) in [
        (ApiKey::DeleteGroups, &["groups", "delete", "g"][..]),
        (ApiKey::OffsetDelete, &["groups", "delete-offsets", "-G", "g", "-t", "t"]),
        (ApiKey::LeaveGroup, &["groups", "remove-member", "-G", "g", "m"]),
        (ApiKey::DescribeGroups, &["lag", "g"]),
        (ApiKey::ListGroups, &["groups", "list"]),
        (
            ApiKey::OffsetCommit,
            &["groups", "reset-offsets", "-G", "g", "-t", "t:0", "--to-latest", "--execute"],
        ),
    ] {
        always(&server, api, Fault::Silence);
        let begun = Instant::now();
        let told = run(&server, args).failed(1);
        assert!(begun.elapsed() < Duration::from_secs(20), "{args:?}: {:?}", begun.elapsed());
        assert!(told.contains(&format!("{api:?}")), "{args:?}: {told}");
        server.with_cluster(|cluster| cluster.faults().clear());
    }
}

#[test]
fn what_is_exported_of_several_groups_names_them_also_where_one_fails() {
    let server = server();
    let args = ["groups", "reset-offsets", "--export", "--all-topics", "--to-current", "-G", "g"];
    let done = run(&server, &[&args[..], &["-G", "none"]].concat());
    assert_eq!((done.status, done.stdout.as_str()), (Some(1), "g,t,0,0\ng,t,1,0\n"), "{done:?}");
    assert_eq!(run(&server, &[&args[..], &["-G", "g"]].concat()).ok(), "t,0,0\nt,1,0\n", "named twice");
}
