//! What is wrong with a group, from what the looks have shown. No I/O: what is seen goes in, findings come out.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription, Topic},
};

use super::{
    super::finding::{Finding, Kind, Severity},
    look::{Log, Look},
};
use crate::history::Status;

/// How many partitions, or members, are named in one finding.
const NAMED: usize = 5;
/// So many members that came, or went, within the looks are more than a deployment's one after the other.
const MANY_CHANGES: usize = 2;

/// A partition of a group, as the looks show it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) at: TopicPartition,
    pub(super) committed: Option<i64>,
    pub(super) log: Log,
    pub(super) owner: Option<&'a MemberDescription>,
    pub(super) status: Option<Status>,
    /// By how much its lag has grown since the first look.
    pub(super) grown: Option<i64>,
    /// Nobody had it at any look.
    pub(super) is_unowned: bool,
    /// The group stands where an open transaction begins.
    pub(super) is_held_back: bool,
}

impl Seen<'_> {
    fn lag(&self) -> Option<i64> {
        Some(self.log.end? - self.committed?)
    }
}

/// What all looks have shown of a group as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    rebalancing: u32,
    members: BTreeSet<String>,
    /// Members that were not there at the look before.
    came: usize,
    /// Members that were there, and are not.
    went: usize,
    looks: u32,
}

impl History {
    pub(super) fn saw(&mut self, group: &GroupDescription) {
        self.rebalancing = if group.is_rebalancing() { self.rebalancing + 1 } else { 0 };
        let now: BTreeSet<String> = group.members.iter().map(|member| member.member_id.clone()).collect();
        if self.looks > 0 {
            self.came += now.difference(&self.members).count();
            self.went += self.members.difference(&now).count();
        }
        (self.members, self.looks) = (now, self.looks + 1);
    }
}

/// The partitions of the topics that its members want, as far as they are told.
pub(super) fn wanted(group: &GroupDescription, topics: &BTreeMap<String, Topic>) -> Vec<TopicPartition> {
    if !matches!(group.kind, GroupKind::Classic | GroupKind::Consumer) {
        return Vec::new();
    }
    let members = || group.members.iter();
    // What matches a pattern is known by what is assigned of it.
    let assigned = members().flat_map(|member| &member.assignment).map(|at| &at.topic);
    let names: BTreeSet<&String> =
        members().flat_map(|member| &member.subscription).chain(assigned).collect();
    let of = |name: &String| {
        let partitions = topics.get(name).into_iter().flat_map(|topic| topic.partitions.keys());
        partitions.map(|number| TopicPartition::new(name.as_str(), *number)).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of).collect()
}

/// All that is wrong with it.
pub(super) fn findings(
    name: &str,
    group: &GroupDescription,
    history: &History,
    seen: &[Seen<'_>],
    look: &Look,
    looks: u32,
    is_named: bool,
) -> Vec<Finding> {
    let mut findings = membership(group, history, looks);
    findings.extend(topics(group, seen, look));
    findings.extend(outside(seen));
    let is_rebalancing = group.is_rebalancing();
    if !is_rebalancing {
        findings.extend(owners(group, seen, look));
    }
    if group.members.is_empty() {
        findings.extend(deserted(seen, is_named));
    } else if !is_rebalancing {
        findings.extend(progress(seen));
    }
    findings.into_iter().map(|finding| finding.group(name)).collect()
}

/// A group with which nothing is wrong.
pub(super) fn well(name: &str, group: &GroupDescription, seen: &[Seen<'_>], looks: u32) -> Finding {
    let lag: i64 = seen.iter().filter_map(Seen::lag).sum();
    let mut told = format!(
        "{}, {}, {} members, {} partitions, lag {lag}",
        group.state,
        group.kind,
        group.members.len(),
        seen.len()
    );
    if (looks as usize) < crate::history::WINDOW {
        told.push_str(&format!("; how it gets on takes {} looks to tell", crate::history::WINDOW));
    }
    Finding::new(Kind::Group, told).group(name)
}

pub(super) fn no_groups() -> Finding {
    Finding::new(Kind::Group, "there are no groups")
}

fn membership(group: &GroupDescription, history: &History, looks: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    if group.is_rebalancing() {
        let state = &group.state;
        let finding = match history.rebalancing >= 2 && history.rebalancing == looks {
            true => {
                let seen =
                    format!("it was rebalancing ({state}) at all {looks} looks; {}", in_the_way(group));
                Finding::new(Kind::RebalanceStuck, seen)
            }
            false => Finding::new(Kind::Rebalancing, format!("it is rebalancing ({state}) now")),
        };
        let stragglers = stragglers(group);
        findings.push(match stragglers.as_slice() {
            [(only, _)] => finding.member(&only.member_id),
            _ => finding,
        });
    }
    if history.came.max(history.went) >= MANY_CHANGES {
        let seen = format!("within {looks} looks {} members came, and {} went", history.came, history.went);
        findings.push(Finding::new(Kind::MembersComeAndGo, seen));
    }
    findings
}

/// Who is not where the group is, and why.
fn stragglers(group: &GroupDescription) -> Vec<(&MemberDescription, String)> {
    let why = |member: &MemberDescription| {
        let keeps: Vec<&TopicPartition> = match &member.target {
            Some(target) => member.assignment.iter().filter(|at| !target.contains(at)).collect(),
            None => Vec::new(),
        };
        if !keeps.is_empty() {
            return Some(format!("has not given up {}", listed(keeps.into_iter())));
        }
        match (member.epoch, group.group_epoch) {
            (Some(epoch), Some(of_group)) if epoch < of_group => {
                Some(format!("is in epoch {epoch} of {of_group}"))
            }
            _ => None,
        }
    };
    let all: Vec<(&MemberDescription, String)> =
        group.members.iter().filter_map(|member| Some((member, why(member)?))).collect();
    // Who waits for what another has is no straggler.
    let keeping: Vec<_> = all.iter().filter(|(_, why)| why.starts_with("has not")).cloned().collect();
    if keeping.is_empty() { all } else { keeping }
}

fn in_the_way(group: &GroupDescription) -> String {
    let stragglers = stragglers(group);
    if stragglers.is_empty() {
        let ids: Vec<String> = group.members.iter().take(NAMED).map(shown).collect();
        let more = if group.members.len() > NAMED { ", …" } else { "" };
        return format!("its members, of which one or more have not joined again: {}{more}", ids.join(", "));
    }
    let told = stragglers.iter().take(NAMED).map(|(member, why)| format!("{} {why}", shown(member)));
    told.collect::<Vec<_>>().join("; ")
}

/// By what people know it.
fn shown(member: &MemberDescription) -> String {
    let name = member.group_instance_id.as_deref().unwrap_or(&member.member_id);
    format!("`{name}` (client {}, at {})", member.client_id, member.host)
}

fn topics(group: &GroupDescription, seen: &[Seen<'_>], look: &Look) -> Vec<Finding> {
    let members = || group.members.iter();
    let wanted: BTreeSet<&String> =
        members().flat_map(|member| &member.subscription).chain(&group.source_topics).collect();
    let mut findings: Vec<Finding> = wanted
        .iter()
        .filter(|topic| look.gone.contains(**topic))
        .map(|topic| {
            let who: Vec<String> = members()
                .filter(|member| member.subscription.contains(*topic))
                .take(NAMED)
                .map(shown)
                .collect();
            let who = if who.is_empty() { "its topology".to_owned() } else { who.join(", ") };
            Finding::new(Kind::TopicGone, format!("subscribed to by {who}, and it does not exist"))
                .topic(topic)
        })
        .collect();
    let committed: BTreeSet<&String> =
        seen.iter().filter(|it| it.committed.is_some()).map(|it| &it.at.topic).collect();
    findings.extend(committed.difference(&wanted).filter(|topic| look.gone.contains(**topic)).map(|topic| {
        Finding::new(Kind::CommitOfGone, "the group has committed offsets of it, and it does not exist")
            .topic(topic)
    }));
    findings
}

fn outside(seen: &[Seen<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for it in seen {
        let (Some(committed), Some(begin), Some(end)) = (it.committed, it.log.begin, it.log.end) else {
            continue;
        };
        if committed < begin {
            let seen = format!(
                "it has committed {committed}, and the log begins at {begin}: {} offsets are gone",
                begin - committed
            );
            findings.push(Finding::new(Kind::BeforeBegin, seen).partition(&it.at));
        } else if committed > end {
            let seen = format!("it has committed {committed}, and the log ends at {end}");
            findings.push(Finding::new(Kind::BeyondEnd, seen).partition(&it.at));
        }
    }
    findings
}

fn owners(group: &GroupDescription, seen: &[Seen<'_>], look: &Look) -> Vec<Finding> {
    if group.members.is_empty() || !matches!(group.kind, GroupKind::Classic | GroupKind::Consumer) {
        return Vec::new();
    }
    let wanted: BTreeSet<TopicPartition> = wanted(group, &look.topics).into_iter().collect();
    let mut findings = Vec::new();
    let unowned: Vec<&TopicPartition> =
        seen.iter().filter(|it| it.is_unowned && wanted.contains(&it.at)).map(|it| &it.at).collect();
    if !unowned.is_empty() {
        let seen = format!(
            "no member has {} of {} partitions that members are subscribed to: {}",
            unowned.len(),
            wanted.len(),
            listed(unowned.iter().copied())
        );
        findings.push(of_one(Finding::new(Kind::PartitionUnowned, seen), &unowned));
    }
    let idle: Vec<&MemberDescription> =
        group.members.iter().filter(|member| member.assignment.is_empty()).collect();
    // Where some are nobody's, these are not idle for want of partitions.
    if !idle.is_empty() && unowned.is_empty() && !wanted.is_empty() {
        let names: Vec<String> = idle.iter().take(NAMED).map(|member| shown(member)).collect();
        let seen = format!(
            "{} of {} members have no partition, as there are {}: {}",
            idle.len(),
            group.members.len(),
            wanted.len(),
            names.join(", ")
        );
        findings.push(Finding::new(Kind::MemberIdle, seen));
    }
    findings
}

/// Without members: what is not read.
fn deserted(seen: &[Seen<'_>], is_named: bool) -> Vec<Finding> {
    // One that assigns partitions by hand is no member, and may read all the same.
    let stands = |it: &&Seen<'_>| it.lag() > Some(0) && !matches!(it.status, Some(Status::Ok | Status::Warn));
    let left: Vec<&Seen<'_>> = seen.iter().filter(stands).collect();
    let lag: i64 = left.iter().filter_map(|it| it.lag()).sum();
    if left.is_empty() {
        return Vec::new();
    }
    let partitions: Vec<&TopicPartition> = left.iter().map(|it| &it.at).collect();
    let seen = format!("nobody is in it, and {lag} records wait: {}", listed(partitions.iter().copied()));
    let severity = if is_named { Severity::Error } else { Severity::Warning };
    vec![of_one(Finding::new(Kind::NoMembers, seen).severity(severity), &partitions)]
}

/// How it gets on where members have its partitions.
fn progress(seen: &[Seen<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = |status: Status| seen.iter().filter(move |it| it.status == Some(status));
    let mut stuck: BTreeMap<(&str, bool), Vec<&Seen<'_>>> = BTreeMap::new();
    let owned = of(Status::Stall).chain(of(Status::Stop)).filter(|it| !it.is_held_back);
    for (it, owner) in owned.filter_map(|it| Some((it, it.owner?))) {
        stuck.entry((owner.member_id.as_str(), it.committed.is_some())).or_default().push(it);
    }
    for ((member, has_committed), partitions) in stuck {
        let Some(owner) = partitions.first().and_then(|it| it.owner) else { continue };
        let lag: i64 = partitions.iter().filter_map(|it| it.lag()).sum();
        let all: Vec<&TopicPartition> = partitions.iter().map(|it| &it.at).collect();
        let listed = listed(all.iter().copied());
        let (kind, seen) = match has_committed {
            true => {
                let seen =
                    format!("{} has not moved in {listed} at any look, and {lag} records wait", shown(owner));
                (Kind::MemberStuck, seen)
            }
            false => {
                let seen = format!(
                    "{} has {listed}, to which records are written, and has committed nothing",
                    shown(owner)
                );
                (Kind::NotCommitting, seen)
            }
        };
        findings.push(of_one(Finding::new(kind, seen).member(member), &all));
    }
    findings.extend(growth(&of(Status::Warn).collect::<Vec<_>>()));
    let rewound: Vec<&TopicPartition> = of(Status::Rewind).map(|it| &it.at).collect();
    if !rewound.is_empty() {
        let seen = format!("its commit went back in {}", listed(rewound.iter().copied()));
        findings.push(of_one(Finding::new(Kind::Rewound, seen), &rewound));
    }
    findings
}

/// A lag that grows, with the partition that has most of it.
fn growth(growing: &[&Seen<'_>]) -> Option<Finding> {
    let by = |it: &Seen<'_>| it.grown.unwrap_or_default().max(0);
    let worst = growing.iter().max_by_key(|it| by(it))?;
    let all: i64 = growing.iter().map(|it| by(it)).sum();
    let share = if all > 0 { by(worst) * 100 / all } else { 100 };
    let owner = worst.owner.map(|owner| format!(", which {} has", shown(owner))).unwrap_or_default();
    let mut seen = format!(
        "its lag in {}{owner} grew by {} records to {}, and never fell",
        worst.at,
        by(worst),
        worst.lag().unwrap_or_default()
    );
    if growing.len() > 1 {
        let others = growing.len() - 1;
        seen.push_str(&format!("; that is {share} % of what grew, {others} more partitions have the rest"));
    }
    let finding = Finding::new(Kind::LagGrows, seen).partition(&worst.at);
    Some(match worst.owner {
        Some(owner) => finding.member(&owner.member_id),
        None => finding,
    })
}

/// With its partition, where it is about one.
fn of_one(finding: Finding, partitions: &[&TopicPartition]) -> Finding {
    match partitions {
        [only] => finding.partition(only),
        _ => finding,
    }
}

fn listed<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    let all: Vec<String> = partitions.map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(partition: i32, committed: i64, end: i64, status: Option<Status>) -> Seen<'static> {
        Seen {
            at: TopicPartition::new("t", partition),
            committed: Some(committed),
            log: Log { begin: Some(5), end: Some(end), stable: Some(end) },
            owner: None,
            status,
            grown: None,
            is_unowned: false,
            is_held_back: false,
        }
    }

    #[test]
    fn a_lag_that_grows_is_laid_to_the_partition_with_most_of_it() {
        let warn =
            |partition, grown| Seen { grown: Some(grown), ..seen(partition, 10, 100, Some(Status::Warn)) };
        let found = growth(&[&warn(0, 10), &warn(1, 80), &warn(2, 10)]).unwrap();
        assert_eq!((found.kind, found.place.partition), (Kind::LagGrows, Some(1)));
        assert!(
            found.seen.contains("grew by 80 records to 90") && found.seen.contains("80 %"),
            "{}",
            found.seen
        );
        assert!(growth(&[]).is_none());
    }

    #[test]
    fn a_group_without_members_is_told_where_records_wait_and_nobody_reads_them() {
        let (waits, read, by_hand) =
            (seen(0, 10, 30, None), seen(1, 30, 30, Some(Status::Ok)), seen(2, 10, 30, Some(Status::Ok)));
        let severity = |is_named| {
            let found = deserted(&[seen(0, 10, 30, None), seen(1, 30, 30, None)], is_named).remove(0);
            assert!(found.seen.contains("20 records wait: t-0"), "{}", found.seen);
            found.severity
        };
        assert_eq!((severity(true), severity(false)), (Severity::Error, Severity::Warning));
        assert!(deserted(&[read], true).is_empty());
        assert!(deserted(&[by_hand], true).is_empty(), "somebody commits who is no member");
        assert_eq!(deserted(&[waits], true).len(), 1);
    }

    #[test]
    fn a_commit_outside_of_the_log_is_told_by_its_side() {
        let kinds =
            |committed| outside(&[seen(0, committed, 30, None)]).into_iter().map(|it| it.kind).collect();
        let none: Vec<Kind> = Vec::new();
        for (committed, expected) in
            [(4, vec![Kind::BeforeBegin]), (5, none.clone()), (30, none), (31, vec![Kind::BeyondEnd])]
        {
            let found: Vec<Kind> = kinds(committed);
            assert_eq!(found, expected, "{committed}");
        }
    }
}
