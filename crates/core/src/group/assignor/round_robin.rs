//! Java's `RoundRobinAssignor`: partitions are dealt out one by one, all topics in one go.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, Member, PartitionRacks, roster::Roster};
use crate::ids::TopicPartition;

/// Each partition of each topic in turn goes to the next member that subscribes to the topic. Loads are even where
/// all members have the same subscription.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        let roster = Roster::new(topics, members);
        let mut given = Vec::new();
        let mut next = 0;
        for topic in &roster.topics {
            for number in 0..topic.partitions.len() {
                let at = topic.subscribers.partition_point(|&place| place < next);
                let Some(&place) = topic.subscribers.get(at).or(topic.subscribers.first()) else { break };
                given.push((place, TopicPartition::new(topic.name, number as i32)));
                next = place + 1;
            }
        }
        roster.assignments(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::tests::{Group, numbers};

    #[test]
    fn partitions_of_all_topics_are_dealt_in_one_go() {
        let group = Group::new(&[("a", 3), ("b", 2)]).member("m1", &["a", "b"]).member("m2", &["a", "b"]);
        let given = group.assign(&RoundRobinAssignor);
        assert_eq!((numbers(&given["m1"], "a"), numbers(&given["m1"], "b")), (vec![0, 2], vec![1]));
        assert_eq!((numbers(&given["m2"], "a"), numbers(&given["m2"], "b")), (vec![1], vec![0]));
    }

    #[test]
    fn members_that_do_not_subscribe_are_passed_over_and_lose_their_turn() {
        let group = Group::new(&[("a", 2), ("b", 2), ("c", 2)])
            .member("m1", &["a"])
            .member("m2", &["b", "c"])
            .member("m3", &["c"]);
        let given = group.assign(&RoundRobinAssignor);
        assert_eq!(numbers(&given["m1"], "a"), [0, 1]);
        assert_eq!((numbers(&given["m2"], "b"), numbers(&given["m2"], "c")), (vec![0, 1], vec![1]));
        assert_eq!(numbers(&given["m3"], "c"), [0]);
    }

    #[test]
    fn static_members_come_first() {
        let group = Group::new(&[("a", 2)]).member("m1", &["a"]).fixed("m2", "i1", &["a"]);
        let given = group.assign(&RoundRobinAssignor);
        assert_eq!((numbers(&given["m2"], "a"), numbers(&given["m1"], "a")), (vec![0], vec![1]));
    }
}
