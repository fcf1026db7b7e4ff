//! `ottla groups`.

use std::collections::BTreeMap;

use ottla::{
    Admin,
    admin::{GroupDescription, GroupListing},
    error::AdminErrorKind,
};
use serde_json::Value;

use super::topics::with_admin;
use crate::{
    args::{Common, GroupsVerb},
    failure::{Failure, Failures, tell},
    output::Table,
};

pub(super) async fn run(verb: GroupsVerb, outer: Common) -> Result<(), Failure> {
    match verb {
        GroupsVerb::List { common } => list(&outer.with(common)).await,
        GroupsVerb::Describe { mut groups, more, common } => {
            groups.extend(more);
            describe(groups, &outer.with(common)).await
        }
        GroupsVerb::Delete(_) => Err(Failure::not_yet("`groups delete`")),
        GroupsVerb::RemoveMember(_) => Err(Failure::not_yet("`groups remove-member`")),
        GroupsVerb::ResetOffsets(_) => Err(Failure::not_yet("`groups reset-offsets`")),
    }
}

async fn list(common: &Common) -> Result<(), Failure> {
    let groups = with_admin(common, async |admin| Ok(admin.list_groups().await?)).await?;
    let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL-TYPE", "COORDINATOR"]);
    for (name, group) in groups {
        table.push([
            name.into(),
            group.state.into(),
            group.group_type.into(),
            known(&group.protocol_type),
            group.coordinator.0.into(),
        ]);
    }
    table.print(common.is_json())
}

async fn describe(groups: Vec<String>, common: &Common) -> Result<(), Failure> {
    let Found { groups, failures } = with_admin(common, async |admin| find(admin, groups).await).await?;
    let mut table = Table::new(&[
        "GROUP",
        "STATE",
        "ASSIGNOR",
        "COORDINATOR",
        "MEMBER",
        "INSTANCE",
        "CLIENT",
        "HOST",
        "PARTITIONS",
    ]);
    for (name, group) in groups {
        let mut row = |[member, instance, client, host, partitions]: [Value; 5]| {
            let (state, assignor) = (known(&group.state), known(&group.protocol));
            let coordinator = group.coordinator.0.into();
            let name = name.as_str().into();
            table.push([name, state, assignor, coordinator, member, instance, client, host, partitions]);
        };
        if group.members.is_empty() {
            row(Default::default());
        }
        for member in &group.members {
            let partitions: Vec<String> = member.assignment.iter().map(ToString::to_string).collect();
            row([
                member.member_id.as_str().into(),
                member.group_instance_id.as_deref().into(),
                member.client_id.as_str().into(),
                member.host.as_str().into(),
                partitions.into(),
            ]);
        }
    }
    table.print(common.is_json())?;
    failures.end()
}

/// The groups of consumers that were asked for.
pub(super) struct Found {
    pub(super) groups: BTreeMap<String, GroupDescription>,
    /// Those that were named, and cannot be told of.
    pub(super) failures: Failures,
}

/// The named groups, or all of consumers. Each stands for itself: what is left out of all is told, and is no failure.
pub(super) async fn find(admin: &Admin, named: Vec<String>) -> Result<Found, Failure> {
    let all = named.is_empty();
    let names = match all {
        true => of_consumers(admin.list_groups().await?),
        false => named,
    };
    let mut found = Found { groups: BTreeMap::new(), failures: Failures::default() };
    let mut missing = Vec::new();
    for (name, description) in admin.describe_groups(names).await? {
        match description {
            // What brokers before 4.0 say of a group that is not there.
            Ok(group) if group.state == "Dead" => missing.push(name),
            Ok(group) => drop(found.groups.insert(name, group)),
            Err(error) if error.kind() == AdminErrorKind::UnknownGroup => missing.push(name),
            Err(error) if all => tell(format!("{error}; left out")),
            Err(error) => found.failures.add(error),
        }
    }
    if all {
        missing.iter().for_each(|name| tell(format!("group `{name}` was deleted meanwhile: left out")));
    } else if !missing.is_empty() {
        let listed = admin.list_groups().await?;
        for name in missing {
            let why = match listed.get(&name).and_then(other_kind) {
                Some(kind) => format!("it is a {kind} group, of which only `ottla groups list` tells so far"),
                None => "no such group; check its name".to_owned(),
            };
            found.failures.add(Failure::failed(format!("group `{name}`: {why}")));
        }
    }
    Ok(found)
}

/// Tells of the others by their kinds.
fn of_consumers(listed: BTreeMap<String, GroupListing>) -> Vec<String> {
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut names = Vec::new();
    for (name, group) in listed {
        match other_kind(&group) {
            None => names.push(name),
            Some(kind) => others.entry(kind).or_default().push(format!("`{name}`")),
        }
    }
    for (kind, names) in others {
        tell(format!("{kind} groups are left out: {}", names.join(", ")));
    }
    names
}

/// `share` or `streams`, where it is no group of consumers. Brokers before 3.8 tell no kind, and have no other.
fn other_kind(group: &GroupListing) -> Option<String> {
    let kind = group.group_type.as_ref()?.to_lowercase();
    (!matches!(kind.as_str(), "classic" | "consumer" | "unknown")).then_some(kind)
}

/// Brokers leave empty what they do not know.
pub(super) fn known(text: &str) -> Value {
    Some(text).filter(|text| !text.is_empty()).into()
}
