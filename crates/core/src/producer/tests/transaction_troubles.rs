//! Transactions that fail, and what remains of their producer.

use ottla_protocol::ApiKey;

use super::*;

fn fenced(api: ApiKey, in_doubt: bool) -> TransactionFailure {
    TransactionFailure::Fatal(FatalCause::Fenced { api, error: ErrorCode::ProducerFenced, in_doubt })
}

#[test]
fn a_record_that_fails_has_the_transaction_aborted() {
    for level in [1, 2] {
        let mut world = World::transactional(level);
        let first = world.begin();
        let lost = world.write(first, "a");
        let other = world.send_in(first, "b").unwrap();
        let a = world.take();
        world.refuse(&a, ErrorCode::MessageTooLarge);
        let failure = world.result(&lost).expect("not decided").expect_err("delivered");
        let doom = TransactionFailure::Aborted(AbortCause::Record(Box::new(failure)));
        assert_eq!(world.result(&other), Some(Err(SendFailure::Doomed(Box::new(doom.clone())))));
        assert_eq!(world.producer.doom(), Some(doom.clone()));
        assert!(matches!(world.send_in(first, "c"), Err(Refused::Failed(_))));
        assert_eq!(world.commit(first), Some(Err(doom)));
        let second = world.begin();
        let header = world.written(second, "c").header();
        assert_eq!(
            (header.producer_epoch, header.base_sequence),
            (2, 0),
            "numbers are missing in the first epoch"
        );
        assert_eq!(world.commit(second), Some(Ok(End::Commit)));
    }
}

#[test]
fn in_the_older_flow_missing_numbers_have_the_epoch_raised() {
    let mut world = World::transactional(1);
    let first = world.begin();
    _ = world.write(first, "a");
    world.asked();
    let a = world.take();
    world.refuse(&a, ErrorCode::OutOfOrderSequenceNumber);
    assert!(matches!(world.commit(first), Some(Err(TransactionFailure::Aborted(AbortCause::Record(_))))));
    let raised = world.coordinator.asked.iter().find_map(|(_, request)| match request {
        Request::InitProducerId(asked) => Some((asked.producer_id, asked.producer_epoch)),
        _ => None,
    });
    assert_eq!(raised, Some((ID, 1)), "a newer producer would be told from this one");
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 4), (ApiKey::InitProducerId, 5)]);
}

#[test]
fn a_fenced_producer_has_no_further_transaction() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
    assert_eq!(world.commit(first), Some(Err(fenced(ApiKey::EndTxn, false))));
    assert_eq!(world.try_begin(), Some(Err(fenced(ApiKey::EndTxn, false))));
    world.asked();
    world.pass(Duration::from_secs(600));
    assert_eq!(world.asked(), [], "it asks nothing more");
}

#[test]
fn a_commit_without_an_answer_is_in_doubt_once_the_producer_is_fenced() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    world.coordinator.silent = Some(ApiKey::EndTxn);
    assert_eq!(world.commit(first), None);
    world.coordinator.silent = None;
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
    world.pass(Duration::from_secs(40));
    assert_eq!(world.ended(first), Some(Err(fenced(ApiKey::EndTxn, true))));
}

#[test]
fn a_commit_without_an_answer_is_asked_for_again() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    world.coordinator.silent = Some(ApiKey::EndTxn);
    assert_eq!(world.commit(first), None);
    assert!(world.try_begin().is_none(), "it is in doubt");
    world.coordinator.silent = None;
    world.pass(Duration::from_secs(40));
    assert_eq!(world.ended(first), Some(Ok(End::Commit)));
    let end = (ApiKey::EndTxn, 5);
    assert_eq!(world.asked().into_iter().filter(|asked| *asked == end).count(), 2);
    world.begin();
}

#[test]
fn an_end_that_nobody_answers_is_told_after_max_block() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    let since = world.now.mono;
    world.coordinator.silent = Some(ApiKey::EndTxn);
    assert_eq!(world.commit(first), None);
    world.pass(Duration::from_secs(61));
    let ended = world.producer.ended(first, since, world.now);
    assert!(matches!(ended, Some(Err(TransactionFailure::Unanswered { .. }))), "{ended:?}");
}

#[test]
fn a_transaction_that_was_open_for_too_long_is_aborted_and_the_producer_goes_on() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::InvalidTxnState]);
    assert_eq!(world.commit(first), Some(Err(TransactionFailure::Aborted(AbortCause::EndedByCoordinator))));
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 5); 2], "the abort's answer has the next epoch");
    let second = world.begin();
    assert_eq!(world.written(second, "b").header().producer_epoch, 2);
}

#[test]
fn a_zombies_commit_is_told_from_a_late_one_by_the_abort() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    // A newer producer has had the transaction aborted, and has its epoch a moment later.
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::InvalidTxnState, ErrorCode::ProducerFenced]);
    assert_eq!(world.commit(first), Some(Err(fenced(ApiKey::EndTxn, false))));
    assert_eq!(world.try_begin(), Some(Err(fenced(ApiKey::EndTxn, false))));
}

#[test]
fn a_zombies_write_is_told_from_a_late_one_by_the_abort() {
    for zombie in [false, true] {
        let mut world = World::transactional(2);
        let first = world.begin();
        _ = world.write(first, "a");
        let a = world.take();
        world.refuse(&a, ErrorCode::InvalidProducerEpoch);
        if zombie {
            world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
        }
        let told = AbortCause::Told { api: ApiKey::Produce, error: ErrorCode::InvalidProducerEpoch };
        assert_eq!(world.commit(first), Some(Err(TransactionFailure::Aborted(told))));
        let next = world.try_begin().expect("not yet");
        assert_eq!(next.err(), zombie.then(|| fenced(ApiKey::EndTxn, false)));
    }
}

#[test]
fn markers_that_are_not_written_yet_are_a_matter_of_milliseconds() {
    for (level, api) in [(1, Some(ApiKey::AddPartitionsToTxn)), (2, None)] {
        let mut world = World::transactional(level);
        let first = world.begin();
        match api {
            Some(api) => world.coordinator.refuse(api, [ErrorCode::ConcurrentTransactions]),
            None => {
                _ = world.write(first, "a");
                let a = world.take();
                world.refuse(&a, ErrorCode::ConcurrentTransactions);
            }
        }
        if level == 1 {
            _ = world.write(first, "a");
        }
        world.pass(Duration::from_millis(30));
        let a = world.take();
        world.acknowledge(&a, 0);
        assert_eq!(world.commit(first), Some(Ok(End::Commit)));
    }
}

#[test]
fn a_coordinator_that_moved_is_looked_up_again() {
    for key in [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::EndTxn] {
        let mut world = World::transactional(1);
        world.coordinator.refuse(key, [ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable]);
        let first = world.begin();
        _ = world.write(first, "a");
        world.pass(Duration::from_secs(3));
        let a = world.take();
        world.acknowledge(&a, 0);
        world.commit(first);
        world.pass(Duration::from_secs(3));
        assert_eq!(world.ended(first), Some(Ok(End::Commit)), "{key:?}");
    }
}

#[test]
fn a_refused_transactional_id_ends_the_producer() {
    let who = TransactionConfig { id: "x".to_owned(), timeout: Duration::from_secs(10) };
    let mut world = World::new(ProducerConfig { transactions: Some(who), ..config() });
    let error = ErrorCode::TransactionalIdAuthorizationFailed;
    world.coordinator.refuse(ApiKey::InitProducerId, [error]);
    world.pass(Duration::from_secs(1));
    let refused = TransactionFailure::Fatal(FatalCause::Refused { api: ApiKey::InitProducerId, error });
    assert_eq!(world.producer.started(world.now.mono, world.now), Some(Err(refused)));
}

#[test]
fn a_coordinator_that_forgot_the_producer_has_the_transaction_aborted() {
    let mut world = World::transactional(1);
    let first = world.begin();
    let error = ErrorCode::InvalidProducerIdMapping;
    world.coordinator.refuse(ApiKey::AddPartitionsToTxn, [error]);
    world.coordinator.refuse(ApiKey::EndTxn, [error]);
    _ = world.write(first, "a");
    let told = AbortCause::Told { api: ApiKey::AddPartitionsToTxn, error };
    assert_eq!(world.commit(first), Some(Err(TransactionFailure::Aborted(told))));
    let second = world.begin();
    assert_eq!(world.written(second, "b").header().producer_epoch, 2);
}

#[test]
fn an_abort_before_anything_was_taken_may_look_like_a_zombies() {
    let mut world = World::transactional(2);
    let first = world.begin();
    _ = world.write(first, "a");
    let a = world.take();
    // The coordinator still writes the end of the transaction before.
    world.refuse(&a, ErrorCode::ConcurrentTransactions);
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
    world.asked();
    world.producer.abort(first);
    world.pump();
    assert_eq!(world.ended(first), Some(Ok(End::Abort)));
    let asked: Vec<ApiKey> = world.asked().into_iter().map(|(api, _)| api).collect();
    assert_eq!(asked, [ApiKey::EndTxn, ApiKey::InitProducerId], "which tells whether it is one");
    // The pause behind the refusal.
    world.pass(Duration::from_millis(100));
    let second = world.begin();
    world.written(second, "b");
    assert_eq!(world.commit(second), Some(Ok(End::Commit)));
}

#[test]
fn a_zombie_that_aborts_before_anything_was_taken_is_told_so_next() {
    let mut world = World::transactional(2);
    let first = world.begin();
    _ = world.write(first, "a");
    let a = world.take();
    world.refuse(&a, ErrorCode::ConcurrentTransactions);
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
    world.coordinator.refuse(ApiKey::InitProducerId, [ErrorCode::ProducerFenced]);
    world.producer.abort(first);
    world.pump();
    assert_eq!(world.ended(first), Some(Ok(End::Abort)));
    assert_eq!(world.try_begin(), Some(Err(fenced(ApiKey::InitProducerId, false))));
}

#[test]
fn a_zombie_whose_records_are_refused_is_told_so_by_its_abort() {
    let mut world = World::transactional(2);
    let first = world.begin();
    _ = world.write(first, "a");
    let a = world.take();
    world.refuse(&a, ErrorCode::InvalidProducerEpoch);
    world.coordinator.refuse(ApiKey::EndTxn, [ErrorCode::ProducerFenced]);
    world.producer.abort(first);
    world.pump();
    assert_eq!(world.ended(first), Some(Err(fenced(ApiKey::EndTxn, false))));
}
