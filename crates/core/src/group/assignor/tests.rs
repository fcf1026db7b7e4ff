//! Properties of every assignor, and of the sticky ones, on groups drawn at random.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::RandomState},
    env,
    hash::{BuildHasher, Hasher},
};

use super::*;

const STICKY: [&dyn Assignor; 2] = [&StickyAssignor, &CooperativeStickyAssignor];
const ALL: [&dyn Assignor; 4] =
    [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];

/// Runs a property on many seeds, or on the one that `SEED` gives.
pub(super) fn seeded(test: &str, rounds: u64, property: impl Fn(&mut fastrand::Rng)) {
    let given = env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let first = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
    for seed in first..first + if given.is_some() { 1 } else { rounds } {
        // Shown only if the test fails: the last line is the seed to replay.
        println!("replay: SEED={seed} cargo test -p ottla-core {test}");
        property(&mut fastrand::Rng::with_seed(seed));
    }
}

pub(super) fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub(super) fn numbers(assignment: &Assignment, topic: &str) -> Vec<i32> {
    assignment.partitions.iter().filter(|at| at.topic == topic).map(|at| at.partition).collect()
}

/// An assignor's arguments.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) topics: BTreeMap<String, Vec<PartitionRacks>>,
    pub(super) members: Vec<Member>,
}

impl Group {
    pub(super) fn new(topics: &[(&str, usize)]) -> Self {
        let topic =
            |(topic, count): &(&str, usize)| ((*topic).to_owned(), vec![PartitionRacks::new(); *count]);
        Self { topics: topics.iter().map(topic).collect(), members: Vec::new() }
    }

    pub(super) fn member(mut self, id: &str, topics: &[&str]) -> Self {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let subscription = Subscription { topics, generation_id: -1, ..Default::default() };
        self.members.push(Member { id: id.to_owned(), instance_id: None, subscription });
        self
    }

    pub(super) fn fixed(self, id: &str, instance_id: &str, topics: &[&str]) -> Self {
        self.member(id, topics).change(id, |member| member.instance_id = Some(instance_id.to_owned()))
    }

    pub(super) fn at_rack(self, id: &str, rack: &str) -> Self {
        self.change(id, |member| member.subscription.rack = Some(rack.to_owned()))
    }

    pub(super) fn owning(self, id: &str, generation_id: i32, owned: &[(&str, i32)]) -> Self {
        self.change(id, |member| {
            member.subscription.owned = owned.iter().map(|(topic, number)| at(topic, *number)).collect();
            member.subscription.generation_id = generation_id;
        })
    }

    /// The racks of each partition, separated by spaces.
    pub(super) fn on_racks(mut self, topic: &str, racks: &[&str]) -> Self {
        let racks = racks.iter().map(|racks| racks.split(' ').map(str::to_owned).collect()).collect();
        self.topics.insert(topic.to_owned(), racks);
        self
    }

    fn change(mut self, id: &str, change: impl FnOnce(&mut Member)) -> Self {
        change(self.members.iter_mut().find(|member| member.id == id).unwrap());
        self
    }

    /// Calls the assignor, after each member has sent the user data that the assignor gives it.
    pub(super) fn assign(&self, assignor: &dyn Assignor) -> BTreeMap<String, Assignment> {
        let told = |member: &Member| {
            let Subscription { owned, generation_id, .. } = &member.subscription;
            let last = LastAssignment { partitions: owned.clone(), generation_id: *generation_id };
            let mut member = member.clone();
            member.subscription.user_data = assignor.user_data(&last);
            member
        };
        assignor.assign(&self.topics, &self.members.iter().map(told).collect::<Vec<_>>())
    }

    /// All members now own what they were given, in the next generation.
    fn accept(&mut self, given: &BTreeMap<String, Assignment>) {
        let next =
            self.members.iter().map(|member| member.subscription.generation_id).max().unwrap_or(-1) + 1;
        for member in &mut self.members {
            member.subscription.owned = given[&member.id].partitions.clone();
            member.subscription.generation_id = next;
        }
    }

    fn draw(rng: &mut fastrand::Rng, equal: bool) -> Self {
        let mut group = Self::default();
        let topics = rng.usize(1..=10);
        for topic in 0..topics {
            let partition = |rng: &mut fastrand::Rng| {
                let racks = ["x", "y", "z"].into_iter().filter(|_| rng.bool());
                racks.map(str::to_owned).collect()
            };
            let count = rng.usize(0..=1_000 / topics);
            group.topics.insert(format!("t{topic}"), (0..count).map(|_| partition(rng)).collect());
        }
        for id in 0..rng.usize(1..=100) {
            group.join(rng, id, equal);
        }
        group
    }

    fn join(&mut self, rng: &mut fastrand::Rng, id: usize, equal: bool) {
        let topics = self.topics.keys().filter(|_| equal || rng.bool()).cloned().collect();
        let rack = rng.bool().then(|| rng.choice(["x", "y", "z", "nowhere", ""]).unwrap().to_owned());
        let subscription = Subscription { topics, rack, generation_id: -1, ..Default::default() };
        let instance_id = rng.bool().then(|| format!("i{}", id * 7 % 100));
        self.members.push(Member { id: format!("m{id}"), instance_id, subscription });
    }

    /// Gives some partitions to members that could own them, and some of them to two.
    fn draw_owners(&mut self, rng: &mut fastrand::Rng) {
        let lopsided = rng.usize(1..=self.members.len());
        for (topic, partitions) in &self.topics {
            for number in 0..partitions.len() {
                for _ in 0..*rng.choice([0, 1, 1, 1, 1, 1, 1, 2].iter()).unwrap() {
                    let owner = &mut self.members[rng.usize(..lopsided)].subscription;
                    if owner.topics.contains(topic) {
                        owner.owned.push(at(topic, number as i32));
                    }
                }
            }
        }
        for member in &mut self.members {
            member.subscription.generation_id = *rng.choice([5, 5, 5, 4, -1].iter()).unwrap();
        }
    }

    /// The owner of each partition that no other member owns, or that all others own since an older generation.
    fn claims(&self) -> BTreeMap<TopicPartition, String> {
        let mut owners: BTreeMap<TopicPartition, BTreeSet<(i32, String)>> = BTreeMap::new();
        for Member { id, subscription, .. } in &self.members {
            for at in &subscription.owned {
                owners.entry(at.clone()).or_default().insert((subscription.generation_id, id.clone()));
            }
        }
        let newest = |mut owners: BTreeSet<(i32, String)>| {
            let (generation_id, id) = owners.pop_last()?;
            owners.last().is_none_or(|(other, _)| *other < generation_id).then_some(id)
        };
        owners.into_iter().filter_map(|(at, owners)| Some((at, newest(owners)?))).collect()
    }

    fn shared_partitions(&self) -> BTreeSet<TopicPartition> {
        let subscribed = |topic: &String| self.members.iter().any(|m| m.subscription.topics.contains(topic));
        let shared = self.topics.iter().filter(|(topic, _)| subscribed(topic));
        shared.flat_map(|(topic, racks)| (0..racks.len()).map(|number| at(topic, number as i32))).collect()
    }
}

fn moves(claims: &BTreeMap<TopicPartition, String>, given: &BTreeMap<String, Assignment>) -> usize {
    claims.iter().filter(|(at, owner)| !given[*owner].partitions.contains(at)).count()
}

fn assert_each_is_given_once(group: &Group, given: &BTreeMap<String, Assignment>) {
    let mut seen = BTreeSet::new();
    for member in &group.members {
        for at in &given[&member.id].partitions {
            assert!(member.subscription.topics.contains(&at.topic), "{at} is not wanted by {}", member.id);
            assert!(seen.insert(at.clone()), "{at} is given twice");
        }
    }
    assert_eq!(seen, group.shared_partitions());
    assert_eq!(given.len(), group.members.len());
}

#[test]
fn every_partition_goes_to_exactly_one_of_its_topics_subscribers() {
    seeded("every_partition_goes_to_exactly_one_of_its_topics_subscribers", 60, |rng| {
        let equal = rng.bool();
        let mut group = Group::draw(rng, equal);
        group.draw_owners(rng);
        for assignor in ALL {
            assert_each_is_given_once(&group, &group.assign(assignor));
        }
    });
}

#[test]
fn the_order_of_the_members_is_nothing_to_the_outcome() {
    seeded("the_order_of_the_members_is_nothing_to_the_outcome", 40, |rng| {
        let equal = rng.bool();
        let mut group = Group::draw(rng, equal);
        // Two members with one instance id are not possible, and have no order.
        group.members.iter_mut().for_each(|member| member.instance_id = None);
        group.draw_owners(rng);
        let mut shuffled = group.clone();
        rng.shuffle(&mut shuffled.members);
        for assignor in ALL {
            assert_eq!(group.assign(assignor), shuffled.assign(assignor), "{}", assignor.name());
        }
    });
}

#[test]
fn equal_subscriptions_are_balanced_with_no_move_too_many() {
    seeded("equal_subscriptions_are_balanced_with_no_move_too_many", 60, |rng| {
        let mut group = Group::draw(rng, true);
        group.draw_owners(rng);
        let (partitions, members) = (group.shared_partitions().len(), group.members.len());
        let (short, longer) = (partitions / members, partitions % members);
        let claims = group.claims();
        let claimed = |member: &Member| claims.values().filter(|owner| **owner == member.id).count();
        let claimed: Vec<usize> = group.members.iter().map(claimed).collect();
        let kept: usize = claimed.iter().map(|claimed| short.min(*claimed)).sum();
        let above = claimed.iter().filter(|claimed| **claimed > short).count();
        for assignor in STICKY {
            let given = group.assign(assignor);
            let loads = given.values().map(|assignment| assignment.partitions.len());
            assert!(loads.clone().all(|load| load == short || load == short + 1));
            assert_eq!(
                moves(&claims, &given),
                claims.len() - kept - above.min(longer),
                "{}",
                assignor.name()
            );
        }
    });
}

#[test]
fn no_load_can_be_evened_out_by_one_partition() {
    seeded("no_load_can_be_evened_out_by_one_partition", 40, |rng| {
        let mut group = Group::draw(rng, false);
        group.draw_owners(rng);
        for assignor in STICKY {
            let given = group.assign(assignor);
            let load = |member: &Member| given[&member.id].partitions.len();
            for from in &group.members {
                let topics: BTreeSet<&String> =
                    given[&from.id].partitions.iter().map(|at| &at.topic).collect();
                for to in group.members.iter().filter(|to| load(to) + 2 <= load(from)) {
                    assert!(!to.subscription.topics.iter().any(|topic| topics.contains(topic)));
                }
            }
        }
    });
}

#[test]
fn nothing_moves_where_nothing_has_changed() {
    seeded("nothing_moves_where_nothing_has_changed", 30, |rng| {
        let equal = rng.bool();
        for assignor in STICKY {
            let mut group = Group::draw(rng, equal);
            let given = group.assign(assignor);
            group.accept(&given);
            assert_eq!(group.assign(assignor), given);
        }
    });
}

#[test]
fn a_member_that_leaves_moves_its_own_partitions_only() {
    seeded("a_member_that_leaves_moves_its_own_partitions_only", 30, |rng| {
        for assignor in STICKY {
            let mut group = Group::draw(rng, true);
            group.accept(&group.assign(assignor));
            group.members.swap_remove(rng.usize(..group.members.len()));
            if !group.members.is_empty() {
                assert_eq!(moves(&group.claims(), &group.assign(assignor)), 0);
            }
        }
    });
}

#[test]
fn a_member_that_joins_takes_its_share_and_nothing_else_moves() {
    seeded("a_member_that_joins_takes_its_share_and_nothing_else_moves", 30, |rng| {
        for assignor in STICKY {
            let mut group = Group::draw(rng, true);
            group.accept(&group.assign(assignor));
            group.join(rng, 1_000, true);
            let given = group.assign(assignor);
            assert_eq!(moves(&group.claims(), &given), given["m1000"].partitions.len());
            assert_eq!(
                given["m1000"].partitions.len(),
                group.shared_partitions().len() / group.members.len()
            );
        }
    });
}

#[test]
fn a_cooperative_group_settles_in_two_rounds_and_never_has_two_owners() {
    seeded("a_cooperative_group_settles_in_two_rounds_and_never_has_two_owners", 30, |rng| {
        let equal = rng.bool();
        let mut group = Group::draw(rng, equal);
        group.accept(&group.assign(&CooperativeStickyAssignor));
        for id in 1_000..1_000 + rng.usize(..5) {
            group.join(rng, id, equal);
        }
        let planned = group.assign(&CooperativeStickyAssignor);
        let mut given = planned.clone();
        withhold_moving(&mut given, &group.members);
        for member in &group.members {
            for at in &given[&member.id].partitions {
                let owned = |other: &&Member| other.subscription.owned.contains(at);
                assert!(group.members.iter().find(owned).is_none_or(|owner| owner.id == member.id));
            }
        }
        group.accept(&given);
        let mut given = group.assign(&CooperativeStickyAssignor);
        withhold_moving(&mut given, &group.members);
        assert_each_is_given_once(&group, &given);
        let loads = |given: &BTreeMap<String, Assignment>| {
            let mut loads: Vec<usize> = given.values().map(|a| a.partitions.len()).collect();
            loads.sort_unstable();
            loads
        };
        assert_eq!(loads(&given), loads(&planned));
    });
}

fn of_m1(group: Group) -> [Vec<i32>; 2] {
    STICKY.map(|assignor| numbers(&group.assign(assignor)["m1"], "a"))
}

fn two_members() -> Group {
    Group::new(&[("a", 2)]).member("m1", &["a"]).member("m2", &["a"])
}

#[test]
fn the_claim_of_a_newer_generation_wins() {
    let group = two_members().owning("m1", 3, &[("a", 0)]).owning("m2", 4, &[("a", 0)]);
    assert_eq!(of_m1(group), [[1], [1]]);
}

#[test]
fn a_member_of_an_old_generation_keeps_what_nobody_else_claims() {
    let group = two_members().owning("m1", 3, &[("a", 1)]).owning("m2", 4, &[]);
    assert_eq!(of_m1(group), [[1], [1]]);
}

#[test]
fn two_claims_of_one_generation_are_none() {
    let group = two_members().owning("m1", 4, &[("a", 1), ("a", 0)]).owning("m2", 4, &[("a", 1)]);
    assert_eq!(of_m1(group), [[0], [0]]);
}

#[test]
fn partitions_that_are_gone_or_no_longer_wanted_are_not_claimed() {
    let group = Group::new(&[("a", 2), ("b", 1)]).member("m1", &["a"]).member("m2", &["a", "b"]).owning(
        "m1",
        4,
        &[("a", 1), ("a", 7), ("a", -1), ("b", 0), ("ghost", 0)],
    );
    assert_eq!(of_m1(group), [[0, 1], [0, 1]]);
}

#[test]
fn a_cooperative_member_may_tell_its_generation_in_the_user_data_alone() {
    let mut group = two_members().owning("m1", 4, &[("a", 1)]).owning("m2", 5, &[("a", 1)]);
    for member in &mut group.members {
        let generation_id = member.subscription.generation_id;
        member.subscription.user_data = Some(user_data::encode_generation(generation_id));
        member.subscription.generation_id = -1;
    }
    let given = CooperativeStickyAssignor.assign(&group.topics, &group.members);
    assert_eq!(numbers(&given["m2"], "a"), [1]);
}

#[test]
fn user_data_that_cannot_be_read_claims_nothing() {
    let mut group = two_members();
    for member in &mut group.members {
        member.subscription.user_data = Some(b"\0\0\0\x01\0\x09".to_vec());
    }
    let given = StickyAssignor.assign(&group.topics, &group.members);
    assert_eq!(numbers(&given["m1"], "a"), [0]);
}

#[test]
fn a_member_that_had_nothing_yet_sends_no_last_assignment() {
    let none = LastAssignment { partitions: Vec::new(), generation_id: -1 };
    assert_eq!(StickyAssignor.user_data(&none), None);
    assert!(StickyAssignor.user_data(&LastAssignment { generation_id: 0, ..none }).is_some());
}

#[test]
fn free_partitions_go_beside_their_members_and_claims_stay_all_the_same() {
    let group = Group::new(&[])
        .on_racks("a", &["x", "x", "y", "y"])
        .member("m1", &["a"])
        .at_rack("m1", "y")
        .member("m2", &["a"])
        .at_rack("m2", "x");
    assert_eq!(of_m1(group.clone()), [[2, 3], [2, 3]]);
    let group = group.owning("m1", 1, &[("a", 0)]).owning("m2", 1, &[]);
    assert_eq!(of_m1(group), [[0, 2], [0, 2]]);
}

#[test]
fn what_is_given_up_first_is_on_another_rack() {
    let group = Group::new(&[])
        .on_racks("a", &["x", "x", "y", "y"])
        .member("m1", &["a"])
        .at_rack("m1", "y")
        .member("m2", &["a"])
        .owning("m1", 1, &[("a", 0), ("a", 1), ("a", 2), ("a", 3)])
        .owning("m2", 1, &[]);
    assert_eq!(of_m1(group), [[2, 3], [2, 3]]);
}
