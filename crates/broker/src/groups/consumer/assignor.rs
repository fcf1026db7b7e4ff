//! Kafka's server-side assignors: who should have what.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::TopicId;

use super::member::Partition;

/// The assignors that members may ask for.
pub(crate) const NAMES: [&str; 2] = [UNIFORM, RANGE];
pub(crate) const UNIFORM: &str = "uniform";
const RANGE: &str = "range";

/// A member, as assignors see it.
#[derive(Debug)]
pub(super) struct Subscriber<'a> {
    pub(super) id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    /// The topics that it is subscribed to.
    pub(super) topics: BTreeSet<TopicId>,
    /// Its last target.
    pub(super) target: &'a BTreeSet<Partition>,
}

pub(super) type Target = BTreeMap<String, BTreeSet<Partition>>;

/// Assigns by name; an unknown name is the default.
pub(super) fn assign(name: &str, members: &[Subscriber<'_>], count: impl Fn(TopicId) -> usize) -> Target {
    let counts: BTreeMap<TopicId, usize> =
        members.iter().flat_map(|member| &member.topics).map(|&topic| (topic, count(topic))).collect();
    if name == RANGE { range(members, &counts) } else { uniform(members, &counts) }
}

/// Of each topic a run of partitions to each subscriber: those with an instance id first, then by member id.
fn range(members: &[Subscriber<'_>], counts: &BTreeMap<TopicId, usize>) -> Target {
    let mut sorted: Vec<&Subscriber<'_>> = members.iter().collect();
    sorted.sort_by_key(|member| (member.instance_id.is_none(), member.instance_id, member.id));
    let mut target: Target = members.iter().map(|member| (member.id.to_owned(), BTreeSet::new())).collect();
    for (&topic, &count) in counts {
        let takers: Vec<_> = sorted.iter().filter(|member| member.topics.contains(&topic)).collect();
        let (least, more) = (count / takers.len().max(1), count % takers.len().max(1));
        let mut next = 0i32;
        for (place, taker) in takers.into_iter().enumerate() {
            let end = next + (least + usize::from(place < more)) as i32;
            target.entry(taker.id.to_owned()).or_default().extend((next..end).map(|index| (topic, index)));
            next = end;
        }
    }
    target
}

/// As even as the subscriptions allow, and of all that is even, that which moves least.
fn uniform(members: &[Subscriber<'_>], counts: &BTreeMap<TopicId, usize>) -> Target {
    let exists = |(topic, index): &Partition| {
        counts.get(topic).is_some_and(|&count| usize::try_from(*index).is_ok_and(|index| index < count))
    };
    let mut free: BTreeSet<Partition> = counts
        .iter()
        .flat_map(|(&topic, &count)| (0..count as i32).map(move |index| (topic, index)))
        .collect();
    let mut target: Vec<BTreeSet<Partition>> = Vec::with_capacity(members.len());
    for member in members {
        let wanted = member.target.iter().filter(|at| exists(at) && member.topics.contains(&at.0));
        target.push(wanted.filter(|at| free.remove(at)).copied().collect());
    }
    // Those that fewest may have first.
    let takers = |topic: TopicId| members.iter().filter(|member| member.topics.contains(&topic)).count();
    let mut free: Vec<(usize, Partition)> = free.into_iter().map(|at| (takers(at.0), at)).collect();
    free.sort_unstable();
    for (_, partition) in free {
        let may = |place: &usize| members.get(*place).is_some_and(|m| m.topics.contains(&partition.0));
        let size = |place: &usize| target.get(*place).map_or(0, BTreeSet::len);
        let least = (0..members.len()).filter(may).min_by_key(size);
        if let Some(taker) = least.and_then(|place| target.get_mut(place)) {
            taker.insert(partition);
        }
    }
    while let Some((from, to, partition)) = find_move(members, &target) {
        target.get_mut(from).map(|has| has.remove(&partition));
        target.get_mut(to).map(|has| has.insert(partition));
    }
    members.iter().map(|member| member.id.to_owned()).zip(target).collect()
}

/// A partition whose move makes two members more equal: from the fullest that can give to the emptiest that can take.
fn find_move(
    members: &[Subscriber<'_>],
    target: &[BTreeSet<Partition>],
) -> Option<(usize, usize, Partition)> {
    let sizes = || target.iter().map(BTreeSet::len).enumerate();
    let (mut full, mut empty): (Vec<_>, Vec<_>) = (sizes().collect(), sizes().collect());
    full.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    empty.sort_by_key(|(_, size)| *size);
    for (from, has) in full {
        for (to, gets) in &empty {
            if has < gets + 2 {
                break;
            }
            let taker = members.get(*to)?;
            if let Some(partition) = target.get(from)?.iter().rev().find(|at| taker.topics.contains(&at.0)) {
                return Some((from, *to, *partition));
            }
        }
    }
    None
}
