//! What is wrong with a group, from what the looks have shown. No I/O: what is seen goes in, findings come out.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription, Topic},
};

use super::{
    super::finding::{Finding, Kind},
    look::Look,
    members::{History, membership},
    named::{NAMED, listed, of_one, shown},
    progress::{deserted, progress},
    seen::Seen,
};

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
    is_named: bool,
) -> Vec<Finding> {
    let mut findings = membership(group, history);
    findings.extend(topics(group, seen, look));
    // Where a share group goes on is moved by its coordinator.
    if group.kind != GroupKind::Share {
        findings.extend(outside(seen));
    }
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
pub(super) fn well(name: &str, group: &GroupDescription, history: &History, seen: &[Seen<'_>]) -> Finding {
    let (members, partitions) = (group.members.len(), seen.len());
    let (state, kind, lag) = (&group.state, group.kind, lag(seen, history.told > 0));
    let told =
        format!("{state}, {kind}, {members} members, {partitions} partitions, {lag}{}", history.short());
    Finding::new(Kind::Group, told).group(name)
}

/// As far as it is known: the sum of nothing is not 0.
fn lag(seen: &[Seen<'_>], is_told: bool) -> String {
    let known: Vec<i64> = seen.iter().filter_map(|it| it.lag).collect();
    let lag: i64 = known.iter().sum();
    match seen.len() - known.len() {
        0 if is_told => format!("lag {lag}"),
        unknown if unknown == seen.len() => "lag unknown".to_owned(),
        unknown => format!("lag {lag}, unknown in {unknown}"),
    }
}

pub(super) fn no_groups() -> Finding {
    Finding::new(Kind::Group, "there are no groups")
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

#[cfg(test)]
mod tests {
    use super::{super::seen::tests::seen, *};

    #[test]
    fn a_lag_of_which_nothing_is_known_is_not_nothing() {
        let of = |lags: &[Option<i64>], is_told| {
            let seen: Vec<Seen<'_>> =
                lags.iter().map(|of| Seen { lag: *of, ..seen(0, 10, 30, None) }).collect();
            lag(&seen, is_told)
        };
        assert_eq!(of(&[Some(3), Some(4)], true), "lag 7");
        assert_eq!(of(&[], true), "lag 0", "there is nothing to read");
        assert_eq!(of(&[], false), "lag unknown", "as of a share group of which nobody tells");
        assert_eq!(of(&[None, None], true), "lag unknown");
        assert_eq!(of(&[Some(3), None], true), "lag 3, unknown in 1");
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
