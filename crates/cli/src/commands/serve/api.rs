//! What is told as JSON. Keys are the columns of `ottla lag` and `ottla groups describe`, where these have the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ottla::TopicPartition;
use serde_json::{Map, Value, json};

use super::board::Board;
use crate::{
    commands::{
        lag::{COLUMNS, Row},
        looks::{Condition, Group, Look, Storage},
    },
    epoch,
    history::{Point, Status, Trend},
};

/// How the looks go.
pub(super) fn status(board: &Board, has_writes: bool) -> Value {
    let look = board.look();
    let look = look.as_deref();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": board.looks.not_ready().is_none(),
        "interval": board.looks.interval().as_secs_f64(),
        "at": look.map(|look| look.at),
        "took": look.map(|look| look.took.as_secs_f64()),
        "looks": board.looks.looks(),
        "failures": board.looks.failures(),
        "error": board.looks.failure(),
        "notes": look.map_or(&[][..], |look| &look.notes),
        "groups": look.map(|look| look.groups.len()),
        "event_readers": board.events.readers(),
        "writes": has_writes,
        "storage": board.storage.as_deref().map(storage),
    })
}

/// How what was seen is kept.
fn storage(storage: &Storage) -> Value {
    let Condition { bytes, saved, failure } = storage.condition();
    json!({"bytes": bytes, "at": saved, "error": failure})
}

/// All groups, in few words each.
pub(super) fn groups(look: &Look, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{{\"at\":{},\"groups\":", look.at)?;
    let each = look.groups.iter().map(|(name, group)| summary(name, group).into());
    list(out, each)?;
    out.write_str("}\n")
}

/// One group with its members and its partitions.
pub(super) fn group(look: &Look, name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let Some(group) = look.groups.get(name) else { return Err(fmt::Error) };
    let mut head = summary(name, group);
    head.insert("at".to_owned(), look.at.into());
    let head = Value::from(head).to_string();
    // The lists follow within the same object.
    write!(out, "{},\"member_list\":", head.strip_suffix('}').unwrap_or_default())?;
    let members = group.description.members.iter().map(|member| {
        json!({
            "member": member.member_id,
            "instance": member.group_instance_id,
            "client": member.client_id,
            "host": member.host,
            "rack": member.rack,
            "member_epoch": member.epoch,
            "partition_count": member.assignment.len(),
        })
    });
    list(out, members)?;
    out.write_str(",\"partition_list\":")?;
    list(out, group.rows.iter().map(|row| row_of(name, group, row, look.at)))?;
    out.write_str("}\n")
}

/// What `ottla lag --watch --verbose --output json` prints of one look.
pub(super) fn lag(look: &Look, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{{\"at\":{},\"rows\":", look.at)?;
    let rows = look
        .groups
        .iter()
        .flat_map(|(name, group)| group.rows.iter().map(move |row| row_of(name, group, row, look.at)));
    list(out, rows)?;
    out.write_str("}\n")
}

/// The topics that groups read.
pub(super) fn topics(look: &Look, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut readers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, group) in &look.groups {
        for row in &group.rows {
            readers.entry(&row.at.topic).or_default().insert(name);
        }
    }
    write!(out, "{{\"at\":{},\"topics\":", look.at)?;
    let topics = readers.iter().map(|(topic, groups)| {
        let first = TopicPartition::new(*topic, i32::MIN);
        let logs = look.logs.range(first..).take_while(|(at, _)| at.topic == *topic);
        json!({
            "topic": topic,
            "groups": groups,
            "partition_list": logs.map(|(at, log)| json!({
                "partition": at.partition,
                "log_start_offset": log.begin,
                "log_end_offset": log.end,
            })).collect::<Vec<_>>(),
        })
    });
    list(out, topics)?;
    out.write_str("}\n")
}

/// A group's lag over time: what is kept on disk of the time before that in memory, and that.
pub(super) fn history(
    storage: Option<&Storage>,
    name: &str,
    trend: &Trend,
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    // What cannot be read is told by who writes there.
    let kept = storage.and_then(|storage| storage.spans(name, epoch::now()).ok()).unwrap_or_default();
    let point = |point: Point| json!({"at": point.at, "lag": point.lag, "time_lag": point.age});
    write!(out, "{{\"group\":{},\"points\":", Value::from(name))?;
    list(out, trend.behind(kept).map(point))?;
    out.write_str("}\n")
}

fn summary(name: &str, group: &Group) -> Map<String, Value> {
    let description = &group.description;
    let Value::Object(summary) = json!({
        "group": name,
        "state": description.state,
        "type": description.kind.name(),
        "assignor": Some(&description.protocol).filter(|protocol| !protocol.is_empty()),
        "coordinator": description.coordinator.0,
        "group_epoch": description.group_epoch,
        "status": group.status.map(Status::name),
        "reason": group.reason(),
        "status_since": group.since,
        "lag": group.lag,
        "time_lag": group.age,
        "member_count": description.members.len(),
        "partition_count": group.rows.len(),
        "rebalances": group.rebalances,
    }) else {
        return Map::new();
    };
    summary
}

/// A row, under the names of its columns.
fn row_of(name: &str, group: &Group, row: &Row, at: i64) -> Value {
    let cells = row.cells(name, &group.description, at);
    let pairs = COLUMNS.iter().zip(cells);
    Value::Object(pairs.map(|(column, cell)| (column.to_lowercase().replace('-', "_"), cell)).collect())
}

/// An array that is not there as a whole.
fn list(out: &mut dyn fmt::Write, values: impl Iterator<Item = Value>) -> fmt::Result {
    out.write_char('[')?;
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        write!(out, "\n{value}")?;
    }
    out.write_char(']')
}
