//! What readers of what is committed get, and what others do.

use ottla_broker::ConnId;
use ottla_protocol::{
    ErrorCode,
    messages::{
        DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic, DescribeProducersRequest,
        DescribeProducersTopic, FetchPartitionResponse, FetchRequest, FetchResponse, ListOffsetsPartition,
        ListOffsetsRequest, ListOffsetsTopic,
    },
};

use crate::common::{
    World, base_offsets, config, fetch, fetched, millis,
    transaction::{FLOWS, Flow, bytes, transactional},
};

fn world() -> (World, ConnId) {
    let mut world = World::new(config(&[("t", 1)]));
    let conn = world.connect(1);
    (world, conn)
}

/// A fetch of either isolation that waits for a second.
fn waiting(offset: i64, committed: bool) -> FetchRequest {
    let isolation_level = i8::from(committed);
    FetchRequest { isolation_level, min_bytes: 1, max_wait_ms: 1000, ..fetch(&[("t", 0, offset)]) }
}

fn part(response: &FetchResponse) -> &FetchPartitionResponse {
    fetched(response)[0].1
}

/// What is there at once.
fn read(world: &mut World, conn: ConnId, offset: i64, committed: bool) -> FetchPartitionResponse {
    let request = FetchRequest { min_bytes: 0, ..waiting(offset, committed) };
    part(&world.ask(conn, 12, request)).clone()
}

/// Producer id and first offset of each aborted transaction that is listed.
fn listed(part: &FetchPartitionResponse) -> Option<Vec<(i64, i64)>> {
    let aborted = part.aborted_transactions.as_ref()?;
    Some(aborted.iter().map(|it| (it.producer_id, it.first_offset)).collect())
}

#[test]
fn both_isolations_are_told_the_last_stable_offset_and_one_reads_up_to_it() {
    let (mut world, conn) = world();
    world.append("t", 0, 5);
    let producer = world.producer(conn, "a");
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    world.append("t", 0, 3);
    for (committed, offsets, aborted) in [(false, vec![0, 5, 6], None), (true, vec![0], Some(vec![]))] {
        let part = read(&mut world, conn, 0, committed);
        assert_eq!((part.high_watermark, part.last_stable_offset), (9, 5));
        assert_eq!(base_offsets(&part), offsets);
        assert_eq!(listed(&part), aborted);
    }
}

#[test]
fn the_last_stable_offset_stays_at_the_earliest_open_transaction() {
    for flow in FLOWS {
        let (mut world, conn) = world();
        let (a, b) = (world.producer(conn, "a"), world.producer(conn, "b"));
        world.transact(conn, flow, a, "t", 0, 0);
        world.transact(conn, flow, b, "t", 0, 0);
        let stable = |world: &mut World| read(world, conn, 0, true).last_stable_offset;
        world.finish(conn, flow, b, true);
        assert_eq!(stable(&mut world), 0);
        world.finish(conn, flow, a, false);
        assert_eq!(stable(&mut world), 4, "the high watermark");
    }
}

#[test]
fn a_reader_at_the_last_stable_offset_waits_and_one_behind_its_batch_does_not() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "a");
    world.append("t", 0, 2);
    let batch = transactional(3, producer, 0, 1_700_000_000_000);
    assert_eq!(world.write_batch(conn, 12, producer, "t", 0, batch), ErrorCode::None);
    world.append("t", 0, 4);
    for (offset, waits) in [(2, true), (3, true), (4, true), (5, false), (8, false), (9, false)] {
        let reader = world.connect(1);
        world.send(reader, 12, waiting(offset, true));
        assert_eq!(world.replies_are_empty(reader), waits, "from {offset}");
        world.pass(millis(1000));
        let answer: FetchResponse = world.reply(reader).expect("an answer at last");
        let part = part(&answer);
        assert_eq!((part.error_code, part.last_stable_offset), (ErrorCode::None, 2));
        assert!(bytes(part).is_empty() && listed(part) == Some(vec![]), "from {offset}");
    }
}

#[test]
fn a_reader_that_waits_is_told_when_the_transaction_ends() {
    for committed in [true, false] {
        let (mut world, conn) = world();
        let producer = world.producer(conn, "a");
        world.transact(conn, Flow::V2, producer, "t", 0, 0);
        let reader = world.connect(1);
        world.send(reader, 12, waiting(0, true));
        assert!(world.replies_are_empty(reader));
        world.finish(conn, Flow::V2, producer, committed);
        let answer: FetchResponse = world.reply(reader).expect("an answer at once");
        let part = part(&answer);
        assert_eq!(base_offsets(part), [0, 1]);
        assert_eq!((part.high_watermark, part.last_stable_offset), (2, 2), "behind the marker");
        let aborted = if committed { vec![] } else { vec![(producer.id, 0)] };
        assert_eq!(listed(part), Some(aborted));
    }
}

#[test]
fn past_the_high_watermark_is_out_of_range_in_both_isolations() {
    for committed in [true, false] {
        let (mut world, conn) = world();
        world.append("t", 0, 2);
        let producer = world.producer(conn, "a");
        world.transact(conn, Flow::V2, producer, "t", 0, 0);
        let part = read(&mut world, conn, 4, committed);
        assert_eq!(part.error_code, ErrorCode::OffsetOutOfRange);
    }
}

#[test]
fn aborted_transactions_are_listed_in_the_order_of_their_markers() {
    let (mut world, conn) = world();
    let (a, b, c) = (world.producer(conn, "a"), world.producer(conn, "b"), world.producer(conn, "c"));
    world.transact(conn, Flow::V2, a, "t", 0, 0);
    world.transact(conn, Flow::V2, b, "t", 0, 0);
    assert_eq!(world.write(conn, 12, a, "t", 0, 1), ErrorCode::None);
    let b = world.finish(conn, Flow::V2, b, false);
    let a_next = world.finish(conn, Flow::V2, a, false);
    world.transact(conn, Flow::V2, a_next, "t", 0, 0);
    world.finish(conn, Flow::V2, a_next, false);
    // One that wrote nothing here is not listed, though its marker is written.
    assert_eq!(world.end(conn, 5, c, false).0, ErrorCode::None);
    world.transact(conn, Flow::V2, b, "t", 0, 0);
    world.finish(conn, Flow::V2, b, true);
    let all = [(b.id, 1), (a.id, 0), (a.id, 5)];
    for (from, expected) in
        [(0, &all[..]), (3, &all), (4, &all[1..]), (5, &all[2..]), (6, &all[2..]), (7, &[])]
    {
        assert_eq!(listed(&read(&mut world, conn, from, true)).unwrap(), expected, "from {from}");
    }
    // The list goes on behind the records that fit.
    let mut request = FetchRequest { min_bytes: 0, ..waiting(0, true) };
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let answer = world.ask(conn, 12, request);
    assert_eq!(base_offsets(part(&answer)), [0]);
    assert_eq!(listed(part(&answer)).unwrap(), all);
}

#[test]
fn an_aborted_transaction_of_a_partition_that_it_added_and_did_not_write_to_is_not_listed() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "a");
    assert_eq!(world.add(conn, 3, producer, &[("t", 0)]), [ErrorCode::None]);
    world.finish(conn, Flow::V1, producer, false);
    let part = read(&mut world, conn, 0, true);
    assert_eq!((part.high_watermark, listed(&part)), (1, Some(vec![])), "the marker alone");
}

#[test]
fn offsets_are_listed_as_far_as_the_isolation_reads() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "a");
    for (sequence, timestamp) in [1_000, 3_000, 2_000].into_iter().enumerate() {
        let batch = transactional(1, producer, sequence as i32, timestamp);
        assert_eq!(world.write_batch(conn, 12, producer, "t", 0, batch), ErrorCode::None);
    }
    let mut offset = |timestamp, isolation_level| {
        let partition = ListOffsetsPartition { timestamp, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }];
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..Default::default() };
        world.ask(conn, 11, request).topics[0].partitions[0].offset
    };
    for (timestamp, uncommitted, committed) in [
        (-1, 3, 0),
        (-2, 0, 0),
        (-4, 0, 0),
        (-3, 1, -1),
        (1_000, 0, -1),
        (2_500, 1, -1),
        (-5, -1, -1),
        (-6, -1, -1),
    ] {
        assert_eq!((offset(timestamp, 0), offset(timestamp, 1)), (uncommitted, committed), "{timestamp}");
    }
}

#[test]
fn the_largest_timestamp_is_not_found_behind_the_last_stable_offset_though_older_ones_are_stable() {
    let (mut world, conn) = world();
    world.append("t", 0, 1);
    let producer = world.producer(conn, "a");
    let newest = transactional(1, producer, 0, 1_800_000_000_000);
    assert_eq!(world.write_batch(conn, 12, producer, "t", 0, newest), ErrorCode::None);
    let partition = ListOffsetsPartition { timestamp: -3, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { replica_id: -1, isolation_level: 1, topics, ..Default::default() };
    assert_eq!(world.ask(conn, 8, request).topics[0].partitions[0].offset, -1);
}

fn delete(world: &mut World, conn: ConnId, partition_index: i32, offset: i64) -> (ErrorCode, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
    let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
    let answer = world.ask(conn, 2, DeleteRecordsRequest { topics, timeout_ms: 1000 });
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.low_watermark)
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_open_transactions_included() {
    let (mut world, conn) = world();
    world.append("t", 0, 5);
    let producer = world.producer(conn, "a");
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    assert_eq!(delete(&mut world, conn, 0, 2), (ErrorCode::None, 2));
    assert_eq!(delete(&mut world, conn, 0, 1), (ErrorCode::None, 2), "never back");
    assert_eq!(delete(&mut world, conn, 0, 7), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(&mut world, conn, 0, -2), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(&mut world, conn, 3, 0), (ErrorCode::UnknownTopicOrPartition, -1));
    assert_eq!(delete(&mut world, conn, 0, -1), (ErrorCode::None, 6));
    let part = read(&mut world, conn, 6, true);
    assert_eq!((part.log_start_offset, part.last_stable_offset, part.high_watermark), (6, 6, 6));
    assert_eq!(read(&mut world, conn, 5, true).error_code, ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_fetch_that_waits_below_the_new_start_of_the_log_is_told() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "a");
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    let reader = world.connect(1);
    world.send(reader, 12, waiting(0, true));
    assert!(world.replies_are_empty(reader));
    delete(&mut world, conn, 0, -1);
    let answer: FetchResponse = world.reply(reader).expect("an answer at once");
    assert_eq!(part(&answer).error_code, ErrorCode::OffsetOutOfRange);
}

#[test]
fn producers_of_a_partition_are_described() {
    let (mut world, conn) = world();
    let producer = world.producer(conn, "a");
    let described = |world: &mut World| {
        let topics = vec![DescribeProducersTopic { name: "t".into(), partition_indexes: vec![0] }];
        let answer = world.ask(conn, 0, DescribeProducersRequest { topics });
        let mut producers =
            answer.topics.into_iter().flat_map(|it| it.partitions).flat_map(|it| it.active_producers);
        producers.next().map(|it| {
            (it.producer_epoch, it.coordinator_epoch, it.last_sequence, it.current_txn_start_offset)
        })
    };
    assert_eq!(described(&mut world), None);
    world.transact(conn, Flow::V2, producer, "t", 0, 0);
    assert_eq!(described(&mut world), Some((0, -1, 0, 0)));
    world.finish(conn, Flow::V2, producer, true);
    assert_eq!(described(&mut world), Some((1, 0, -1, -1)));
}

#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use ottla_broker::Planted;

    #[test]
    fn a_planted_bug_lets_readers_see_what_is_open() {
        let (mut world, conn) = world();
        world.plant(Planted::OpenTransactionsAreStable);
        let producer = world.producer(conn, "a");
        world.transact(conn, Flow::V2, producer, "t", 0, 0);
        let part = read(&mut world, conn, 0, true);
        assert_eq!((part.last_stable_offset, base_offsets(&part)), (1, vec![0]));
    }

    #[test]
    fn a_planted_bug_leaves_an_aborted_transaction_out_of_the_list() {
        let (mut world, conn) = world();
        world.plant(Planted::AbortedNotListed);
        let producer = world.producer(conn, "a");
        world.transact(conn, Flow::V2, producer, "t", 0, 0);
        world.finish(conn, Flow::V2, producer, false);
        let part = read(&mut world, conn, 0, true);
        assert_eq!((base_offsets(&part), listed(&part)), (vec![0, 1], Some(vec![])));
    }

    #[test]
    fn a_planted_bug_aborts_a_part_of_what_is_committed() {
        let mut world = World::new(config(&[("t", 2)]));
        let conn = world.connect(1);
        world.plant(Planted::PartlyCommitted);
        let producer = world.producer(conn, "a");
        (0..2).for_each(|partition| world.transact(conn, Flow::V2, producer, "t", partition, 0));
        world.finish(conn, Flow::V2, producer, true);
        let request = FetchRequest { isolation_level: 1, ..fetch(&[("t", 0, 0), ("t", 1, 0)]) };
        let answer = world.ask(conn, 12, request);
        let aborted: Vec<_> = fetched(&answer).iter().map(|(_, part)| listed(part).unwrap().len()).collect();
        assert_eq!(aborted, [0, 1]);
    }
}
