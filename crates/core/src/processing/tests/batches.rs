//! Batches: which records are in one, what is resolved of it, and what becomes of the rest.

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn by_partition() -> ProcessingConfig {
    let retries = RetryPolicy::exponential(100 * MILLI..=400 * MILLI).attempts(3);
    ProcessingConfig { order: Order::Partition, retries, ..config() }
}

impl World {
    /// The batch that can be handed out now, of these offsets.
    fn take_batch(&mut self, most: usize, offsets: &[i64]) -> Batch<(i32, i64)> {
        let batch = self.machine.take_batch(most, self.now).expect("a batch");
        assert_eq!(of(&batch), offsets);
        batch
    }

    fn no_batch(&mut self) {
        assert_eq!(self.machine.take_batch(100, self.now), None);
    }

    fn end_batch(&mut self, batch: &Batch<(i32, i64)>, ended: Ended<&'static str>) {
        self.machine.handle_ended(batch.id, ended, self.now);
    }

    fn resolve(&mut self, batch: &Batch<(i32, i64)>, through: i64) {
        self.machine.handle_resolved(batch.id, through, self.now);
    }
}

fn of(batch: &Batch<(i32, i64)>) -> Vec<i64> {
    batch.works.iter().map(|work| work.1).collect()
}

const FAILED: Ended<&str> = Ended::Failed(FailureClass::Retriable, "no luck");

#[test]
fn a_batch_has_what_is_in_hand_of_a_partition_up_to_so_many_and_the_next_follows_it() {
    let mut world = World::new(by_partition());
    world.machine.handle_assigned(at(1), None);
    world.arrive(0..5);
    world.arrive_of(1, 0..2);
    let first = world.take_batch(3, &[0, 1, 2]);
    let other = world.take_batch(3, &[0, 1]);
    assert_eq!(other.works[0].0, 1, "of another partition, beside it");
    world.no_batch();
    assert_eq!(world.machine.running(), 2);
    world.resolve(&first, 2);
    world.no_batch();
    world.end_batch(&first, Ended::Done);
    world.take_batch(3, &[3, 4]);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(3));
}

#[test]
fn a_batch_is_of_one_key_where_keys_have_their_order() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..by_partition() });
    world.arrive_with(0, &["a", "b", "a", "", "a"]);
    let a = world.take_batch(10, &[0, 2, 4]);
    world.take_batch(10, &[1]);
    world.take_batch(10, &[3]);
    world.resolve(&a, 4);
    let commit = world.commit().unwrap();
    assert_eq!((commit.offset, commit.metadata.is_empty()), (1, false));
}

#[test]
fn what_is_resolved_is_done_whatever_becomes_of_the_rest_which_is_tried_again() {
    let mut world = World::new(by_partition());
    world.arrive(0..4);
    let batch = world.take_batch(10, &[0, 1, 2, 3]);
    world.resolve(&batch, 1);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(2));
    world.end_batch(&batch, FAILED);
    world.resolve(&batch, 3);
    world.no_batch();
    let due = world.until_due();
    assert!((80 * MILLI..=120 * MILLI).contains(&due), "{due:?}");
    let again = world.take_batch(10, &[2, 3]);
    assert_eq!(again.attempt, 2);
    world.resolve(&again, i64::MAX);
    world.end_batch(&again, Ended::Done);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(4));
    assert_eq!((world.machine.in_hand(), world.machine.running()), (0, 0));
}

#[test]
fn what_a_batch_that_ends_well_leaves_comes_again_and_counts_as_no_attempt() {
    let mut world = World::new(by_partition());
    world.arrive(0..3);
    let batch = world.take_batch(10, &[0, 1, 2]);
    world.resolve(&batch, 0);
    world.end_batch(&batch, Ended::Done);
    let again = world.take_batch(10, &[1, 2]);
    assert_eq!(again.attempt, 1);
    assert_ne!(again.id, batch.id);
    world.end_batch(&again, Ended::Done);
    world.commit();
    // Nothing was resolved: it is no busy loop.
    for _ in 0..5 {
        world.no_batch();
        assert!(world.due_in() >= Some(80 * MILLI));
        world.until_due();
        let batch = world.take_batch(10, &[1, 2]);
        assert_eq!(batch.attempt, 1);
        world.end_batch(&batch, Ended::Done);
    }
}

#[test]
fn a_batch_that_is_deferred_comes_again_when_its_time_has_come_and_that_is_no_attempt() {
    let mut world = World::new(by_partition());
    world.arrive(0..3);
    let batch = world.take_batch(10, &[0, 1, 2]);
    world.resolve(&batch, 0);
    world.end_batch(&batch, Ended::Deferred(5000 * MILLI));
    world.commit();
    world.no_batch();
    assert_eq!(world.due_in(), Some(5000 * MILLI));
    world.until_due();
    let batch = world.take_batch(10, &[1, 2]);
    assert_eq!(batch.attempt, 1);
    world.resolve(&batch, 1);
    world.end_batch(&batch, FAILED);
    world.until_due();
    assert_eq!(world.take_batch(10, &[2]).attempt, 2, "it was not deferred but failed");
}

#[test]
fn of_a_batch_without_attempts_left_each_record_is_tried_alone_and_one_that_fails_then_is_hopeless() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::Skip, ..by_partition() });
    world.arrive(0..6);
    for _ in 0..3 {
        let batch = world.take_batch(4, &[0, 1, 2, 3]);
        world.end_batch(&batch, FAILED);
        if batch.attempt < 3 {
            world.until_due();
        }
    }
    for offset in 0..4 {
        let batch = world.take_batch(4, &[offset]);
        if offset == 2 {
            let ((), told) = crate::log::tests::told_while(|| world.end_batch(&batch, FAILED));
            let line = "WARN record is hopeless partition=t-0 offset=2 attempts=4 why=it has had all its \
                        attempts error=no luck follows=Skip";
            assert_eq!(told, [line]);
        } else {
            world.resolve(&batch, offset);
            world.end_batch(&batch, Ended::Done);
        }
    }
    world.take_batch(4, &[4, 5]);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(4));
}

#[test]
fn a_fatal_failure_of_a_batch_is_that_of_the_record_that_fails_alone() {
    let mut world = World::new(by_partition());
    world.arrive(0..2);
    let fatal = || Ended::Failed(FailureClass::Fatal, "unreadable");
    let batch = world.take_batch(4, &[0, 1]);
    world.end_batch(&batch, fatal());
    let batch = world.take_batch(4, &[0]);
    world.resolve(&batch, 0);
    world.end_batch(&batch, Ended::Done);
    let batch = world.take_batch(4, &[1]);
    world.end_batch(&batch, fatal());
    let stopped = world.machine.take_stopped_for().unwrap();
    assert_eq!((stopped.offset, stopped.attempts, stopped.why), (1, 2, WhyHopeless::Fatal));
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn a_batch_that_hangs_is_told_to_end_with_its_first_record_that_is_not_resolved() {
    let hangs = ProcessingConfig { handler_timeout: Some(30 * MILLI), ..by_partition() };
    let mut world = World::new(hangs);
    world.arrive(0..3);
    let batch = world.take_batch(10, &[0, 1, 2]);
    world.resolve(&batch, 0);
    let ((), told) = crate::log::tests::told_while(|| world.pass(30 * MILLI));
    assert_eq!(told, ["WARN handler hangs partition=t-0 offset=1 attempts=1 after=Some(30ms)"]);
    assert_eq!(world.cancels(), [(batch.id, CancelReason::TimedOut)]);
    world.end_batch(&batch, FAILED);
    world.until_due();
    world.take_batch(10, &[1, 2]);
}

#[test]
fn a_partition_is_drained_when_its_batch_has_ended_and_what_was_resolved_is_committed() {
    let mut world = World::new(by_partition());
    world.arrive(0..3);
    let batch = world.take_batch(2, &[0, 1]);
    assert!(!world.machine.is_stale(batch.id));
    world.machine.handle_revoked(&[at(0)], world.now.mono + 50 * MILLI);
    assert!(world.machine.is_stale(batch.id));
    world.resolve(&batch, 1);
    assert!(!world.machine.is_drained(&[at(0)]), "somebody is at it, whatever is resolved");
    assert_eq!(world.due_in(), Some(50 * MILLI));
    world.pass(50 * MILLI);
    assert_eq!(world.cancels(), [(batch.id, CancelReason::Gone)]);
    world.end_batch(&batch, Ended::Cancelled);
    assert!(world.machine.is_drained(&[at(0)]));
    let commit = world.machine.release(&[at(0)]);
    assert_eq!(commit.get(&at(0)).map(|commit| commit.offset), Some(2));
}

#[test]
fn a_batch_of_a_partition_that_is_lost_is_told_to_end_and_counts_for_nothing() {
    let timed = ProcessingConfig { handler_timeout: Some(30 * MILLI), ..by_partition() };
    let mut world = World::new(timed);
    world.arrive(0..3);
    let batch = world.take_batch(2, &[0, 1]);
    world.machine.handle_lost(&[at(0)]);
    assert_eq!(world.cancels(), [(batch.id, CancelReason::Gone)]);
    assert_eq!((world.due_in(), world.machine.is_stale(batch.id)), (None, true));
    world.machine.handle_assigned(at(0), None);
    world.arrive(0..3);
    world.resolve(&batch, 1);
    world.end_batch(&batch, Ended::Done);
    assert_eq!((world.commit(), world.machine.running()), (None, 0));
    world.take_batch(10, &[0, 1, 2]);
}

/// Batches that end, fail and resolve at random: in order, none at once with another of its partition, none lost, and no commit
/// passes what is not resolved.
#[test]
fn batches_at_random_keep_their_order_and_lose_nothing() {
    super::random::seeded("batches_at_random", 300, |rng| {
        let mut world = World::new(ProcessingConfig {
            concurrency: rng.usize(1..4),
            on_hopeless: OnHopeless::GiveAway,
            seed: rng.u64(..),
            handler_timeout: rng.bool().then_some(20 * MILLI),
            ..by_partition()
        });
        let parts = 3;
        let (mut arrived, mut done) = ([0; 3], [0; 3]);
        (1..3).for_each(|part| world.machine.handle_assigned(at(part), None));
        let mut running: Vec<Batch<(i32, i64)>> = vec![];
        let mut steps = 0;
        while done.iter().sum::<i64>() < 300 {
            steps += 1;
            assert!(steps < 100_000, "it stalls: {:?}", world.machine);
            let part = rng.usize(..parts);
            match rng.u32(..6) {
                0 if arrived[part] < 100 => {
                    let to = (arrived[part] + rng.i64(1..30)).min(100);
                    world.arrive_of(part as i32, arrived[part]..to);
                    arrived[part] = to;
                }
                1 => {
                    let most = rng.usize(1..20);
                    if let Some(batch) = world.machine.take_batch(most, world.now) {
                        let part = batch.works[0].0;
                        assert!(running.iter().all(|other| other.works[0].0 != part), "two at once");
                        let from = done[part as usize];
                        assert!(batch.works.len() <= most);
                        assert!(of(&batch).into_iter().eq(from..from + batch.works.len() as i64));
                        running.push(batch);
                    }
                }
                2..4 if !running.is_empty() => {
                    let batch = running.swap_remove(rng.usize(..running.len()));
                    let (part, first) = batch.works[0];
                    let some = rng.i64(0..=batch.works.len() as i64);
                    world.resolve(&batch, first + some - 1);
                    done[part as usize] += some;
                    let class =
                        [FailureClass::Retriable, FailureClass::Fatal][usize::from(rng.u32(..5) == 0)];
                    let fails = rng.bool();
                    world
                        .end_batch(&batch, if fails { Ended::Failed(class, "no luck") } else { Ended::Done });
                    while let Some(given) = world.machine.poll_given_away() {
                        assert_eq!(batch.works.len() as i64 - some, 1, "not alone");
                        world.machine.handle_given_away(given.id, true, world.now);
                        done[part as usize] += 1;
                    }
                }
                4 => world.pass(rng.u32(..100) * MILLI),
                _ => {
                    let commit = world.machine.commit_now();
                    world.machine.handle_committed(CommitEnd::Committed, world.now);
                    for (at, commit) in commit.into_iter().flatten() {
                        assert_eq!(commit.offset, done[at.partition as usize]);
                    }
                }
            }
        }
        running.iter().for_each(|batch| world.end_batch(batch, Ended::Done));
        assert_eq!((world.machine.in_hand(), world.machine.running()), (0, 0));
    });
}
