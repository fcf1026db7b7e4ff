use super::{reading::ends, *};
use crate::lanes::Admission;

fn small_budget() -> ConsumerConfig {
    let fetch =
        FetchConfig { budget: 1000, partition_max_bytes: 500, max_bytes: 800, ..FetchConfig::default() };
    ConsumerConfig { fetch, ..config() }
}

fn started(config: ConsumerConfig) -> World {
    let mut world = World::new(config);
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    world.run();
    for partition in [0, 1] {
        world.consumer.seek(&at(partition), SeekTo::Offset(0), world.now);
    }
    world.run();
    world
}

fn request(sent: &Sent) -> &FetchRequest {
    match &sent.request {
        Request::Fetch(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fetch_asks_for_no_more_than_there_is_room_for() {
    let world = started(small_budget());
    assert_eq!(request(&world.fetches[0]).max_bytes, 800);
}

#[test]
fn the_first_fetch_is_for_some_and_does_not_wait_and_the_next_is_for_the_rest() {
    let fetch = FetchConfig { at_first: 1, ..FetchConfig::default() };
    let mut world = started(ConsumerConfig { fetch, ..config() });
    assert_eq!(asks(&world), (vec![0], 0));
    let first = world.fetches.pop_front().unwrap();
    world.fetched_by(&first, 0, ErrorCode::None, None);
    assert_eq!(asks(&world), (vec![1], 500));
}

/// The partitions that the fetch under way names, and how many milliseconds it may wait.
fn asks(world: &World) -> (Vec<i32>, i32) {
    let request = request(world.fetches.front().expect("a fetch is under way"));
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    (partitions.map(|asked| asked.partition).collect(), request.max_wait_ms)
}

/// Two partitions, of which one is asked for first: of the other a look-up is under way.
fn half_placed() -> (World, Sent) {
    let fetch = FetchConfig { at_first: 1, ..FetchConfig::default() };
    let mut world = World::new(ConsumerConfig { fetch, ..config() });
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    world.run();
    let (first, rest) = (world.expect(ApiKey::ListOffsets), world.expect(ApiKey::ListOffsets));
    let of = |sent: &Sent| match &sent.request {
        Request::ListOffsets(request) => {
            request.topics[0].partitions.iter().map(|asked| asked.partition_index).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((of(&first), of(&rest)), (vec![0], vec![1]));
    world.answer(&first, ends(0));
    (world, rest)
}

fn nothing_comes(world: &mut World) {
    let fetch = world.fetches.pop_front().expect("a fetch is under way");
    world.fetched_by(&fetch, 0, ErrorCode::None, None);
}

#[test]
fn what_is_placed_first_is_fetched_first_and_what_is_placed_next_waits_for_no_long_fetch() {
    let (mut world, rest) = half_placed();
    assert_eq!(asks(&world), (vec![0], 10));
    nothing_comes(&mut world);
    assert_eq!(asks(&world), (vec![], 10));
    world.answer(&rest, ends(0));
    nothing_comes(&mut world);
    assert_eq!(asks(&world), (vec![1], 500));
}

#[test]
fn fetches_are_not_brief_for_longer_than_one_may_wait_where_positions_do_not_come() {
    let (mut world, _) = half_placed();
    world.pass(Duration::from_millis(500));
    nothing_comes(&mut world);
    assert_eq!(asks(&world), (vec![], 500));
}

#[test]
fn fetches_are_not_brief_for_positions_that_a_broker_has_refused() {
    let (mut world, rest) = half_placed();
    world.answer(&rest, ListOffsetsResponse::default());
    nothing_comes(&mut world);
    assert_eq!(asks(&world), (vec![], 500));
}

#[test]
fn nothing_is_fetched_while_the_budget_is_used_up_and_the_reason_is_told() {
    let mut world = started(small_budget());
    world.fetched(0, 0..60);
    let slice = world.take().unwrap();
    assert!(slice.bytes.len() > 500);
    assert!(world.fetches.is_empty());
    assert!(world.consumer.explain(world.now).to_string().contains("of 1000 bytes are used"));
    world.consumer.handle_released(slice.bytes.len());
    world.run();
    assert_eq!(world.fetches.len(), 1);
}

#[test]
fn what_a_reader_has_of_a_paused_partition_does_not_keep_the_others_from_flowing() {
    let mut world = started(small_budget());
    world.fetched(0, 0..60);
    let slice = world.take().unwrap();
    world.back_from(&slice, 20);
    world.consumer.set_paused(&at(0), true, world.now);
    world.run();
    assert_eq!(
        world.consumer.admission(slice.part, slice.epoch),
        Admission::Paused,
        "he may be about to resume"
    );
    world.consumer.park(world.reader);
    world.run();
    assert_eq!(world.consumer.admission(slice.part, slice.epoch), Admission::Over, "he waits for others");
    assert!(world.consumer.take_wake(), "the reader is to drop it");
    world.consumer.handle_released(slice.bytes.len());
    world.run();
    let asked = request(world.fetches.back().unwrap());
    assert_eq!(asked.forgotten_topics_data[0].partitions, [0], "the other is asked for alone");
    world.consumer.set_paused(&at(0), false, world.now);
    assert_eq!(world.consumer.position(&at(0)), Some(20), "nothing is skipped or repeated");
}

#[test]
fn what_is_in_hand_stays_though_its_user_waits_for_a_commit() {
    let mut world = started(small_budget());
    world.fetched(0, 0..60);
    let slice = world.take().unwrap();
    world.consumer.report(slice.part, slice.epoch, 20, false, true);
    world.consumer.set_paused(&at(0), true, world.now);
    world.run();
    world.consumer.stay(world.reader);
    world.run();
    assert_eq!(
        world.consumer.admission(slice.part, slice.epoch),
        Admission::Paused,
        "otherwise auto commit would take the record in hand for done"
    );
}

#[test]
fn paused_records_do_not_keep_the_others_from_flowing() {
    let mut world = started(small_budget());
    world.consumer.set_paused(&at(0), true, world.now);
    world.fetched(0, 0..60);
    assert!(world.fetches.is_empty(), "there is no room");
    let size = world.consumer.wasted_bytes() as usize;
    assert!(size > 500, "what the paused partition had was dropped");
    world.consumer.handle_released(size);
    world.run();
    assert_eq!(
        request(&world.fetches[0]).forgotten_topics_data[0].partitions,
        [0],
        "the other is asked for alone"
    );
    world.consumer.set_paused(&at(0), false, world.now);
    assert_eq!(world.consumer.position(&at(0)), Some(0), "to be fetched again");
}

#[test]
fn a_partition_with_enough_buffered_is_left_out() {
    let mut world = started(ConsumerConfig {
        fetch: FetchConfig { partition_max_bytes: 100, ..FetchConfig::default() },
        ..config()
    });
    world.fetched(0, 0..60);
    let fetch = &world.fetches[0];
    let forgotten = &request(fetch).forgotten_topics_data[0];
    assert_eq!(forgotten.partitions, [0]);
}

#[test]
fn an_incremental_request_names_only_what_changed() {
    let mut world = started(config());
    assert_eq!((request(&world.fetches[0]).session_id, request(&world.fetches[0]).session_epoch), (0, 0));
    world.fetched(0, 0..5);
    let fetch = &world.fetches[0];
    assert_eq!((request(fetch).session_id, request(fetch).session_epoch), (5, 1));
    assert_eq!(request(fetch).topics[0].partitions.len(), 1);
    assert_eq!(request(fetch).topics[0].partitions[0].fetch_offset, 5);
}

#[test]
fn after_a_disconnect_the_session_is_opened_anew() {
    let mut world = started(config());
    world.fetched(0, 0..5);
    let fetch = world.fetches.pop_front().unwrap();
    world.disconnect(&fetch);
    world.pass(Duration::from_secs(2));
    let fetch = &world.fetches[0];
    assert_eq!((request(fetch).session_id, request(fetch).session_epoch), (5, 0));
    assert_eq!(request(fetch).topics[0].partitions.len(), 2);
}

#[test]
fn while_a_leader_is_out_of_reach_metadata_is_asked_for_who_leads_instead() {
    let mut world = started(config());
    let fetch = world.fetches.pop_front().unwrap();
    world.refusing = true;
    world.disconnect(&fetch);
    let revision = world.consumer.metadata().revision();
    world.pass(Duration::from_secs(10));
    let asked = world.consumer.metadata().revision() - revision;
    assert!((5..=30).contains(&asked), "{asked} times in 10 s");
}

/// Answers the fetch under way: another broker leads the first partition from here on.
fn the_first_moves(world: &mut World) {
    let fetch = world.fetches.pop_front().unwrap();
    let partition = FetchPartitionResponse {
        partition_index: 0,
        error_code: ErrorCode::NotLeaderOrFollower,
        current_leader: FetchLeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 },
        ..Default::default()
    };
    let topic =
        FetchTopicResponse { topic_id: TopicId([1; 16]), partitions: vec![partition], ..Default::default() };
    let node = FetchNodeEndpoint { node_id: 2, host: "other".to_owned(), port: 9093, ..Default::default() };
    let response = Response::Fetch(FetchResponse {
        session_id: 5,
        responses: vec![topic],
        node_endpoints: vec![node],
        ..Default::default()
    });
    let frame = Frame::default();
    let fetched = Fetched { size: 0, spans: spans(&response, &frame), frame };
    world.consumer.handle_reply(
        fetch.conn,
        Reply { id: fetch.id, response, fetched: Some(fetched) },
        world.now,
    );
    world.run();
}

#[test]
fn brokers_take_turns_where_there_is_room_for_one_of_them() {
    let mut world = started(small_budget());
    the_first_moves(&mut world);
    let both: Vec<Sent> = world.fetches.drain(..).collect();
    let mut next = [0, 0];
    let conn_of_first = both.iter().find(|fetch| !request(fetch).topics.is_empty());
    let conn_of_first = conn_of_first.unwrap().conn;
    let mut answer = |world: &mut World, fetch: &Sent| {
        let partition = usize::from(fetch.conn != conn_of_first);
        let from = next[partition];
        next[partition] += 30;
        world.fetched_by(fetch, partition as i32, ErrorCode::None, Some(batch(from..from + 30)));
        let size = world.take().unwrap().bytes.len();
        (partition, size)
    };
    let sizes: Vec<usize> = both.iter().map(|fetch| answer(&mut world, fetch).1).collect();
    assert!(world.fetches.is_empty(), "there is no room: {sizes:?}");
    let mut size = sizes[0];
    let mut asked = Vec::new();
    for _ in 0..6 {
        world.consumer.handle_released(size);
        world.run();
        let explained = world.consumer.explain(world.now);
        let fetch = world
            .fetches
            .pop_front()
            .unwrap_or_else(|| panic!("room for one, after {asked:?}, {size}: {explained}"));
        assert!(world.fetches.is_empty(), "and for one only");
        let partition;
        (partition, size) = answer(&mut world, &fetch);
        asked.push(partition);
    }
    assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "{asked:?}");
}

#[test]
fn a_new_leader_told_with_the_error_is_used_at_once() {
    let mut world = started(config());
    the_first_moves(&mut world);
    let leader = world.consumer.metadata().partition(&at(0)).unwrap();
    assert_eq!((leader.leader, leader.leader_epoch), (Some(NodeId(2)), 9));
    assert_eq!(world.fetches.len(), 2, "each of the two leaders is asked");
}

#[test]
fn records_of_a_partition_that_was_not_asked_for_are_nobodys() {
    let mut world = started(config());
    let fetch = world.fetches.pop_front().unwrap();
    world.fetched_by(&fetch, 7, ErrorCode::None, Some(batch(0..5)));
    assert!(world.take().is_none());
}

/// Answers the fetch under way without any partition.
fn brings_nothing(world: &mut World, response: FetchResponse) {
    let fetch = world.fetches.pop_front().unwrap();
    let fetched = Fetched { size: 0, spans: Vec::new(), frame: Frame::default() };
    let reply = Reply { id: fetch.id, response: response.into(), fetched: Some(fetched) };
    world.consumer.handle_reply(fetch.conn, reply, world.now);
    world.run();
}

#[test]
fn a_fetch_that_is_refused_as_a_whole_is_sent_again_after_a_pause_and_the_reason_is_told() {
    let mut world = started(config());
    for most in [120, 240] {
        let refused = FetchResponse { error_code: ErrorCode::KafkaStorageError, ..Default::default() };
        brings_nothing(&mut world, refused);
        let said = world.consumer.explain(world.now).to_string();
        assert!(said.contains("t-0: the broker answered KAFKA_STORAGE_ERROR (56)"), "{said}");
        world.pass(Duration::from_millis(79));
        assert!(world.fetches.is_empty(), "or a broker in trouble is asked in a tight loop");
        world.pass(Duration::from_millis(most - 79));
        assert_eq!(world.fetches.len(), 1);
    }
    world.fetched(0, 0..5);
    assert!(world.take().is_some());
}

#[test]
fn an_answer_about_a_topic_that_is_gone_is_nothing_of_the_one_that_was_made_anew() {
    let mut world = started(config());
    world.topics = vec!["another", "t"];
    world.refresh();
    assert_eq!(world.consumer.hub.metadata.topic("t").map(|topic| topic.id), Some(TopicId([2; 16])));
    world.fetched(0, 0..5);
    assert!(world.take().is_none());
}

#[test]
fn bytes_that_nobody_asked_for_count_as_wasted() {
    let mut world = started(config());
    let fetch = world.fetches.pop_front().unwrap();
    let unasked = batch(0..5);
    let size = unasked.len() as u64;
    world.fetched_by(&fetch, 7, ErrorCode::None, Some(unasked));
    assert_eq!((world.consumer.fetched_bytes(), world.consumer.wasted_bytes()), (size, size));
}

/// Answers the fetch under way as a broker whose quota is exceeded: without records, and with a time for which to
/// be silent.
fn throttled(world: &mut World, throttle_time_ms: i32, session_id: i32) {
    brings_nothing(world, FetchResponse { throttle_time_ms, session_id, ..Default::default() });
}

#[test]
fn a_leader_that_throttles_is_left_alone_until_then_and_the_reason_is_told() {
    let mut world = started(config());
    throttled(&mut world, 700, 0);
    world.pass(Duration::from_millis(200));
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("t-0: throttled by the broker for 500.0ms more"), "{said}");
    world.pass(Duration::from_millis(499));
    assert!(world.fetches.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(
        request(&world.fetches[0]).topics[0].partitions.len(),
        2,
        "no session was opened: all is asked"
    );
    world.fetched(0, 0..5);
    throttled(&mut world, 100, 5);
    world.pass(Duration::from_millis(100));
    let fetch = request(&world.fetches[0]);
    assert_eq!((fetch.session_id, fetch.session_epoch, fetch.topics.len()), (5, 2, 0), "the session goes on");
}

#[test]
fn a_fetch_that_is_held_for_too_long_is_told_as_such() {
    let mut world = started(config());
    let said = |world: &World| world.consumer.explain(world.now).to_string();
    assert!(said(&world).contains("t-0: fetching"));
    world.pass(Duration::from_secs(3));
    assert!(said(&world).contains("t-0: broker 1 has not answered a fetch for 3.0s"), "{}", said(&world));
}

#[test]
fn while_no_broker_has_told_of_a_topic_it_is_not_said_to_be_missing() {
    let mut world = World::new(config());
    world.refusing = true;
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    assert!(
        world.consumer.explain(world.now).to_string().contains("t-0: no broker has told of the topic yet")
    );
}

#[test]
fn without_a_session_who_was_served_last_is_asked_for_last() {
    let mut world = started(config());
    for (served, order) in [(0, [1, 0]), (1, [0, 1])] {
        world.fetched(served, 0..5);
        brings_nothing(
            &mut world,
            FetchResponse { error_code: ErrorCode::FetchSessionIdNotFound, ..Default::default() },
        );
        let asked = &request(&world.fetches[0]).topics;
        let asked: Vec<i32> = asked.iter().flat_map(|topic| &topic.partitions).map(|p| p.partition).collect();
        assert_eq!(asked, order, "or a batch that does not fit behind others would never come");
    }
}

#[test]
fn a_leader_that_is_not_among_the_brokers_is_asked_for_until_it_is() {
    let mut world = World::new(config());
    world.leader = 2;
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    world.pass(Duration::from_secs(10));
    let reason = &world.consumer.explain(world.now).partitions[0].1;
    assert!(matches!(reason, Reason::NoLeader { .. }), "{reason:?}");
    world.leader = 1;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.fetches.len(), 1, "long before metadata.max.age.ms");
}

/// A consumer that fetches so many bytes ahead, to begin with.
fn reading_ahead(size: usize) -> World {
    let fetch = FetchConfig { read_ahead: size, ..FetchConfig::default() };
    started(ConsumerConfig { fetch, ..config() })
}

#[test]
fn no_more_is_fetched_ahead_of_a_busy_reader_than_keeps_it_busy() {
    let size = batch(0..5).len();
    let mut world = reading_ahead(size);
    assert_eq!(request(&world.fetches[0]).max_bytes, size as i32);
    world.fetched(0, 0..5);
    assert!(world.fetches.is_empty(), "the reader has something to do");
    let said = world.consumer.explain(world.now).to_string();
    assert!(said.contains("t-1: goes with the next fetch"), "{said}");
    let slice = world.take().unwrap();
    assert_eq!(world.fetches.len(), 1, "what comes next is fetched while the slice is read");
    world.fetched(1, 0..5);
    assert!(world.fetches.is_empty());

    // A reader that wants nothing of what is there.
    world.consumer.park(world.reader);
    world.run();
    assert_eq!(world.fetches.len(), 1, "otherwise a reader of one partition alone would wait for ever");
    world.back_from(&slice, 5);
}

/// Has a reader wait for so many full responses, each of which takes so long. How many bytes the next may bring.
fn waits_for(world: &mut World, offset: &mut i64, responses: usize, took: Duration) -> usize {
    for _ in 0..responses {
        let records = request(&world.fetches[0]).max_bytes as i64 * 50 / batch(0..50).len() as i64;
        world.pass(took);
        world.fetched(0, *offset..*offset + records);
        let slice = world.take().unwrap();
        *offset = slice.next;
        world.back_from(&slice, slice.next);
        world.consumer.park(world.reader);
        world.run();
    }
    request(&world.fetches[0]).max_bytes as usize
}

#[test]
fn more_is_fetched_ahead_of_a_waiting_reader_where_bytes_come_faster_by_that() {
    let size = batch(0..50).len();
    let mut world = reading_ahead(size);
    world.consumer.park(world.reader);
    let offset = &mut 0;
    // Over a long way, each response takes as long, whatever it brings.
    let way = Duration::from_millis(100);
    assert_eq!(waits_for(&mut world, offset, 7, way), size);
    assert_eq!(waits_for(&mut world, offset, 1, way), 2 * size);
    assert_eq!(waits_for(&mut world, offset, 8, way), 4 * size);
    // From here on the way is full: twice the bytes take twice the time.
    assert_eq!(waits_for(&mut world, offset, 8, 2 * way), 2 * size, "what was no faster is taken back");
    assert_eq!(waits_for(&mut world, offset, 16, way), 2 * size, "and not tried again at once");
    world.fetched(0, *offset..*offset + 1);
    let slice = world.take().unwrap();
    *offset = slice.next;
    world.back_from(&slice, slice.next);
    world.consumer.park(world.reader);
    world.pass(Duration::from_secs(60));
    // Nobody has answered the one before.
    world.fetches.drain(..1);
    assert_eq!(waits_for(&mut world, offset, 8, way), 4 * size, "ways change");
    world.fetched(0, *offset..*offset + 1);
    let slice = world.take().unwrap();
    world.back_from(&slice, slice.next);
    assert_eq!(
        request(&world.fetches[0]).max_bytes as usize,
        4 * size,
        "a response with room left is all that there was"
    );
}

#[test]
fn no_more_is_fetched_ahead_of_a_waiting_reader_where_bytes_come_fast_enough() {
    let size = batch(0..50).len();
    let mut world = reading_ahead(size);
    world.consumer.park(world.reader);
    assert_eq!(waits_for(&mut world, &mut 0, 24, Duration::ZERO), size);
}
