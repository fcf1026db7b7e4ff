//! The members in the order in which the assignors serve them, and which of them share which topic.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
};

use super::{Assignment, Member, PartitionRacks};
use crate::ids::TopicPartition;

/// The arguments of an assignor, sorted. From here on a member is named by its place in `members`.
pub(super) struct Roster<'a> {
    /// In Java's order. The coordinator names none twice.
    pub(super) members: Vec<&'a Member>,
    /// By name; only those that have partitions and subscribers.
    pub(super) topics: Vec<Topic<'a>>,
}

/// A topic that is shared out.
pub(super) struct Topic<'a> {
    pub(super) name: &'a str,
    /// The racks of each of its partitions, by partition number.
    pub(super) partitions: &'a [PartitionRacks],
    /// The subscribers' places among the members, ascending.
    pub(super) subscribers: Vec<usize>,
}

impl<'a> Roster<'a> {
    pub(super) fn new(topics: &'a BTreeMap<String, Vec<PartitionRacks>>, members: &'a [Member]) -> Self {
        let mut members: Vec<&Member> = members.iter().collect();
        // Static members come first, ordered by instance id; the others follow, ordered by member id. Java compares
        // UTF-16.
        members.sort_by(|a, b| {
            let dynamic_last = a.instance_id.is_none().cmp(&b.instance_id.is_none());
            let by_instance = dynamic_last.then_with(|| a.instance_id.cmp(&b.instance_id));
            by_instance.then_with(|| a.id.encode_utf16().cmp(b.id.encode_utf16()))
        });
        let shared = topics.iter().filter(|(_, partitions)| !partitions.is_empty());
        let topic =
            |(name, partitions): (&'a String, &'a Vec<_>)| Topic { name, partitions, subscribers: vec![] };
        let mut topics: Vec<Topic<'_>> = shared.map(topic).collect();
        let places: HashMap<&str, usize> =
            topics.iter().enumerate().map(|(at, topic)| (topic.name, at)).collect();
        for (place, member) in members.iter().enumerate() {
            for name in &member.subscription.topics {
                let topic = places.get(name.as_str()).and_then(|&at| topics.get_mut(at));
                if let Some(topic) = topic.filter(|topic| topic.subscribers.last() != Some(&place)) {
                    topic.subscribers.push(place);
                }
            }
        }
        topics.retain(|topic| !topic.subscribers.is_empty());
        Self { members, topics }
    }

    /// The members' assignments, from the partitions that each was given, in any order.
    pub(super) fn assignments(
        &self,
        given: impl IntoIterator<Item = (usize, TopicPartition)>,
    ) -> BTreeMap<String, Assignment> {
        let mut partitions: Vec<Vec<TopicPartition>> =
            iter::repeat_with(Vec::new).take(self.members.len()).collect();
        for (place, at) in given {
            if let Some(partitions) = partitions.get_mut(place) {
                partitions.push(at);
            }
        }
        let assignment = |(member, mut partitions): (&&Member, Vec<TopicPartition>)| {
            partitions.sort_unstable();
            (member.id.clone(), Assignment { partitions, user_data: None })
        };
        self.members.iter().zip(partitions).map(assignment).collect()
    }

    /// `client.rack` of a member; an empty one counts as none.
    pub(super) fn rack(&self, place: usize) -> Option<&'a str> {
        let member = self.members.get(place)?;
        member.subscription.rack.as_deref().filter(|rack| !rack.is_empty())
    }
}
