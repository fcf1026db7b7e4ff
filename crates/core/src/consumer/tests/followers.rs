//! Fetching from followers (KIP-392). Broker 1 leads, broker 2 follows.

use super::*;

fn started() -> World {
    let fetch = FetchConfig { rack: "r2".to_owned(), ..FetchConfig::default() };
    let mut world = World::new(ConsumerConfig { fetch, ..config() });
    world.hosts.push("follower");
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    // The position was asked for before the user knew better.
    world.asked.clear();
    world
}

impl World {
    /// The fetch under way: whom it asks, and the rack that it tells.
    fn fetch(&mut self) -> (Sent, (&'static str, String)) {
        assert_eq!(self.fetches.len(), 1, "{:?}", self.fetches);
        let fetch = self.fetches.pop_front().unwrap();
        let (_, host) = self.called.iter().find(|(conn, _)| *conn == fetch.conn).unwrap();
        let host = if host == "broker" { "leader" } else { "follower" };
        let Request::Fetch(request) = &fetch.request else { unreachable!() };
        let asks = (host, request.rack_id.clone());
        (fetch, asks)
    }

    /// The leader names broker 2.
    fn names_the_follower(&mut self, fetch: &Sent) {
        let partition = FetchPartitionResponse {
            preferred_read_replica: 2,
            high_watermark: 1000,
            records: Some(RecordData::default()),
            ..Default::default()
        };
        let topic = FetchTopicResponse {
            topic_id: TopicId([1; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let response = FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() };
        let fetched = Fetched { size: 0, spans: vec![Ok(Default::default())], frame: Frame::default() };
        let reply = Reply { id: fetch.id, response: response.into(), fetched: Some(fetched) };
        self.consumer.handle_reply(fetch.conn, reply, self.now);
        self.run();
    }

    fn followers(&self) -> Vec<(TopicPartition, i32)> {
        self.consumer.explain(self.now).followers
    }
}

fn leader(rack: &str) -> (&'static str, String) {
    ("leader", rack.to_owned())
}

fn follower() -> (&'static str, String) {
    ("follower", "r2".to_owned())
}

/// A consumer that has read ten records, and fetches from the follower: that fetch.
fn following() -> (World, Sent) {
    let mut world = started();
    let (fetch, asks) = world.fetch();
    assert_eq!(asks, leader("r2"));
    world.names_the_follower(&fetch);
    let (fetch, asks) = world.fetch();
    assert_eq!(asks, leader(""), "there is no connection to the follower yet");
    assert_eq!(world.followers(), []);
    world.pass(Duration::from_millis(501));
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(0..10)));
    let (fetch, asks) = world.fetch();
    assert_eq!(asks, leader("r2"));
    world.names_the_follower(&fetch);
    let (fetch, asks) = world.fetch();
    assert_eq!(asks, follower());
    assert_eq!(world.followers(), [(at(0), 2)]);
    assert!(world.consumer.explain(world.now).to_string().contains("t-0: fetched from broker 2, a follower"));
    (world, fetch)
}

#[test]
fn the_follower_that_a_leader_names_is_fetched_from_as_soon_as_there_is_a_connection_to_it() {
    let (mut world, fetch) = following();
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(10..20)));
    assert_eq!(world.fetch().1, follower());
    let brokers: Vec<_> =
        (0..2).map(|_| world.take().unwrap()).map(|slice| (slice.start, slice.broker)).collect();
    assert_eq!(brokers, [(0, NodeId(1)), (10, NodeId(2))]);
}

#[test]
fn a_position_that_is_not_in_the_followers_log_is_asked_of_the_leader_before_it_is_reset() {
    let (mut world, fetch) = following();
    let slice = world.take().unwrap();
    world.back_from(&slice, 10);
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    world.pass(Duration::from_millis(200));
    assert!(!world.has_asked(ApiKey::ListOffsets));
    let (fetch, asks) = world.fetch();
    assert_eq!(asks, leader(""), "and the leader is to say it of its own log");
    assert_eq!(world.followers(), []);
    world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert!(world.has_asked(ApiKey::ListOffsets), "it has said so, too");
}

#[test]
fn whatever_a_follower_refuses_is_asked_of_the_leader() {
    for error in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::UnknownTopicId,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::TopicAuthorizationFailed,
    ] {
        let (mut world, fetch) = following();
        world.fetched_by(&fetch, 0, error, None);
        world.pass(Duration::from_millis(200));
        assert_eq!(world.fetch().1, leader(""), "{error}");
        assert_eq!(world.consumer.take_failure(&crate::Filter::All, world.now), None);
    }
}

#[test]
fn while_a_follower_is_out_of_reach_its_leader_sends_the_records_though_it_names_it_again() {
    let (mut world, fetch) = following();
    world.down = Some("follower");
    world.disconnect(&fetch);
    world.pass(Duration::from_millis(200));
    let mut next = 10;
    for _ in 0..5 {
        let (fetch, asks) = world.fetch();
        assert_eq!(asks, leader(""));
        world.pass(Duration::from_millis(600));
        world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(next..next + 5)));
        next += 5;
        let (fetch, asks) = world.fetch();
        assert_eq!(asks, leader("r2"), "it may be back");
        world.names_the_follower(&fetch);
    }
    world.down = None;
    world.pass(Duration::from_secs(5));
    let (fetch, _) = world.fetch();
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(next..next + 5)));
    let (fetch, _) = world.fetch();
    world.names_the_follower(&fetch);
    // A connection is made when the follower is named.
    let (fetch, _) = world.fetch();
    world.pass(Duration::from_millis(600));
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(next + 5..next + 10)));
    let (fetch, _) = world.fetch();
    world.names_the_follower(&fetch);
    assert_eq!(world.fetch().1, follower());
}

#[test]
fn a_follower_that_metadata_does_not_know_is_not_waited_for() {
    let mut world = started();
    world.hosts.pop();
    world.consumer.hub.metadata.request_update();
    world.pass(Duration::from_secs(1));
    let (fetch, _) = world.fetch();
    world.names_the_follower(&fetch);
    assert_eq!(world.fetch().1, leader(""));
}

#[test]
fn the_leader_is_asked_for_the_nearest_again_after_metadata_max_age() {
    let (mut world, fetch) = following();
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(10..20)));
    let (fetch, _) = world.fetch();
    world.now = world.now.after(Duration::from_secs(300));
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(20..30)));
    assert_eq!(world.fetch().1, leader("r2"));
}

#[test]
fn another_leader_is_asked_for_the_nearest_anew() {
    let (mut world, fetch) = following();
    assert!(world.consumer.hub.metadata.learn_leader(&at(0), NodeId(1), 4));
    world.fetched_by(&fetch, 0, ErrorCode::None, Some(batch(10..20)));
    assert_eq!(world.fetch().1, leader("r2"));
}

#[test]
fn who_tells_no_rack_is_named_no_follower() {
    let mut world = World::new(config());
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    assert_eq!(world.fetch().1, leader(""));
}
