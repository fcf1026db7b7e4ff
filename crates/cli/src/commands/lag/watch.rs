//! What look after look shows of partitions: how old the record is that a group reads next, and whether it keeps up.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{TopicPartition, admin::GroupDescription};

use super::{asked::Seen, row::lag};
use crate::{
    epoch,
    history::{Ends, Look, Looks, Status, Written},
};

/// All that is kept from look to look. What is not seen any more is forgotten.
#[derive(Debug, Default)]
pub(in crate::commands) struct Watch {
    /// When the last look was, in milliseconds since 1970.
    at: i64,
    logs: BTreeMap<TopicPartition, Ends>,
    groups: BTreeMap<String, BTreeMap<TopicPartition, Looks>>,
}

impl Watch {
    pub(in crate::commands) fn saw(&mut self, seen: &Seen) {
        self.at = epoch::now();
        for (at, log) in &seen.logs {
            if let Some(end) = log.end {
                self.logs.entry(at.clone()).or_default().saw(end, self.at);
            }
        }
        let is_there = |group: &String| {
            seen.groups.contains_key(group) || seen.hidden.contains(group) || seen.untold.contains(group)
        };
        self.groups.retain(|group, _| is_there(group));
        // A look that was not answered says nothing: neither that there is no commit, nor that it has not moved.
        for (group, description) in seen.groups.iter().filter(|(group, _)| !seen.unplaced.contains(*group)) {
            self.saw_group(seen, group, description);
        }
        // Nor whether a log is still there: what is known of one lasts as long as a group that reads it.
        let read: BTreeSet<&TopicPartition> = self.groups.values().flat_map(BTreeMap::keys).collect();
        self.logs.retain(|at, _| seen.logs.contains_key(at) || read.contains(at));
    }

    fn saw_group(&mut self, seen: &Seen, group: &str, description: &GroupDescription) {
        let owned: BTreeSet<&TopicPartition> =
            description.members.iter().flat_map(|member| &member.assignment).collect();
        let places = seen.places.get(group);
        let partitions: BTreeSet<&TopicPartition> =
            places.into_iter().flat_map(BTreeMap::keys).chain(owned.iter().copied()).collect();
        let of_group = self.groups.entry(group.to_owned()).or_default();
        of_group.retain(|at, _| partitions.contains(at));
        for at in partitions {
            let place = places.and_then(|places| places.get(at)).copied().unwrap_or_default();
            let log = seen.logs.get(at).copied().unwrap_or_default();
            let look = Look {
                committed: place.offset,
                begin: log.begin,
                end: log.end,
                lag: lag(description.kind, place, log),
                is_owned: owned.contains(at),
            };
            of_group.entry(at.clone()).or_default().saw(look);
        }
    }

    /// With what was known of logs, and of groups in partitions.
    pub(in crate::commands) fn again(
        logs: BTreeMap<TopicPartition, Ends>,
        groups: BTreeMap<String, BTreeMap<TopicPartition, Looks>>,
    ) -> Self {
        Self { at: 0, logs, groups }
    }

    /// What was known before goes on where it was; what has been seen meanwhile stays of what is new.
    pub(in crate::commands) fn learn(&mut self, before: Self) {
        self.logs.extend(before.logs);
        for (group, looks) in before.groups {
            self.groups.entry(group).or_default().extend(looks);
        }
    }

    pub(in crate::commands) fn logs(&self) -> impl Iterator<Item = (&TopicPartition, &Ends)> {
        self.logs.iter()
    }

    pub(in crate::commands) fn ends(&self, at: &TopicPartition) -> Option<&Ends> {
        self.logs.get(at)
    }

    /// All groups in all partitions.
    pub(in crate::commands) fn places(&self) -> impl Iterator<Item = (&str, &TopicPartition, &Looks)> {
        self.groups
            .iter()
            .flat_map(|(group, looks)| looks.iter().map(move |(at, looks)| (group.as_str(), at, looks)))
    }

    pub(in crate::commands) fn looks(&self, group: &str, at: &TopicPartition) -> Option<&Looks> {
        self.groups.get(group)?.get(at)
    }

    /// When the last look was, in milliseconds since 1970.
    pub(in crate::commands) fn at(&self) -> i64 {
        self.at
    }

    pub(in crate::commands) fn status(&self, group: &str, at: &TopicPartition) -> Option<Status> {
        self.looks(group, at)?.status()
    }

    /// How old the record at the offset is, in seconds: nothing where all is read.
    pub(in crate::commands) fn age(&self, at: &TopicPartition, offset: i64) -> Option<f64> {
        match self.logs.get(at)?.written(offset) {
            Written::At(written) => Some(seconds(self.at - written)),
            Written::NotYet => Some(0.0),
            Written::Before(_) => None,
        }
    }
}

/// Of a time in milliseconds.
pub(super) fn seconds(millis: i64) -> f64 {
    millis.max(0) as f64 / 1_000.0
}
