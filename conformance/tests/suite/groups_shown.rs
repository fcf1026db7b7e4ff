//! What `ottla lag` and `ottla groups describe` show, field by field beside Kafka's own tools on the same cluster.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Failed;
use ottla::admin::CommittedOffset;
use ottla::{Admin, Consumer, GroupProtocol};
use ottla_conformance::kafka::{GroupTools, Printed};
use ottla_conformance::process::run;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until_some;
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{
    PATIENCE, Seen, admin, equal, holds, member_by, numbers, poll_all, poll_until, shares, topic, wait,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("groups_of_consumers_are_shown_as_kafkas_tool_shows_them", |target| {
            wait(consumers(target))
        })
        .with_java(),
    ]
}

/// Reads a field from a row of ours.
pub(crate) type Of = fn(&Value) -> Option<String>;

/// A field: Kafka's title of it, and how ours is read.
pub(crate) type Field = (&'static str, Of);

/// Fields by the names that Kafka's tool has for them; what is not known is left out.
pub(crate) type Row = BTreeMap<&'static str, String>;

/// The rows of `ottla` with these arguments, as JSON.
pub(crate) fn shown(target: &Target, args: &[&str]) -> Result<Vec<Value>, Failed> {
    let output = run(&ottla(target, &[args, &["--output", "json"]].concat())?, PATIENCE)?;
    Ok(output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

pub(crate) fn ours(rows: &[Value], fields: &[Field]) -> BTreeSet<Row> {
    let row = |row: &Value| fields.iter().filter_map(|(title, of)| Some((*title, of(row)?))).collect();
    rows.iter().map(row).collect()
}

pub(crate) fn theirs(printed: &Printed, fields: &[Field]) -> BTreeSet<Row> {
    let row = |row: BTreeMap<String, String>| {
        fields.iter().filter_map(|(title, _)| Some((*title, row.get(*title)?.clone()))).collect()
    };
    printed.rows().into_iter().map(row).collect()
}

macro_rules! fields {
    ($($title:literal: $key:literal),* $(,)?) => {
        [$( ($title, (|row: &Value| $crate::groups_shown::text(&row[$key])) as $crate::groups_shown::Of) ),*]
    };
}
pub(crate) use fields;

pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// As Kafka's tool writes partitions: `a:0;b:1,2`. Nothing where there are none.
pub(crate) fn assignment(value: &Value) -> Option<String> {
    let mut topics: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for at in value.as_array()? {
        let (topic, partition) = at.as_str()?.rsplit_once('-')?;
        topics.entry(topic).or_default().insert(partition.parse().ok()?);
    }
    let of = |(topic, partitions): (&str, BTreeSet<i32>)| {
        format!("{topic}:{}", partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(","))
    };
    let text = topics.into_iter().map(of).collect::<Vec<_>>().join(";");
    Some(text).filter(|text| !text.is_empty())
}

/// `host:port (id)`.
pub(crate) fn coordinator(row: &Value) -> Option<String> {
    Some(format!("{} ({})", row["coordinator_address"].as_str()?, row["coordinator"]))
}

/// Asks both until they agree: members may be on their way still. The same number of rows must be there, and at least so many.
pub(crate) fn agree(
    target: &Target,
    tools: &mut GroupTools,
    (tool, kafka): (&str, &[&str]),
    args: &[&str],
    fields: &[Field],
    least: usize,
) -> Outcome {
    let mut last = String::new();
    let agreed = until_some(PATIENCE, "both show the same", || {
        let mut ask = || -> Result<bool, Failed> {
            let printed = tools.ask(tool, kafka)?;
            let (theirs, ours) = (theirs(&printed, fields), ours(&shown(target, args)?, fields));
            last = format!("{args:?}:\n{ours:#?}\n{kafka:?}:\n{theirs:#?}\n{}", printed.all());
            Ok(ours == theirs && ours.len() >= least)
        };
        ask().unwrap_or(false).then_some(())
    });
    agreed.map_err(|late| format!("{late}; {last}").into())
}

pub(crate) async fn joined(
    target: &Target,
    group: &str,
    topic: &str,
    protocol: GroupProtocol,
) -> Result<Consumer, Failed> {
    let builder = member_by(target, group, topic, protocol).client_id("reader");
    let mut consumer = builder.build().await?;
    poll_until(&mut consumer, "a share", |consumer| !consumer.assignment().is_empty()).await?;
    Ok(consumer)
}

pub(crate) const OFFSETS: [Field; 10] = fields! {
    "GROUP": "group", "TOPIC": "topic", "PARTITION": "partition", "LEADER-EPOCH": "leader_epoch",
    "CURRENT-OFFSET": "current_offset", "LOG-END-OFFSET": "log_end_offset", "LAG": "lag",
    "CONSUMER-ID": "member", "HOST": "host", "CLIENT-ID": "client",
};

pub(crate) fn of_members() -> Vec<Field> {
    let current: Of = |row| assignment(&row["partitions"]);
    let target: Of = |row| assignment(&row["target_partitions"]);
    let epoch: Of = |row| text(&row["member"]).and(text(&row["assignment_epoch"]));
    let named = fields! {
        "GROUP": "group", "CONSUMER-ID": "member", "GROUP-INSTANCE-ID": "instance", "HOST": "host",
        "CLIENT-ID": "client", "#PARTITIONS": "partition_count", "CURRENT-EPOCH": "member_epoch",
    };
    let more = [("CURRENT-ASSIGNMENT", current), ("TARGET-EPOCH", epoch), ("TARGET-ASSIGNMENT", target)];
    named.into_iter().chain(more).collect()
}

pub(crate) fn of_state() -> Vec<Field> {
    let named = fields! {
        "GROUP": "group", "ASSIGNMENT-STRATEGY": "assignor", "STATE": "state", "GROUP-EPOCH": "group_epoch",
        "TARGET-ASSIGNMENT-EPOCH": "assignment_epoch", "#MEMBERS": "member_count",
    };
    named.into_iter().chain([("COORDINATOR (ID)", coordinator as Of)]).collect()
}

async fn consumers(target: &Target) -> Outcome {
    let name = topic(target, "shown", 3).await?;
    let other = topic(target, "beside", 2).await?;
    numbers(target, &name, 3, 0..30).await?;
    let admin = admin(target).await?;
    admin.delete_records([((name.as_str(), 1), 6)]).await?.into_values().collect::<Result<Vec<_>, _>>()?;
    let groups: [String; 6] = ["classic", "consumer", "left", "placed", "bare", "two"]
        .map(|group| unique(&format!("shown-{group}")));
    let [classic, consumer, left, placed, bare, two] = &groups;
    place(&admin, &name, classic).await?;
    place(&admin, &name, placed).await?;
    place(&admin, &other, two).await?;
    let mut members = vec![
        joined(target, classic, &name, GroupProtocol::Classic).await?,
        joined(target, consumer, &name, GroupProtocol::Consumer).await?,
        joined(target, two, &name, GroupProtocol::Consumer).await?,
    ];
    // A second one, static. It has a share once the first has given that up, which takes both of them.
    let second = member_by(target, two, &name, GroupProtocol::Consumer);
    members.push(second.group_instance_id("static").build().await?);
    let each = |of_two: &[Consumer], _: &[Seen]| shares(of_two).iter().all(|count| *count > 0);
    poll_all(members.get_mut(2..).ok_or("two")?, &mut Vec::new(), "a share each", each).await?;
    members[1].commit().await?;
    joined(target, left, &name, GroupProtocol::Consumer).await?.close().await?;
    joined(target, bare, &name, GroupProtocol::Classic).await?.close().await?;

    let mut tools = GroupTools::start(&target.bootstrap())?;
    let named: Vec<&str> = groups.iter().map(String::as_str).collect();
    let of_kafka: Vec<&str> = named.iter().flat_map(|group| ["--group", group]).collect();
    let describe = |more: &[&'static str]| [&["--describe", "--verbose"], more, &of_kafka].concat();
    let mine = |verb: &[&'static str]| [verb, &["--verbose"], &named].concat();
    let offsets = describe(&["--offsets"]);
    agree(target, &mut tools, ("consumer", &offsets), &mine(&["lag"]), &OFFSETS, 14)?;
    let members_of = of_members();
    // Kafka's tool has no row for a group without members.
    let live = [classic, consumer, two].map(String::as_str);
    let of_live: Vec<&str> = live.iter().flat_map(|group| ["--group", group]).collect();
    let kafka = [&["--describe", "--verbose", "--members"], &of_live[..]].concat();
    let args = [&["groups", "describe", "--verbose"], &live[..]].concat();
    agree(target, &mut tools, ("consumer", &kafka), &args, &members_of, 4)?;
    let kafka = describe(&["--state"]);
    agree(target, &mut tools, ("consumer", &kafka), &mine(&["groups", "describe"]), &of_state(), 6)?;

    // Each fact of an unknown group: Kafka's tool tells of it alone, and ends well.
    let unknown = tools.ask("consumer", &["--describe", "--group", "nobody"])?;
    holds("it says so", unknown.all().contains("Group nobody not found"))?;
    let refused = ottla(target, &["lag", "nobody", placed.as_str()])?.output()?;
    equal("status", refused.status.code(), Some(1))?;
    holds("the others are shown", String::from_utf8_lossy(&refused.stdout).contains(placed))?;
    holds("and it says so", String::from_utf8_lossy(&refused.stderr).contains("`nobody`: no such group"))?;
    for member in members {
        member.close().await?;
    }
    Ok(())
}

/// Beyond the end, before the begin, and within; each with a leader epoch or without.
async fn place(admin: &Admin, topic: &str, group: &str) -> Outcome {
    let count = admin.describe_topics(topic).await?.remove(topic).ok_or("no topic")??.partitions.len();
    let offsets =
        [CommittedOffset::new(25), CommittedOffset::new(2), CommittedOffset::new(4).with_leader_epoch(0)];
    let offsets = (0..).zip(offsets).take(count).map(|(partition, offset)| ((topic, partition), offset));
    let placed = admin.alter_offsets(group, offsets).await?;
    placed.into_values().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}
