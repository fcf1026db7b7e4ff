//! What is asked of a cluster: where groups are, and where the logs begin and end.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use ottla::{
    Admin, IsolationLevel, OffsetAndTimestamp, TopicPartition,
    admin::{GroupDescription, OffsetSpec},
    error::{AdminError, AdminErrorKind},
};

use super::places::{Placed, Places, Refused};
use crate::{
    args::GroupFilters,
    commands::{
        groups::{Found, find},
        topics::begins_and_ends,
    },
    failure::{Failure, Failures},
};

/// Of how many partitions the ends, or the sizes, are asked at once. What is asked and answered takes a few hundred bytes of each for that moment.
pub(super) const AT_ONCE: usize = 4_096;

/// Where a log begins and ends, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::commands) struct Log {
    pub(in crate::commands) begin: Option<i64>,
    pub(in crate::commands) end: Option<i64>,
    /// Where it ends for readers of committed records, as far as that is known, where it is asked for.
    pub(in crate::commands) stable: Option<Option<i64>>,
}

impl Log {
    /// Where it ends for whom the lag is told.
    pub(in crate::commands) fn readable_end(self) -> Option<i64> {
        self.stable.unwrap_or(self.end)
    }
}

/// All that was asked at once. Each partition stands for itself.
#[derive(Debug, Default)]
pub(in crate::commands) struct Seen {
    pub(in crate::commands) groups: BTreeMap<String, GroupDescription>,
    /// As [`Found`] has them.
    pub(in crate::commands) hidden: BTreeSet<String>,
    pub(in crate::commands) untold: BTreeSet<String>,
    pub(in crate::commands) places: BTreeMap<String, Places>,
    /// Groups whose places could not be told, or not all of them.
    pub(in crate::commands) unplaced: BTreeSet<String>,
    pub(in crate::commands) logs: BTreeMap<TopicPartition, Log>,
    /// What was named and could not be told.
    pub(in crate::commands) failures: Failures,
    /// What rows do not show by themselves.
    pub(in crate::commands) notes: Vec<String>,
    /// Groups were named, and others do not matter.
    is_named: bool,
}

impl Seen {
    pub(in crate::commands) async fn ask(
        admin: &Admin,
        named: &[String],
        filters: &GroupFilters,
    ) -> Result<Self, Failure> {
        let Found { groups, hidden, untold, failures, notes } = find(admin, named.to_vec(), filters).await?;
        let is_named = !named.is_empty();
        let mut seen = Self { groups, hidden, untold, failures, notes, is_named, ..Self::default() };
        seen.ask_places(admin).await?;
        let assigned =
            seen.groups.values().flat_map(|group| &group.members).flat_map(|member| &member.assignment);
        let all = seen.places.values().flat_map(BTreeMap::keys).chain(assigned).cloned().collect();
        seen.ask_logs(admin, all).await?;
        if seen.is_named {
            let states = seen.groups.iter().filter_map(|(name, group)| of_state(name, group));
            seen.notes.extend(states);
        }
        Ok(seen)
    }

    /// Of what was named it is a failure; what is left out of all is told.
    fn missed(&mut self, error: AdminError) {
        match self.is_named {
            true => self.failures.add(error),
            false => self.notes.push(format!("{error:#}")),
        }
    }

    /// Where the logs end for readers of committed records: of those whose end is known.
    pub(super) async fn ask_stable(&mut self, admin: &Admin) -> Result<(), Failure> {
        self.logs.values_mut().for_each(|log| log.stable = Some(None));
        let partitions: Vec<TopicPartition> = self.logs.keys().cloned().collect();
        for some in partitions.chunks(AT_ONCE) {
            let latest = some.iter().map(|at| (at.clone(), OffsetSpec::Latest));
            for (at, told) in admin.list_offsets_for(IsolationLevel::ReadCommitted, latest).await? {
                match told {
                    Ok(told) => {
                        let log = self.logs.entry(at).or_default();
                        // What was written since the end was asked for is not ahead of it.
                        log.stable = Some(told.map(|told| told.offset).min(log.end));
                    }
                    Err(error) => self.missed(error),
                }
            }
        }
        Ok(())
    }

    async fn ask_places(&mut self, admin: &Admin) -> Result<(), Failure> {
        let Placed { places, refused } = Placed::ask(admin, &self.groups).await?;
        self.places = places;
        for Refused { group, error, .. } in refused {
            self.missed(error);
            self.unplaced.insert(group);
        }
        Ok(())
    }

    /// The logs that can be asked for now: nobody waits for a leader, which is told.
    async fn ask_logs(
        &mut self,
        admin: &Admin,
        mut partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), Failure> {
        let names: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
        let topics = admin.describe_topics(names).await?;
        partitions.retain(|at| {
            let Some(Ok(topic)) = topics.get(&at.topic) else { return false };
            let known = topic.partitions.get(&at.partition);
            if known.is_some_and(|known| known.leader.is_none()) {
                self.notes.push(format!("partition {at} has no leader: its end is not known"));
            }
            known.is_some_and(|known| known.leader.is_some())
        });
        // The topic may be gone, and its offsets not yet.
        let is_gone = |error: &AdminError| error.kind() == AdminErrorKind::UnknownTopic;
        let mut refused: Vec<AdminError> =
            topics.into_values().filter_map(Result::err).filter(|error| !is_gone(error)).collect();
        while !partitions.is_empty() {
            let some = iter::from_fn(|| partitions.pop_first()).take(AT_ONCE).collect();
            let (mut begins, ends) = begins_and_ends(admin, &some).await?;
            for (at, end) in ends {
                let begin = begins.remove(&at).unwrap_or(Ok(None));
                let offset = |told: &Result<Option<OffsetAndTimestamp>, AdminError>| {
                    told.as_ref().ok().copied().flatten().map(|told| told.offset)
                };
                let log = Log { begin: offset(&begin), end: offset(&end), stable: None };
                // Both are of one leader: what is wrong there is told once.
                refused.extend(end.err().or(begin.err()));
                self.logs.insert(at, log);
            }
        }
        refused.into_iter().for_each(|error| self.missed(error));
        Ok(())
    }
}

fn of_state(group: &str, description: &GroupDescription) -> Option<String> {
    if description.is_rebalancing() {
        let state = &description.state;
        return Some(format!(
            "group `{group}` is rebalancing ({state}): these are the partitions of the moment"
        ));
    }
    description.members.is_empty().then(|| format!("group `{group}` has no members"))
}
