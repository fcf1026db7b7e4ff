//! `ottla groups`.

mod changes;
mod find;
pub(super) mod reset;

use std::collections::BTreeMap;

use ottla::{
    Admin,
    admin::{GroupDescription, GroupKind, MemberDescription, Node, NodeId, StreamsTasks, TopicPartition},
};
use serde_json::Value;

pub(super) use find::{Found, find};

use super::topics::with_admin;
use crate::{
    args::{Common, GroupFilters, GroupsVerb},
    failure::{Failure, tell},
    output::Table,
};

pub(super) async fn run(verb: GroupsVerb, outer: Common, verbose: bool) -> Result<(), Failure> {
    match verb {
        GroupsVerb::List { filters, common } => list(&filters, &outer.with(common)).await,
        GroupsVerb::Describe { mut groups, more, filters, common } => {
            groups.extend(more);
            describe(groups, &filters, &outer.with(common), verbose).await
        }
        GroupsVerb::Delete { mut groups, more, common } => {
            groups.extend(more);
            changes::delete(groups, &outer.with(common)).await
        }
        GroupsVerb::DeleteOffsets { group, topics, common } => {
            changes::delete_offsets(&group, &topics, &outer.with(common)).await
        }
        GroupsVerb::RemoveMember(args) => {
            changes::remove_member(&args, &outer.with(args.common.clone())).await
        }
        GroupsVerb::ResetOffsets(args) => reset::run(&args, &outer.with(args.common.clone())).await,
    }
}

async fn list(filters: &GroupFilters, common: &Common) -> Result<(), Failure> {
    let (groups, nodes) = with_admin(common, async |admin| {
        let groups = admin.list_groups().await?;
        Ok((groups, nodes(admin).await?))
    })
    .await?;
    let mut table =
        Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL-TYPE", "COORDINATOR", "COORDINATOR-ADDRESS"]);
    for (name, group) in groups {
        let state = group.state.as_deref().unwrap_or_default();
        // Brokers before 3.8 tell no kind, and have none but classic ones.
        let kind = group.kind().or_else(|| group.group_type.is_none().then_some(GroupKind::Classic));
        if filters.state(state) && filters.kind(kind) {
            table.push([
                name.into(),
                group.state.into(),
                group.group_type.into(),
                known(&group.protocol_type),
                group.coordinator.0.into(),
                address(&nodes, group.coordinator),
            ]);
        }
    }
    table.print(common.is_json())
}

/// The columns of `describe`, and those that --verbose adds.
const COLUMNS: [&str; 13] = [
    "GROUP",
    "STATE",
    "ASSIGNOR",
    "COORDINATOR",
    "MEMBER",
    "INSTANCE",
    "CLIENT",
    "HOST",
    "PARTITIONS",
    "PARTITION-COUNT",
    "TYPE",
    "MEMBER-COUNT",
    "COORDINATOR-ADDRESS",
];
const VERBOSE: [&str; 8] = [
    "GROUP-EPOCH",
    "ASSIGNMENT-EPOCH",
    "MEMBER-EPOCH",
    "TARGET-PARTITIONS",
    "RACK",
    "PROCESS",
    "TASKS",
    "UPGRADED",
];

async fn describe(
    groups: Vec<String>,
    filters: &GroupFilters,
    common: &Common,
    verbose: bool,
) -> Result<(), Failure> {
    let (Found { groups, failures, notes, .. }, nodes) = with_admin(common, async |admin| {
        let found = find(admin, groups, filters).await?;
        Ok((found, nodes(admin).await?))
    })
    .await?;
    let mut table = Table::new(&[&COLUMNS[..], &VERBOSE].concat());
    for (name, group) in &groups {
        for member in members(group) {
            table.push(row(name, group, member, &nodes));
        }
    }
    let table = if verbose { table } else { table.without(&VERBOSE) };
    table.print(common.is_json())?;
    notes.iter().for_each(tell);
    failures.end()
}

/// One for each; a group without any has one row, too.
fn members(group: &GroupDescription) -> impl Iterator<Item = Option<&MemberDescription>> {
    let none = group.members.is_empty().then_some(None);
    group.members.iter().map(Some).chain(none)
}

fn row(
    name: &str,
    group: &GroupDescription,
    member: Option<&MemberDescription>,
    nodes: &BTreeMap<NodeId, Node>,
) -> [Value; 21] {
    let listed =
        |partitions: &[TopicPartition]| partitions.iter().map(ToString::to_string).collect::<Vec<_>>().into();
    let streams = member.and_then(|member| member.streams.as_ref());
    [
        name.into(),
        known(&group.state),
        known(&group.protocol),
        group.coordinator.0.into(),
        member.map(|member| member.member_id.as_str()).into(),
        member.and_then(|member| member.group_instance_id.as_deref()).into(),
        member.map(|member| member.client_id.as_str()).into(),
        member.map(|member| member.host.as_str()).into(),
        member.map_or(Value::Null, |member| listed(&member.assignment)),
        member.map(|member| member.assignment.len()).into(),
        group.kind.name().into(),
        group.members.len().into(),
        address(nodes, group.coordinator),
        group.group_epoch.into(),
        group.assignment_epoch.into(),
        member.and_then(|member| member.epoch).into(),
        member.and_then(|member| member.target.as_deref()).map_or(Value::Null, listed),
        member.and_then(|member| member.rack.as_deref()).into(),
        streams.map(|streams| streams.process_id.as_str()).into(),
        streams.map_or(Value::Null, |streams| tasks(&streams.tasks)),
        member.and_then(|member| member.upgraded).into(),
    ]
}

/// As Kafka Streams names them, `SUBTOPOLOGY_PARTITION`; those that do not process have a word before it.
fn tasks(tasks: &StreamsTasks) -> Value {
    let kinds = [("", &tasks.active), ("standby:", &tasks.standby), ("warmup:", &tasks.warmup)];
    let each = kinds.into_iter().flat_map(|(word, tasks)| {
        let of = move |(part, partitions): (&String, &Vec<i32>)| {
            partitions.iter().map(|number| format!("{word}{part}_{number}")).collect::<Vec<_>>()
        };
        tasks.iter().flat_map(of)
    });
    each.collect::<Vec<_>>().into()
}

/// The brokers by their ids.
async fn nodes(admin: &Admin) -> Result<BTreeMap<NodeId, Node>, Failure> {
    Ok(admin.describe_cluster().await?.nodes)
}

fn address(nodes: &BTreeMap<NodeId, Node>, node: NodeId) -> Value {
    nodes.get(&node).map(|node| node.address.to_string()).into()
}

/// Brokers leave empty what they do not know.
pub(super) fn known(text: &str) -> Value {
    Some(text).filter(|text| !text.is_empty()).into()
}
