//! Java's `RangeAssignor`: of each topic, a run of neighbouring partitions for each of its subscribers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, Assignor, Member, PartitionRacks};
use crate::ids::TopicPartition;

/// Each topic's partitions in order, in runs of equal length, the longer runs to the first members. Members are
/// ordered by their `group.instance.id`, those without one behind them by member id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range;

impl Assignor for Range {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        let mut given: BTreeMap<String, Assignment> =
            members.iter().map(|member| (member.id.clone(), Assignment::default())).collect();
        let mut ordered: Vec<&Member> = members.iter().collect();
        // Java compares instance ids where both have one, puts those that have one first, and then compares ids.
        ordered.sort_by_key(|member| (member.instance_id.is_none(), &member.instance_id, &member.id));
        for (topic, partitions) in topics {
            let subscribed = |member: &&&Member| {
                let topics: BTreeSet<&String> = member.subscription.topics.iter().collect();
                topics.contains(topic)
            };
            let members: Vec<&&Member> = ordered.iter().filter(subscribed).collect();
            let mut next = 0;
            for (index, member) in members.iter().enumerate() {
                let (count, sharers) = (partitions.len(), members.len());
                let run = count / sharers + usize::from(index < count % sharers);
                if let Some(assignment) = given.get_mut(&member.id) {
                    let numbers = next..next + run as i32;
                    assignment
                        .partitions
                        .extend(numbers.map(|number| TopicPartition::new(topic.clone(), number)));
                }
                next += run as i32;
            }
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::consumer_protocol::Subscription;

    fn topics(counts: &[(&str, usize)]) -> BTreeMap<String, Vec<PartitionRacks>> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), vec![PartitionRacks::new(); *count])).collect()
    }

    fn member(id: &str, instance_id: Option<&str>, topics: &[&str]) -> Member {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let subscription = Subscription { topics, ..Default::default() };
        Member { id: id.to_owned(), instance_id: instance_id.map(str::to_owned), subscription }
    }

    fn numbers(assignment: &Assignment, topic: &str) -> Vec<i32> {
        assignment.partitions.iter().filter(|at| at.topic == topic).map(|at| at.partition).collect()
    }

    #[test]
    fn the_first_members_get_the_longer_runs() {
        let partitions = topics(&[("a", 7)]);
        let members = [member("m2", None, &["a"]), member("m1", None, &["a"]), member("m3", None, &["a"])];
        let given = Range.assign(&partitions, &members);
        assert_eq!(numbers(&given["m1"], "a"), [0, 1, 2]);
        assert_eq!(numbers(&given["m2"], "a"), [3, 4]);
        assert_eq!(numbers(&given["m3"], "a"), [5, 6]);
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let partitions = topics(&[("a", 1)]);
        let given = Range.assign(&partitions, &[member("m1", None, &["a"]), member("m2", None, &["a"])]);
        assert_eq!(numbers(&given["m1"], "a"), [0]);
        assert_eq!(given["m2"], Assignment::default());
    }

    #[test]
    fn only_subscribers_of_a_topic_share_it() {
        let partitions = topics(&[("a", 2), ("b", 2)]);
        let given = Range.assign(&partitions, &[member("m1", None, &["a"]), member("m2", None, &["a", "b"])]);
        assert_eq!(numbers(&given["m1"], "a"), [0]);
        assert_eq!(numbers(&given["m2"], "a"), [1]);
        assert_eq!(numbers(&given["m2"], "b"), [0, 1]);
    }

    #[test]
    fn static_members_come_first_in_the_order_of_their_instance_ids() {
        let partitions = topics(&[("a", 3)]);
        let members = [
            member("a-dynamic", None, &["a"]),
            member("z", Some("i1"), &["a"]),
            member("y", Some("i2"), &["a"]),
        ];
        let given = Range.assign(&partitions, &members);
        assert_eq!((numbers(&given["z"], "a"), numbers(&given["y"], "a")), (vec![0], vec![1]));
        assert_eq!(numbers(&given["a-dynamic"], "a"), [2]);
    }

    #[test]
    fn a_topic_that_does_not_exist_is_nobodys() {
        let given = Range.assign(&BTreeMap::new(), &[member("m1", None, &["ghost"])]);
        assert_eq!(given["m1"], Assignment::default());
    }
}
