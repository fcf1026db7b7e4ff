//! How members and partitions are named in findings: the first of many.

use ottla::{TopicPartition, admin::MemberDescription};

use super::super::finding::Finding;

/// How many partitions, or members, are named in one finding.
pub(super) const NAMED: usize = 5;

/// By what people know it.
pub(super) fn shown(member: &MemberDescription) -> String {
    let name = member.group_instance_id.as_deref().unwrap_or(&member.member_id);
    format!("`{name}` (client {}, at {})", member.client_id, member.host)
}

/// With its partition, where it is about one.
pub(super) fn of_one(finding: Finding, partitions: &[&TopicPartition]) -> Finding {
    match partitions {
        [only] => finding.partition(only),
        _ => finding,
    }
}

pub(super) fn listed<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    let all: Vec<String> = partitions.map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
