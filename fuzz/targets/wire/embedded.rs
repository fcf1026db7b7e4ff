//! What members of a classic group tell each other: subscriptions, assignments, and what a leader makes of them.

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor, fuzzing,
    group::Member,
};
use ottla_fuzz::{Input, within};

fn bound(bytes: usize) -> usize {
    96 * bytes + 1024
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let assignor: &dyn Assignor = match input.byte() % 5 {
        0 => &RangeAssignor,
        1 => &RoundRobinAssignor,
        2 => &StickyAssignor,
        3 => &CooperativeStickyAssignor,
        _ => {
            let bytes = input.rest();
            let Ok(assignment) = within(bound(bytes.len()), || fuzzing::read_assignment(bytes)) else {
                return;
            };
            let written = fuzzing::write_assignment(&assignment);
            let again = fuzzing::read_assignment(&written).unwrap();
            assert_eq!(fuzzing::write_assignment(&again), written);
            let sorted = |partitions: &[_]| partitions.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(&again.partitions), sorted(&assignment.partitions));
            return;
        }
    };
    let mut members = Vec::new();
    while !input.is_over() && members.len() < 8 {
        let bytes = input.bytes();
        let Ok(subscription) = within(bound(bytes.len()), || fuzzing::read_subscription(bytes)) else {
            continue;
        };
        let written = fuzzing::write_subscription(&subscription);
        let again = fuzzing::read_subscription(&written).unwrap();
        assert_eq!(fuzzing::write_subscription(&again), written);
        assert_eq!((&again.topics, again.generation_id), (&subscription.topics, subscription.generation_id));
        members.push(Member::new(format!("m{}", members.len()), subscription));
    }
    let topics = BTreeMap::from([
        ("t".to_owned(), vec![Default::default(); 5]),
        ("u".to_owned(), vec![Default::default(); 3]),
    ]);
    let shares = within(bound(data.len()) + (1 << 16), || assignor.assign(&topics, &members));
    // Nobody has what somebody else has, nor what is not there or not subscribed to.
    let mut seen = BTreeSet::new();
    for (member, share) in &shares {
        let member = members.iter().find(|one| one.id == *member).expect("a share is some member's");
        for at in &share.partitions {
            assert!(seen.insert(at.clone()), "{at:?} is with two");
            assert!(member.subscription.topics.contains(&at.topic), "{at:?} is not subscribed to");
            assert!(topics.get(&at.topic).is_some_and(|racks| (at.partition as usize) < racks.len()));
        }
    }
}
