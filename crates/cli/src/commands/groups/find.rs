//! The groups that a command is about.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Admin, admin::GroupDescription, error::AdminErrorKind};

use crate::{
    args::GroupFilters,
    failure::{Failure, Failures},
};

/// The groups that were asked for.
#[derive(Debug, Default)]
pub(in crate::commands) struct Found {
    pub(in crate::commands) groups: BTreeMap<String, GroupDescription>,
    /// Those that are there, and in a state that was not asked for.
    pub(in crate::commands) hidden: BTreeSet<String>,
    /// Those of which this time nothing was told: they may be as they were.
    pub(in crate::commands) untold: BTreeSet<String>,
    /// Those that were named, and cannot be told of.
    pub(in crate::commands) failures: Failures,
    /// Those that are left out of all.
    pub(in crate::commands) notes: Vec<String>,
}

/// The named groups, or all that there are. Each stands for itself: what is left out of all is a note, and no failure.
pub(in crate::commands) async fn find(
    admin: &Admin,
    named: Vec<String>,
    filters: &GroupFilters,
) -> Result<Found, Failure> {
    let all = named.is_empty();
    let names = match all {
        true => {
            let listed = admin.list_groups().await?.into_iter();
            // Brokers before 3.8 tell no kind, and have none but classic ones.
            let fits = listed.filter(|(_, group)| group.kind().is_none() || filters.kind(group.kind()));
            fits.map(|(name, _)| name).collect()
        }
        false => named,
    };
    let mut found = Found::default();
    for (name, description) in admin.describe_groups(names).await? {
        let missing = match description {
            // What brokers before 4.0 say of a group that is not there.
            Ok(group) if group.state == "Dead" => true,
            Ok(group) => {
                match filters.state(&group.state) && filters.kind(Some(group.kind)) {
                    true => drop(found.groups.insert(name.clone(), group)),
                    false => drop(found.hidden.insert(name.clone())),
                }
                false
            }
            Err(error) if error.kind() == AdminErrorKind::UnknownGroup => true,
            Err(error) => {
                found.untold.insert(name.clone());
                match all {
                    true => found.notes.push(format!("{error}; left out")),
                    false => found.failures.add(error),
                }
                false
            }
        };
        match (missing, all) {
            (false, _) => {}
            (true, true) => found.notes.push(format!("group `{name}` was deleted meanwhile: left out")),
            (true, false) => {
                found.failures.add(Failure::failed(format!("group `{name}`: no such group; check its name")))
            }
        }
    }
    Ok(found)
}
