//! What one look at the cluster showed: the groups with their rows, as all who ask are answered until the next look.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ottla::{
    TopicPartition,
    admin::{GroupDescription, MemberDescription},
};

use crate::{
    commands::lag::{Log, Row, Seen, Watch, rows},
    history::Status,
};

/// How many notes are kept of a look.
const NOTES: usize = 50;

/// One look, which does not change any more.
#[derive(Debug, Default)]
pub(in crate::commands) struct Look {
    /// When it was, in milliseconds since 1970.
    pub(in crate::commands) at: i64,
    pub(in crate::commands) took: Duration,
    /// One of which nothing, or no offset, was told this time is as it was.
    pub(in crate::commands) groups: BTreeMap<String, Arc<Group>>,
    /// Groups that are there, and in a state that was not asked for, or of which nothing was told yet.
    pub(in crate::commands) hidden: BTreeSet<String>,
    pub(in crate::commands) logs: BTreeMap<TopicPartition, Log>,
    /// What the rows do not show.
    pub(in crate::commands) notes: Vec<String>,
}

/// A group, at one look.
#[derive(Debug)]
pub(in crate::commands) struct Group {
    pub(in crate::commands) description: GroupDescription,
    pub(in crate::commands) rows: Vec<Row>,
    /// Of all partitions of which it is known.
    pub(in crate::commands) lag: Option<i64>,
    /// Of the partition that is furthest behind, in seconds; not known where that of one that is behind is not.
    pub(in crate::commands) age: Option<f64>,
    /// That of its worst partition.
    pub(in crate::commands) status: Option<Status>,
    /// Since when that is so, in milliseconds since 1970.
    pub(in crate::commands) since: i64,
    /// The last that was known.
    pub(in crate::commands) last_known: Option<Status>,
    /// How many were seen.
    pub(in crate::commands) rebalances: u64,
    /// Who had what before the rebalance that is under way.
    pub(in crate::commands) before: Option<Vec<MemberDescription>>,
}

impl Look {
    /// What was seen, beside the look before it.
    pub(in crate::commands) fn of(
        mut seen: Seen,
        watch: &Watch,
        took: Duration,
        before: Option<&Self>,
    ) -> Self {
        let was = |name: &String| before.and_then(|before| before.groups.get(name));
        let mut groups = BTreeMap::new();
        // What is in a row is not kept beside it.
        while let Some((name, description)) = seen.groups.pop_first() {
            let group = match was(&name).filter(|_| !seen.places.contains_key(&name)) {
                Some(group) => group.clone(),
                None => {
                    let rows = rows(&name, &description, &seen, watch, None);
                    seen.places.remove(&name);
                    Arc::new(Group::of(description, rows, watch.at(), was(&name).map(Arc::as_ref)))
                }
            };
            groups.insert(name, group);
        }
        let mut hidden = seen.hidden;
        for name in seen.untold {
            match was(&name) {
                Some(group) => drop(groups.insert(name, group.clone())),
                None => drop(hidden.insert(name)),
            }
        }
        let mut notes: Vec<String> = seen.failures.into_notes().chain(seen.notes).collect();
        if let Some(more) = notes.len().checked_sub(NOTES).filter(|more| *more > 0) {
            notes.truncate(NOTES);
            notes.push(format!("{more} more like these"));
        }
        Self { at: watch.at(), took, groups, hidden, logs: seen.logs, notes }
    }
}

impl Group {
    fn of(description: GroupDescription, rows: Vec<Row>, at: i64, before: Option<&Self>) -> Self {
        let lags = || rows.iter().filter_map(|row| row.lag);
        let status = rows.iter().filter_map(|row| row.status).max();
        let is_new = before.is_none_or(|before| before.status != status);
        let was_rebalancing = before.is_some_and(|before| before.description.is_rebalancing());
        let held = before.filter(|_| description.is_rebalancing()).map(|before| match &before.before {
            Some(held) => held.clone(),
            None => before.description.members.clone(),
        });
        let mut group = Self {
            lag: lags().next().map(|_| lags().map(|lag| lag.max(0)).fold(0, i64::saturating_add)),
            age: oldest(&rows),
            status,
            since: before.filter(|_| !is_new).map_or(at, |before| before.since),
            last_known: status.or(before.and_then(|before| before.last_known)),
            rebalances: before.map_or(0, |before| before.rebalances),
            before: held,
            description,
            rows,
        };
        let is_over = !group.description.is_rebalancing();
        if let Some(before) = before
            && is_over
            && (was_rebalancing || group.has_changed(before))
        {
            group.rebalances += 1;
        }
        group
    }

    /// Whether members, or who has what, or the epoch of it, are others than at the look before.
    fn has_changed(&self, before: &Self) -> bool {
        let (now, then) = (&self.description, &before.description);
        now.group_epoch != then.group_epoch
            || now.members.len() != then.members.len()
            || shares(&now.members) != shares(&then.members)
    }

    /// Why it has its status, with a partition that shows it.
    pub(in crate::commands) fn reason(&self) -> Option<String> {
        let status = self.status?;
        if status == Status::Ok {
            return Some(status.reason().to_owned());
        }
        let mut of_status = self.rows.iter().filter(|row| row.status == Some(status));
        let first = of_status.next()?;
        let what = first.note().unwrap_or(status.reason());
        Some(match of_status.count() {
            0 => format!("{}: {what}", first.at),
            more => format!("{} and {more} more: {what}", first.at),
        })
    }

    /// How many partitions have a status, or none.
    pub(in crate::commands) fn count(&self, status: Option<Status>) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }
}

fn oldest(rows: &[Row]) -> Option<f64> {
    let is_in_doubt = |row: &Row| row.age.is_none() && row.lag.is_some_and(|lag| lag > 0);
    let ages = rows.iter().filter_map(|row| row.age);
    ages.max_by(f64::total_cmp).filter(|_| !rows.iter().any(is_in_doubt))
}

/// Who has what.
pub(in crate::commands) fn shares(members: &[MemberDescription]) -> BTreeSet<(&str, &[TopicPartition])> {
    members.iter().map(|member| (member.member_id.as_str(), member.assignment.as_slice())).collect()
}
