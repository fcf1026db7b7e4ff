//! How a group gets on: what it leaves unread, who stands, and where its lag grows.

use std::collections::BTreeMap;

use ottla::TopicPartition;

use super::{
    super::finding::{Finding, Kind, Severity},
    named::{listed, of_one},
    seen::Seen,
};
use crate::history::Status;

/// Without members: what is not read.
pub(super) fn deserted(seen: &[Seen<'_>], is_named: bool) -> Vec<Finding> {
    // One that assigns partitions by hand is no member, and may read all the same.
    let stands = |it: &&Seen<'_>| {
        it.lag > Some(0) && !it.is_bare && !matches!(it.status, Some(Status::Ok | Status::Warn))
    };
    let left: Vec<&Seen<'_>> = seen.iter().filter(stands).collect();
    let lag: i64 = left.iter().filter_map(|it| it.lag).sum();
    if left.is_empty() {
        return Vec::new();
    }
    let partitions: Vec<&TopicPartition> = left.iter().map(|it| &it.at).collect();
    let seen = format!("nobody is in it, and {lag} records wait: {}", listed(partitions.iter().copied()));
    let severity = if is_named { Severity::Error } else { Severity::Warning };
    vec![of_one(Finding::new(Kind::NoMembers, seen).severity(severity), &partitions)]
}

/// How it gets on where members have its partitions.
pub(super) fn progress(seen: &[Seen<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = |status: Status| seen.iter().filter(move |it| it.status == Some(status));
    let mut stuck: BTreeMap<(Vec<&str>, bool), Vec<&Seen<'_>>> = BTreeMap::new();
    for it in of(Status::Stall).chain(of(Status::Stop)).filter(|it| !it.is_held_back && !it.is_bare) {
        let members: Vec<&str> = it.owners.iter().map(|member| member.member_id.as_str()).collect();
        stuck.entry((members, it.committed.is_some())).or_default().push(it);
    }
    for ((members, has_committed), partitions) in stuck {
        // What nobody has is told apart.
        let Some((who, has)) = partitions.first().and_then(|it| it.who()) else { continue };
        let lag: i64 = partitions.iter().filter_map(|it| it.lag).sum();
        let all: Vec<&TopicPartition> = partitions.iter().map(|it| &it.at).collect();
        let listed = listed(all.iter().copied());
        let (kind, seen) = match has_committed {
            true => {
                let seen = format!("{who} {has} not moved in {listed} at any look, and {lag} records wait");
                (Kind::MemberStuck, seen)
            }
            false => {
                let seen = format!(
                    "{who} {has} {listed}, to which records are written, and {has} committed nothing"
                );
                (Kind::NotCommitting, seen)
            }
        };
        let finding = of_one(Finding::new(kind, seen), &all);
        findings.push(match members.as_slice() {
            [only] => finding.member(only),
            _ => finding,
        });
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
    let owner = worst.who().map(|(who, has)| format!(", which {who} {has}")).unwrap_or_default();
    let mut seen = format!(
        "the lag that its commits leave in {}{owner} grew by {} records; now it is {}",
        worst.at,
        by(worst),
        worst.lag.unwrap_or_default()
    );
    if growing.len() > 1 {
        let others = growing.len() - 1;
        seen.push_str(&format!("; that is {share} % of what grew, {others} more partitions have the rest"));
    }
    let finding = Finding::new(Kind::LagGrows, seen).partition(&worst.at);
    Some(match worst.owners.as_slice() {
        [only] => finding.member(&only.member_id),
        _ => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::seen::tests::seen, *};

    #[test]
    fn a_lag_that_grows_is_laid_to_the_partition_with_most_of_it() {
        let warn =
            |partition, grown| Seen { grown: Some(grown), ..seen(partition, 10, 100, Some(Status::Warn)) };
        let found = growth(&[&warn(0, 10), &warn(1, 80), &warn(2, 10)]).unwrap();
        assert_eq!((found.kind, found.place.partition), (Kind::LagGrows, Some(1)));
        assert!(
            found.seen.contains("grew by 80 records; now it is 90") && found.seen.contains("80 %"),
            "{}",
            found.seen
        );
        assert!(growth(&[]).is_none());
    }

    #[test]
    fn a_group_without_members_is_told_where_records_wait_and_nobody_reads_them() {
        let bare = Seen { is_bare: true, ..seen(0, 29, 30, None) };
        assert!(deserted(&[bare], true).is_empty(), "there is nothing but a marker");
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
}
