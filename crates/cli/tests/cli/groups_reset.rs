//! `ottla groups reset-offsets`.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Broker, Lines, numbers, rows};

fn broker() -> Broker {
    let broker = Broker::start(&["t:2", "other:1"]);
    broker.produce(&["t", "-p", "0"], &numbers(0..10)).ok();
    broker.produce(&["t", "-p", "1"], &numbers(0..4)).ok();
    broker
}

/// Of each partition the new offset.
fn reset(broker: &Broker, args: &[&str]) -> Vec<Value> {
    let args = [&["groups", "reset-offsets", "--output", "json"], args].concat();
    let row = |row: &Value| json!([row["topic"], row["partition"], row["new_offset"]]);
    rows(&broker.run(&args).ok()).iter().map(row).collect()
}

#[test]
fn a_reset_is_a_dry_run_unless_it_is_to_be_executed() {
    let broker = broker();
    let args = ["groups", "reset-offsets", "-G", "g", "-t", "t", "--to-latest"];
    for more in [&[][..], &["--dry-run"]] {
        let shown = broker.run(&[&args[..], more].concat());
        let told = shown.stderr.contains("nothing was changed; --execute does it");
        assert_eq!(told, more.is_empty(), "{shown:?}");
        let first: Vec<&str> = shown.stdout.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(first[..4], ["g", "t", "0", "10"]);
        assert!(rows(&broker.run(&["groups", "list", "--output", "json"]).ok()).is_empty());
    }
    let done = broker.run(&[&args[..], &["--execute"]].concat());
    assert!(done.complaints().is_empty(), "{done:?}");
    let lag = rows(&broker.run(&["lag", "g", "--output", "json"]).ok());
    assert_eq!((&lag[0]["current_offset"], &lag[1]["current_offset"]), (&json!(10), &json!(4)));
    broker.run(&[&args[..], &["--execute", "--dry-run"]].concat()).failed(2);
}

#[test]
fn every_mode_stays_within_the_log_but_the_current_offset() {
    let broker = broker();
    reset(&broker, &["-G", "g", "-t", "t:0", "--to-offset", "5", "--execute"]);
    for (mode, expected) in [
        (&["--to-earliest"][..], 0),
        (&["--to-latest"], 10),
        (&["--to-current"], 5),
        (&["--to-offset", "-7"], 0),
        (&["--to-offset", "70"], 10),
        (&["--shift-by", "2"], 7),
        (&["--shift-by", "-20"], 0),
        (&["--to-datetime", "1970-01-02T00:00:00.000Z"], 0),
        (&["--to-datetime", "2199-01-01T00:00:00.000+02:00"], 10),
        (&["--by-duration", "P1D"], 0),
        (&["--by-duration", "-PT1H"], 10),
        (&["--by-duration", "1h"], 0),
    ] {
        let args = [&["-G", "g", "--all-topics"], mode].concat();
        assert_eq!(reset(&broker, &args), [json!(["t", 0, expected])], "{mode:?}");
    }
    let both = reset(&broker, &["-G", "g", "-t", "t:0,1", "-t", "other", "--to-current"]);
    assert_eq!(both, [json!(["other", 0, 0]), json!(["t", 0, 5]), json!(["t", 1, 4])]);
    let lowered = ["groups", "reset-offsets", "-G", "g", "-t", "t:0", "--to-offset", "70"];
    assert!(broker.run(&lowered).ok().contains("lowered to the log's end"));
}

#[test]
fn a_group_with_members_is_refused_and_they_are_named() {
    let broker = broker();
    reset(&broker, &["-G", "idle", "-t", "t:0", "--to-offset", "5", "--execute"]);
    let args = ["consume", "t", "-G", "live", "-o", "beginning", "-X", "client.id=me"];
    let mut reader = broker.start_command(&args);
    Lines::of(&mut reader).take(14);
    let described = rows(&broker.run(&["groups", "describe", "live", "--output", "json"]).ok());
    let member = described[0]["member"].as_str().unwrap();
    let args =
        ["groups", "reset-offsets", "-G", "live", "-G", "idle", "-t", "t:0", "--to-earliest", "--execute"];
    let done = broker.run(&args);
    assert_eq!(done.status, Some(1), "{done:?}");
    let [complaint] = done.complaints()[..] else { panic!("{done:?}") };
    assert!(complaint.contains("group `live`: it is Stable") && complaint.contains(member), "{complaint}");
    assert!(complaint.contains("(me at /127.0.0.1)"), "{complaint}");
    assert_eq!(done.stdout.lines().count(), 2, "the other is done: {done:?}");
    assert_eq!(reset(&broker, &["-G", "idle", "--all-topics", "--to-current"]), [json!(["t", 0, 0])]);
}

#[test]
fn what_is_exported_is_taken_back() {
    let broker = broker();
    for (group, offset) in [("a", "3"), ("b", "4")] {
        reset(&broker, &["-G", group, "-t", "t", "--to-offset", offset, "--execute"]);
    }
    let export = |groups: &[&str]| {
        let args =
            [&["groups", "reset-offsets", "--all-topics", "--to-current", "--export"], groups].concat();
        broker.run(&args).ok()
    };
    assert_eq!(export(&["-G", "a"]), "t,0,3\nt,1,3\n");
    let both = export(&["-G", "a", "-G", "b"]);
    assert_eq!(both, "a,t,0,3\na,t,1,3\nb,t,0,4\nb,t,1,4\n");
    let file = std::env::temp_dir().join(format!("ottla-offsets-{}.csv", std::process::id()));
    fs::write(&file, &both).unwrap();
    reset(&broker, &["-G", "a", "-G", "b", "-t", "t", "--to-earliest", "--execute"]);
    let name = file.to_str().unwrap();
    reset(&broker, &["-G", "b", "--from-file", name, "--execute"]);
    assert_eq!(export(&["-G", "a", "-G", "b"]), "a,t,0,0\na,t,1,0\nb,t,0,4\nb,t,1,4\n");
    let missing = broker.run(&["groups", "reset-offsets", "-G", "c", "--from-file", name]).failed(1);
    assert!(missing.contains("group `c`: the file has no line for it"), "{missing}");
    fs::write(&file, "t,0,99\nt,1\n").unwrap();
    let wrong = broker.run(&["groups", "reset-offsets", "-G", "a", "--from-file", name]).failed(1);
    assert!(wrong.contains("line 2"), "{wrong}");
    fs::remove_file(&file).unwrap();
}

#[test]
fn a_group_of_which_one_partition_cannot_be_moved_stays_as_it_is() {
    let broker = broker();
    reset(&broker, &["-G", "g", "-t", "t:0", "--to-offset", "5", "--execute"]);
    for (args, says) in [
        (&["-t", "t", "--shift-by", "1"][..], "partition t-1: no committed offset to shift"),
        (&["-t", "t:0,9", "--to-latest"], "partition t-9: there is none"),
        (&["-t", "none", "--to-latest"], "no such topic"),
    ] {
        let args = [&["groups", "reset-offsets", "-G", "g", "--execute"], args].concat();
        let refused = broker.run(&args).failed(1);
        assert!(refused.contains(says), "{refused}");
    }
    let none = broker.run(&["groups", "reset-offsets", "-G", "new", "--all-topics", "--to-latest"]).failed(1);
    assert!(none.contains("group `new`: it has committed nothing"), "{none}");
    assert_eq!(reset(&broker, &["-G", "g", "--all-topics", "--to-current"]), [json!(["t", 0, 5])]);
}

#[test]
fn what_is_to_be_moved_and_where_to_are_said_once() {
    let broker = Broker::start(&["t:1"]);
    for args in [
        &["-G", "g", "-t", "t"][..],
        &["-G", "g", "--to-latest"],
        &["-t", "t", "--to-latest"],
        &["-G", "g", "-t", "t", "--to-latest", "--to-earliest"],
        &["-G", "g", "-t", "t", "--all-topics", "--to-latest"],
        &["-G", "g", "-t", "t:x", "--to-latest"],
        &["-G", "g", "-t", "t", "--to-datetime", "2024-01-01T00:00:00.5"],
        &["-G", "g", "-t", "t", "--by-duration", "1w"],
    ] {
        broker.run(&[&["groups", "reset-offsets"], args].concat()).failed(2);
    }
}
