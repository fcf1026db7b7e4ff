//! Why a group makes no progress: what several looks at it show, by the rules of [`rules`].

mod look;
mod rules;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Admin, TopicPartition, admin::GroupKind};

use self::{
    look::{Log, Look},
    rules::{History, Seen},
};
use super::finding::Finding;
use crate::history::{self, Looks};

/// Groups, and what the looks so far have shown.
#[derive(Debug)]
pub(super) struct Groups {
    /// Those that the user named; all, where there are none.
    named: Vec<String>,
    looks: u32,
    last: Look,
    of_groups: BTreeMap<String, History>,
    of_partitions: BTreeMap<(String, TopicPartition), Partition>,
    /// Since which look readers of committed records get no further in a log, and where that is.
    stable: BTreeMap<TopicPartition, (i64, u32)>,
}

/// A partition of a group, over the looks.
#[derive(Debug, Default)]
struct Partition {
    looks: Looks,
    /// The first lag that was known.
    first_lag: Option<i64>,
    /// In how many looks nobody had it.
    unowned: u32,
}

impl Groups {
    pub(super) fn new(named: Vec<String>) -> Self {
        Self {
            named,
            looks: 0,
            last: Look::default(),
            of_groups: BTreeMap::new(),
            of_partitions: BTreeMap::new(),
            stable: BTreeMap::new(),
        }
    }

    /// There is no group that could be looked at again.
    pub(super) fn is_empty(&self) -> bool {
        self.last.groups.is_empty()
    }

    /// The topics that groups read.
    pub(super) fn topics(&self) -> BTreeSet<String> {
        self.last.wanted()
    }

    /// The same, where others do not matter.
    pub(super) fn wanted_topics(&self) -> Option<BTreeSet<String>> {
        (!self.named.is_empty()).then(|| self.topics())
    }

    /// Looks once more.
    pub(super) async fn look(&mut self, admin: &Admin) {
        let look = Look::take(admin, &self.named).await;
        self.saw(look);
    }

    fn saw(&mut self, look: Look) {
        self.looks += 1;
        for (at, log) in &look.logs {
            if let Some(stable) = log.stable.filter(|stable| log.end.is_some_and(|end| *stable < end)) {
                let since =
                    self.stable.get(at).filter(|(known, _)| *known == stable).map(|(_, since)| *since);
                self.stable.insert(at.clone(), (stable, since.unwrap_or(self.looks)));
            } else {
                self.stable.remove(at);
            }
        }
        for (name, group) in &look.groups {
            self.of_groups.entry(name.clone()).or_default().saw(group);
            if group.kind == GroupKind::Share {
                continue;
            }
            let no_commits = BTreeMap::new();
            let commits = look.commits.get(name).unwrap_or(&no_commits);
            let owned: BTreeSet<&TopicPartition> =
                group.members.iter().flat_map(|member| &member.assignment).collect();
            let wanted = rules::wanted(group, &look.topics);
            for at in commits.keys().chain(owned.iter().copied()).chain(&wanted).collect::<BTreeSet<_>>() {
                let log = look.logs.get(at).copied().unwrap_or_default();
                let committed = commits.get(at).map(|committed| committed.offset);
                let is_owned = owned.contains(at);
                let of = self.of_partitions.entry((name.clone(), at.clone())).or_default();
                of.unowned = if is_owned { 0 } else { of.unowned + 1 };
                if !look.logs.contains_key(at) {
                    continue;
                }
                let lag = log.end.zip(committed).map(|(end, committed)| end - committed);
                of.first_lag = of.first_lag.or(lag);
                let Log { begin, end, .. } = log;
                of.looks.saw(history::Look { committed, begin, end, lag, is_owned });
            }
        }
        self.last = look;
    }

    /// What all looks together show.
    pub(super) async fn findings(mut self, admin: &Admin) -> Vec<Finding> {
        let mut findings = std::mem::take(&mut self.last.findings);
        let held = self.held_back();
        let open = transactions::examine(admin, &held, self.looks).await;
        for (name, group) in &self.last.groups {
            let history = self.of_groups.get(name).cloned().unwrap_or_default();
            let seen = self.seen(name);
            let is_named = !self.named.is_empty();
            let held_back = open.iter().filter(|it| it.place.group.as_deref() == Some(name)).cloned();
            let mut told: Vec<Finding> = held_back.collect();
            told.extend(rules::findings(name, group, &history, &seen, &self.last, self.looks, is_named));
            if told.is_empty() {
                told.push(rules::well(name, group, &seen, self.looks));
            }
            findings.extend(told);
        }
        if self.last.groups.is_empty() && findings.is_empty() {
            findings.push(rules::no_groups());
        }
        findings
    }

    /// What was seen of each partition of a group.
    fn seen(&self, group: &str) -> Vec<Seen<'_>> {
        let description = self.last.groups.get(group);
        let commits = self.last.commits.get(group);
        let members = || description.into_iter().flat_map(|group| &group.members);
        let of = |((_, at), of): (&(String, TopicPartition), &Partition)| {
            let log = self.last.logs.get(at).copied().unwrap_or_default();
            let committed = commits.and_then(|commits| commits.get(at)).map(|it| it.offset);
            let lag = log.end.zip(committed).map(|(end, committed)| end - committed);
            Seen {
                at: at.clone(),
                committed,
                log,
                owner: members().find(|member| member.assignment.contains(at)),
                status: of.looks.status(),
                grown: lag.zip(of.first_lag).map(|(lag, first)| lag - first),
                is_unowned: of.unowned == self.looks,
                is_held_back: self.stable.contains_key(at) && committed >= log.stable,
            }
        };
        let of_group = self.of_partitions.iter().filter(|((name, _), _)| name == group);
        of_group.map(of).collect()
    }

    /// The partitions in which readers of committed records stood at all looks, with the groups that read them.
    fn held_back(&self) -> Vec<transactions::Held> {
        let stood = self.stable.iter().filter(|(_, (_, since))| *since == 1);
        let held = |(at, (stable, _)): (&TopicPartition, &(i64, u32))| {
            let of_group = self.of_partitions.keys().filter(|(_, of)| of == at);
            let commit = |group: &String| Some(self.last.commits.get(group)?.get(at)?.offset);
            let groups = of_group.map(|(group, _)| (group.clone(), commit(group) >= Some(*stable)));
            let end = self.last.logs.get(at).and_then(|log| log.end).unwrap_or(*stable);
            transactions::Held { at: at.clone(), stable: *stable, end, groups: groups.collect() }
        };
        stood.map(held).collect()
    }
}
