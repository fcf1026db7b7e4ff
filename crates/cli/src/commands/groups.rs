//! `ottla groups`.

use std::collections::BTreeMap;

use ottla::{Admin, admin::GroupDescription};
use serde_json::Value;

use super::topics::{admin, each};
use crate::{
    args::{Common, GroupsVerb},
    failure::Failure,
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
    let admin = admin(common).await?;
    let groups = admin.list_groups().await;
    admin.close().await;
    let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL-TYPE", "COORDINATOR"]);
    for (name, group) in groups? {
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
    let admin = admin(common).await?;
    let described = async {
        let groups = match groups.is_empty() {
            true => admin.list_groups().await?.into_keys().collect(),
            false => groups,
        };
        existing(&admin, groups).await
    };
    let described = described.await;
    admin.close().await;
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
    for (name, group) in described? {
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
    table.print(common.is_json())
}

/// These groups, all of which must be there.
pub(super) async fn existing(
    admin: &Admin,
    groups: Vec<String>,
) -> Result<BTreeMap<String, GroupDescription>, Failure> {
    let described = each(admin.describe_groups(groups).await?)?;
    // What brokers before 4.0 say of a group that is not there.
    match described.iter().find(|(_, group)| group.state == "Dead") {
        Some((name, _)) => Err(Failure::failed(format!("group `{name}`: no such group; check its name"))),
        None => Ok(described),
    }
}

/// Brokers leave empty what they do not know.
pub(super) fn known(text: &str) -> Value {
    Some(text).filter(|text| !text.is_empty()).into()
}
