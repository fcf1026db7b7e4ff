//! Why a group makes no progress: what several looks at it show, by the rules of [`rules`].

mod look;
mod members;
mod named;
mod progress;
mod rules;
mod seen;
mod transactions;
mod unread;

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription},
};

use self::{
    look::{Log, Look},
    members::History,
    seen::Seen,
};
use super::finding::{Finding, Severity};
use crate::{
    args::Common,
    commands::lag::{Place, Places},
    history::{self, Looks},
};

/// Groups, and what the looks so far have shown.
#[derive(Debug)]
pub(super) struct Groups {
    /// Those that the user named; all, where there are none.
    named: Vec<String>,
    /// How many were answered.
    looks: u32,
    /// How many were not, and why the first of them was not.
    missed: u32,
    why: Vec<Finding>,
    /// What is known last: of the last look that was answered.
    last: Look,
    of_groups: BTreeMap<String, OfGroup>,
    /// Since which look readers of committed records get no further in a log, and where that is.
    stable: BTreeMap<TopicPartition, (i64, u32)>,
    /// Places from which on there is no record, though the log goes on.
    bare: BTreeSet<unread::Place>,
}

/// A group, over the looks.
#[derive(Debug, Default)]
struct OfGroup {
    history: History,
    partitions: BTreeMap<TopicPartition, Partition>,
}

/// A partition of a group, over the looks that told where the group is.
#[derive(Debug, Default)]
struct Partition {
    looks: Looks,
    /// In how many looks nobody had it.
    unowned: u32,
}

impl Groups {
    pub(super) fn new(named: Vec<String>) -> Self {
        Self {
            named,
            looks: 0,
            missed: 0,
            why: Vec::new(),
            last: Look::default(),
            of_groups: BTreeMap::new(),
            stable: BTreeMap::new(),
            bare: BTreeSet::new(),
        }
    }

    /// There is no group that could be looked at again.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_answered && self.last.groups.is_empty()
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
        if !look.is_answered {
            self.missed += 1;
            if self.why.is_empty() {
                self.why.clone_from(&look.findings);
            }
            // What was not told is as it was, as far as anybody knows.
            match self.looks {
                0 => self.last = look,
                _ => (self.last.findings, self.last.is_answered) = (look.findings, false),
            }
            return;
        }
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
            self.of_groups.entry(name.clone()).or_default().saw(group, look.places.get(name), &look);
        }
        self.last = look;
    }

    /// Looks whether there is anything to read where groups stand little before the end.
    pub(super) async fn read(&mut self, common: &Common) {
        let mut standing = BTreeSet::new();
        for group in self.last.groups.keys() {
            let seen = self.seen(group, &[]).into_iter().filter(Seen::is_near_the_end);
            standing.extend(seen.filter_map(|it| Some((it.at, it.committed?))));
        }
        // Where it may not be read, it is not known.
        _ = unread::bare(common, standing, &mut self.bare).await;
    }

    /// The transactions that hold groups back, and whose they are.
    pub(super) async fn transactions(&self, admin: &Admin) -> Vec<Finding> {
        transactions::examine(admin, &self.held_back(), self.looks).await
    }

    /// What all looks together show, with what was found of transactions; nothing of these where they were not asked.
    pub(super) fn findings(mut self, transactions: Option<Vec<Finding>>) -> Vec<Finding> {
        let mut findings = std::mem::take(&mut self.last.findings);
        if self.last.is_answered {
            let all = self.looks + self.missed;
            let missed = |it: Finding| {
                let seen = format!("at {} of {all} looks: {}", self.missed, it.seen);
                Finding { seen, ..it }.severity(Severity::Warning)
            };
            findings.extend(std::mem::take(&mut self.why).into_iter().map(missed));
        }
        // Of these it is not known whether all is well.
        let bad = findings.iter().filter(|it| it.severity == Severity::Error);
        let refused: BTreeSet<String> = bad.filter_map(|it| it.place.group.clone()).collect();
        let open = transactions.unwrap_or_else(|| transactions::unasked(&self.held_back(), self.looks));
        // What was refused is about no group.
        findings.extend(open.iter().filter(|it| it.place.group.is_none()).cloned());
        let unseen = OfGroup::default();
        for (name, group) in &self.last.groups {
            let history = &self.of_groups.get(name).unwrap_or(&unseen).history;
            let is_named = !self.named.is_empty();
            let held_back = open.iter().filter(|it| it.place.group.as_deref() == Some(name)).cloned();
            let mut told: Vec<Finding> = held_back.collect();
            let seen = self.seen(name, &told);
            told.extend(rules::findings(name, group, history, &seen, &self.last, is_named));
            if told.is_empty() && self.last.is_answered && !refused.contains(name) {
                told.push(rules::well(name, group, history, &seen));
            }
            findings.extend(told);
        }
        if self.last.groups.is_empty() && findings.is_empty() {
            findings.push(rules::no_groups());
        }
        findings
    }

    /// What was seen of each partition of a group. It is excused where it stands at a transaction that was told of, and there
    /// alone: what is told by neither would pass for well.
    fn seen(&self, group: &str, held_back: &[Finding]) -> Vec<Seen<'_>> {
        let places = held_back.iter().filter_map(|it| it.place.topic.as_deref().zip(it.place.partition));
        let told: BTreeSet<(&str, i32)> = places.collect();
        let Some(OfGroup { history, partitions }) = self.of_groups.get(group) else { return Vec::new() };
        let description = self.last.groups.get(group);
        let kind = description.map(|group| group.kind);
        let places = self.last.places.get(group);
        let mut owners: BTreeMap<&TopicPartition, Vec<&MemberDescription>> = BTreeMap::new();
        for member in description.into_iter().flat_map(|group| &group.members) {
            for at in &member.assignment {
                owners.entry(at).or_default().push(member);
            }
        }
        let mut of = |(at, of): (&TopicPartition, &Partition)| {
            let log = self.last.logs.get(at).copied().unwrap_or_default();
            let place = places.and_then(|places| places.get(at)).copied().unwrap_or_default();
            let lag = lag(kind, place, log);
            Seen {
                at: at.clone(),
                committed: place.offset,
                log,
                lag,
                owners: owners.remove(at).unwrap_or_default(),
                // Of the look in which nothing was told nothing follows.
                status: places.and_then(|_| of.looks.status()),
                grown: of.looks.grown(),
                // Members of a classic group see a new partition when they next ask for metadata.
                is_unowned: of.unowned >= 2 && of.unowned == history.told,
                is_bare: place.offset.is_some_and(|offset| self.bare.contains(&(at.clone(), offset))),
                is_held_back: stands(place.offset, log.stable)
                    && told.contains(&(at.topic.as_str(), at.partition)),
            }
        };
        partitions.iter().map(&mut of).collect()
    }

    /// The partitions in which readers of committed records have stood for as long as it takes to call a group stuck, with the
    /// groups that read them.
    fn held_back(&self) -> Vec<transactions::Held> {
        let window = u32::try_from(history::WINDOW).unwrap_or(u32::MAX);
        let latest = self.looks.saturating_sub(window) + 1;
        let stood = self.stable.iter().filter(|(_, (_, since))| *since <= latest);
        let held = |(at, (stable, _)): (&TopicPartition, &(i64, u32))| {
            let reads = self.of_groups.iter().filter(|(_, of)| of.partitions.contains_key(at));
            let commit = |group: &String| self.last.places.get(group)?.get(at)?.offset;
            let groups = reads.map(|(group, _)| (group.clone(), stands(commit(group), Some(*stable))));
            let end = self.last.logs.get(at).and_then(|log| log.end).unwrap_or(*stable);
            transactions::Held { at: at.clone(), stable: *stable, end, groups: groups.collect() }
        };
        stood.map(held).collect()
    }
}

impl OfGroup {
    /// Another look, which told where the group is or did not: that is not the same as a group that has committed nothing.
    fn saw(&mut self, group: &GroupDescription, places: Option<&Places>, look: &Look) {
        self.history.saw(group, places.is_some());
        let Some(places) = places else { return };
        let owned: BTreeSet<&TopicPartition> =
            group.members.iter().flat_map(|member| &member.assignment).collect();
        let wanted = rules::wanted(group, &look.topics);
        for at in places.keys().chain(owned.iter().copied()).chain(&wanted).collect::<BTreeSet<_>>() {
            let is_owned = owned.contains(at);
            let of = self.partitions.entry(at.clone()).or_default();
            of.unowned = if is_owned { 0 } else { of.unowned + 1 };
            let Some(log) = look.logs.get(at).copied() else { continue };
            let place = places.get(at).copied().unwrap_or_default();
            let lag = lag(Some(group.kind), place, log);
            // Where its coordinator does not count, it is not known whether anything waits.
            if group.kind == GroupKind::Share && lag.is_none() {
                continue;
            }
            let Log { begin, end, .. } = log;
            of.looks.saw(history::Look { committed: place.offset, begin, end, lag, is_owned });
        }
    }
}

/// What of a share group is done, its coordinator knows alone.
fn lag(kind: Option<GroupKind>, place: Place, log: Log) -> Option<i64> {
    match kind {
        Some(GroupKind::Share) => place.lag,
        _ => Some(log.end? - place.offset?),
    }
}

/// A group that has committed up to where readers of committed records get to.
fn stands(committed: Option<i64>, stable: Option<i64>) -> bool {
    committed.zip(stable).is_some_and(|(committed, stable)| committed >= stable)
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Kind, *};

    /// A group that has stood at 10 of a log, as readers of committed records do, since this look of ten.
    fn held_since(since: u32) -> (Groups, TopicPartition) {
        let at = TopicPartition::new("t", 0);
        let mut groups = Groups::new(Vec::new());
        groups.looks = 10;
        let of = OfGroup { partitions: [(at.clone(), Partition::default())].into(), ..OfGroup::default() };
        groups.of_groups.insert("g".to_owned(), of);
        groups.stable.insert(at.clone(), (10, since));
        let log = Log { begin: Some(0), end: Some(15), stable: Some(10) };
        groups.last.logs.insert(at.clone(), log);
        let place = Place { offset: Some(10), ..Place::default() };
        groups.last.places.insert("g".to_owned(), [(at.clone(), place)].into());
        (groups, at)
    }

    #[test]
    fn a_group_that_stands_is_excused_by_a_transaction_that_was_told_of_and_by_no_other() {
        let (groups, at) = held_since(1);
        let is_excused = |told: &[Finding]| groups.seen("g", told)[0].is_held_back;
        assert!(!is_excused(&[]), "nobody was told why");
        let elsewhere = TopicPartition::new("t", 1);
        for kind in [Kind::OpenTransaction, Kind::HangingTransaction] {
            assert!(is_excused(&[Finding::new(kind, "open").group("g").partition(&at)]));
            assert!(!is_excused(&[Finding::new(kind, "open").group("g").partition(&elsewhere)]));
        }
    }

    #[test]
    fn a_look_that_was_not_answered_leaves_what_is_known_and_is_told() {
        let no_answer = || {
            let findings = vec![Finding::new(Kind::NotAnswered, "no answer")];
            Look { findings, ..Look::default() }
        };
        let told = |groups: Groups| {
            let found = groups.findings(None).remove(0);
            (found.kind, found.severity, found.seen)
        };
        let (mut groups, at) = held_since(1);
        groups.saw(no_answer());
        assert_eq!(groups.looks, 10, "it counts for nothing");
        assert!(groups.last.logs.contains_key(&at), "nobody knows better");
        assert_eq!(told(groups), (Kind::NotAnswered, Severity::Error, "no answer".to_owned()));
        // One after which others were answered.
        let (mut groups, _) = held_since(1);
        groups.saw(no_answer());
        groups.saw(Look { is_answered: true, ..Look::default() });
        let seen = "at 1 of 12 looks: no answer".to_owned();
        assert_eq!(told(groups), (Kind::NotAnswered, Severity::Warning, seen));
    }

    #[test]
    fn the_lag_of_a_share_group_is_what_its_coordinator_counts() {
        let log = Log { begin: Some(0), end: Some(15), stable: Some(15) };
        let place = |lag| Place { offset: Some(5), lag, ..Place::default() };
        assert_eq!(lag(Some(GroupKind::Share), place(Some(2)), log), Some(2), "the others are done");
        assert_eq!(lag(Some(GroupKind::Share), place(None), log), None, "as before Kafka 4.2");
        assert_eq!(lag(Some(GroupKind::Classic), place(None), log), Some(10));
    }

    #[test]
    fn what_is_held_back_for_a_moment_is_asked_for_by_nobody() {
        assert_eq!(held_since(1).0.held_back().len(), 1);
        assert!(held_since(2).0.held_back().is_empty());
        // As many looks as it takes to call a group stuck, of more.
        let (mut groups, _) = held_since(21);
        groups.looks = 30;
        assert_eq!(groups.held_back().len(), 1);
        assert_eq!(groups.held_back()[0].groups, [("g".to_owned(), true)]);
    }
}
