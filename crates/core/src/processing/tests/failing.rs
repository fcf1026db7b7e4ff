//! Failures: when a record is tried again, and what becomes of one that is not.

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn patient(attempts: u32) -> ProcessingConfig {
    let retries = RetryPolicy::exponential(100 * MILLI..=400 * MILLI).attempts(attempts);
    ProcessingConfig { retries, commit_interval: Duration::from_secs(3600), ..config() }
}

/// A wait that is drawn within a fifth of this.
fn about(wait: Duration, is: Duration) {
    assert!((wait.mul_f64(0.8)..=wait.mul_f64(1.2)).contains(&is), "{is:?}, and not about {wait:?}");
}

#[test]
fn a_record_that_fails_is_tried_again_after_twice_as_long_each_time() {
    let mut world = World::new(patient(5));
    world.arrive(0..1);
    for (attempt, wait) in [(1, 100), (2, 200), (3, 400), (4, 400)] {
        let job = world.take_only(0);
        assert_eq!(job.attempt, attempt);
        world.fail(&job);
        assert_eq!(world.take(), []);
        about(wait * MILLI, world.due_in().unwrap());
        world.until_due();
    }
    let last = world.take_only(0);
    world.end(&last);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn the_same_seed_draws_the_same_waits_and_another_one_others() {
    let waits = |seed| {
        let mut world = World::new(ProcessingConfig { seed, ..patient(5) });
        world.arrive(0..1);
        let waits = (0..4).map(|_| {
            let job = world.take_only(0);
            world.fail(&job);
            world.until_due()
        });
        waits.collect::<Vec<_>>()
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
}

#[test]
fn those_behind_a_record_that_is_tried_again_wait_and_others_do_not() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, ..patient(5) });
    world.arrive_with(0, &["a", "a", "b"]);
    let jobs = world.take();
    assert_eq!(offsets(&jobs), [0, 2]);
    world.fail(&jobs[0]);
    world.end(&jobs[1]);
    assert_eq!(world.take(), []);
    world.until_due();
    let again = world.take_only(0);
    world.end(&again);
    world.take_only(1);
}

#[test]
fn a_record_that_waits_for_its_next_attempt_takes_no_worker() {
    let mut world = World::new(ProcessingConfig { concurrency: 1, ..patient(5) });
    world.arrive(0..2);
    let job = world.take_only(0);
    world.fail(&job);
    world.take_only(1);
}

#[test]
fn no_attempt_begins_later_than_the_total_time_lets_it() {
    let retries = RetryPolicy::exponential(100 * MILLI..=400 * MILLI).attempts(100).total(1000 * MILLI);
    let mut world = World::new(ProcessingConfig { retries, ..patient(1) });
    world.arrive(0..1);
    let first = world.now.mono;
    let hopeless = loop {
        let job = world.take_only(0);
        assert!(world.now.mono <= first + 1000 * MILLI);
        world.fail(&job);
        match world.machine.take_stopped_for() {
            Some(hopeless) => break hopeless,
            None => drop(world.until_due()),
        }
    };
    assert_eq!(hopeless.why, WhyHopeless::Time);
    assert!((3..=5).contains(&hopeless.attempts), "{hopeless:?}");
}

#[test]
fn a_fatal_failure_is_the_last_attempt() {
    let mut world = World::new(patient(5));
    world.arrive(0..1);
    let job = world.take_only(0);
    world.machine.handle_ended(job.id, Ended::Failed(FailureClass::Fatal, "unreadable"), world.now);
    let (at, work) = (at(0), (0, 0));
    let hopeless =
        Hopeless { at, offset: 0, work, attempts: 1, why: WhyHopeless::Fatal, error: "unreadable" };
    assert_eq!(world.machine.take_stopped_for(), Some(hopeless));
}

#[test]
fn a_hopeless_record_stops_the_processing_and_is_not_committed() {
    let mut world = World::new(config());
    world.arrive(0..5);
    world.machine.take_stir();
    let jobs: Vec<_> = (0..3).map(|_| world.machine.take(world.now).unwrap()).collect();
    world.end(&jobs[0]);
    world.fail(&jobs[1]);
    assert!(world.machine.is_stopping() && world.machine.take_stir());
    assert_eq!(world.take(), []);
    world.fail(&jobs[2]);
    assert_eq!(world.machine.take_stopped_for().map(|stopped| stopped.offset), Some(1), "the first");
    assert_eq!(world.machine.take_stopped_for(), None);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn a_hopeless_record_that_is_skipped_counts_as_done_and_is_logged() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::Skip, ..config() });
    world.arrive(0..1);
    let job = world.take_only(0);
    let ((), told) = crate::log::tests::told_while(|| world.fail(&job));
    let line = "WARN record is hopeless partition=t-0 offset=0 attempts=1 why=it has had all its attempts \
                error=no luck follows=Skip";
    assert_eq!(told, [line]);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
    assert!(!world.machine.is_stopping());
}

#[test]
fn a_record_that_is_given_away_keeps_its_place_until_somebody_has_taken_it() {
    let given = ProcessingConfig { on_hopeless: OnHopeless::GiveAway, order: Order::Key, ..config() };
    let mut world = World::new(given);
    world.arrive_with(0, &["a", "a"]);
    let job = world.take_only(0);
    world.fail(&job);
    let given = world.machine.poll_given_away().unwrap();
    assert_eq!((given.hopeless.offset, given.hopeless.error), (0, "no luck"));
    assert!(!world.machine.is_drained(&[at(0)]));
    assert_eq!((world.take(), world.commit()), (vec![], None));
    world.machine.handle_given_away(given.id, true, world.now);
    world.take_only(1);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn a_record_that_cannot_be_given_away_is_handed_out_again_after_a_while() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::GiveAway, ..config() });
    world.arrive(0..1);
    for attempt in 1..4 {
        let job = world.take_only(0);
        assert_eq!(job.attempt, attempt);
        world.fail(&job);
        let given = world.machine.poll_given_away().unwrap();
        world.machine.handle_given_away(given.id, false, world.now);
        world.machine.handle_given_away(given.id, true, world.now);
        assert_eq!((world.take(), world.commit()), (vec![], None));
        about(100 * MILLI * (1 << (attempt - 1)), world.until_due());
    }
    let job = world.take_only(0);
    world.end(&job);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn a_handler_that_hangs_is_told_to_end_with_its_record_in_the_log_and_fails() {
    let hangs = ProcessingConfig { handler_timeout: Some(30 * MILLI), ..patient(2) };
    let mut world = World::new(hangs);
    world.arrive(0..2);
    let jobs = world.take();
    world.pass(20 * MILLI);
    world.end(&jobs[1]);
    assert_eq!((world.cancels(), world.due_in()), (vec![], Some(10 * MILLI)));
    let ((), told) = crate::log::tests::told_while(|| world.pass(10 * MILLI));
    assert_eq!(told, ["WARN handler hangs partition=t-0 offset=0 attempts=1 after=Some(30ms)"]);
    assert_eq!(world.cancels(), [(jobs[0].id, CancelReason::TimedOut)]);
    assert!(world.due_in() > Some(Duration::from_secs(1000)), "it is told once");
    assert_eq!(world.machine.running(), 1, "it is running until it has ended");
    world.fail(&jobs[0]);
    about(100 * MILLI, world.until_due());
    world.take_only(0);
}

#[test]
fn when_nobody_takes_records_over_any_more_those_given_away_are_not_done_and_hold_up_no_drain() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::GiveAway, ..config() });
    world.arrive(0..2);
    let jobs = world.take();
    jobs.iter().for_each(|job| world.fail(job));
    let given = world.machine.poll_given_away().unwrap();
    world.machine.handle_nobody_takes();
    assert!(world.machine.is_stopping());
    assert!(!world.machine.has_given_away());
    world.machine.handle_given_away(given.id, true, world.now);
    world.machine.handle_revoked([&at(0)], world.now.mono + MILLI);
    assert!(world.machine.is_drained([&at(0)]));
    assert_eq!(world.machine.release([&at(0)]), BTreeMap::new());
}

#[test]
fn a_record_that_is_deferred_keeps_its_place_takes_no_worker_and_no_attempt() {
    let mut world = World::new(ProcessingConfig { order: Order::Key, concurrency: 1, ..patient(1) });
    world.arrive_with(0, &["a", "a", "b"]);
    for _ in 0..3 {
        let job = world.machine.take(world.now).unwrap();
        assert_eq!((job.work.1, job.attempt), (0, 1));
        world.machine.handle_ended(job.id, Ended::Deferred(5000 * MILLI), world.now);
        if let Some(other) = world.machine.take(world.now) {
            assert_eq!(other.work.1, 2, "of the other key");
            world.end(&other);
        }
        assert_eq!(world.take(), []);
        assert_eq!(world.due_in(), Some(5000 * MILLI));
        world.until_due();
    }
    let job = world.take_only(0);
    world.end(&job);
    world.take_only(1);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn to_defer_to_a_time_that_has_passed_is_no_busy_loop() {
    let mut world = World::new(config());
    world.arrive(0..1);
    let job = world.take_only(0);
    world.machine.handle_ended(job.id, Ended::Deferred(Duration::ZERO), world.now);
    assert_eq!((world.take(), world.due_in()), (vec![], Some(MILLI)));
}

#[test]
fn whoever_ends_a_job_is_told_whether_its_record_is_done_by_that() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::GiveAway, ..config() });
    world.arrive(0..4);
    let jobs = world.take();
    let now = world.now;
    assert!(world.machine.handle_ended(jobs[0].id, Ended::Done, now));
    assert!(!world.machine.handle_ended(jobs[0].id, Ended::Done, now), "once");
    world.fail(&jobs[1]);
    world.fail(&jobs[2]);
    let given: Vec<_> = std::iter::from_fn(|| world.machine.poll_given_away()).collect();
    assert!(world.machine.handle_given_away(given[0].id, true, now));
    assert!(!world.machine.handle_given_away(given[0].id, true, now), "once");
    assert!(!world.machine.handle_given_away(given[1].id, false, now));
    world.machine.handle_lost(&[at(0)]);
    assert!(!world.machine.handle_ended(jobs[3].id, Ended::Done, now), "it is another's");
}
