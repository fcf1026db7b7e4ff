//! Partitions that are revoked or lost, and positions that move back.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_partition_that_is_revoked_hands_out_nothing_and_drains() {
    let mut world = World::new(ProcessingConfig { concurrency: 2, ..config() });
    world.machine.handle_assigned(at(1), None);
    world.arrive(0..5);
    world.arrive_of(1, 0..1);
    let jobs = world.take();
    assert_eq!(offsets(&jobs), [0, 1]);
    world.machine.handle_revoked(&[at(0)], world.now.mono + SECOND);
    assert!(!world.machine.is_drained(&[at(0)]) && world.machine.is_drained(&[at(1)]));
    world.end(&jobs[0]);
    assert!(world.machine.take_stir());
    assert_eq!(world.take().iter().map(|job| job.work).collect::<Vec<_>>(), [(1, 0)]);
    world.end(&jobs[1]);
    assert!(world.machine.is_drained(&[at(0)]));
    let commit = world.machine.release(&[at(0)]);
    assert_eq!(commit.iter().map(|(at, commit)| (at.partition, commit.offset)).collect::<Vec<_>>(), [(0, 2)]);
    assert_eq!(world.machine.in_hand(), 1);
}

#[test]
fn a_handler_that_does_not_end_in_time_is_told_to_and_its_record_is_not_committed() {
    let mut world = World::new(config());
    world.arrive(0..2);
    let jobs = world.take();
    world.machine.handle_revoked(&[at(0)], world.now.mono + SECOND);
    world.end(&jobs[1]);
    assert_eq!(world.until_due(), SECOND);
    assert_eq!(world.cancels(), [(jobs[0].id, CancelReason::Gone)]);
    assert!(!world.machine.is_drained(&[at(0)]));
    world.machine.handle_ended(jobs[0].id, Ended::Cancelled, world.now);
    assert!(world.machine.is_drained(&[at(0)]));
    let commit = world.machine.release(&[at(0)]).remove(&at(0)).unwrap();
    assert_eq!(commit.offset, 0);
    let mut next = World::new(config());
    next.machine.handle_assigned(at(0), Some(&commit));
    next.arrive(0..2);
    next.take_only(0);
}

#[test]
fn a_record_that_waits_for_its_next_attempt_does_not_hold_up_a_revocation() {
    let retries = RetryPolicy::exponential(SECOND..=SECOND);
    let mut world = World::new(ProcessingConfig { retries, ..config() });
    world.arrive(0..1);
    let job = world.take_only(0);
    world.machine.handle_revoked(&[at(0)], world.now.mono + 10 * SECOND);
    world.fail(&job);
    assert!(world.machine.is_drained(&[at(0)]));
    world.machine.release(&[at(0)]);
    world.pass(5 * SECOND);
    assert_eq!(world.take(), []);
}

#[test]
fn a_partition_that_is_lost_cancels_its_handlers_and_what_they_bring_about_counts_for_nothing() {
    let mut world = World::new(ProcessingConfig { concurrency: 2, ..config() });
    world.arrive(0..5);
    let jobs = world.take();
    world.machine.handle_lost(&[at(0)]);
    assert_eq!(world.cancels().len(), 2);
    world.machine.handle_assigned(at(0), None);
    world.arrive(0..1);
    assert_eq!(world.take(), [], "the handlers of before still run");
    world.end(&jobs[0]);
    let again = world.take_only(0);
    world.end(&jobs[1]);
    assert_eq!(world.commit(), None);
    world.end(&again);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(1));
}

#[test]
fn a_position_that_moves_back_begins_the_partition_anew() {
    let mut world = World::new(ProcessingConfig { order: Order::Partition, ..config() });
    world.arrive(10..20);
    let job = world.take_only(10);
    world.arrive(5..12);
    assert_eq!(world.cancels(), [(job.id, CancelReason::Gone)]);
    world.end(&job);
    for offset in 5..12 {
        let job = world.take_only(offset);
        world.end(&job);
    }
    assert_eq!(world.commit().map(|commit| commit.offset), Some(12));
    assert_eq!(world.machine.in_hand(), 0);
}

#[test]
fn what_is_not_done_before_a_position_that_moves_back_is_handed_out_again() {
    let mut world = World::new(ProcessingConfig { concurrency: 2, ..config() });
    world.arrive(10..20);
    let jobs = world.take();
    assert_eq!(offsets(&jobs), [10, 11]);
    world.end(&jobs[1]);
    // As where a log was truncated to its first 15 records.
    world.arrive(15..17);
    assert_eq!(world.cancels(), [(jobs[0].id, CancelReason::Gone)]);
    world.end(&jobs[0]);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(10), "{:?} is not done", jobs[0]);
    let mut handled = Vec::new();
    loop {
        let jobs = world.take();
        jobs.iter().for_each(|job| world.end(job));
        handled.extend(jobs.iter().map(|job| (job.work.1, job.attempt)));
        if jobs.is_empty() {
            break;
        }
    }
    assert_eq!(handled, [10, 12, 13, 14, 15, 16].map(|offset| (offset, 1)));
    assert_eq!(world.commit().map(|commit| commit.offset), Some(17));
    assert_eq!(world.machine.in_hand(), 0);
}

#[test]
fn where_a_position_was_moved_back_to_is_committed_before_anything_is_done_there() {
    let mut world = World::new(config());
    world.arrive(10..12);
    for job in world.take() {
        world.end(&job);
    }
    world.arrive(5..12);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(5));
    assert_eq!(world.commit(), None);
}

#[test]
fn a_topic_that_is_made_anew_begins_its_partitions_anew() {
    let topic = |n| ottla_protocol::TopicId([n; 16]);
    let mut world = World::new(config());
    let next = |to, id| CommittedOffset::new(to).of_topic(topic(id));
    world.machine.handle_arrived(&at(0), [arrival(0, 0, "")], next(1, 1), world.now);
    let old = world.take_only(0);
    world.machine.handle_arrived(&at(0), [arrival(0, 5, "")], next(6, 2), world.now);
    assert_eq!(world.cancels().len(), 1);
    let new = world.take_only(5);
    world.end(&old);
    world.end(&new);
    assert_eq!(world.commit().map(|commit| commit.offset), Some(6));
}
