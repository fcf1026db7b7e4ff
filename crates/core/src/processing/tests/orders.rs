//! Which records wait for which, and how many are in hand.

use super::*;

#[test]
fn by_partition_one_record_of_each_is_handled_at_a_time_in_order() {
    let mut world = World::new(ProcessingConfig { order: Order::Partition, ..config() });
    world.machine.handle_assigned(at(1), None);
    world.arrive_with(0, &["a", "b", ""]);
    world.arrive_of(1, 5..7);
    let jobs = world.take();
    assert_eq!(jobs.iter().map(|job| job.work).collect::<Vec<_>>(), [(0, 0), (1, 5)]);
    world.end(&jobs[0]);
    let next = world.take_only(1);
    world.end(&next);
    world.take_only(2);
}

#[test]
fn by_key_a_slow_key_holds_up_only_itself() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..config() });
    world.arrive_with(0, &["slow", "a", "slow", "b", "a"]);
    let jobs = world.take();
    assert_eq!(offsets(&jobs), [0, 1, 3]);
    world.end(&jobs[1]);
    let next = world.take_only(4);
    world.end(&next);
    world.end(&jobs[2]);
    assert_eq!(world.take(), []);
    world.end(&jobs[0]);
    world.take_only(2);
}

#[test]
fn by_key_records_without_a_key_wait_for_none() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..config() });
    world.arrive_with(0, &["a", "", "a", "", ""]);
    assert_eq!(offsets(&world.take()), [0, 1, 3, 4]);
}

#[test]
fn the_same_key_in_two_partitions_is_two_lines() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..config() });
    world.machine.handle_assigned(at(1), None);
    world.arrive_with(0, &["a"]);
    let next = CommittedOffset::new(1);
    world.machine.handle_arrived(&at(1), [arrival(1, 0, "a")], next, world.now);
    assert_eq!(world.take().len(), 2);
}

#[test]
fn unordered_all_are_handled_at_once_up_to_the_concurrency() {
    let mut world = World::new(ProcessingConfig { concurrency: 3, ..config() });
    world.arrive_with(0, &["a", "a", "a", "a", "a"]);
    let jobs = world.take();
    assert_eq!((offsets(&jobs), world.machine.running()), (vec![0, 1, 2], 3));
    world.end(&jobs[1]);
    world.take_only(3);
}

#[test]
fn lines_that_are_done_leave_nothing_behind() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..config() });
    let keys: Vec<String> = (0..100).map(|n| (n % 17).to_string()).collect();
    world.arrive_with(0, &keys.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(world.machine.lines.len() > 1);
    while let Some(job) = world.machine.take(world.now) {
        world.end(&job);
    }
    assert_eq!((world.machine.lines.len(), world.machine.in_hand()), (0, 0));
}

#[test]
fn a_partition_whose_share_of_the_room_is_used_up_is_paused_until_half_of_it_is_free() {
    let room = Room { records: 20, bytes: 1 << 30 };
    let mut world = World::new(ProcessingConfig { room, ..config() });
    world.machine.handle_assigned(at(1), None);
    world.arrive(0..9);
    assert_eq!(world.pauses(), BTreeMap::new());
    world.arrive(9..10);
    assert_eq!((world.pauses(), world.machine.room()), (BTreeMap::from([(0, true)]), Some(10)));
    let jobs = world.take();
    jobs[..5].iter().for_each(|job| world.end(job));
    assert_eq!(world.pauses(), BTreeMap::new());
    world.end(&jobs[5]);
    assert_eq!(world.pauses(), BTreeMap::from([(0, false)]));
}

#[test]
fn no_few_records_are_asked_for_while_there_is_something_to_hand_out() {
    let room = Room { records: 80, bytes: 1 << 30 };
    let mut world = World::new(ProcessingConfig { room, concurrency: 100, ..config() });
    world.arrive(0..75);
    assert_eq!(world.machine.room(), None);
    for left in (0..5).rev() {
        // The first that is done begins the time until the next commit.
        world.machine.take_stir();
        let job = world.machine.take(world.now).unwrap();
        if left == 0 {
            assert_eq!((world.machine.take_stir(), world.machine.room()), (false, None));
        }
        world.end(&job);
    }
    assert_eq!((world.machine.take_stir(), world.machine.room()), (true, Some(10)), "an eighth is free");
    world.arrive(75..82);
    assert_eq!(world.machine.room(), None);
    assert_eq!(world.take().len(), 77);
    assert_eq!(
        (world.machine.take_stir(), world.machine.room()),
        (true, Some(3)),
        "none is left to hand out"
    );
}

#[test]
fn bytes_use_up_the_room_as_records_do() {
    let room = Room { records: 100, bytes: 95 };
    let mut world = World::new(ProcessingConfig { room, ..config() });
    world.arrive(0..9);
    assert_eq!(world.pauses(), BTreeMap::new());
    world.arrive(9..10);
    assert_eq!(world.pauses(), BTreeMap::from([(0, true)]));
}

#[test]
fn a_partition_that_comes_or_goes_changes_the_share_of_the_others() {
    let room = Room { records: 20, bytes: 1 << 30 };
    let mut world = World::new(ProcessingConfig { room, ..config() });
    world.arrive(0..15);
    assert_eq!(world.pauses(), BTreeMap::new());
    world.machine.handle_assigned(at(1), None);
    assert_eq!(world.pauses(), BTreeMap::from([(0, true)]));
    world.machine.handle_lost(&[at(1)]);
    assert_eq!(world.pauses(), BTreeMap::new(), "not before half of it is free");
    for job in world.take().iter().take(6) {
        world.end(job);
    }
    assert_eq!(world.pauses(), BTreeMap::from([(0, false)]));
}

#[test]
fn a_record_that_is_not_due_holds_up_its_line_alone_until_it_is() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..config() });
    let due = Some(world.now.mono + Duration::from_secs(60));
    let records = [(0, "a", due), (1, "a", None), (2, "b", None)]
        .map(|(offset, key, due)| Arrival { due, ..arrival(0, offset, key) });
    world.machine.handle_arrived(&at(0), records, CommittedOffset::new(3), world.now);
    assert_eq!(offsets(&world.take()), [2]);
    assert_eq!(world.due_in(), Some(Duration::from_secs(60)));
    world.pass(Duration::from_secs(59));
    assert_eq!(world.take(), []);
    world.until_due();
    let due = world.take_only(0);
    assert_eq!(due.attempt, 1);
    world.end(&due);
    assert_eq!(offsets(&world.take()), [1]);
}
