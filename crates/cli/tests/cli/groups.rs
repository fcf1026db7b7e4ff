//! `ottla groups list`, `describe`, `delete`, `delete-offsets` and `remove-member`, and what `ottla lag` says beside its numbers.

use serde_json::{Value, json};

use crate::support::{Broker, Lines, numbers, rows, until};

/// A group that has committed this in partition 0 of `t`, and has no members.
pub(crate) fn commit(broker: &Broker, group: &str, offset: &str) {
    let args = ["groups", "reset-offsets", "-G", group, "-t", "t:0", "--to-offset", offset, "--execute"];
    broker.run(&args).ok();
}

#[test]
fn groups_are_filtered_by_state_and_type() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "empty", "1");
    let args = ["consume", "t", "-G", "live", "-o", "beginning", "-X", "group.protocol=consumer"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(3);
    let named = |args: &[&str]| -> Vec<Value> {
        let done = broker.run(&[args, &["--output", "json"]].concat());
        rows(&done.ok()).iter().map(|row| row["group"].clone()).collect()
    };
    for verb in [&["groups", "list"][..], &["groups", "describe"], &["lag"]] {
        for (filter, expected) in [
            (&["--state", "empty"][..], &["empty"][..]),
            (&["--state", "Stable,Empty"], &["empty", "live"]),
            (&["--state", "dead"], &[]),
            (&["--type", "CLASSIC"], &["empty"]),
            (&["--type", "consumer", "--state", "stable"], &["live"]),
            (&["--type", "share,streams"], &[]),
        ] {
            assert_eq!(named(&[verb, filter].concat()), expected, "{verb:?} {filter:?}");
        }
    }
    for (wrong, says) in [("--state", "the states are Stable, Empty"), ("--type", "the types are classic")] {
        let refused = broker.run(&["groups", "list", wrong, "foo"]).failed(2);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn of_more_partitions_than_are_asked_at_once_none_is_left_out() {
    let broker = Broker::start(&["t:5000"]);
    broker.produce(&["t", "-p", "4999"], &numbers(0..3)).ok();
    broker.run(&["groups", "reset-offsets", "-G", "g", "-t", "t", "--to-earliest", "--execute"]).ok();
    let seen = rows(&broker.run(&["lag", "g", "--output", "json"]).ok());
    assert_eq!(seen.len(), 5_000);
    assert!(seen.iter().all(|row| row["log_end_offset"].is_i64() && row["log_start_offset"] == 0));
    assert_eq!(seen[4_999]["lag"], 3);
}

#[test]
fn epochs_and_what_a_member_is_to_have_are_shown_with_verbose() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "group.protocol=consumer"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(3);
    let args = ["groups", "describe", "g", "--output", "json"];
    let row = &rows(&broker.run(&[&args[..], &["--verbose"]].concat()).ok())[0];
    for (key, expected) in [
        ("type", json!("consumer")),
        ("assignor", json!("uniform")),
        ("member_count", json!(1)),
        ("partitions", json!(["t-0", "t-1"])),
        ("target_partitions", json!(["t-0", "t-1"])),
        ("tasks", Value::Null),
        ("upgraded", json!(true)),
    ] {
        assert_eq!(row[key], expected, "{key}");
    }
    // A group begins at 1, since 0 is a member that joins; what this one is subscribed to makes it 2.
    let epochs = ["group_epoch", "assignment_epoch", "member_epoch"].map(|key| &row[key]);
    assert_eq!(epochs, [2, 2, 2]);
    assert!(rows(&broker.run(&args).ok())[0].get("group_epoch").is_none());
}

/// What an administrator does by the library.
fn by_hand(broker: &Broker, work: impl AsyncFnOnce(&ottla::Admin)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin =
            ottla::Admin::builder().bootstrap_servers(broker.servers.split(',')).build().await.unwrap();
        work(&admin).await;
        admin.close().await;
    });
}

#[test]
fn a_commit_outside_of_the_log_is_told_apart_and_lag_may_be_negative() {
    let broker = Broker::start(&["t:3"]);
    for partition in ["0", "1", "2"] {
        broker.produce(&["t", "-p", partition], &numbers(0..10)).ok();
    }
    by_hand(&broker, async |admin| {
        let offsets = [(("t", 0), 25), (("t", 1), 2), (("t", 2), 4)];
        assert!(admin.alter_offsets("g", offsets).await.unwrap().values().all(Result::is_ok));
        admin.delete_records([(("t", 1), 6)]).await.unwrap();
    });
    let done = broker.run(&["lag", "g", "--output", "json"]);
    assert_eq!(done.complaints(), ["ottla: group `g` has no members"]);
    let told: Vec<_> = rows(&done.ok())
        .iter()
        .map(|row| {
            json!([
                row["current_offset"],
                row["log_start_offset"],
                row["log_end_offset"],
                row["lag"],
                row["note"]
            ])
        })
        .collect();
    let expected = [
        json!([25, 0, 10, -15, "beyond the log's end"]),
        json!([2, 6, 10, 8, "before the log's begin"]),
        json!([4, 0, 10, 6, null]),
    ];
    assert_eq!(told, expected);
    let all = broker.run(&["lag"]);
    assert!(all.complaints().is_empty(), "of all groups only their column says so: {all:?}");
    // Where it is told to be, it stays; anything else goes to the log.
    let new = |mode: &[&str]| -> Vec<Value> {
        let args =
            [&["groups", "reset-offsets", "-G", "g", "--all-topics", "--output", "json"], mode].concat();
        rows(&broker.run(&args).ok()).iter().map(|row| row["new_offset"].clone()).collect()
    };
    assert_eq!(new(&["--to-current"]), [25, 2, 4]);
    assert_eq!(new(&["--shift-by", "-1"]), [10, 6, 3]);
}

#[test]
fn a_group_without_any_row_is_told() {
    let broker = Broker::start(&["t:1"]);
    let args = ["consume", "t", "-G", "idle", "-X", "enable.auto.commit=false"];
    let one = broker.start_command(&args);
    until("the member has its partition", || {
        let done = broker.run(&["lag", "idle", "--output", "json"]);
        (done.status == Some(0) && rows(&done.stdout).len() == 1).then_some(())
    });
    one.terminate();
    one.wait().ok();
    let done = broker.run(&["lag"]);
    let expected = ["ottla: neither a committed offset nor an assigned partition: `idle` (Empty)"];
    assert_eq!(done.complaints(), expected);
}

#[test]
fn groups_are_deleted_each_by_itself() {
    let broker = Broker::start(&["t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "old", "1");
    let mut reader = broker.start_command(&["consume", "t", "-G", "live", "-o", "beginning"]);
    Lines::of(&mut reader).take(3);
    let done = broker.run(&["groups", "delete", "live", "none", "-G", "old"]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(1), "deleted old\n"));
    let complaints = done.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].contains("`live`") && complaints[0].contains("NON_EMPTY_GROUP"), "{complaints:?}");
    assert!(complaints[0].ends_with("stop its members first: `ottla groups describe` shows them"));
    assert!(complaints[1].contains("`none`"), "{complaints:?}");
    reader.terminate();
    reader.wait().ok();
    broker.run(&["groups", "delete", "live"]).ok();
    assert!(rows(&broker.run(&["groups", "list", "--output", "json"]).ok()).is_empty());
    broker.run(&["groups", "delete"]).failed(2);
}

#[test]
fn offsets_are_deleted_where_no_member_is_subscribed() {
    let broker = Broker::start(&["t:2", "other:1"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..3)).ok();
    for topic in ["t", "other"] {
        broker.run(&["groups", "reset-offsets", "-G", "g", "-t", topic, "--to-earliest", "--execute"]).ok();
    }
    let left = || -> Vec<Value> {
        let listed = rows(&broker.run(&["lag", "g", "--output", "json"]).ok());
        listed
            .iter()
            .filter(|row| !row["current_offset"].is_null())
            .map(|row| json!([row["topic"], row["partition"]]))
            .collect()
    };
    broker.run(&["groups", "delete-offsets", "-G", "g", "-t", "t:1"]).ok();
    assert_eq!(left(), [json!(["other", 0]), json!(["t", 0])]);
    let mut reader = broker.start_command(&["consume", "t", "-G", "g", "-X", "enable.auto.commit=false"]);
    Lines::of(&mut reader).take(3);
    let refused = broker.run(&["groups", "delete-offsets", "-G", "g", "-t", "t:0", "-t", "other"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (Some(1), "deleted the offset of g in other-0\n"));
    assert!(
        refused.stderr.contains("t-0") && refused.stderr.contains("GROUP_SUBSCRIBED_TO_TOPIC"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("stop the members that are subscribed"), "{refused:?}");
    assert_eq!(left(), [json!(["t", 0])]);
    for (args, says) in [
        (["-G", "g", "-t", "none"], "no such topic"),
        (["-G", "g", "-t", "t:7"], "partition t-7"),
        (["-G", "none", "-t", "t"], "no such group"),
    ] {
        let refused = broker.run(&[&["groups", "delete-offsets"], &args[..]].concat()).failed(1);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn members_are_removed_by_id_by_name_or_all() {
    let broker = Broker::start(&["t:2"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    let args = ["consume", "t", "-G", "g", "-o", "beginning", "-X", "group.instance.id=static"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(3);
    let members = || rows(&broker.run(&["groups", "describe", "g", "--output", "json"]).ok());
    let id = members()[0]["member"].as_str().unwrap().to_owned();
    // Stopped, so that it does not join anew.
    reader.signal("STOP");
    let removed = broker.run(&["groups", "remove-member", "-G", "g", "--instance", "static", "nobody"]);
    assert_eq!((removed.status, removed.stdout.as_str()), (Some(1), "removed static from g\n"));
    assert!(removed.stderr.contains("nobody") && removed.stderr.contains("UNKNOWN_MEMBER_ID"), "{removed:?}");
    assert!(removed.stderr.contains("`ottla groups describe` shows who is in it"), "{removed:?}");
    assert_eq!(members()[0]["member"], Value::Null, "not {id} any more");
    assert_eq!(broker.run(&["groups", "remove-member", "-G", "g", "--all"]).ok(), "");
    broker.run(&["groups", "remove-member", "-G", "g"]).failed(2);
    reader.signal("CONT");
}

#[test]
fn the_help_says_what_differs_from_kafkas_tools() {
    let broker = Broker::start(&[]);
    for (verb, says) in [
        (&["lag"][..], "share and streams groups too"),
        (&["groups"], "offsets and lag are shown by `ottla lag`"),
        (&["groups", "reset-offsets"], "--by-duration takes 1h"),
    ] {
        // Its lines are as wide as the terminal.
        let help = broker.run(&[verb, &["--help"]].concat()).ok();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("Unlike kafka-consumer-groups") && help.contains(says), "{help}");
    }
}
