//! What is known of a group in a partition: a row of `ottla lag`, and of all that shows the same.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use ottla::{
    TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription},
};
use serde_json::Value;

use super::{
    asked::{Log, Seen},
    exact::Times,
    places::Place,
    watch::{Watch, seconds},
};
use crate::history::Status;

/// The columns. Those that were there first stay in their order.
pub(in crate::commands) const COLUMNS: [&str; 16] = [
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
    "CLIENT",
    "LOG-START-OFFSET",
    "NOTE",
    "GROUP-STATE",
    "LEADER-EPOCH",
    "AT",
];

/// A group in a partition, at one look.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Row {
    pub(in crate::commands) at: TopicPartition,
    pub(in crate::commands) place: Place,
    pub(in crate::commands) log: Log,
    pub(in crate::commands) lag: Option<i64>,
    /// How old the record is that is read next, in seconds.
    pub(in crate::commands) age: Option<f64>,
    pub(in crate::commands) status: Option<Status>,
    /// Who has it, by their places among the group's members: several of a share group.
    pub(in crate::commands) owners: Vec<u32>,
}

/// The rows of a group: a partition that it has committed, or that a member has.
pub(in crate::commands) fn rows(
    group: &str,
    description: &GroupDescription,
    seen: &Seen,
    watch: &Watch,
    times: Option<&Times>,
) -> Vec<Row> {
    let no_places = BTreeMap::new();
    let places = seen.places.get(group).unwrap_or(&no_places);
    let mut owners: BTreeMap<&TopicPartition, Vec<u32>> = BTreeMap::new();
    for (index, member) in (0..).zip(&description.members) {
        for at in &member.assignment {
            owners.entry(at).or_default().push(index);
        }
    }
    let partitions: BTreeSet<&TopicPartition> = places.keys().chain(owners.keys().copied()).collect();
    let row = |at: &TopicPartition| {
        let place = places.get(at).copied().unwrap_or_default();
        let log = seen.logs.get(at).copied().unwrap_or_default();
        Row {
            at: at.clone(),
            place,
            log,
            lag: lag(description.kind, place, log),
            age: age(at, place, log, watch, times),
            status: watch.status(group, at),
            owners: owners.remove(at).unwrap_or_default(),
        }
    };
    partitions.into_iter().map(row).collect()
}

impl Row {
    /// Its cells, under [`COLUMNS`].
    pub(in crate::commands) fn cells(
        &self,
        group: &str,
        description: &GroupDescription,
        looked_at: i64,
    ) -> [Value; COLUMNS.len()] {
        let of_owners = |of: fn(&MemberDescription) -> &String| -> Value {
            let members = &description.members;
            let values: Vec<&str> = self
                .owners
                .iter()
                .filter_map(|at| members.get(*at as usize))
                .map(|m| of(m).as_str())
                .collect();
            // One, as nearly always; those of several with commas between.
            Some(values.join(",")).filter(|_| !values.is_empty()).into()
        };
        [
            group.into(),
            self.at.topic.as_str().into(),
            self.at.partition.into(),
            self.place.offset.into(),
            self.log.readable_end().into(),
            self.lag.into(),
            self.age.into(),
            self.status.map(Status::name).into(),
            of_owners(|member| &member.member_id),
            of_owners(|member| &member.host),
            of_owners(|member| &member.client_id),
            self.log.begin.into(),
            self.note().into(),
            description.state.as_str().into(),
            self.place.leader_epoch.into(),
            looked_at.into(),
        ]
    }

    pub(in crate::commands) fn note(&self) -> Option<&'static str> {
        let offset = self.place.offset?;
        match (self.log.begin, self.log.end) {
            (Some(begin), _) if offset < begin => Some("before the log's begin"),
            (_, Some(end)) if offset > end => Some("beyond the log's end"),
            (_, None) => Some("log not known"),
            _ => None,
        }
    }
}

/// How old the record is that is read next, in seconds.
fn age(at: &TopicPartition, place: Place, log: Log, watch: &Watch, times: Option<&Times>) -> Option<f64> {
    let offset = place.offset.filter(|offset| log.begin.is_none_or(|begin| begin <= *offset))?;
    match (log.end?.cmp(&offset), times) {
        (Ordering::Less, _) => None,
        (Ordering::Equal, _) => Some(0.0),
        // All that may be read is read.
        _ if log.stable.is_some() && log.readable_end()? <= offset => Some(0.0),
        (Ordering::Greater, None) => watch.age(at, offset),
        (Ordering::Greater, Some(times)) => {
            times.get(&(at.clone(), offset)).map(|written| seconds(watch.at() - written))
        }
    }
}

/// A commit beyond the end gives a negative one: the log is shorter than what was read of it.
pub(super) fn lag(kind: GroupKind, place: Place, log: Log) -> Option<i64> {
    match (kind, place.offset) {
        (GroupKind::Share, _) => place.lag,
        (_, Some(offset)) => match log.stable {
            // Who reads uncommitted records may be ahead of those that are committed.
            Some(stable) if offset <= log.end? => Some((stable? - offset).max(0)),
            _ => Some(log.end? - offset),
        },
        // It reads from the begin.
        (GroupKind::Streams, None) => Some(log.readable_end()? - log.begin?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_to_the_end_that_is_asked_for_and_not_known_where_that_is_not() {
        let at = |offset| Place { offset: Some(offset), ..Place::default() };
        let log = |stable| Log { begin: Some(0), end: Some(10), stable };
        let behind = |offset, stable| lag(GroupKind::Classic, at(offset), log(stable));
        assert_eq!((behind(4, None), behind(4, Some(Some(7)))), (Some(6), Some(3)));
        assert_eq!(behind(9, Some(Some(7))), Some(0), "it reads what is not committed, too");
        assert_eq!(behind(12, Some(Some(7))), Some(-2), "the log has no such place");
        assert_eq!((behind(4, Some(None)), log(Some(None)).readable_end()), (None, None));
        assert_eq!(log(None).readable_end(), Some(10));
    }
}
