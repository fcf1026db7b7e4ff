//! The part that the sticky assignors share: which members keep which partitions, and where the rest goes.
//!
//! In order of importance: loads are even, members keep the partitions that they claim, and members are beside
//! their partitions' replicas.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, VecDeque},
};

use super::{
    Assignment, LastAssignment, Member, PartitionRacks,
    balance::{Class, Seat, balance},
    roster::{Roster, Topic},
};
use crate::ids::TopicPartition;

/// Assigns the partitions. `last` gives each member's last assignment, as the member tells it.
pub(super) fn stick(
    topics: &BTreeMap<String, Vec<PartitionRacks>>,
    members: &[Member],
    last: impl Fn(&Member) -> LastAssignment,
) -> BTreeMap<String, Assignment> {
    let roster = Roster::new(topics, members);
    let claims: Vec<LastAssignment> = roster.members.iter().map(|member| last(member)).collect();
    let pools = pools(&roster, &claims);
    let mut classes: Vec<Class> = pools.iter().map(Pool::class).collect();
    balance(&mut classes, roster.members.len());
    let given = pools.into_iter().zip(&classes).flat_map(|(pool, class)| pool.deal(class, &roster));
    roster.assignments(given)
}

/// The partitions of all topics that have these subscribers.
struct Pool<'a> {
    subscribers: &'a [usize],
    partitions: Vec<Partition<'a>>,
}

struct Partition<'a> {
    topic: &'a str,
    number: i32,
    racks: &'a PartitionRacks,
    claimer: Option<usize>,
}

impl Partition<'_> {
    fn given_to(&self, place: usize) -> (usize, TopicPartition) {
        (place, TopicPartition::new(self.topic, self.number))
    }
}

fn pools<'a>(roster: &'a Roster<'a>, claims: &[LastAssignment]) -> Vec<Pool<'a>> {
    let mut pools: BTreeMap<&[usize], Vec<Partition<'_>>> = BTreeMap::new();
    for (topic, claimers) in roster.topics.iter().zip(claimers(&roster.topics, claims)) {
        let pool = pools.entry(&topic.subscribers).or_default();
        for ((number, racks), claimer) in topic.partitions.iter().enumerate().zip(claimers) {
            pool.push(Partition { topic: topic.name, number: number as i32, racks, claimer });
        }
    }
    let pool = |(subscribers, partitions)| Pool { subscribers, partitions };
    pools.into_iter().map(pool).collect()
}

/// The member that may keep a partition, for each partition of each topic. A member of an older generation keeps
/// partitions that nobody else claims: a cooperative member may have missed a generation while it read on (KAFKA-14639).
fn claimers(topics: &[Topic<'_>], claims: &[LastAssignment]) -> Vec<Vec<Option<usize>>> {
    let mut slots: Vec<Vec<Option<Claim>>> =
        topics.iter().map(|topic| vec![None; topic.partitions.len()]).collect();
    for (place, LastAssignment { partitions, generation_id }) in claims.iter().enumerate() {
        let claim = Claim { generation_id: *generation_id, claimer: Some(place) };
        for at in partitions {
            let Ok(topic) = topics.binary_search_by(|topic| topic.name.cmp(&at.topic)) else { continue };
            let subscribes = |topic: &Topic<'_>| topic.subscribers.binary_search(&place).is_ok();
            let number = usize::try_from(at.partition).unwrap_or(usize::MAX);
            let slot = slots.get_mut(topic).and_then(|slots| slots.get_mut(number));
            if let Some(slot) = slot.filter(|_| topics.get(topic).is_some_and(subscribes)) {
                *slot = Some(slot.map_or(claim, |held| held.against(claim)));
            }
        }
    }
    slots.into_iter().map(|slots| slots.into_iter().map(|claim| claim?.claimer).collect()).collect()
}

/// A claim to a partition; `claimer` is `None` where claims contradict each other.
#[derive(Clone, Copy)]
struct Claim {
    generation_id: i32,
    claimer: Option<usize>,
}

impl Claim {
    /// The newer claim holds. Of two claims in one generation neither holds.
    fn against(self, other: Self) -> Self {
        match self.generation_id.cmp(&other.generation_id) {
            Ordering::Less => other,
            Ordering::Equal if self.claimer != other.claimer => Self { claimer: None, ..self },
            Ordering::Equal | Ordering::Greater => self,
        }
    }
}

/// A member, and how many partitions of a pool it still gets.
struct Open {
    place: usize,
    left: i64,
}

impl<'a> Pool<'a> {
    fn class(&self) -> Class {
        let mut claimed: BTreeMap<usize, i64> = BTreeMap::new();
        for claimer in self.partitions.iter().filter_map(|partition| partition.claimer) {
            *claimed.entry(claimer).or_default() += 1;
        }
        let seat = |&member: &usize| {
            let claimed = claimed.get(&member).copied().unwrap_or_default();
            Seat { member, claimed, count: 0 }
        };
        let seats = self.subscribers.iter().map(seat).collect();
        Class { partitions: self.partitions.len() as i64, seats }
    }

    /// Each member keeps as many of its claims as its count allows; then the rest is dealt out.
    fn deal(self, class: &Class, roster: &Roster<'a>) -> Vec<(usize, TopicPartition)> {
        let mut given = Vec::with_capacity(self.partitions.len());
        let mut left: BTreeMap<usize, i64> =
            class.seats.iter().map(|seat| (seat.member, seat.count)).collect();
        let (mut claimed, mut free): (Vec<_>, Vec<_>) =
            self.partitions.into_iter().partition(|partition| partition.claimer.is_some());
        // Members keep the first partitions in this order. They lose those on other racks first, and then the last
        // ones of every topic.
        claimed.sort_by_key(|partition| {
            let rack = partition.claimer.and_then(|place| roster.rack(place));
            (rack.is_some_and(|rack| !partition.racks.contains(rack)), partition.number, partition.topic)
        });
        for partition in claimed {
            match partition.claimer.and_then(|place| Some((place, left.get_mut(&place)?))) {
                Some((place, left)) if *left > 0 => {
                    *left -= 1;
                    given.push(partition.given_to(place));
                }
                _ => free.push(partition),
            }
        }
        free.sort_by_key(|partition| (partition.topic, partition.number));
        let open = left.into_iter().filter(|(_, left)| *left > 0).map(|(place, left)| Open { place, left });
        given.extend(deal_free(free, open.collect(), roster));
        given
    }
}

/// Deals out the free partitions in turns, each to a member beside a replica if one is left.
fn deal_free(
    free: Vec<Partition<'_>>,
    open: Vec<Open>,
    roster: &Roster<'_>,
) -> impl Iterator<Item = (usize, TopicPartition)> {
    let mut by_rack: BTreeMap<&str, VecDeque<Open>> = BTreeMap::new();
    for open in open {
        by_rack.entry(roster.rack(open.place).unwrap_or_default()).or_default().push_back(open);
    }
    let mut given = Vec::with_capacity(free.len());
    let mut far = Vec::new();
    for partition in free {
        let sizes = partition.racks.iter().filter_map(|rack| Some((rack, by_rack.get(rack.as_str())?.len())));
        let widest = sizes.min_by_key(|&(_, size)| Reverse(size)).map(|(rack, _)| rack.as_str());
        match widest.and_then(|rack| next(by_rack.get_mut(rack)?)) {
            Some(place) => given.push(partition.given_to(place)),
            None => far.push(partition),
        }
    }
    let mut rest: Vec<Open> = by_rack.into_values().flatten().collect();
    rest.sort_by_key(|open| open.place);
    let mut rest = VecDeque::from(rest);
    let far = far.into_iter().filter_map(move |partition| Some(partition.given_to(next(&mut rest)?)));
    given.into_iter().chain(far.collect::<Vec<_>>())
}

/// The member whose turn it is.
fn next(queue: &mut VecDeque<Open>) -> Option<usize> {
    let mut open = queue.pop_front()?;
    open.left -= 1;
    let place = open.place;
    if open.left > 0 {
        queue.push_back(open);
    }
    Some(place)
}
