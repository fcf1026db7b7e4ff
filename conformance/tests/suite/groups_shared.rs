//! What `ottla` shows of share and streams groups, beside Kafka's own tools for them on the same cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use libtest_mimic::Failed;
use ottla_conformance::kafka::GroupTools;
use ottla_conformance::targets::{Target, unique};
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::groups_shown::{Field, Of, Row, agree, assignment, coordinator, fields, ours, shown, theirs};
use crate::groups_staged::said;
use crate::kit::{PATIENCE, admin, equal, holds, numbers, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("share_and_streams_groups_are_shown_as_kafkas_tools_show_them", |target| {
            wait(shared_and_streams(target))
        })
        .with_java(),
    ]
}

async fn shared_and_streams(target: &Target) -> Outcome {
    let name = topic(target, "shared", 2).await?;
    let (share, streams) = (unique("shown-share"), unique("shown-streams"));
    let mut tools = GroupTools::start(&target.bootstrap())?;
    let told = tools.ask("share-member", &[&name, &share])?;
    equal("the share group's member", told.status, 0).map_err(|_| told.all())?;
    let coordinator_of = admin(target).await?.find_coordinator(streams.as_str()).await?.address;
    let (host, port) = (coordinator_of.host, coordinator_of.port.to_string());
    let told = tools.ask("streams-member", &[&host, &port, &name, &streams])?;
    equal("the streams group's member", told.status, 0).map_err(|_| told.all())?;

    let of_share = fields! {
        "GROUP": "group", "TOPIC": "topic", "PARTITION": "partition", "LEADER-EPOCH": "leader_epoch",
        "START-OFFSET": "current_offset", "LAG": "lag",
    };
    let of_streams = fields! {
        "GROUP": "group", "TOPIC": "topic", "PARTITION": "partition", "LEADER-EPOCH": "leader_epoch",
        "CURRENT-OFFSET": "current_offset", "LOG-END-OFFSET": "log_end_offset", "OFFSET-LAG": "lag",
    };
    let kafka = ["--describe", "--verbose", "--offsets", "--group"];
    let lags = |group: &str| -> Result<Vec<Option<i64>>, Failed> {
        Ok(shown(target, &["lag", group])?.iter().map(|row| row["lag"].as_i64()).collect())
    };
    let agreed = |tools: &mut GroupTools| -> Outcome {
        let asked = [&kafka[..], &[&share]].concat();
        agree(target, tools, ("share", &asked), &["lag", "--verbose", &share], &of_share, 2)?;
        let asked = [&kafka[..], &[&streams]].concat();
        agree(target, tools, ("streams", &asked), &["lag", "--verbose", &streams], &of_streams, 2)
    };
    // A share group is nowhere until something was acquired; a streams group at the begin of what is empty.
    agreed(&mut tools)?;
    equal("of nothing", (lags(&share)?, lags(&streams)?), (vec![None; 2], vec![Some(0); 2]))?;
    // It begins at the end that there is when it first reads, and acquires what is written then.
    let begun = Instant::now();
    while lags(&share)?.contains(&None) {
        holds("the share group acquires", begun.elapsed() < PATIENCE)?;
        numbers(target, &name, 2, 0..20).await?;
    }
    agreed(&mut tools)?;
    holds("the streams group reads nothing", lags(&streams)?.iter().all(|lag| *lag >= Some(10)))?;

    let fields: Vec<Field> = {
        let current: Of = |row| assignment(&row["partitions"]);
        let named = fields! {
            "GROUP": "group", "CONSUMER-ID": "member", "HOST": "host", "CLIENT-ID": "client",
            "#PARTITIONS": "partition_count", "MEMBER-EPOCH": "member_epoch",
        };
        named.into_iter().chain([("ASSIGNMENT", current)]).collect()
    };
    let kafka = ["--describe", "--verbose", "--members", "--group", &share];
    let args = ["groups", "describe", "--verbose", &share];
    agree(target, &mut tools, ("share", &kafka), &args, &fields, 1)?;
    let state: Vec<Field> = {
        let named = fields! { "GROUP": "group", "STATE": "state", "#MEMBERS": "member_count" };
        named.into_iter().chain([("COORDINATOR (ID)", coordinator as Of)]).collect()
    };
    let kafka = ["--describe", "--state", "--group", &share];
    agree(target, &mut tools, ("share", &kafka), &args, &state, 1)?;

    let fields: Vec<Field> = {
        let active: Of = |row| active(&row["tasks"]);
        let named = fields! {
            "GROUP": "group", "MEMBER": "member", "PROCESS": "process", "CLIENT-ID": "client",
        };
        named.into_iter().chain([("ASSIGNMENTS", active)]).collect()
    };
    let kafka = ["--describe", "--members", "--group", &streams];
    let args = ["groups", "describe", "--verbose", &streams];
    agree(target, &mut tools, ("streams", &kafka), &args, &fields, 1)?;
    let kafka = ["--describe", "--state", "--group", &streams];
    let state: Vec<Field> = {
        let named = fields! { "GROUP": "group", "STATE": "state", "#MEMBERS": "member_count", "ASSIGNOR": "assignor" };
        named.into_iter().chain([("COORDINATOR (ID)", coordinator as Of)]).collect()
    };
    agree(target, &mut tools, ("streams", &kafka), &args, &state, 1)?;
    let tasks = shown(target, &args)?;
    equal("its tasks", &tasks[0]["tasks"], &serde_json::json!(["0_0", "0_1"]))?;

    let fields = fields! { "GROUP": "group", "TYPE": "type", "PROTOCOL": "protocol_type" };
    let listed = tools.ask("groups", &["--list"])?;
    let (theirs, ours) = (theirs(&listed, &fields), ours(&shown(target, &["groups", "list"])?, &fields));
    let of_case = |rows: BTreeSet<Row>| -> BTreeSet<Row> {
        let mine = |row: &Row| row.get("GROUP").is_some_and(|group| *group == share || *group == streams);
        // Kafka's tool writes types with a capital, this release's brokers do not.
        let small = |row: Row| row.into_iter().map(|(title, text)| (title, text.to_lowercase())).collect();
        rows.into_iter().filter(mine).map(small).collect()
    };
    equal("what is listed", of_case(ours), of_case(theirs))?;
    others(target, &mut tools, &name, [&share, &streams])
}

/// What each tool does with groups of another kind than its own, and with those that are not there.
fn others(target: &Target, tools: &mut GroupTools, topic: &str, groups: [&str; 2]) -> Outcome {
    let told = said(target, &["lag", "nobody"])?;
    equal("ours of an unknown group", told.0, Some(1))?;
    for (tool, status) in [("share", 0), ("streams", 1)] {
        let unknown = tools.ask(tool, &["--describe", "--group", "nobody"])?;
        equal(&unknown.all(), unknown.status, status)?;
        holds(&unknown.all(), unknown.all().contains("Error: "))?;
    }
    for (group, refusal) in groups.into_iter().zip(["it is a share group", "with members"]) {
        let described = tools.ask("consumer", &["--describe", "--group", group])?;
        let is_told = described.all().contains(&format!("Group {group} is not a consumer group."));
        holds(&described.all(), is_told)?;
        // Live as it is, Kafka's tool has a dry run of it.
        let scope = ["--topic", topic, "--to-earliest"];
        let reset = tools
            .ask("consumer", &[&["--reset-offsets", "--dry-run", "--group", group], &scope[..]].concat())?;
        equal(&reset.all(), reset.rows().len(), 2)?;
        let (status, rows, noted) =
            said(target, &[&["groups", "reset-offsets", "-G", group], &scope[..]].concat())?;
        holds(&noted, status == Some(1) && noted.contains(refusal) && !rows.contains(group))?;
        let deleted = tools.ask("consumer", &["--delete", "--group", group])?;
        holds(&deleted.all(), deleted.all().contains("The group is not empty"))?;
        let (status, _, noted) = said(target, &["groups", "delete", group])?;
        holds(&noted, status == Some(1) && noted.contains("NON_EMPTY_GROUP"))?;
    }
    Ok(())
}

/// As Kafka's tool writes tasks of which all process: `ACTIVE: 0:[0,1];`.
fn active(tasks: &Value) -> Option<String> {
    let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (part, partition) in tasks.as_array()?.iter().filter_map(|task| task.as_str()?.split_once('_')) {
        parts.entry(part).or_default().push(partition);
    }
    let parts = parts.into_iter().map(|(part, partitions)| format!("{part}:[{}];", partitions.join(",")));
    Some(format!("ACTIVE: {}", parts.collect::<Vec<_>>().join(" ")))
}
