//! Transactions: epochs, and how they end. The rows are those of what real brokers were seen to answer.

use ottla_broker::{Config, ConnId, VersionSet};
use ottla_protocol::{
    ErrorCode,
    messages::{
        ApiVersionsRequest, DescribeTransactionsRequest, FindCoordinatorRequest, InitProducerIdRequest,
        ListTransactionsRequest,
    },
    records::walk_headers,
};

use crate::common::{
    World, config, millis, produce, produced,
    transaction::{FLOWS, Flow, Producer, transactional},
};

const NONE: ErrorCode = ErrorCode::None;

fn world() -> (World, ConnId) {
    let mut world = World::new(config(&[("t", 3)]));
    let conn = world.connect(1);
    (world, conn)
}

/// A world in which markers are late.
fn slow_world() -> (World, ConnId) {
    let config = Config { transaction_marker_delay: millis(100), ..config(&[("t", 3)]) };
    let mut world = World::new(config);
    let conn = world.connect(1);
    (world, conn)
}

/// A producer with something in its transaction.
fn begun(world: &mut World, conn: ConnId, flow: Flow) -> Producer {
    let producer = world.producer(conn, "tx");
    world.transact(conn, flow, producer, "t", 0, 0);
    producer
}

#[test]
fn an_end_raises_the_epoch_where_the_request_is_of_the_second_flow() {
    for (flow, epoch) in [(Flow::V1, 0), (Flow::V2, 1)] {
        for committed in [true, false] {
            let (mut world, conn) = world();
            let producer = begun(&mut world, conn, flow);
            let after = world.finish(conn, flow, producer, committed);
            assert_eq!((producer.epoch, after.epoch), (0, epoch), "{flow:?}");
            // Sequences begin anew in a new epoch, and go on in the same.
            let sequence = i32::from(flow == Flow::V1);
            world.transact(conn, flow, after, "t", 0, sequence);
        }
    }
}

#[test]
fn the_first_write_after_an_end_is_to_wait_while_the_marker_is_not_written() {
    let (mut world, conn) = slow_world();
    let producer = begun(&mut world, conn, Flow::V2);
    let after = world.finish(conn, Flow::V2, producer, true);
    assert_eq!(world.write(conn, 12, after, "t", 0, 0), ErrorCode::ConcurrentTransactions);
    assert_eq!(world.write(conn, 12, after, "t", 1, 0), ErrorCode::ConcurrentTransactions);
    world.pass(millis(100));
    assert_eq!(world.write(conn, 12, after, "t", 0, 0), NONE);
}

#[test]
fn what_is_asked_while_markers_are_not_written_is_to_wait() {
    let (mut world, conn) = slow_world();
    let producer = begun(&mut world, conn, Flow::V1);
    world.finish(conn, Flow::V1, producer, true);
    let concurrent = ErrorCode::ConcurrentTransactions;
    assert_eq!(world.add(conn, 3, producer, &[("t", 1)]), [concurrent]);
    assert_eq!(world.end(conn, 4, producer, true).0, concurrent);
    assert_eq!(world.end(conn, 4, producer, false).0, ErrorCode::InvalidTxnState);
    assert_eq!(world.init(conn, 4, "tx", None), Err(concurrent));
    world.pass(millis(100));
    assert_eq!(world.end(conn, 4, producer, true).0, NONE);
}

#[test]
fn the_same_end_again_is_answered_the_same() {
    for flow in FLOWS {
        for committed in [true, false] {
            let (mut world, conn) = world();
            let producer = begun(&mut world, conn, flow);
            let first = world.end(conn, flow.end(), producer, committed);
            let end = world.cluster.log_end_offset("t", 0);
            assert_eq!(world.end(conn, flow.end(), producer, committed), first, "{flow:?}");
            assert_eq!(world.cluster.log_end_offset("t", 0), end, "no second marker");
        }
    }
}

#[test]
fn the_other_end_after_an_end_is_an_invalid_state() {
    for flow in FLOWS {
        for committed in [true, false] {
            let (mut world, conn) = world();
            let producer = begun(&mut world, conn, flow);
            world.end(conn, flow.end(), producer, committed);
            let other = world.end(conn, flow.end(), producer, !committed).0;
            assert_eq!(other, ErrorCode::InvalidTxnState, "{flow:?}");
        }
    }
}

#[test]
fn a_commit_with_nothing_in_it_is_an_invalid_state_and_an_abort_in_the_first_flow_too() {
    for (flow, committed, expected) in [
        (Flow::V1, true, (ErrorCode::InvalidTxnState, -1)),
        (Flow::V1, false, (ErrorCode::InvalidTxnState, -1)),
        (Flow::V2, true, (ErrorCode::InvalidTxnState, -1)),
        (Flow::V2, false, (NONE, 1)),
    ] {
        let (mut world, conn) = world();
        let producer = world.producer(conn, "tx");
        assert_eq!(world.end(conn, flow.end(), producer, committed), expected, "{flow:?} {committed}");
    }
}

#[test]
fn after_an_end_the_new_epoch_has_nothing_to_commit_and_may_abort_nothing() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    let after = world.finish(conn, Flow::V2, producer, true);
    assert_eq!(world.end(conn, 5, after, true).0, ErrorCode::InvalidTxnState);
    assert_eq!(world.end(conn, 5, after, false), (NONE, 2));
}

#[test]
fn an_epoch_two_back_is_fenced() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    let after = world.finish(conn, Flow::V2, producer, true);
    world.transact(conn, Flow::V2, after, "t", 0, 0);
    world.finish(conn, Flow::V2, after, true);
    assert_eq!(world.end(conn, 5, producer, true).0, ErrorCode::ProducerFenced);
    let (mut world, conn) = self::world();
    for _ in 0..2 {
        world.producer(conn, "tx");
    }
    let third = world.producer(conn, "tx");
    assert_eq!(world.end(conn, 4, third.in_epoch(0), true).0, ErrorCode::ProducerFenced);
}

#[test]
fn a_write_to_what_was_not_added_can_be_aborted_and_older_versions_are_told_otherwise() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "tx");
    assert_eq!(world.write(conn, 11, producer, "t", 0, 0), ErrorCode::TransactionAbortable);
    assert_eq!(world.write(conn, 10, producer, "t", 0, 0), ErrorCode::InvalidTxnState);
    assert_eq!(world.add(conn, 3, producer, &[("t", 1)]), [NONE]);
    assert_eq!(world.write(conn, 11, producer, "t", 0, 0), ErrorCode::TransactionAbortable);
    assert_eq!(world.write(conn, 11, producer, "t", 1, 0), NONE);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 0), NONE, "this version adds it");
}

#[test]
fn partitions_are_added_all_or_none() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "tx");
    let codes = world.add(conn, 3, producer, &[("t", 0), ("t", 9)]);
    assert_eq!(codes, [ErrorCode::OperationNotAttempted, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(world.write(conn, 11, producer, "t", 0, 0), ErrorCode::TransactionAbortable);
}

#[test]
fn to_begin_again_over_an_open_transaction_aborts_it_first() {
    for flow in FLOWS {
        let (mut world, conn) = world();
        let producer = begun(&mut world, conn, flow);
        assert_eq!(world.init(conn, 5, "tx", None), Err(ErrorCode::ConcurrentTransactions));
        let next = world.init(conn, 5, "tx", None).unwrap();
        assert_eq!((next.id, next.epoch), (producer.id, 2), "one for the abort, one for the answer");
        assert_eq!(world.cluster.log_end_offset("t", 0), Some(2), "the record and the marker");
    }
}

#[test]
fn to_begin_again_over_an_idle_id_raises_the_epoch_by_one() {
    let (mut world, conn) = world();
    let first = world.producer(conn, "tx");
    assert_eq!(world.init(conn, 5, "tx", None), Ok(first.in_epoch(1)));
    assert_eq!(world.init(conn, 5, "tx", Some(first.in_epoch(1))), Ok(first.in_epoch(2)), "KIP-360");
    assert_eq!(world.init(conn, 5, "tx", Some(first.in_epoch(1))), Ok(first.in_epoch(2)), "asked again");
}

#[test]
fn a_time_out_is_above_0_and_at_most_15_minutes_and_an_id_is_not_empty() {
    let (mut world, conn) = world();
    let mut init = |id: &str, transaction_timeout_ms| {
        let transactional_id = Some(id.to_owned());
        let request =
            InitProducerIdRequest { transactional_id, transaction_timeout_ms, ..Default::default() };
        let request = InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..request };
        world.ask(conn, 5, request).error_code
    };
    assert_eq!(init("tx", 900_000), NONE);
    assert_eq!(init("tx", 900_001), ErrorCode::InvalidTransactionTimeout);
    assert_eq!(init("tx", 0), ErrorCode::InvalidTransactionTimeout);
    assert_eq!(init("", 1000), ErrorCode::InvalidRequest);
}

#[test]
fn markers_bear_the_epoch_of_the_flow_and_the_coordinators() {
    for (flow, epoch) in [(Flow::V1, 0), (Flow::V2, 1)] {
        let mut world = World::new(Config { brokers: 2, ..config(&[("t", 1)]) });
        let node = world.cluster.transaction_coordinator("tx");
        let (conn, leader) = (world.connect(node), world.cluster.leader("t", 0).unwrap().0);
        let (conn_to_leader, other) = (world.connect(leader), 3 - node);
        let producer = world.producer(conn, "tx");
        if flow == Flow::V1 {
            world.add(conn, 3, producer, &[("t", 0)]);
        }
        assert_eq!(world.write(conn_to_leader, flow.produce(), producer, "t", 0, 0), NONE);
        assert!(world.cluster.move_transaction_coordinator("tx", other));
        assert_eq!(world.end(conn, flow.end(), producer, true).0, ErrorCode::NotCoordinator);
        let conn = world.connect(other);
        world.finish(conn, flow, producer, true);
        let log = world.cluster.log("t", 0).unwrap();
        let (at, header) = walk_headers(&log).map(Result::unwrap).last().unwrap();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.producer_epoch, header.base_sequence, at.len()), (epoch, -1, 78));
        assert_eq!(&log[log.len() - 5..log.len() - 1], 1i32.to_be_bytes(), "the coordinator's epoch");
    }
}

#[test]
fn a_transaction_commits_in_every_partition_and_in_none_before_its_markers() {
    let (mut world, conn) = slow_world();
    let producer = world.producer(conn, "tx");
    (0..3).for_each(|partition| world.transact(conn, Flow::V2, producer, "t", partition, 0));
    world.finish(conn, Flow::V2, producer, true);
    let ends = |world: &World| -> Vec<_> {
        (0..3).map(|partition| world.cluster.log_end_offset("t", partition).unwrap()).collect()
    };
    assert_eq!(ends(&world), [1, 1, 1]);
    world.pass(millis(100));
    assert_eq!(ends(&world), [2, 2, 2]);
}

#[test]
fn tests_look_into_transactions() {
    let (mut world, conn) = slow_world();
    let producer = begun(&mut world, conn, Flow::V2);
    let view = world.cluster.transaction("tx").unwrap();
    assert_eq!((view.state, view.producer_id, view.producer_epoch), ("Ongoing", producer.id, 0));
    assert_eq!(view.partitions, [("t".to_owned(), 0)]);
    assert_eq!(world.cluster.last_stable_offset("t", 0), Some(0));
    world.finish(conn, Flow::V2, producer, true);
    assert_eq!(world.cluster.transaction("tx").unwrap().state, "PrepareCommit");
    world.pass(millis(100));
    assert_eq!(world.cluster.transaction("tx").unwrap().state, "CompleteCommit");
    assert_eq!(world.cluster.last_stable_offset("t", 0), Some(2));
    assert_eq!(world.cluster.transactional_ids().collect::<Vec<_>>(), ["tx"]);
    assert_eq!(world.cluster.transaction("other"), None);
}

#[test]
fn a_marker_waits_for_a_leader() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    world.cluster.depose_leader("t", 0, world.now);
    let after = world.finish(conn, Flow::V2, producer, true);
    world.pass(millis(1000));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(1));
    assert_eq!(world.write(conn, 12, after, "t", 1, 0), ErrorCode::ConcurrentTransactions);
    world.cluster.move_leader("t", 0, 1, world.now);
    world.pass(millis(100));
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(2));
    assert_eq!(world.write(conn, 12, after, "t", 1, 0), NONE);
}

#[test]
fn a_producer_with_a_transaction_open_writes_nothing_outside_it() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    let plain = crate::common::sequenced(1, producer.id, producer.epoch, 1);
    let code = world.write_batch(conn, 12, producer, "t", 0, plain);
    assert_eq!(code, ErrorCode::InvalidTxnState);
}

#[test]
fn a_batch_of_a_transaction_needs_its_transactional_id() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    let batch = transactional(1, producer, 1, 1_700_000_000_000);
    let told = produced(&world.ask(conn, 12, produce("t", 0, batch.clone()))).0;
    assert_eq!(told, ErrorCode::TransactionalIdAuthorizationFailed);
    // A test of its own program may write in a transaction that is open, and begin none.
    assert_eq!(world.cluster.append("t", 0, &batch, world.now), Ok(1));
    let refused = world.cluster.append("t", 1, &batch, world.now).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTxnState);
}

#[test]
fn a_batch_of_a_transaction_sent_again_is_no_second_copy() {
    let (mut world, conn) = world();
    let producer = begun(&mut world, conn, Flow::V2);
    assert_eq!(world.write(conn, 12, producer, "t", 0, 0), NONE);
    assert_eq!(world.cluster.log_end_offset("t", 0), Some(1));
}

#[test]
fn when_the_epochs_are_used_up_the_producer_gets_another_id() {
    let (mut world, conn) = world();
    let mut producer = begun(&mut world, conn, Flow::V2);
    for epoch in 1..i16::MAX {
        producer = world.finish(conn, Flow::V2, producer, false);
        assert_eq!(producer.epoch, epoch);
    }
    let request = ottla_protocol::messages::EndTxnRequest {
        transactional_id: "tx".to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed: false,
    };
    let answer = world.ask(conn, 5, request.clone());
    assert_eq!((answer.error_code, answer.producer_epoch), (NONE, 0));
    assert_ne!(answer.producer_id, producer.id);
    assert_eq!(world.ask(conn, 5, request), answer, "asked again");
    world.transact(conn, Flow::V2, Producer { id: answer.producer_id, epoch: 0, ..producer }, "t", 0, 0);
}

#[test]
fn coordinators_of_transactions_are_found_and_move() {
    let mut world = World::new(Config { brokers: 3, ..config(&[]) });
    let conn = world.connect(1);
    let find = |world: &mut World, key: &str| {
        let coordinator_keys = vec![key.to_owned()];
        let request = FindCoordinatorRequest { key_type: 1, coordinator_keys, ..Default::default() };
        let found = world.ask(conn, 4, request).coordinators.remove(0);
        (found.error_code, found.node_id)
    };
    for node in 1..=3 {
        assert!(world.cluster.move_transaction_coordinator("tx", node));
        assert_eq!(find(&mut world, "tx"), (NONE, node));
    }
    assert!(!world.cluster.move_transaction_coordinator("tx", 4));
    assert_eq!(find(&mut world, ""), (ErrorCode::InvalidRequest, -1));
    world.cluster.stop_node(3, world.now);
    assert_ne!(find(&mut world, "tx").1, 3);
}

#[test]
fn transactions_are_described_and_listed_as_they_stand() {
    let (mut world, conn) = world();
    let described = |world: &mut World, id: &str| {
        let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
        world.ask(conn, 0, request).transaction_states.remove(0)
    };
    assert_eq!(described(&mut world, "tx").error_code, ErrorCode::TransactionalIdNotFound);
    let producer = begun(&mut world, conn, Flow::V2);
    let state = described(&mut world, "tx");
    assert_eq!((state.error_code, state.transaction_state.as_str()), (NONE, "Ongoing"));
    assert_eq!((state.transaction_timeout_ms, state.transaction_start_time_ms), (60_000, world.now.wall.0));
    assert_eq!((state.topics[0].topic.as_str(), &state.topics[0].partitions), ("t", &vec![0]));
    world.producer(conn, "idle");
    let mut listed = |request: ListTransactionsRequest| {
        let answer = world.ask(conn, 2, ListTransactionsRequest { duration_filter: -1, ..request });
        let ids = answer.transaction_states.into_iter().map(|state| state.transactional_id);
        (answer.error_code, answer.unknown_state_filters, ids.collect::<Vec<_>>())
    };
    let all = ListTransactionsRequest::default();
    assert_eq!(listed(all.clone()).2, ["idle", "tx"]);
    let state_filters = vec!["Ongoing".to_owned(), "Odd".to_owned()];
    let open = listed(ListTransactionsRequest { state_filters, ..all.clone() });
    assert_eq!(open, (NONE, vec!["Odd".to_owned()], vec!["tx".to_owned()]));
    let producer_id_filters = vec![producer.id];
    assert_eq!(listed(ListTransactionsRequest { producer_id_filters, ..all.clone() }).2, ["tx"]);
    let like = |pattern: &str| Some(pattern.to_owned());
    let transactional_id_pattern = like("i.*");
    assert_eq!(listed(ListTransactionsRequest { transactional_id_pattern, ..all.clone() }).2, ["idle"]);
    let transactional_id_pattern = like("(");
    let wrong = listed(ListTransactionsRequest { transactional_id_pattern, ..all });
    assert_eq!(wrong.0, ErrorCode::InvalidRegularExpression);
}

#[test]
fn the_level_of_transactions_is_told_where_there_is_one() {
    for (versions, level) in [(VersionSet::Kafka4_3, Some(2)), (VersionSet::Kafka3_9, None)] {
        let mut world = World::new(Config { versions, ..Config::default() });
        let conn = world.connect(1);
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let told = world.ask(conn, 3, request);
        let found = told.finalized_features.iter().find(|it| it.name == "transaction.version");
        assert_eq!(found.map(|it| it.max_version_level), level);
        assert_eq!(told.finalized_features_epoch >= 0, level.is_some());
        let end = told.api_keys.iter().find(|api| api.api_key == 26).unwrap().max_version;
        assert_eq!(end, if level.is_some() { 5 } else { 4 });
    }
}
