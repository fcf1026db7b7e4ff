//! `ottla lag`: how far groups are behind the ends of their topics.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, TopicPartition,
    admin::{CommittedOffset, GroupDescription, OffsetSpec},
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    groups::{Found, find},
    topics::with_admin,
};
use crate::{
    args::{Common, LagArgs},
    failure::{Failure, Failures, tell},
    output::Table,
};

pub(super) async fn run(args: &LagArgs, common: &Common) -> Result<(), Failure> {
    if args.watch {
        return Err(Failure::not_yet("`lag --watch`"));
    }
    let groups = [args.names.as_slice(), &args.groups].concat();
    let (table, failures) = with_admin(common, async |admin| measure(admin, &groups).await).await?;
    table.print(common.is_json())?;
    failures.end()
}

/// What a group has committed; `None` where that cannot be had.
type Committed = BTreeMap<String, Option<BTreeMap<TopicPartition, CommittedOffset>>>;

/// Each row stands for itself: what is not known is a dash, and is told.
async fn measure(admin: &Admin, named: &[String]) -> Result<(Table, Failures), Failure> {
    let Found { groups, mut failures } = find(admin, named.to_vec()).await?;
    let committed = committed(admin, &groups, !named.is_empty(), &mut failures).await;
    let assigned = groups.values().flat_map(|group| &group.members).flat_map(|member| &member.assignment);
    let all = committed.values().flatten().flat_map(BTreeMap::keys).chain(assigned);
    let ends = ends(admin, all.cloned().collect()).await?;
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
    for (group, description) in &groups {
        let committed = committed.get(group).cloned().flatten().unwrap_or_default();
        add_group(group, description, &committed, &ends, &mut table);
    }
    Ok((table, failures))
}

/// Of all groups at once: one whose coordinator does not answer holds up no other.
async fn committed(
    admin: &Admin,
    groups: &BTreeMap<String, GroupDescription>,
    named: bool,
    failures: &mut Failures,
) -> Committed {
    let mut asked = JoinSet::new();
    for group in groups.keys().cloned() {
        let admin = admin.clone();
        asked.spawn(async move {
            let committed = admin.committed_offsets(group.as_str()).await;
            (group, committed)
        });
    }
    let mut all = Committed::new();
    for (group, committed) in asked.join_all().await {
        let told = match committed {
            Ok(committed) => Some(committed),
            Err(error) if named => {
                failures.add(error);
                None
            }
            Err(error) => {
                tell(error);
                None
            }
        };
        all.insert(group, told);
    }
    all
}

/// The ends of the logs that can be asked for now: nobody waits for a leader. The others are told.
async fn ends(
    admin: &Admin,
    mut partitions: BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let names: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    let topics = admin.describe_topics(names).await?;
    partitions.retain(|at| {
        // The topic may be gone, and its offsets not yet.
        let Some(Ok(topic)) = topics.get(&at.topic) else { return false };
        let known = topic.partitions.get(&at.partition);
        if known.is_some_and(|known| known.leader.is_none()) {
            tell(format!("partition {at} has no leader: its end is not known"));
        }
        known.is_some_and(|known| known.leader.is_some())
    });
    let latest = partitions.into_iter().map(|at| (at, OffsetSpec::Latest));
    let mut ends = BTreeMap::new();
    for (at, end) in admin.list_offsets(latest).await? {
        match end {
            Ok(end) => ends.extend(end.map(|end| (at, end.offset))),
            Err(error) => tell(error),
        }
    }
    Ok(ends)
}

fn add_group(
    group: &str,
    description: &GroupDescription,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ends: &BTreeMap<TopicPartition, i64>,
    table: &mut Table,
) {
    let owners: BTreeMap<&TopicPartition, _> = description
        .members
        .iter()
        .flat_map(|member| member.assignment.iter().map(move |at| (at, member)))
        .collect();
    let partitions: BTreeSet<&TopicPartition> = committed.keys().chain(owners.keys().copied()).collect();
    for at in partitions {
        let current = committed.get(at).map(|committed| committed.offset);
        let end = ends.get(at).copied();
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
}
