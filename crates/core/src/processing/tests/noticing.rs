//! What is told of retries, hopeless records and stalls.

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn watched(config: ProcessingConfig) -> World {
    let mut world = World::new(config);
    world.machine.watch();
    world.machine.watch_for_stalls(1000 * MILLI);
    world
}

fn notices(world: &mut World) -> Vec<Notice> {
    std::iter::from_fn(|| world.machine.poll_notice()).collect()
}

#[test]
fn each_retry_is_told_with_its_wait_and_the_end_of_a_record_with_what_follows() {
    let retries = RetryPolicy::exponential(100 * MILLI..=100 * MILLI).attempts(2);
    let mut world = watched(ProcessingConfig { retries, on_hopeless: OnHopeless::Skip, ..config() });
    world.arrive(0..1);
    let job = world.take_only(0);
    world.fail(&job);
    let after = world.due_in().unwrap();
    let error = "no luck".to_owned();
    let retried = Notice::Retried { at: at(0), offset: 0, attempts: 1, after, error: error.clone() };
    assert_eq!(notices(&mut world), [retried]);
    world.until_due();
    let job = world.take_only(0);
    world.fail(&job);
    let (why, follows) = (WhyHopeless::Attempts, OnHopeless::Skip);
    let hopeless = Notice::Hopeless { at: at(0), offset: 0, attempts: 2, why, error, follows };
    assert_eq!(notices(&mut world), [hopeless]);
}

#[test]
fn nothing_is_kept_for_who_does_not_watch() {
    let mut world = World::new(ProcessingConfig { on_hopeless: OnHopeless::Skip, ..config() });
    world.arrive(0..1);
    let job = world.take_only(0);
    world.fail(&job);
    assert_eq!(notices(&mut world), []);
}

#[test]
fn a_stall_is_told_once_with_the_record_that_was_begun_first_until_a_job_ends() {
    let mut world = watched(ProcessingConfig { commit_interval: Duration::from_secs(3600), ..config() });
    world.arrive(0..3);
    assert_eq!(world.due_in(), None, "nothing runs");
    let jobs: Vec<_> = (0..2)
        .map(|_| {
            let job = world.machine.take(world.now).unwrap();
            world.now = world.now.after(10 * MILLI);
            job
        })
        .collect();
    assert_eq!(world.due_in(), Some(980 * MILLI));
    let ((), told) = crate::log::tests::told_while(|| world.pass(980 * MILLI));
    assert_eq!(told, ["WARN processing stalls partition=t-0 offset=0 attempts=1 after=1s in_hand=3"]);
    let stalled =
        |offset| Notice::Stalled { at: at(0), offset, attempts: 1, after: 1000 * MILLI, in_hand: 3 };
    assert_eq!(notices(&mut world), [stalled(0)]);
    world.pass(5000 * MILLI);
    assert_eq!(notices(&mut world), []);
    world.end(&jobs[0]);
    world.pass(999 * MILLI);
    assert_eq!(notices(&mut world), []);
    world.pass(MILLI);
    let [Notice::Stalled { offset: 1, in_hand: 2, .. }] = &notices(&mut world)[..] else {
        panic!("no stall")
    };
}

#[test]
fn a_wait_for_a_retry_is_no_stall_and_a_batch_that_hangs_is_one() {
    let retries = RetryPolicy::exponential(5000 * MILLI..=5000 * MILLI).attempts(2);
    let config = ProcessingConfig { order: Order::Partition, retries, ..config() };
    let mut world = watched(config);
    world.arrive(0..2);
    let job = world.take_only(0);
    world.fail(&job);
    notices(&mut world);
    world.pass(3000 * MILLI);
    assert_eq!(notices(&mut world), []);
    world.pass(5000 * MILLI);
    world.machine.take_batch(2, world.now).unwrap();
    world.pass(1000 * MILLI);
    let [Notice::Stalled { offset: 0, .. }] = &notices(&mut world)[..] else { panic!("no stall") };
}
