//! Java's `RangeAssignor`: each subscriber of a topic gets a run of neighbouring partitions of it. Where members
//! have racks, partitions first go to members beside one of their replicas, within the same shares (KIP-881).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Assignment, Assignor, Member, PartitionRacks,
    roster::{Roster, Topic},
};
use crate::ids::TopicPartition;

/// Gives out each topic's partitions in order, in runs of equal length; the first members get the longer runs.
/// Members are ordered by their `group.instance.id`, those without one behind them by member id.
///
/// With racks, a member takes partitions that have a replica on its rack, as many as its run is long; the
/// partitions left over then fill the runs. Topics with the same subscribers and the same number of partitions are
/// matched as one, so that partitions of the same number stay together.
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        let roster = Roster::new(topics, members);
        let mut shares: Vec<Share<'_>> =
            roster.topics.iter().map(|topic| Share::new(topic, &roster)).collect();
        if shares.iter().any(Share::has_choice_of_racks) {
            match_racks(&mut shares);
        }
        shares.iter_mut().for_each(|share| share.fill(Fill::All));
        roster.assignments(shares.into_iter().flat_map(Share::into_given))
    }
}

/// Gives members the partitions that have a replica on their rack.
fn match_racks(shares: &mut [Share<'_>]) {
    let mut alike: BTreeMap<(&[usize], usize), Vec<&mut Share<'_>>> = BTreeMap::new();
    for share in shares {
        let Topic { subscribers, partitions, .. } = share.topic;
        alike.entry((subscribers, partitions.len())).or_default().push(share);
    }
    for ((_, partitions), mut shares) in alike {
        match shares.as_mut_slice() {
            [share] if share.has_choice_of_racks() => share.fill(Fill::Beside),
            [_] => {}
            // Where no member has a rack, every member would count as beside every partition.
            shares if shares.iter().any(|share| share.seats.iter().any(|seat| seat.rack.is_some())) => {
                match_together(shares, partitions);
            }
            _ => {}
        }
    }
}

/// Each partition number goes, in all of these topics, to the first member that is beside it in all of them.
fn match_together(shares: &mut [&mut Share<'_>], partitions: usize) {
    let mut open: Vec<usize> = (0..shares.first().map_or(0, |share| share.seats.len())).collect();
    for partition in 0..partitions {
        let fits = |&seat: &usize| {
            shares.iter().all(|share| share.is_beside(seat, partition) && share.room(seat) > 0)
        };
        let Some(at) = open.iter().position(fits) else { continue };
        let Some(&seat) = open.get(at) else { continue };
        shares.iter_mut().for_each(|share| share.give(seat, partition));
        if shares.iter().all(|share| share.room(seat) == 0) {
            open.remove(at);
        }
    }
}

/// A topic while it is shared out.
struct Share<'a> {
    topic: &'a Topic<'a>,
    seats: Vec<Seat<'a>>,
    free: BTreeSet<usize>,
    /// The length of a short run.
    run: usize,
    /// How many runs may still be one longer.
    longer: usize,
}

/// A subscriber of the topic, and its partitions.
struct Seat<'a> {
    place: usize,
    rack: Option<&'a str>,
    partitions: Vec<usize>,
}

#[derive(PartialEq)]
enum Fill {
    Beside,
    All,
}

impl<'a> Share<'a> {
    fn new(topic: &'a Topic<'a>, roster: &Roster<'a>) -> Self {
        let seat = |&place: &usize| Seat { place, rack: roster.rack(place), partitions: Vec::new() };
        let (count, sharers) = (topic.partitions.len(), topic.subscribers.len());
        Self {
            topic,
            seats: topic.subscribers.iter().map(seat).collect(),
            free: (0..count).collect(),
            run: count / sharers,
            longer: count % sharers,
        }
    }

    /// Whether racks make a difference: some member's rack has partitions, and not all partitions are on all racks.
    fn has_choice_of_racks(&self) -> bool {
        let partitions = self.topic.partitions;
        let racks: BTreeSet<&str> = partitions.iter().flatten().map(String::as_str).collect();
        self.seats.iter().any(|seat| seat.rack.is_some_and(|rack| racks.contains(rack)))
            && partitions.iter().any(|some| some.len() < racks.len())
    }

    /// Gives each member in turn the first free partitions, all or those beside it, as many as its run has room for.
    fn fill(&mut self, which: Fill) {
        for seat in 0..self.seats.len() {
            let fits = |&partition: &usize| which == Fill::All || self.is_beside(seat, partition);
            let taken: Vec<usize> = self.free.iter().copied().filter(fits).take(self.room(seat)).collect();
            taken.into_iter().for_each(|partition| self.give(seat, partition));
        }
    }

    /// Whether a replica is on the member's rack. A member without a rack is beside everything.
    fn is_beside(&self, seat: usize, partition: usize) -> bool {
        let racks = self.topic.partitions.get(partition);
        let rack = self.seats.get(seat).and_then(|seat| seat.rack);
        rack.is_none_or(|rack| racks.is_some_and(|racks| racks.contains(rack)))
    }

    fn room(&self, seat: usize) -> usize {
        let run = self.run + usize::from(self.longer > 0);
        self.seats.get(seat).map_or(0, |seat| run.saturating_sub(seat.partitions.len()))
    }

    fn give(&mut self, seat: usize, partition: usize) {
        if let Some(seat) = self.seats.get_mut(seat) {
            self.free.remove(&partition);
            seat.partitions.push(partition);
            self.longer -= usize::from(seat.partitions.len() > self.run);
        }
    }

    fn into_given(self) -> impl Iterator<Item = (usize, TopicPartition)> {
        self.seats.into_iter().flat_map(move |seat| {
            let at = move |partition| TopicPartition::new(self.topic.name, partition as i32);
            seat.partitions.into_iter().map(move |partition| (seat.place, at(partition)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::tests::{Group, numbers};

    #[test]
    fn the_first_members_get_the_longer_runs() {
        let group = Group::new(&[("a", 7)]).member("m2", &["a"]).member("m1", &["a"]).member("m3", &["a"]);
        let given = group.assign(&RangeAssignor);
        assert_eq!(numbers(&given["m1"], "a"), [0, 1, 2]);
        assert_eq!(numbers(&given["m2"], "a"), [3, 4]);
        assert_eq!(numbers(&given["m3"], "a"), [5, 6]);
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let given = Group::new(&[("a", 1)]).member("m1", &["a"]).member("m2", &["a"]).assign(&RangeAssignor);
        assert_eq!(numbers(&given["m1"], "a"), [0]);
        assert_eq!(given["m2"], Assignment::default());
    }

    #[test]
    fn only_subscribers_of_a_topic_share_it() {
        let group = Group::new(&[("a", 2), ("b", 2)]).member("m1", &["a"]).member("m2", &["a", "b"]);
        let given = group.assign(&RangeAssignor);
        assert_eq!(numbers(&given["m1"], "a"), [0]);
        assert_eq!(numbers(&given["m2"], "a"), [1]);
        assert_eq!(numbers(&given["m2"], "b"), [0, 1]);
    }

    #[test]
    fn static_members_come_first_in_the_order_of_their_instance_ids() {
        let group = Group::new(&[("a", 3)]).member("a-dynamic", &["a"]).fixed("z", "i1", &["a"]).fixed(
            "y",
            "i2",
            &["a"],
        );
        let given = group.assign(&RangeAssignor);
        assert_eq!((numbers(&given["z"], "a"), numbers(&given["y"], "a")), (vec![0], vec![1]));
        assert_eq!(numbers(&given["a-dynamic"], "a"), [2]);
    }

    #[test]
    fn a_topic_that_does_not_exist_is_nobodys() {
        let given = Group::new(&[]).member("m1", &["ghost"]).assign(&RangeAssignor);
        assert_eq!(given["m1"], Assignment::default());
    }

    #[test]
    fn members_take_partitions_of_their_own_rack_within_their_runs() {
        let group = Group::new(&[("a", 4)])
            .on_racks("a", &["x", "y", "x", "x"])
            .member("m1", &["a"])
            .at_rack("m1", "y")
            .member("m2", &["a"])
            .at_rack("m2", "x");
        let given = group.assign(&RangeAssignor);
        assert_eq!(numbers(&given["m1"], "a"), [1, 3]);
        assert_eq!(numbers(&given["m2"], "a"), [0, 2]);
    }

    #[test]
    fn racks_are_nothing_where_every_partition_is_on_all_of_them() {
        let group = Group::new(&[("a", 4)])
            .on_racks("a", &["x y", "x y", "x y", "x y"])
            .member("m1", &["a"])
            .at_rack("m1", "z")
            .member("m2", &["a"])
            .at_rack("m2", "x");
        assert_eq!(numbers(&group.assign(&RangeAssignor)["m1"], "a"), [0, 1]);
    }

    #[test]
    fn topics_shared_alike_stay_together_under_racks() {
        let group = Group::new(&[("a", 2), ("b", 2)])
            .on_racks("a", &["x", "y"])
            .on_racks("b", &["x y", "y"])
            .member("m1", &["a", "b"])
            .at_rack("m1", "y")
            .member("m2", &["a", "b"])
            .at_rack("m2", "x");
        let given = group.assign(&RangeAssignor);
        for topic in ["a", "b"] {
            assert_eq!((numbers(&given["m1"], topic), numbers(&given["m2"], topic)), (vec![1], vec![0]));
        }
    }
}
