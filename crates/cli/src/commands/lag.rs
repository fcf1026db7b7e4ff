//! `ottla lag`: how far groups are behind the ends of their topics.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, TopicPartition,
    admin::{GroupDescription, OffsetSpec},
};
use serde_json::Value;

use super::{groups::existing, topics::admin};
use crate::{
    args::{Common, LagArgs},
    failure::Failure,
    output::Table,
};

pub(super) async fn run(args: &LagArgs, common: &Common) -> Result<(), Failure> {
    if args.watch {
        return Err(Failure::not_yet("`lag --watch`"));
    }
    let admin = admin(common).await?;
    let table = measure(&admin, &args.groups).await;
    admin.close().await;
    table?.print(common.is_json())
}

async fn measure(admin: &Admin, groups: &[String]) -> Result<Table, Failure> {
    let groups: Vec<String> = match groups {
        [] => admin.list_groups().await?.into_keys().collect(),
        groups => groups.to_vec(),
    };
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "TIME-LAG",
        "STATUS",
        "MEMBER",
        "HOST",
    ]);
    for (group, description) in existing(admin, groups).await? {
        add_group(admin, &group, &description, &mut table).await?;
    }
    Ok(table)
}

async fn add_group(
    admin: &Admin,
    group: &str,
    description: &GroupDescription,
    table: &mut Table,
) -> Result<(), Failure> {
    let committed = admin.committed_offsets(group).await?;
    let owners: BTreeMap<&TopicPartition, _> = description
        .members
        .iter()
        .flat_map(|member| member.assignment.iter().map(move |at| (at, member)))
        .collect();
    let partitions: BTreeSet<&TopicPartition> = committed.keys().chain(owners.keys().copied()).collect();
    let latest = partitions.iter().map(|at| ((*at).clone(), OffsetSpec::Latest));
    let ends = admin.list_offsets(latest).await?;
    for at in partitions {
        let current = committed.get(at).map(|committed| committed.offset);
        // The topic may be gone, and its offsets not yet.
        let end = ends.get(at).and_then(|end| end.as_ref().ok()?.as_ref()).map(|end| end.offset);
        let lag = end.zip(current).map(|(end, current)| (end - current).max(0));
        let owner = owners.get(at);
        table.push([
            group.into(),
            at.topic.as_str().into(),
            at.partition.into(),
            current.into(),
            end.into(),
            lag.into(),
            Value::Null,
            Value::Null,
            owner.map(|member| member.member_id.as_str()).into(),
            owner.map(|member| member.host.as_str()).into(),
        ]);
    }
    Ok(())
}
