//! Very many partitions in one consumer.

use super::*;

/// A consumer of so many partitions, assigned by hand: one record of each was read, and now there are no more.
fn idle(partitions: i32) -> World {
    // All are asked for at once.
    let fetch = FetchConfig { at_first: usize::MAX, ..FetchConfig::default() };
    let mut world = World::new(ConsumerConfig { fetch, ..config() });
    world.partitions = partitions;
    world.consumer.assign((0..partitions).map(at), world.now).unwrap();
    world.run();
    let lookup = world.expect(ApiKey::ListOffsets);
    let offset =
        |partition_index| ListOffsetsPartitionResponse { partition_index, offset: 0, ..Default::default() };
    let topic =
        ListOffsetsTopicResponse { name: "t".to_owned(), partitions: (0..partitions).map(offset).collect() };
    world.answer(&lookup, ListOffsetsResponse { topics: vec![topic], ..Default::default() });
    let fetch = world.fetches.pop_front().unwrap();
    bring(&mut world, &fetch, (0..partitions).collect());
    while let Some((slice, slot)) = world.consumer.take(world.reader, &crate::Filter::All) {
        slot.store(slice.next);
        world.consumer.report(slice.part, slice.epoch, slice.next, true, false);
    }
    world.run();
    // What has moved is told.
    let fetch = world.fetches.pop_front().unwrap();
    bring(&mut world, &fetch, Vec::new());
    world
}

/// Answers a fetch with one record of each of these partitions.
pub(super) fn bring(world: &mut World, fetch: &Sent, partitions: Vec<i32>) {
    let batch = batch(0..1);
    let place = |number: usize| (number * batch.len()) as u32..((number + 1) * batch.len()) as u32;
    let partition = |(number, partition_index): (usize, &i32)| FetchPartitionResponse {
        partition_index: *partition_index,
        high_watermark: 1,
        records: Some(RecordData::InFrame(place(number))),
        ..Default::default()
    };
    let topic = FetchTopicResponse {
        topic_id: TopicId([1; 16]),
        partitions: partitions.iter().enumerate().map(partition).collect(),
        ..Default::default()
    };
    let responses = if partitions.is_empty() { Vec::new() } else { vec![topic] };
    let response = FetchResponse { session_id: 5, responses, ..Default::default() }.into();
    let frame = Rc::new(batch.repeat(partitions.len()));
    let fetched = Fetched { size: frame.len(), spans: spans(&response, &frame), frame };
    let size = fetched.size;
    let reply = Reply { id: fetch.id, response, fetched: Some(fetched) };
    world.consumer.handle_reply(fetch.conn, reply, world.now);
    world.run();
    world.consumer.handle_released(size);
}

#[test]
fn an_idle_fetch_names_no_partition_however_many_there_are() {
    let world = idle(100);
    let Request::Fetch(request) = &world.fetches[0].request else { panic!("no fetch is under way") };
    assert_eq!((&request.topics, &request.forgotten_topics_data), (&vec![], &vec![]));
}

#[test]
fn a_partition_that_is_idle_keeps_less_than_a_kilobyte() {
    let kept = |partitions| {
        let mut world = None;
        let kept = allocation_counter::measure(|| world = Some(idle(partitions)));
        assert!(world.is_some_and(|world| world.asked.is_empty()));
        kept.bytes_current
    };
    // Full of lanes, a list of them has no room left.
    let (few, many) = (512, 2_048);
    let each = (kept(many) - kept(few)) / i64::from(many - few);
    println!("{each} bytes");
    assert!(each < 1_024, "{each} bytes");
}
