//! What is committed in transactions, and what follows where one is not.

use super::*;
use crate::group::GroupMetadata;

/// A machine with partitions 0 and 1, and books in which 100 bytes may wait.
struct Shop {
    world: World,
    books: Books<char>,
}

fn member() -> Option<GroupMetadata> {
    Some(GroupMetadata {
        group_id: "g".to_owned(),
        generation_id: 1,
        member_id: "m".to_owned(),
        group_instance_id: None,
    })
}

impl Shop {
    fn new() -> Self {
        let mut world = World::new(config());
        world.machine.handle_assigned(at(1), None);
        Self { world, books: Books::new(100) }
    }

    /// The next record of a partition arrives and is done, and this was written for it.
    fn make(&mut self, partition: i32, offset: i64, output: char) {
        self.world.arrive_of(partition, offset..offset + 1);
        let jobs = self.world.take();
        self.world.end(&jobs[0]);
        self.books.write(at(partition), output, 10);
    }

    /// What is due is entered, if anything is.
    fn enter(&mut self) -> bool {
        let now = self.world.now;
        let draft = self.books.draft(&mut self.world.machine, now);
        let is_any = draft.is_some();
        draft.into_iter().for_each(|draft| self.books.enter(draft, member(), &mut self.world.machine, now));
        is_any
    }

    /// The outputs and the offsets of the next transaction, and what came of it.
    fn attempt(&mut self, attempted: Attempted) -> Option<(String, Vec<(i32, i64)>)> {
        let entry = self.books.poll_entry()?;
        let offsets = entry.offsets.iter().map(|(at, offset)| (at.partition, offset.offset)).collect();
        let outputs = entry.outputs.iter().collect();
        self.books.handle_attempted(entry, attempted, &mut self.world.machine, self.world.now);
        Some((outputs, offsets))
    }

    fn pass(&mut self, by: Duration) {
        self.world.pass(by);
        self.books.handle_timeout(&mut self.world.machine, self.world.now);
    }

    fn give_up(&mut self, partition: i32) -> GivenUp {
        self.books.give_up(&[at(partition)], member(), &mut self.world.machine)
    }
}

fn told(outputs: &str, offsets: &[(i32, i64)]) -> Option<(String, Vec<(i32, i64)>)> {
    Some((outputs.to_owned(), offsets.to_vec()))
}

const INTERVAL: Duration = Duration::from_secs(1);

#[test]
fn a_transaction_has_what_was_written_and_how_far_that_goes() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    assert!(!shop.enter(), "it is not due");
    shop.make(1, 0, 'b');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    shop.make(0, 1, 'c');
    assert!(!shop.enter(), "one is under way");
    assert_eq!(shop.attempt(Attempted::Committed), told("ab", &[(0, 1), (1, 1)]));
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("c", &[(0, 2)]));
    shop.pass(INTERVAL);
    assert!(!shop.enter(), "all is committed");
}

#[test]
fn what_was_aborted_is_in_the_next_after_a_rest_that_grows() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    let mut rests = Vec::new();
    for _ in 0..3 {
        shop.pass(INTERVAL);
        assert!(shop.enter());
        assert!(shop.attempt(Attempted::Aborted).is_some());
        let rest = shop.books.poll_timeout().unwrap() - shop.world.now.mono;
        rests.push(rest.as_millis());
        assert!(shop.books.poll_entry().is_none(), "it rests");
        shop.pass(rest);
    }
    assert_eq!(rests, [50, 100, 200]);
    shop.make(0, 1, 'b');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("ab", &[(0, 2)]));
    assert_eq!(shop.books.poll_timeout(), None);
}

#[test]
fn in_nobodys_name_nothing_is_committed_and_all_is_put_back() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.pass(INTERVAL);
    let now = shop.world.now;
    let draft = shop.books.draft(&mut shop.world.machine, now).unwrap();
    shop.books.enter(draft, None, &mut shop.world.machine, now);
    assert!(shop.books.poll_entry().is_none());
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("a", &[(0, 1)]));
}

#[test]
fn what_is_given_up_has_a_transaction_of_its_own_and_three_attempts() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.make(1, 0, 'b');
    assert!(shop.books.hold(&shop.world.machine));
    let parting = shop.give_up(0).parting.unwrap();
    for _ in 0..3 {
        assert_eq!(shop.books.poll_parted(), None);
        assert_eq!(shop.attempt(Attempted::Aborted), told("a", &[(0, 1)]));
        shop.pass(INTERVAL);
    }
    assert_eq!(shop.books.poll_parted(), Some(parting));
    assert!(shop.books.poll_entry().is_none(), "it is lost to whoever gets the partition");
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("b", &[(1, 1)]));
}

#[test]
fn partitions_are_given_up_behind_the_transaction_that_is_under_way_and_none_begins_meanwhile() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    shop.make(0, 1, 'b');
    assert!(!shop.books.hold(&shop.world.machine));
    assert!(shop.attempt(Attempted::Committed).is_some());
    shop.pass(INTERVAL);
    assert!(!shop.enter(), "it would be another to wait for");
    assert!(shop.books.hold(&shop.world.machine));
    assert!(shop.give_up(0).parting.is_some());
    assert_eq!(shop.attempt(Attempted::Committed), told("b", &[(0, 2)]));
}

#[test]
fn what_is_given_up_too_early_is_committed_by_nobody() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    shop.make(0, 1, 'b');
    let given_up = shop.give_up(0);
    assert_eq!(
        (given_up.offsets.len(), given_up.parting),
        (1, None),
        "the other has some of what was written"
    );
    assert_eq!(shop.attempt(Attempted::Aborted), told("a", &[(0, 1)]));
    shop.pass(INTERVAL);
    assert!(!shop.enter());
    assert!(shop.books.poll_entry().is_none());
}

#[test]
fn what_was_written_for_a_partition_that_is_lost_is_not_committed() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.make(1, 0, 'b');
    shop.books.forget(&[at(0)]);
    shop.world.machine.handle_lost(&[at(0)]);
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("b", &[(1, 1)]));
}

#[test]
fn what_was_entered_before_a_partition_was_lost_is_not_committed() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.make(1, 0, 'b');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    let entry = shop.books.poll_entry().unwrap();
    assert!(!shop.books.is_lost(&entry));
    shop.books.forget(&[at(0)]);
    shop.world.machine.handle_lost(&[at(0)]);
    assert!(shop.books.is_lost(&entry), "who has it now may have read what was committed before");
    shop.books.handle_attempted(entry, Attempted::Aborted, &mut shop.world.machine, shop.world.now);
    assert_eq!(shop.books.poll_timeout(), None, "it is not tried again");
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("b", &[(1, 1)]));
}

#[test]
fn what_was_drafted_before_a_partition_was_lost_is_not_committed() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.pass(INTERVAL);
    let (now, machine) = (shop.world.now, &mut shop.world.machine);
    let draft = shop.books.draft(machine, now).unwrap();
    shop.books.forget(&[at(0)]);
    machine.handle_lost(&[at(0)]);
    machine.handle_assigned(at(0), None);
    shop.books.enter(draft, member(), machine, now);
    let entry = shop.books.poll_entry().unwrap();
    assert!(shop.books.is_lost(&entry), "it is the member's again, and has begun anew");
}

#[test]
fn of_a_topic_that_is_gone_outputs_are_committed_without_the_offset() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.make(1, 0, 'b');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert!(shop.attempt(Attempted::Gone(at(0))).is_some());
    assert_eq!(shop.attempt(Attempted::Committed), told("ab", &[(1, 1)]), "at once");
}

#[test]
fn much_that_is_written_is_committed_at_once_but_not_behind_one_in_vain() {
    let mut shop = Shop::new();
    (0..5).for_each(|offset| shop.make(0, offset, 'a'));
    assert!(shop.books.hurries(&shop.world.machine));
    assert!(shop.enter());
    (5..10).for_each(|offset| shop.make(0, offset, 'b'));
    assert!(shop.books.is_full());
    assert!(shop.attempt(Attempted::Aborted).is_some());
    shop.pass(Duration::from_millis(50));
    assert!(!shop.books.hurries(&shop.world.machine) && !shop.enter());
    shop.pass(INTERVAL);
    assert!(shop.enter());
    assert_eq!(shop.attempt(Attempted::Committed), told("aaaaabbbbb", &[(0, 10)]));
    assert!(!shop.books.is_full());
}

#[test]
fn where_none_can_be_committed_any_more_all_stops() {
    let mut shop = Shop::new();
    shop.make(0, 0, 'a');
    shop.pass(INTERVAL);
    assert!(shop.enter());
    shop.make(1, 0, 'b');
    assert!(shop.attempt(Attempted::Over).is_some());
    assert!(shop.world.machine.is_stopping());
    assert!(!shop.world.machine.is_committing());
    shop.pass(INTERVAL);
    assert!(!shop.enter());
    assert_eq!(shop.give_up(1).parting, None);
}
