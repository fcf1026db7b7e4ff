//! Lines that are held: what follows where, and for how long.

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Partition 0, and behind it 1, and behind that 2.
struct Chain(World);

impl Chain {
    fn blind(order: Order) -> Self {
        let config = ProcessingConfig { order, on_hopeless: OnHopeless::GiveAway, ..config() };
        let mut world = World::new(config);
        world.machine.handle_chain_assigned((0..3).map(|level| (at(level), None)));
        Self(world)
    }

    fn new(order: Order) -> Self {
        let mut chain = Self::blind(order);
        chain.0.machine.handle_known(&at(0));
        chain
    }

    /// Records with these keys arrive.
    fn arrive(&mut self, level: i32, from: i64, keys: &[&str]) {
        self.arrive_with(level, from, keys, |arrival| arrival);
    }

    fn arrive_with<'a>(
        &mut self,
        level: i32,
        from: i64,
        keys: &[&'a str],
        with: impl Fn(Arrival<'a, (i32, i64)>) -> Arrival<'a, (i32, i64)>,
    ) {
        let next = CommittedOffset::new(from + keys.len() as i64).with_leader_epoch(0);
        let records = (from..).zip(keys).map(|(offset, key)| with(arrival(level, offset, key)));
        self.0.machine.handle_arrived(&at(level), records, next, self.0.now);
    }

    fn take(&mut self) -> Vec<(i32, i64)> {
        self.0.take().into_iter().map(|job| job.work).collect()
    }

    fn take_one(&mut self, work: (i32, i64)) -> Job<(i32, i64)> {
        let mut jobs = self.0.take();
        assert_eq!(jobs.iter().map(|job| job.work).collect::<Vec<_>>(), [work]);
        jobs.remove(0)
    }

    fn given(&mut self) -> Option<JobId> {
        self.0.machine.poll_given_away().map(|given| given.id)
    }

    fn following(&mut self) -> Option<Following<(i32, i64)>> {
        self.0.machine.poll_following()
    }

    fn behind(&mut self, id: JobId, offset: i64) {
        assert!(self.0.machine.handle_behind(id, offset, self.0.now));
    }

    /// A record of key `a` fails, and is written behind at offset 0; the next of that key waits.
    fn with_one_behind() -> Self {
        let mut chain = Self::new(Order::Key);
        chain.arrive(0, 0, &["a", "a", "b", ""]);
        let jobs = chain.0.take();
        assert_eq!(offsets(&jobs), [0, 2, 3]);
        chain.0.fail(&jobs[0]);
        assert_eq!(chain.take(), [], "it is not written yet");
        assert_eq!(chain.following(), None);
        let given = chain.given().unwrap();
        chain.behind(given, 0);
        chain
    }
}

#[test]
fn later_records_of_a_key_follow_one_that_went_behind_and_those_of_others_do_not() {
    let mut chain = Chain::with_one_behind();
    assert_eq!(chain.take(), []);
    let following = chain.following().unwrap();
    assert_eq!((following.at, following.offset, following.work), (at(0), 1, (0, 1)));
    assert!(!chain.0.machine.is_drained(&[at(0)]), "it is on its way");
    chain.behind(following.id, 1);
    chain.arrive(0, 4, &["b", "a"]);
    assert_eq!(chain.take(), []);
    assert_eq!(chain.following().map(|following| following.offset), Some(5));
}

#[test]
fn a_key_goes_on_where_it_was_once_all_of_it_that_is_behind_is_done() {
    let mut chain = Chain::with_one_behind();
    assert_eq!(chain.take(), []);
    let following = chain.following().unwrap();
    chain.arrive(1, 0, &["a"]);
    let job = chain.take_one((1, 0));
    chain.0.end(&job);
    chain.arrive(0, 4, &["a"]);
    assert_eq!(chain.take(), [], "one is being written");
    chain.behind(following.id, 1);
    assert_eq!(chain.take(), []);
    let another = chain.following().unwrap();
    assert_eq!(another.offset, 4);
    chain.behind(another.id, 2);
    chain.arrive(1, 1, &["a", "a"]);
    for offset in [1, 2] {
        let job = chain.take_one((1, offset));
        chain.0.end(&job);
    }
    chain.arrive(0, 5, &["a"]);
    assert_eq!(chain.take(), [(0, 5)]);
}

#[test]
fn a_key_that_is_done_behind_goes_on_though_another_is_stuck_there() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(0, 0, &["b", "a"]);
    for job in chain.0.take() {
        chain.0.fail(&job);
        let given = chain.given().unwrap();
        chain.behind(given, job.work.1);
    }
    chain.arrive(1, 0, &["b", "a"]);
    let jobs = chain.0.take();
    assert_eq!(offsets(&jobs), [0, 1]);
    chain.0.end(&jobs[1]);
    chain.arrive(0, 2, &["a", "b"]);
    assert_eq!(chain.take(), [(0, 2)]);
    assert_eq!(chain.following().map(|following| following.offset), Some(3));
}

/// It may be read again before its writer has the answer.
#[test]
fn what_is_done_behind_before_its_write_is_acknowledged_holds_nobody() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(0, 0, &["a"]);
    let job = chain.take_one((0, 0));
    chain.0.fail(&job);
    let given = chain.given().unwrap();
    chain.arrive(1, 0, &["a"]);
    let job = chain.take_one((1, 0));
    chain.0.end(&job);
    chain.behind(given, 0);
    chain.arrive(0, 1, &["a"]);
    assert_eq!(chain.take(), [(0, 1)]);
}

#[test]
fn what_fails_behind_goes_further_and_those_in_front_follow_step_by_step() {
    let mut chain = Chain::with_one_behind();
    chain.take();
    let following = chain.following().unwrap();
    chain.behind(following.id, 1);
    chain.arrive(1, 0, &["a", "a"]);
    let job = chain.take_one((1, 0));
    chain.0.fail(&job);
    let given = chain.given().unwrap();
    chain.behind(given, 0);
    assert_eq!(chain.take(), []);
    let following = chain.following().unwrap();
    assert_eq!((following.at, following.offset), (at(1), 1));
    chain.behind(following.id, 1);
    // The first partition goes on only once the last is done.
    chain.arrive(0, 4, &["a"]);
    assert_eq!(chain.take(), []);
    let following = chain.following().unwrap();
    assert_eq!((following.at, following.offset), (at(0), 4));
    chain.behind(following.id, 2);
    chain.arrive(2, 0, &["a", "a"]);
    for offset in [0, 1] {
        let job = chain.take_one((2, offset));
        chain.0.end(&job);
    }
    chain.arrive(1, 2, &["a"]);
    assert_eq!(chain.take(), [(1, 2)]);
}

#[test]
fn a_dead_letter_holds_nobody_and_one_that_is_refused_keeps_its_place() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(0, 0, &["a", "a"]);
    let job = chain.take_one((0, 0));
    chain.0.machine.handle_ended(job.id, Ended::Failed(FailureClass::Fatal, "never"), chain.0.now);
    let given = chain.given().unwrap();
    chain.0.machine.handle_given_away(given, false, chain.0.now);
    chain.0.pass(LONG);
    let job = chain.take_one((0, 0));
    chain.0.machine.handle_ended(job.id, Ended::Failed(FailureClass::Fatal, "never"), chain.0.now);
    let given = chain.given().unwrap();
    chain.0.machine.handle_given_away(given, true, chain.0.now);
    assert_eq!(chain.take(), [(0, 1)]);
}

#[test]
fn one_that_cannot_follow_now_keeps_its_place_and_had_no_attempt() {
    let mut chain = Chain::with_one_behind();
    chain.take();
    let following = chain.following().unwrap();
    chain.0.machine.handle_given_away(following.id, false, chain.0.now);
    assert_eq!(chain.take(), []);
    chain.arrive(1, 0, &["a"]);
    let job = chain.take_one((1, 0));
    chain.0.end(&job);
    chain.0.pass(LONG);
    let job = chain.take_one((0, 1));
    assert_eq!(job.attempt, 1);
}

#[test]
fn nothing_begins_before_it_is_known_what_was_left_behind() {
    let mut chain = Chain::blind(Order::Key);
    chain.arrive(0, 0, &["a", "b", "a"]);
    chain.arrive(2, 7, &["a"]);
    assert_eq!(chain.take(), []);
    chain.0.machine.handle_left(&at(2), [(Some(&b"a"[..]), 7)]);
    assert_eq!(chain.take(), []);
    chain.0.machine.handle_known(&at(0));
    let mut taken = chain.take();
    taken.sort_unstable();
    assert_eq!(taken, [(0, 1), (2, 7)]);
    assert_eq!(chain.following().map(|following| following.offset), Some(0));
}

/// All before 5 is done, but for 3.
fn done_but_for_3() -> CommittedOffset {
    let saved = saved::Saved { base: 3, leader_epoch: Some(0), done: std::iter::once(4..5).collect() };
    CommittedOffset::new(3).with_metadata(saved.encode())
}

#[test]
fn what_was_done_behind_before_holds_nobody() {
    let mut chain = Chain::blind(Order::Key);
    chain.0.machine.handle_chain_assigned([(at(0), None), (at(1), Some(done_but_for_3()))]);
    chain.0.machine.handle_left(&at(1), [(Some(&b"b"[..]), 3), (Some(&b"a"[..]), 4)]);
    chain.0.machine.handle_known(&at(0));
    chain.arrive(1, 3, &["b", "a"]);
    assert_eq!(chain.take(), [(1, 3)]);
    chain.arrive(0, 0, &["a"]);
    assert_eq!(chain.take(), [(0, 0)]);
}

#[test]
fn what_retention_took_behind_is_not_waited_for() {
    let mut chain = Chain::with_one_behind();
    chain.take();
    let following = chain.following().unwrap();
    chain.behind(following.id, 1);
    // Reading goes on behind both.
    chain.arrive(1, 2, &["b"]);
    chain.take();
    chain.arrive(0, 4, &["a"]);
    assert_eq!(chain.take(), [(0, 4)]);
}

#[test]
fn under_partition_order_all_later_records_follow() {
    let mut chain = Chain::new(Order::Partition);
    chain.arrive(0, 0, &["a", "b"]);
    let job = chain.take_one((0, 0));
    chain.0.fail(&job);
    let given = chain.given().unwrap();
    chain.behind(given, 0);
    assert_eq!(chain.take(), []);
    assert_eq!(chain.following().map(|following| following.offset), Some(1));
}

#[test]
fn one_that_is_patient_waits_in_its_place_once_before_it_goes_on() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive_with(1, 0, &["a", "a"], |arrival| Arrival { patience: Some(LONG), ..arrival });
    let job = chain.take_one((1, 0));
    chain.0.fail(&job);
    assert_eq!((chain.given(), chain.take()), (None, vec![]));
    assert_eq!(chain.0.until_due(), LONG);
    let job = chain.take_one((1, 0));
    assert_eq!(job.attempt, 1);
    chain.0.fail(&job);
    let given = chain.0.machine.poll_given_away().unwrap();
    assert_eq!(given.hopeless.attempts, 2, "both count");
}

#[test]
fn a_chain_that_is_assigned_anew_knows_nothing_of_what_was_held() {
    let mut chain = Chain::with_one_behind();
    chain.0.machine.handle_lost(&[at(0), at(1), at(2)]);
    chain.0.machine.handle_assigned(at(0), None);
    chain.arrive(0, 1, &["a"]);
    assert_eq!(chain.take(), [(0, 1)]);
}

#[test]
fn what_is_committed_behind_is_committed_once_more_when_it_ages() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(1, 0, &[]);
    let commit = |chain: &mut Chain| {
        let commit = chain.0.machine.commit_now().unwrap_or_default();
        chain.0.machine.handle_committed(CommitEnd::Committed, chain.0.now);
        commit.get(&at(1)).map(|commit| commit.offset)
    };
    assert_eq!((commit(&mut chain), commit(&mut chain)), (Some(0), None));
    chain.0.machine.handle_commit_ages(&at(1), chain.0.now);
    assert_eq!(commit(&mut chain), Some(0));
}

#[test]
fn a_key_whose_record_is_on_its_way_behind_is_held_though_the_position_moves_back() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(0, 0, &["a", "a", "b"]);
    let jobs = chain.0.take();
    assert_eq!(offsets(&jobs), [0, 2]);
    chain.0.fail(&jobs[0]);
    let given = chain.given().unwrap();
    chain.arrive(0, 2, &["b"]);
    let other = chain.take_one((0, 2));
    // The first once more, behind itself: nobody knows whether it is there.
    let again = chain.following().unwrap();
    assert_eq!((again.at, again.offset), (at(0), 0));
    chain.0.machine.handle_revoked(&[at(0)], chain.0.now.mono);
    chain.0.end(&other);
    chain.0.machine.handle_given_away(again.id, false, chain.0.now);
    assert!(!chain.0.machine.is_drained(&[at(0)]), "the first is on its way");
    assert!(chain.0.machine.is_given_away(given));
    assert!(!chain.0.machine.handle_behind(given, 0, chain.0.now), "nothing is done by that");
    assert!(!chain.0.machine.is_given_away(given));
    assert!(chain.0.machine.is_drained(&[at(0)]));
}

#[test]
fn one_on_its_way_behind_that_is_refused_after_the_position_moved_back_holds_nobody() {
    for is_behind in [false, true] {
        let mut chain = Chain::new(Order::Key);
        chain.arrive(0, 0, &["a", "b"]);
        let jobs = chain.0.take();
        chain.0.fail(&jobs[0]);
        let given = chain.given().unwrap();
        chain.arrive(0, 1, &["b"]);
        match is_behind {
            true => assert!(!chain.0.machine.handle_behind(given, 0, chain.0.now)),
            false => assert!(!chain.0.machine.handle_given_away(given, false, chain.0.now)),
        }
        let taken = if is_behind { vec![(0, 1)] } else { vec![(0, 0), (0, 1)] };
        assert_eq!(chain.take(), taken);
        assert_eq!(chain.following().map(|following| following.offset), is_behind.then_some(0));
    }
}

#[test]
fn what_nobody_has_begun_to_write_behind_is_in_hand_again_when_the_position_moves_back() {
    let mut chain = Chain::new(Order::Key);
    chain.arrive(0, 0, &["a", "b"]);
    let jobs = chain.0.take();
    chain.0.fail(&jobs[0]);
    chain.arrive(0, 1, &["b"]);
    assert_eq!(chain.given(), None);
    assert_eq!(chain.take(), [(0, 0), (0, 1)]);
}

#[test]
fn what_is_found_out_about_a_chain_that_is_revoked_meanwhile_has_nothing_handed_out() {
    let mut chain = Chain::blind(Order::Key);
    chain.0.machine.handle_revoked(&[at(0), at(1), at(2)], chain.0.now.mono + LONG);
    chain.0.machine.handle_behind_assigned(at(1), Some(&CommittedOffset::new(3)));
    chain.0.machine.handle_known(&at(0));
    chain.arrive(1, 3, &["a"]);
    assert_eq!(chain.take(), []);
}

/// As where it was by key before, and is by partition now.
#[test]
fn what_was_done_behind_before_others_of_its_line_tells_nothing_of_these() {
    let mut chain = Chain::blind(Order::Partition);
    chain.0.machine.handle_chain_assigned([(at(0), None), (at(1), Some(done_but_for_3()))]);
    chain.0.machine.handle_left(&at(1), [(Some(&b"b"[..]), 3), (Some(&b"a"[..]), 4)]);
    chain.0.machine.handle_known(&at(0));
    chain.arrive(1, 3, &["b", "a"]);
    let job = chain.take_one((1, 3));
    chain.arrive(0, 0, &["a", "a"]);
    assert_eq!(chain.take(), [], "one of its line is with its handler");
    let following = chain.following().unwrap();
    chain.0.end(&job);
    chain.behind(following.id, 5);
    chain.arrive(1, 5, &["a"]);
    let job = chain.take_one((1, 5));
    chain.0.end(&job);
    chain.arrive(0, 2, &["a"]);
    assert_eq!(chain.following().map(|following| following.offset), Some(1));
}
