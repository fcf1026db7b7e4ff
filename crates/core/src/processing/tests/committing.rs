//! What is committed, and when.

use super::*;

fn offset(commit: Option<CommittedOffset>) -> Option<i64> {
    commit.map(|commit| commit.offset)
}

#[test]
fn what_is_committed_is_before_the_first_record_that_is_not_done() {
    let mut world = World::new(config());
    world.arrive(0..4);
    let jobs = world.take();
    assert_eq!(world.commit(), None);
    world.end(&jobs[1]);
    world.end(&jobs[3]);
    assert_eq!(offset(world.commit()), Some(0));
    world.end(&jobs[0]);
    assert_eq!(offset(world.commit()), Some(2));
    world.end(&jobs[2]);
    let last = world.commit().unwrap();
    assert_eq!((last.offset, last.leader_epoch, last.metadata.as_str()), (4, Some(0), ""));
    assert_eq!(world.commit(), None, "nothing has changed since");
}

#[test]
fn the_leader_epoch_that_is_committed_is_of_the_record_before() {
    let mut world = World::new(config());
    let records = [(0, 3), (1, 3), (2, 5)]
        .map(|(offset, epoch)| Arrival { leader_epoch: Some(epoch), ..arrival(0, offset, "") });
    let next = CommittedOffset::new(3).with_leader_epoch(5);
    world.machine.handle_arrived(&at(0), records, next, world.now);
    let jobs = world.take();
    world.end(&jobs[0]);
    world.end(&jobs[1]);
    let commit = world.commit().unwrap();
    assert_eq!((commit.offset, commit.leader_epoch), (2, Some(3)));
}

#[test]
fn offsets_that_are_no_records_hold_nothing_up() {
    let mut world = World::new(config());
    let next = CommittedOffset::new(20);
    let records = [3, 7, 15].map(|offset| arrival(0, offset, ""));
    world.machine.handle_arrived(&at(0), records, next, world.now);
    let jobs = world.take();
    world.end(&jobs[0]);
    assert_eq!(offset(world.commit()), Some(7));
    world.end(&jobs[1]);
    world.end(&jobs[2]);
    assert_eq!(offset(world.commit()), Some(20), "behind what follows that no consumer is handed");
}

#[test]
fn a_commit_is_due_an_interval_after_the_first_that_is_done() {
    let mut world = World::new(config());
    world.arrive(0..3);
    let jobs = world.take();
    world.machine.take_stir();
    assert_eq!(world.due_in(), None);
    world.end(&jobs[0]);
    assert!(world.machine.take_stir(), "whoever drives this has to wake earlier");
    world.pass(Duration::from_millis(400));
    world.end(&jobs[1]);
    assert!(!world.machine.take_stir());
    assert_eq!(world.due_in(), Some(Duration::from_millis(600)));
    assert_eq!(world.machine.poll_commit(world.now), None);
    world.until_due();
    assert!(world.machine.poll_commit(world.now).is_some_and(|commit| commit[&at(0)].offset == 2));
}

/// The first of two records is in it, and the second was done since.
fn with_a_commit_under_way() -> World {
    let mut world = World::new(config());
    world.arrive(0..2);
    let jobs = world.take();
    world.end(&jobs[0]);
    assert!(world.machine.commit_now().is_some());
    world.end(&jobs[1]);
    world
}

#[test]
fn one_commit_is_under_way_at_a_time_and_one_that_fails_is_made_again() {
    let mut world = with_a_commit_under_way();
    assert_eq!((world.machine.commit_now(), world.due_in()), (None, None));
    world.machine.handle_committed(CommitEnd::Failed, world.now);
    assert!(world.due_in().is_some());
    assert_eq!(offset(world.commit()), Some(2));
}

#[test]
fn what_is_done_while_a_commit_is_under_way_is_in_the_next() {
    let mut world = with_a_commit_under_way();
    world.machine.handle_committed(CommitEnd::Committed, world.now);
    assert_eq!(offset(world.commit()), Some(2));
    assert_eq!(world.commit(), None);
}

#[test]
fn what_is_done_beyond_a_gap_is_not_repeated_after_a_restart() {
    let mut world = World::new(config());
    world.arrive(0..1000);
    let jobs = world.take();
    for job in jobs.iter().filter(|job| job.work.1 % 7 != 3) {
        world.end(job);
    }
    let commit = world.commit().unwrap();
    assert_eq!(commit.offset, 3);

    let mut world = World::new(config());
    world.machine.handle_lost(&[at(0)]);
    world.machine.handle_assigned(at(0), Some(&commit));
    world.arrive(3..500);
    let wanted = |to: i64| (3..to).filter(|offset| offset % 7 == 3).collect::<Vec<_>>();
    let again = world.take();
    assert_eq!(offsets(&again), wanted(500));
    // What was saved and has not arrived yet is saved again.
    world.end(&again[0]);
    let commit = world.commit().unwrap();
    assert_eq!(commit.offset, 10);

    let mut world = World::new(config());
    world.machine.handle_assigned(at(0), Some(&commit));
    world.arrive(10..1100);
    let rest = (10..1000).filter(|offset| offset % 7 == 3).chain(1000..1100);
    assert_eq!(offsets(&world.take()), rest.collect::<Vec<_>>());
}

#[test]
fn records_that_a_later_leader_has_appended_are_handled_whatever_was_saved_of_their_offsets() {
    let mut world = World::new(config());
    world.arrive(0..10);
    let jobs = world.take();
    jobs[1..].iter().for_each(|job| world.end(job));
    let commit = world.commit().unwrap();

    let mut world = World::new(config());
    world.machine.handle_assigned(at(0), Some(&commit));
    let epoch = |offset| if offset < 5 { 0 } else { 1 };
    let records =
        (0..10).map(|offset| Arrival { leader_epoch: Some(epoch(offset)), ..arrival(0, offset, "") });
    world.machine.handle_arrived(&at(0), records, CommittedOffset::new(10), world.now);
    assert_eq!(offsets(&world.take()), [0, 5, 6, 7, 8, 9]);
}

#[test]
fn what_was_saved_counts_for_nothing_where_reading_begins_before_it() {
    let mut world = World::new(config());
    world.arrive(0..10);
    let jobs = world.take();
    for job in &jobs {
        if job.work.1 != 4 {
            world.end(job);
        }
    }
    let commit = world.commit().unwrap();
    assert_eq!(commit.offset, 4);
    let mut world = World::new(config());
    world.machine.handle_assigned(at(0), Some(&commit));
    world.arrive(2..10);
    assert_eq!(offsets(&world.take()), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn metadata_of_others_is_read_without_harm() {
    for text in [
        "",
        "of host 7",
        "bgABAAk=",
        "bAAHbgA=",
        "ottla1r",
        "ottla1b",
        "ottla1r!",
        "ottla1rAAA",
        "ottla2rBAAB",
    ] {
        let mut world = World::new(config());
        let commit = CommittedOffset::new(3).with_metadata(text);
        world.machine.handle_assigned(at(0), Some(&commit));
        world.arrive(3..9);
        assert_eq!(offsets(&world.take()), [3, 4, 5, 6, 7, 8], "{text}");
    }
}

/// Every third record is not done: too many gaps for runs, so there are as many offsets as there are bits.
#[test]
fn records_whose_completion_could_not_be_saved_are_held_back_and_not_lost() {
    let mut world = World::new(ProcessingConfig { concurrency: 100_000, ..config() });
    world.arrive(0..30_000);
    let jobs = world.take();
    let most = jobs.len() as i64;
    assert!((24_000..25_000).contains(&most), "{most}");
    for job in jobs.iter().filter(|job| job.work.1 % 3 != 0) {
        world.end(job);
    }
    let commit = world.commit().unwrap();
    assert!(commit.metadata.len() < 4096, "{}", commit.metadata.len());
    let mut after = World::new(ProcessingConfig { concurrency: 100_000, ..config() });
    after.machine.handle_assigned(at(0), Some(&commit));
    after.arrive(0..most);
    assert!(offsets(&after.take()).into_iter().eq((0..most).step_by(3)));

    // As the first is done, so many more may begin.
    world.end(&jobs[0]);
    assert_eq!(offsets(&world.take()), (most..most + 3).collect::<Vec<_>>());
    let mut rest: Vec<_> = jobs.iter().filter(|job| job.work.1 % 3 == 0).skip(1).cloned().collect();
    while !rest.is_empty() {
        rest.iter().for_each(|job| world.end(job));
        rest = world.take();
    }
    assert_eq!(world.machine.in_hand(), 3, "those that were taken meanwhile");
}

#[test]
fn one_slow_record_lets_any_number_behind_it_be_handled() {
    let mut world = World::new(config());
    world.arrive(0..1);
    let slow = world.take_only(0);
    for from in (1..200_000).step_by(500) {
        world.arrive(from..from + 500);
        for offset in from..from + 500 {
            let job = world.machine.take(world.now).unwrap();
            assert_eq!(job.work.1, offset);
            world.end(&job);
        }
    }
    let commit = world.commit().unwrap();
    assert_eq!(commit.offset, 0);
    assert!(commit.metadata.len() < 30, "{}", commit.metadata);
    world.end(&slow);
    assert_eq!(offset(world.commit()), Some(200_001));
}

#[test]
fn where_a_broker_takes_no_text_that_long_nothing_is_saved_and_nothing_held_back() {
    let mut world = World::new(ProcessingConfig { concurrency: 100_000, ..config() });
    world.arrive(0..30_000);
    let jobs = world.take();
    world.end(&jobs[1]);
    assert!(world.machine.commit_now().is_some());
    world.machine.handle_committed(CommitEnd::MetadataTooLarge, world.now);
    assert_eq!(world.due_in(), Some(Duration::ZERO), "at once");
    assert_eq!(world.commit(), Some(CommittedOffset::new(0)));
    assert_eq!(world.take().len(), 30_000 - jobs.len());
}

#[test]
fn who_stops_is_called_for_the_time_of_handlers_and_not_for_commits_that_nobody_makes_any_more() {
    let timeout = Duration::from_secs(5);
    let mut world = World::new(ProcessingConfig { handler_timeout: Some(timeout), ..config() });
    world.arrive(0..2);
    let jobs = world.take();
    world.end(&jobs[0]);
    assert_eq!(world.due_in(), Some(Duration::from_secs(1)));
    world.machine.stop();
    assert_eq!(world.due_in(), Some(timeout));
    world.pass(timeout);
    assert_eq!(world.cancels(), [(jobs[1].id, CancelReason::TimedOut)]);
    assert_eq!(world.due_in(), None);
}
