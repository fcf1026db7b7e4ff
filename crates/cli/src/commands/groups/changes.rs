//! What is taken away from groups: themselves, offsets, members.

use std::collections::BTreeSet;

use ottla::{
    Admin, ErrorCode,
    admin::{MemberDescription, MemberToRemove},
    error::AdminError,
};

use super::find;
use crate::{
    args::{Common, GroupFilters, RemoveMemberArgs},
    commands::{scope::Scope, topics::with_admin},
    failure::{Failure, Failures},
    output::print,
};

pub(super) async fn delete(groups: Vec<String>, common: &Common) -> Result<(), Failure> {
    let deleted = with_admin(common, async |admin| Ok(admin.delete_groups(groups).await?)).await?;
    let mut failures = Failures::default();
    for (group, result) in deleted {
        match result {
            Ok(()) => print(&format!("deleted {group}\n"))?,
            Err(error) => failures.add(refused(&error)),
        }
    }
    failures.end()
}

pub(super) async fn delete_offsets(group: &str, topics: &[String], common: &Common) -> Result<(), Failure> {
    let scopes = Scope::parse_all(topics)?;
    let deleted = with_admin(common, async |admin| {
        let partitions = Scope::partitions(&scopes, admin).await?;
        Ok(admin.delete_offsets(group, partitions).await?)
    })
    .await?;
    let mut failures = Failures::default();
    for (at, result) in deleted {
        match result {
            Ok(()) => print(&format!("deleted the offset of {group} in {at}\n"))?,
            Err(error) => failures.add(refused(&error)),
        }
    }
    failures.end()
}

pub(super) async fn remove_member(args: &RemoveMemberArgs, common: &Common) -> Result<(), Failure> {
    let ids = args.members.iter().cloned().map(MemberToRemove::Id);
    let named = args.instances.iter().cloned().map(MemberToRemove::Instance);
    let mut members: BTreeSet<MemberToRemove> = ids.chain(named).collect();
    if members.is_empty() && !args.all {
        return Err(Failure::usage("which member? MEMBER, --instance NAME, or --all"));
    }
    let group = args.group.as_str();
    let removed = with_admin(common, async |admin| {
        if args.all {
            members = all_members(admin, group).await?;
        }
        Ok(admin.remove_members(group, members).await?)
    })
    .await?;
    let mut failures = Failures::default();
    for (member, result) in removed {
        let name = match &member {
            MemberToRemove::Instance(name) => name.as_str(),
            MemberToRemove::Id(id) => id.as_str(),
            _ => "the member",
        };
        match result {
            Ok(()) => print(&format!("removed {name} from {group}\n"))?,
            Err(error) => failures.add(Failure::failed(format!("{name}: {}", refused(&error)))),
        }
    }
    failures.end()
}

/// With what to do about it, where that is known here.
fn refused(error: &AdminError) -> Failure {
    let next = match error.code() {
        Some(ErrorCode::NonEmptyGroup) => "; stop its members first: `ottla groups describe` shows them",
        Some(ErrorCode::GroupSubscribedToTopic) => {
            "; stop the members that are subscribed to the topic first"
        }
        Some(ErrorCode::UnknownMemberId) => "; `ottla groups describe` shows who is in it",
        _ => "",
    };
    Failure::failed(format!("{error:#}{next}"))
}

async fn all_members(admin: &Admin, group: &str) -> Result<BTreeSet<MemberToRemove>, Failure> {
    let found = find(admin, vec![group.to_owned()], &GroupFilters::default()).await?;
    found.failures.end()?;
    let members = found.groups.into_values().flat_map(|group| group.members);
    let member = |member: MemberDescription| match member.group_instance_id {
        Some(name) => MemberToRemove::Instance(name),
        None => MemberToRemove::Id(member.member_id),
    };
    Ok(members.map(member).collect())
}
