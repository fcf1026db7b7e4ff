//! Metrics for brokers that ask for them (KIP-714).

use ottla_protocol::ClientInstanceId;

use super::*;
use crate::telemetry::tests::Decoded;

const ID: ClientInstanceId = ClientInstanceId([9; 16]);

fn with_plug_in() -> Vec<(ApiKey, i16)> {
    vec![(ApiKey::GetTelemetrySubscriptions, 0), (ApiKey::PushTelemetry, 0)]
}

fn wants(subscription_id: i32) -> GetTelemetrySubscriptionsResponse {
    GetTelemetrySubscriptionsResponse {
        client_instance_id: ID,
        subscription_id,
        accepted_compression_types: vec![4, 1],
        push_interval_ms: 10_000,
        telemetry_max_bytes: 1 << 20,
        delta_temporality: true,
        requested_metrics: vec!["*".to_owned()],
        ..Default::default()
    }
}

fn wants_none() -> GetTelemetrySubscriptionsResponse {
    GetTelemetrySubscriptionsResponse { requested_metrics: Vec::new(), ..wants(1) }
}

fn says(error_code: ErrorCode) -> PushTelemetryResponse {
    PushTelemetryResponse { error_code, ..Default::default() }
}

impl World {
    /// A member of a group whose broker has a plug-in for metrics.
    fn watched(config: ConsumerConfig) -> Self {
        let mut world = Self::new(config);
        world.newest = with_plug_in();
        world.subscribe();
        world.join(1, &[0]);
        world
    }

    /// One whose broker wants all, and is told in 5 to 15 seconds.
    fn subscribed() -> Self {
        let mut world = Self::watched(group_config());
        let asked = world.expect(ApiKey::GetTelemetrySubscriptions);
        world.answer(&asked, wants(1));
        world
    }

    /// Lets so much time pass, in which heartbeats are answered.
    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            while self.has_asked(ApiKey::Heartbeat) {
                let heartbeat = self.expect(ApiKey::Heartbeat);
                self.answer(&heartbeat, HeartbeatResponse::default());
            }
        }
    }

    fn question(&mut self) -> (Sent, ClientInstanceId) {
        let sent = self.expect(ApiKey::GetTelemetrySubscriptions);
        let Request::GetTelemetrySubscriptions(request) = &sent.request else { unreachable!() };
        let id = request.client_instance_id;
        (sent, id)
    }

    fn pushed(&mut self) -> (Sent, PushTelemetryRequest) {
        let sent = self.expect(ApiKey::PushTelemetry);
        let Request::PushTelemetry(request) = sent.request.clone() else { unreachable!() };
        (sent, request)
    }

    fn is_silent(&self) -> bool {
        !self.has_asked(ApiKey::GetTelemetrySubscriptions) && !self.has_asked(ApiKey::PushTelemetry)
    }
}

#[test]
fn a_broker_without_a_plug_in_is_never_asked_and_one_that_wants_nothing_once_an_interval() {
    let mut world = World::member(group_config(), &[0]);
    world.live(1000);
    assert!(world.is_silent());
    let mut world = World::watched(group_config());
    let (asked, id) = world.question();
    assert_eq!((id, world.consumer.client_instance_id()), (ClientInstanceId::ZERO, Ok(None)));
    world.answer(&asked, wants_none());
    assert_eq!(world.consumer.client_instance_id(), Ok(Some(ID)));
    world.live(9);
    assert!(world.is_silent());
    world.live(1);
    let (asked, id) = world.question();
    assert_eq!(id, ID, "which it keeps");
    world.answer(&asked, GetTelemetrySubscriptionsResponse { client_instance_id: ID, ..Default::default() });
    world.live(299);
    assert!(world.is_silent(), "an interval of 0 is none");
    world.live(1);
    world.question();
}

#[test]
fn who_wants_no_metrics_pushed_is_asked_for_nothing() {
    let mut world = World::watched(ConsumerConfig { metrics_push: false, ..group_config() });
    world.live(1000);
    assert!(world.is_silent());
    assert_eq!(world.consumer.client_instance_id(), Err(MetricsPushIsOff));
}

#[test]
fn what_is_asked_for_is_pushed_after_a_part_of_the_interval_and_then_once_an_interval() {
    let mut config = group_config();
    config.group.as_mut().unwrap().instance_id = Some("i".to_owned());
    let mut world = World::watched(config);
    let (asked, _) = world.question();
    world.answer(&asked, wants(1));
    world.live(4);
    assert!(world.is_silent(), "half an interval at the least");
    let mut waited = 4;
    while world.is_silent() {
        world.live(1);
        waited += 1;
    }
    assert!(waited <= 15, "{waited}");
    let (sent, push) = world.pushed();
    assert_eq!((push.client_instance_id, push.subscription_id), (ID, 1));
    assert_eq!((push.terminating, push.compression_type), (false, 4));
    let decoded = Decoded::new(&push.metrics);
    let expected = [("group_id", "g"), ("group_instance_id", "i"), ("group_member_id", "me")];
    assert_eq!(decoded.resource, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(decoded.value("coordinator.assigned.partitions"), Some(1.0));
    assert_eq!(decoded.value("coordinator.rebalance.total"), Some(1.0));
    assert_ne!(sent.conn, world.fetches[0].conn);
    world.answer(&sent, says(ErrorCode::None));
    world.live(9);
    assert!(world.is_silent());
    world.live(1);
    let (_, push) = world.pushed();
    let decoded = Decoded::new(&push.metrics);
    assert_eq!(decoded.value("coordinator.rebalance.total"), Some(0.0), "that was told");
}

#[test]
fn clients_that_begin_together_push_at_different_times_within_half_an_interval_of_it() {
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut world = World::watched(ConsumerConfig { seed, ..group_config() });
        let (asked, _) = world.question();
        world.answer(&asked, wants(1));
        let mut waited = 0;
        while world.is_silent() {
            world.live(1);
            waited += 1;
        }
        waits.insert(waited);
    }
    assert!(waits.iter().all(|waited| (5..=15).contains(waited)) && waits.len() > 6, "{waits:?}");
}

#[test]
fn a_push_that_hangs_delays_no_heartbeat_no_commit_and_no_fetch() {
    let mut world = World::subscribed();
    world.live(15);
    let (push, _) = world.pushed();
    let commit = world.consumer.commit(Some([(at(0), 5.into())].into()), world.now).unwrap();
    world.run();
    let asked = world.expect(ApiKey::OffsetCommit);
    assert_ne!(asked.conn, push.conn);
    world.commit_says(&asked, ErrorCode::None);
    assert!(world.is_committed(commit));
    world.fetched(0, 0..3);
    assert_eq!(world.fetches.len(), 1);
    assert_ne!(world.fetches[0].conn, push.conn);
    // Its connection alone is given up with it.
    let before = world.closed;
    world.live(15);
    world.fetched(0, 3..6);
    world.live(15);
    assert_eq!((world.closed, world.consumer.assignment()), (before + 1, vec![at(0)]));
    assert!(world.consumer.explain(world.now).unreachable.is_none());
}

#[test]
fn what_a_push_is_answered_decides_what_follows() {
    use ErrorCode::{
        ClusterAuthorizationFailed, InvalidRecord, InvalidRequest, NotController, TelemetryTooLarge,
        ThrottlingQuotaExceeded, UnknownSubscriptionId, UnsupportedCompressionType, UnsupportedVersion,
    };
    for (error, asks_after) in [
        (UnknownSubscriptionId, Some(0)),
        (UnsupportedCompressionType, Some(0)),
        (TelemetryTooLarge, Some(10)),
        (ThrottlingQuotaExceeded, Some(10)),
        (NotController, Some(10)),
        (InvalidRequest, None),
        (InvalidRecord, None),
        (UnsupportedVersion, None),
        (ClusterAuthorizationFailed, None),
    ] {
        let mut world = World::subscribed();
        world.live(15);
        let (sent, push) = world.pushed();
        let of = |push: &PushTelemetryRequest| {
            let decoded = Decoded::new(&push.metrics);
            ["coordinator.rebalance.total", "coordinator.rebalance.latency.max"]
                .map(|name| decoded.value(name))
        };
        let told = of(&push);
        assert!(told[0] == Some(1.0) && told[1].is_some(), "{told:?}");
        world.answer(&sent, says(error));
        let Some(after) = asks_after else {
            world.live(1000);
            assert!(world.is_silent(), "{error:?}");
            continue;
        };
        if after > 0 {
            world.live(after - 1);
            assert!(world.is_silent(), "{error:?}");
            world.live(1);
        }
        let (asked, id) = world.question();
        assert_eq!(id, ID);
        world.answer(&asked, wants(2));
        world.live(15);
        let (_, push) = world.pushed();
        let codec = if error == UnsupportedCompressionType { 1 } else { 4 };
        assert_eq!((push.subscription_id, push.compression_type), (2, codec), "{error:?}");
        assert_eq!(of(&push), told, "{error:?}: what was refused is told again");
    }
}

#[test]
fn what_a_question_is_answered_decides_what_follows() {
    use ErrorCode::{InvalidRequest, ThrottlingQuotaExceeded, UnknownSubscriptionId, UnsupportedVersion};
    for (error, again) in [
        (UnknownSubscriptionId, true),
        (ThrottlingQuotaExceeded, true),
        (InvalidRequest, false),
        (UnsupportedVersion, false),
    ] {
        let mut world = World::watched(group_config());
        let (asked, _) = world.question();
        world.answer(&asked, GetTelemetrySubscriptionsResponse { error_code: error, ..Default::default() });
        world.live(299);
        assert!(world.is_silent(), "{error:?}");
        world.live(2);
        assert_eq!(world.has_asked(ApiKey::GetTelemetrySubscriptions), again, "{error:?}");
    }
}

#[test]
fn all_codecs_may_be_refused_and_then_there_is_none() {
    let mut world = World::subscribed();
    for expected in [4, 1, 0] {
        world.live(15);
        let (sent, push) = world.pushed();
        assert_eq!(push.compression_type, expected);
        world.answer(&sent, says(ErrorCode::UnsupportedCompressionType));
        let (asked, _) = world.question();
        world.answer(&asked, wants(1));
    }
}

#[test]
fn a_push_that_is_lost_is_not_told_twice_and_any_broker_is_asked_an_interval_later() {
    let mut world = World::subscribed();
    world.live(15);
    let (sent, _) = world.pushed();
    world.disconnect(&sent);
    world.live(9);
    assert!(world.is_silent());
    world.live(1);
    let (asked, _) = world.question();
    world.answer(&asked, wants(1));
    world.live(15);
    let (_, push) = world.pushed();
    assert_eq!(Decoded::new(&push.metrics).value("coordinator.rebalance.total"), Some(0.0));
}

#[test]
fn where_nothing_fits_an_empty_push_says_that_the_client_is_there() {
    let mut world = World::watched(group_config());
    let (asked, _) = world.question();
    world.answer(&asked, GetTelemetrySubscriptionsResponse { telemetry_max_bytes: 10, ..wants(1) });
    world.live(15);
    let (_, push) = world.pushed();
    assert_eq!((push.metrics.len(), push.compression_type), (0, 0));
}

#[test]
fn a_close_tells_once_more_beside_the_leave_and_waits_for_it_for_a_second() {
    for answered in [true, false] {
        let mut world = World::subscribed();
        world.fetched(0, 0..10);
        let slice = world.take().unwrap();
        world.back_from(&slice, 6);
        let deadline = world.now.mono + Duration::from_secs(30);
        world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
        world.run();
        assert!(world.is_silent(), "what is committed is to be told, too");
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, ErrorCode::None);
        let (sent, push) = world.pushed();
        assert!(push.terminating);
        assert_eq!(Decoded::new(&push.metrics).value("coordinator.commit.total"), Some(1.0));
        let leave = world.expect(ApiKey::LeaveGroup);
        world.answer(&leave, LeaveGroupResponse::default());
        assert!(!world.consumer.is_closed());
        match answered {
            true => world.answer(&sent, says(ErrorCode::None)),
            false => world.pass(Duration::from_secs(1)),
        }
        assert!(world.consumer.is_closed());
        assert_eq!(world.consumer.farewell(), Some(&Farewell::default()));
    }
}

#[test]
fn a_close_waits_for_no_push_beyond_its_own_time() {
    let mut world = World::subscribed();
    let deadline = world.now.mono + Duration::from_millis(200);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    let leave = world.expect(ApiKey::LeaveGroup);
    world.answer(&leave, LeaveGroupResponse::default());
    world.pass(Duration::from_millis(199));
    assert!(!world.consumer.is_closed());
    world.pass(Duration::from_millis(1));
    assert!(world.consumer.is_closed());
}

#[test]
fn a_close_tells_nobody_who_does_not_subscribe_or_cannot_be_reached() {
    let mut unsubscribed = World::watched(group_config());
    let (asked, _) = unsubscribed.question();
    unsubscribed.answer(&asked, wants_none());
    let mut unanswered = World::watched(group_config());
    unanswered.question();
    let mut unreachable = World::subscribed();
    unreachable.refusing = true;
    for mut world in [unsubscribed, unanswered, unreachable] {
        let deadline = world.now.mono + Duration::from_secs(30);
        world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
        world.run();
        assert!(world.is_silent());
        let leave = world.expect(ApiKey::LeaveGroup);
        world.answer(&leave, LeaveGroupResponse::default());
        world.pass(Duration::from_millis(1));
        assert!(world.consumer.is_closed());
    }
}

#[test]
fn a_close_ends_as_soon_as_it_is_known_that_nobody_can_be_told_though_nothing_else_wakes_it() {
    let mut world = World::new(config());
    world.newest = with_plug_in();
    world.consumer.assign([at(0)], world.now).unwrap();
    world.run();
    let (asked, _) = world.question();
    world.answer(&asked, wants(1));
    world.refusing = true;
    let deadline = world.now.mono + Duration::from_secs(30);
    world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
    world.run();
    assert!(world.consumer.is_closed());
}

#[test]
fn who_cannot_be_connected_to_for_a_push_is_not_waited_for_and_any_is_asked_an_interval_later() {
    let mut world = World::subscribed();
    world.refusing = true;
    world.live(15);
    world.refusing = false;
    assert!(world.is_silent(), "no connection for it came about");
    world.live(10);
    let (asked, _) = world.question();
    world.answer(&asked, wants(1));
    world.live(15);
    world.pushed();
}
