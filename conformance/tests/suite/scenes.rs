//! What happens to groups, for each way to belong to one: nothing is lost, nothing that was committed is repeated, and
//! what does not move flows on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::flow::millis;
use ottla_conformance::targets::Target;

use crate::cases::{Case, Outcome};
use crate::kit::{create, describe, equal, holds, numbers, wait};
use crate::scene::{Membership, PARTITIONS, Scene, even, rest};

/// Those that the release before is tried with, too.
const IN_SHORT: [&str; 3] = [
    "members_come_go_and_are_killed",
    "a_static_member_restarts_within_its_session_and_after_it",
    "members_subscribe_by_pattern_to_a_topic_that_comes_later",
];

pub(crate) fn cases() -> Vec<Case> {
    type Run = fn(&Target, Membership) -> Outcome;
    let scenes: [(&str, bool, Run); 11] = [
        ("members_come_go_and_are_killed", true, come_go_and_die),
        ("members_with_three_readers_each_come_go_and_are_killed", false, several_readers),
        ("a_static_member_restarts_within_its_session_and_after_it", false, static_member_restarts),
        ("two_members_have_one_static_id", false, one_static_id),
        ("partitions_are_added", false, partitions_added),
        ("partitions_are_added_while_static_members_are_away", false, added_while_away),
        ("members_subscribe_by_pattern_to_a_topic_that_comes_later", false, by_pattern),
        ("members_that_close_leave_or_remain", false, leave_or_remain),
        ("thirty_members_join_at_once", false, thirty_members),
        ("a_member_stops_polling_and_comes_back", false, stops_polling),
        ("a_handler_that_blocks_is_no_rebalance", false, blocking_handler),
    ];
    let mut cases = Vec::new();
    for (name, timed, run) in scenes {
        for membership in Membership::ALL {
            let named = format!("{}::{name}", membership.name());
            let mut case = Case::both(named, move |target| run(target, membership));
            if IN_SHORT.contains(&name) {
                case = case.and_kafka_4_3();
            }
            if membership != Membership::Consumer {
                case = case.and_kafka_3_9();
            }
            // An eager group stands still at each rebalance: there is nothing to measure.
            let timed = timed && membership != Membership::Eager;
            cases.push(if timed { case.timed() } else { case });
        }
    }
    cases
}

fn come_go_and_die(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::start(target, membership, "come-go-die", 3)?;
    scene.flow(2000)?;
    scene.when("a member joins", |scene| scene.add(&[]).map(drop), &even(PARTITIONS, 4), (9, true))?;
    scene.when("a member closes", |scene| scene.close(1), &even(PARTITIONS, 3), (8, true))?;
    let killed = |scene: &mut Scene| {
        scene.kill(0);
        Ok(())
    };
    scene.when("a member is killed", killed, &even(PARTITIONS, 2), (8, false))?;
    scene.finish()
}

/// As for one reader each: what goes is waited for, committed, and repeated by nobody.
fn several_readers(target: &Target, membership: Membership) -> Outcome {
    let three = [("readers", "3")];
    let mut scene = Scene::start_with(target, membership, "three-readers", 2, &three)?;
    scene.when("a member joins", |scene| scene.add(&three).map(drop), &even(PARTITIONS, 3), (0, true))?;
    scene.when("a member closes", |scene| scene.close(1), &even(PARTITIONS, 2), (0, true))?;
    let killed = |scene: &mut Scene| {
        scene.kill(0);
        Ok(())
    };
    scene.when("a member is killed", killed, &even(PARTITIONS, 1), (0, false))?;
    scene.finish()
}

/// Under one static id each.
fn static_members(scene: &mut Scene) -> Outcome {
    for id in ["a", "b", "c"] {
        scene.add(&[("group.instance.id", id)])?;
    }
    scene.settle(&even(PARTITIONS, 3))?;
    scene.flow(500)
}

fn static_member_restarts(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "static", PARTITIONS, 500)?;
    static_members(&mut scene)?;
    let (owned, joins) = (scene.log(1).owns(), scene.joins());
    scene.close(1)?;
    let restarted = scene.add(&[("group.instance.id", "b")])?;
    scene.settle(&even(PARTITIONS, 3))?;
    equal("what it has again", scene.log(restarted).owns(), owned)?;
    equal("no rebalance for the others", scene.joins()[..3].to_vec(), joins)?;
    scene.close(restarted)?;
    scene.settle(&even(PARTITIONS, 2))?;
    scene.add(&[("group.instance.id", "b")])?;
    scene.settle(&even(PARTITIONS, 3))?;
    scene.finish()
}

fn one_static_id(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "one-id", PARTITIONS, 500)?;
    static_members(&mut scene)?;
    let second = scene.add(&[("group.instance.id", "b")])?;
    let (ends, code) = match membership {
        Membership::Consumer => (second, "UNRELEASED_INSTANCE_ID"),
        _ => (1, "FENCED_INSTANCE_ID"),
    };
    scene.until("one that is refused", |scene| scene.members[ends].status().is_some())?;
    let fatal = scene.log(ends).fatal.clone().unwrap_or_default();
    holds(&format!("{code} in `{fatal}`"), fatal.contains(code))?;
    scene.settle(&even(PARTITIONS, 3))?;
    scene.finish()
}

fn partitions_added(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::start(target, membership, "widened", 3)?;
    scene.widen(2 * PARTITIONS)?;
    scene.settle(&even(2 * PARTITIONS, 3))?;
    scene.flow(1000)?;
    scene.finish()
}

/// One of them leads a classic group, and finds it shared out when it is back.
fn added_while_away(target: &Target, membership: Membership) -> Outcome {
    const SESSION: Duration = Duration::from_secs(20);
    let session = SESSION.as_millis().to_string();
    let add_all = |scene: &mut Scene| {
        for id in ["a", "b", "c"] {
            let more = [("group.instance.id", id), ("session.timeout.ms", session.as_str())];
            let classic = membership != Membership::Consumer;
            scene.add(&more[..if classic { 2 } else { 1 }])?;
        }
        Ok::<_, Failed>(())
    };
    let mut scene = Scene::empty(target, membership, "away", PARTITIONS, 500)?;
    add_all(&mut scene)?;
    scene.settle(&even(PARTITIONS, 3))?;
    scene.flow(500)?;
    let away = Instant::now();
    for member in 0..3 {
        scene.close(member)?;
    }
    scene.widen(2 * PARTITIONS)?;
    add_all(&mut scene)?;
    scene.settle(&even(2 * PARTITIONS, 3))?;
    let within = membership == Membership::Consumer || away.elapsed() < SESSION;
    holds("they were back before their sessions were over", within)?;
    scene.flow(1000)?;
    scene.finish()
}

/// What comes later is read from its beginning; a name in which the pattern matches only a part is another topic.
fn by_pattern(target: &Target, membership: Membership) -> Outcome {
    const RECORDS: i32 = 120;
    let mut scene = Scene::empty(target, membership, "pattern", PARTITIONS, 500)?;
    let pattern = format!("{}(-late)?", scene.topic);
    for _ in 0..3 {
        scene.add(&[("pattern", &pattern)])?;
    }
    scene.settle(&even(PARTITIONS, 3))?;
    scene.flow(500)?;
    let [never, late] = ["never", "late"].map(|end| format!("{}-{end}", scene.topic));
    wait(async {
        for topic in [&never, &late] {
            create(target, topic, PARTITIONS).await?;
            numbers(target, topic, PARTITIONS, 0..RECORDS).await?;
        }
        Outcome::Ok(())
    })?;
    // How often each was read.
    let others = |scene: &mut Scene| {
        let mut read: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for (topic, record) in scene.members.iter_mut().flat_map(|member| member.log().others.clone()) {
            *read.entry((topic, record.number)).or_default() += 1;
        }
        read
    };
    scene.until("the records of the later topic", |scene| others(scene).len() >= RECORDS as usize)?;
    scene.flow(500)?;
    let each_once = (0..RECORDS).map(|number| ((late.clone(), number.into()), 1)).collect();
    equal("read of other topics", others(&mut scene), each_once)?;
    scene.finish()
}

/// Whoever leaves is not waited for. Who remains, or is static and does not say that it leaves, keeps its partitions
/// until its session of 6 s is over (KIP-1092).
fn leave_or_remain(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "closing", PARTITIONS, 500)?;
    let (dynamic, r#static) = ([], |id| [("group.instance.id", id)]);
    for more in [&dynamic[..], &dynamic, &r#static("b"), &r#static("c")] {
        scene.add(more)?;
    }
    scene.settle(&even(PARTITIONS, 4))?;
    scene.flow(500)?;
    // How long the first member's share stays what it was: since they were told to close, and since they had.
    let close = |scene: &mut Scene, how: &[(usize, &str)], shares: &[usize]| {
        let told = millis();
        for (member, command) in how {
            scene.members[*member].tell(command);
        }
        for (member, _) in how {
            scene.closed(*member)?;
        }
        let closed = millis();
        equal("its members", describe(target, &scene.group)?.members.len(), 3)?;
        scene.settle(shares)?;
        let changed = scene.log(0).owned.iter().map(|(at, _)| *at).find(|at| *at > told);
        let changed = changed.ok_or("no change")?;
        let since = |at: u64| Duration::from_millis(changed.saturating_sub(at));
        Ok::<_, Failed>((since(told), since(closed)))
    };
    // A member that is short of a processor closes slowly.
    let (_, left) = close(&mut scene, &[(3, "leave")], &even(PARTITIONS, 3))?;
    let (remained, _) = close(&mut scene, &[(1, "remain"), (2, "close")], &even(PARTITIONS, 1))?;
    let session = Duration::from_secs(5)..;
    holds(&format!("{left:?} are no session"), !session.contains(&left))?;
    holds(&format!("{remained:?} are a session"), session.contains(&remained))?;
    scene.finish()
}

fn thirty_members(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "thirty", 60, 300)?;
    for _ in 0..30 {
        scene.add(&[])?;
    }
    scene.settle(&even(60, 30))?;
    scene.flow(500)?;
    scene.finish()
}

fn stops_polling(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "stopped", PARTITIONS, 500)?;
    for _ in 0..3 {
        scene.add(&[("max.poll.interval.ms", "3000")])?;
    }
    scene.settle(&even(PARTITIONS, 3))?;
    scene.flow(500)?;
    scene.members[0].tell("sleep 12000");
    scene.until("the others, who take over", |scene| {
        let shares: usize = (1..3).map(|member| scene.log(member).owns().len()).sum();
        shares == PARTITIONS as usize
    })?;
    holds("while it does not poll", scene.log(0).expelled.is_empty())?;
    scene.settle(&even(PARTITIONS, 3))?;
    equal("it was told, once", scene.log(0).expelled.len(), 1)?;
    scene.finish()
}

fn blocking_handler(target: &Target, membership: Membership) -> Outcome {
    let mut scene = Scene::empty(target, membership, "blocked", PARTITIONS, 500)?;
    for _ in 0..3 {
        scene.add(&[])?;
    }
    scene.settle(&even(PARTITIONS, 3))?;
    scene.flow(500)?;
    let joins = scene.joins();
    // Longer than a session.
    scene.members[0].tell("sleep 8000");
    rest(Duration::from_secs(8));
    scene.flow(500)?;
    equal("no rebalance", scene.joins(), joins)?;
    scene.settle(&even(PARTITIONS, 3))?;
    scene.finish()
}
