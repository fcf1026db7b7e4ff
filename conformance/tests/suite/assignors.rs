//! Our assignors beside Java's, on groups drawn at random.

use std::collections::{BTreeMap, BTreeSet, hash_map::RandomState};
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::group::{LastAssignment, Member, PartitionRacks, Subscription};
use ottla::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor, TopicPartition,
};
use ottla_conformance::{kafka::Java, process::Process};
use serde_json::{Value, json};

use crate::cases::{Case, Outcome};
use crate::kit::{equal, holds};

const ROUNDS: u64 = 200;
const WITHIN: Duration = Duration::from_secs(120);

type Topics = BTreeMap<String, Vec<PartitionRacks>>;

/// Each member's partitions.
type Given = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("range_and_round_robin_assign_as_java_does", range_and_round_robin).with_java(),
        Case::alone("sticky_assignors_are_as_even_as_javas_and_move_no_more", sticky).with_java(),
    ]
}

fn range_and_round_robin() -> Outcome {
    compare(&[&RangeAssignor, &RoundRobinAssignor], |group, java| {
        equal("partitions", group.given(&group.members), given(&java["given"])?)
    })
}

fn sticky() -> Outcome {
    compare(&[&StickyAssignor, &CooperativeStickyAssignor], |group, java| {
        let (ours, theirs) = (group.given(&group.members), given(&java["given"])?);
        let size = |given: &Given| given.values().map(BTreeSet::len).sum::<usize>();
        let settled = size(&theirs) == size(&ours);
        // Java's cooperative one may still withhold partitions that it moves to and fro.
        holds("all partitions given", settled || group.assignor.is_cooperative())?;
        let (mine, other) = (group.score(&ours), group.score(&theirs));
        holds(&format!("(evenness, moves) {mine:?} at most Java's {other:?}"), !settled || mine <= other)?;
        if settled && group.equal_subscriptions {
            equal("evenness", mine.0, other.0)?;
        }
        let read: BTreeMap<&String, Value> =
            group.members.iter().map(|member| (&member.id, group.as_java_reads(member))).collect();
        equal("our user data, as Java reads it", json!(read), java["read"].clone())?;
        let told_by_java = |member: &Member| {
            let mut member = member.clone();
            member.subscription.user_data = java["written"][&member.id].as_str().map(bytes).transpose()?;
            Ok(member)
        };
        let told_by_java: Vec<Member> =
            group.members.iter().map(told_by_java).collect::<Result<_, Failed>>()?;
        equal("what follows from Java's user data", group.given(&told_by_java), ours)
    })
}

/// Asks both, in one run of Java's, about every group drawn.
fn compare(assignors: &[&dyn Assignor], check: impl Fn(&Group<'_>, &Value) -> Outcome) -> Outcome {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>()).transpose()?;
    let first = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
    let seeds = first..first + if given.is_some() { 1 } else { ROUNDS };
    let groups: Vec<(u64, Group<'_>)> = seeds
        .flat_map(|seed| assignors.iter().map(move |assignor| (seed, Group::draw(*assignor, seed))))
        .collect();
    for ((seed, group), java) in groups.iter().zip(answers(&groups)?) {
        check(group, &java).map_err(|failed| {
            let why = failed.message().unwrap_or_default();
            format!("{} with SEED={seed}: {why}\n{}", group.assignor.name(), group.asked())
        })?;
    }
    Ok(())
}

fn answers(groups: &[(u64, Group<'_>)]) -> Result<Vec<Value>, Failed> {
    let java = Java::get()?.program("Assignors.java");
    let mut java = Process::spawn_with_input(&java)?;
    for (_, group) in groups {
        java.write(format!("{}\n", group.asked()).as_bytes())?;
    }
    java.close_input();
    let answers = java.finish(WITHIN)?.stdout;
    let answers: Vec<Value> = answers.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    equal("answers", answers.len(), groups.len())?;
    Ok(answers)
}

/// What an assignor is asked.
struct Group<'a> {
    assignor: &'a dyn Assignor,
    topics: Topics,
    members: Vec<Member>,
    equal_subscriptions: bool,
}

impl<'a> Group<'a> {
    fn draw(assignor: &'a dyn Assignor, seed: u64) -> Self {
        let mut rng = Random(seed);
        let equal_subscriptions = rng.one_in(2);
        let racks = ["x", "y", "z"].get(..rng.below(4)).unwrap_or_default();
        // Topics of one size are matched together under racks.
        let sizes = [rng.below(30), rng.below(30)];
        let mut topics = Topics::new();
        for topic in 0..=rng.below(6) {
            let size = sizes[rng.below(2)];
            let on = |rng: &mut Random| {
                let some = racks.iter().filter(|_| rng.one_in(2));
                some.map(|rack| (*rack).to_owned()).collect::<PartitionRacks>()
            };
            topics.insert(format!("t{topic}"), (0..size).map(|_| on(&mut rng)).collect());
        }
        let mut members = Vec::new();
        for id in 0..=rng.below(12) {
            // At least one: Java's sticky ones may give a member without topics what the others want.
            let sure = rng.below(topics.len());
            let wanted = topics.keys().enumerate();
            let wanted = wanted.filter(|(at, _)| equal_subscriptions || *at == sure || rng.one_in(2));
            let mut subscription = Subscription::new(wanted.map(|(_, topic)| topic));
            let rack = racks.get(rng.below(4)).filter(|_| !rng.one_in(4));
            subscription.rack = rack.map(|rack| (*rack).to_owned());
            let instance_id = rng.one_in(3).then(|| format!("i{}", id * 7 % 13));
            let mut member = Member::new(format!("m{:02}", id * 5 % 13), subscription);
            member.instance_id = instance_id;
            members.push(member);
        }
        let mut group = Self { assignor, topics, members, equal_subscriptions };
        group.draw_owners(&mut rng);
        group
    }

    /// Most partitions have an owner, perhaps one of few members, unless nobody had any yet.
    fn draw_owners(&mut self, rng: &mut Random) {
        let fresh = rng.one_in(4);
        let owners = 1 + rng.below(self.members.len());
        for (topic, partitions) in &self.topics {
            for number in 0..partitions.len() {
                let owner = &mut self.members[rng.below(owners)].subscription;
                if !fresh && !rng.one_in(6) && owner.topics.contains(topic) {
                    owner.owned.push(TopicPartition::new(topic, number as i32));
                }
            }
        }
        for member in &mut self.members {
            let told = &mut member.subscription;
            told.generation_id = if fresh { -1 } else { 7 };
            let last = LastAssignment::new(told.owned.clone(), told.generation_id);
            told.user_data = self.assignor.user_data(&last);
        }
    }

    fn given(&self, members: &[Member]) -> Given {
        let given = self.assignor.assign(&self.topics, members).into_iter();
        given
            .map(|(id, given)| (id, given.partitions.iter().map(TopicPartition::to_string).collect()))
            .collect()
    }

    /// The sum of the squares of the loads, and how many partitions their owners do not keep.
    fn score(&self, given: &Given) -> (usize, usize) {
        let moved = |member: &Member| {
            let owned = member.subscription.owned.iter();
            owned.filter(|at| !given[&member.id].contains(&at.to_string())).count()
        };
        let squares = given.values().map(|partitions| partitions.len().pow(2)).sum();
        (squares, self.members.iter().map(moved).sum())
    }

    fn asked(&self) -> Value {
        let member = |member: &Member| {
            let Subscription { topics, user_data, owned, generation_id, rack, .. } = &member.subscription;
            let owned: Vec<_> = owned.iter().map(|at| (&at.topic, at.partition)).collect();
            let user_data = user_data.as_ref().map(|bytes| {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() //
            });
            let asked = json!({
                "instance": member.instance_id, "rack": rack, "topics": topics,
                "owned": owned, "generation": generation_id, "userData": user_data,
            });
            (member.id.clone(), asked)
        };
        let members: BTreeMap<String, Value> = self.members.iter().map(member).collect();
        json!({ "assignor": self.assignor.name(), "topics": self.topics, "members": members })
    }

    fn as_java_reads(&self, member: &Member) -> Value {
        let Subscription { owned, generation_id, .. } = &member.subscription;
        let mut partitions: Vec<String> = owned.iter().map(TopicPartition::to_string).collect();
        partitions.sort();
        json!({ "generation": generation_id, "partitions": partitions })
    }
}

fn given(java: &Value) -> Result<Given, Failed> {
    Ok(serde_json::from_value(java.clone())?)
}

fn bytes(hex: &str) -> Result<Vec<u8>, Failed> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    Ok((0..hex.len()).step_by(2).map(byte).collect::<Result<_, _>>()?)
}

/// Steele's and Vigna's SplitMix: enough to draw groups with.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}
