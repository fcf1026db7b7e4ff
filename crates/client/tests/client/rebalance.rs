//! Rebalance listeners and the ways to close, against the embedded broker.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ottla::{
    CloseOptions, Consumer, ConsumerBuilder, CooperativeStickyAssignor, ErrorCode, Event, GroupProtocol,
    GroupReason, LeaveGroup, OffsetReset, RangeAssignor, Rebalance, RebalanceListener, TopicPartition,
    error::{CommitErrorKind, RecvErrorKind},
};
use ottla_broker::{Fault, Server};
use ottla_protocol::ApiKey;

use crate::common::{PATIENCE, produce, server};

fn builder(server: &Server, protocol: GroupProtocol) -> ConsumerBuilder {
    let builder = Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
        .group_protocol(protocol);
    match protocol {
        GroupProtocol::Classic => {
            builder.assignor(CooperativeStickyAssignor).heartbeat_interval(Duration::from_millis(100))
        }
        _ => builder,
    }
}

/// Writes down what it is told, and does as it is asked.
#[derive(Clone, Default)]
struct Diary {
    told: Arc<Mutex<Vec<String>>>,
    skips_to: Option<i64>,
    takes: Duration,
}

impl Diary {
    fn write(&self, what: &str, partitions: &[TopicPartition]) {
        let numbers: Vec<i32> = partitions.iter().map(|at| at.partition).collect();
        self.told.lock().unwrap().push(format!("{what} {numbers:?}"));
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl RebalanceListener for Diary {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        tokio::time::sleep(self.takes).await;
        if let Some(offset) = self.skips_to {
            partitions.iter().for_each(|at| rebalance.seek(at.clone(), offset).unwrap());
        }
        self.write("assigned", partitions);
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            rebalance.commit().await.unwrap();
        }
        self.write("revoked", partitions);
    }
}

async fn values(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let (mut values, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while values.len() < count {
        assert!(Instant::now() < deadline, "{values:?}; {}", consumer.explain());
        let records = consumer.poll(Duration::from_millis(50)).await.unwrap();
        values.extend(records.iter().map(|r| String::from_utf8(r.value().unwrap().to_vec()).unwrap()));
    }
    values
}

async fn until(consumer: &mut Consumer, what: &str, is_so: impl Fn(&Consumer) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(consumer) {
        assert!(Instant::now() < deadline, "{what}: {}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
}

#[tokio::test]
async fn a_seek_in_on_assigned_decides_where_reading_begins() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(1);
        produce(&server, 0, 0..10).await;
        let diary = Diary { skips_to: Some(7), ..Diary::default() };
        let mut consumer =
            builder(&server, protocol).rebalance_listener(diary.clone()).build().await.unwrap();
        assert_eq!(values(&mut consumer, 3).await, ["7", "8", "9"]);
        assert_eq!(diary.told(), ["assigned [0]"]);
        consumer.close().await.unwrap();
        assert_eq!(diary.told(), ["assigned [0]", "revoked [0]"], "a close tells, too");
    }
}

#[tokio::test]
async fn a_listener_goes_on_where_it_was_when_the_call_that_began_it_is_dropped() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let diary = Diary { takes: Duration::from_millis(300), ..Diary::default() };
    let builder = builder(&server, GroupProtocol::Classic).rebalance_listener(diary.clone());
    let mut consumer = builder.build().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{}", consumer.explain());
        match tokio::time::timeout(Duration::from_millis(20), consumer.recv()).await {
            Ok(record) => break assert_eq!(record.unwrap().unwrap().value(), Some(&b"0"[..])),
            Err(_) => continue,
        }
    }
    assert_eq!(diary.told(), ["assigned [0]"], "once");
}

#[tokio::test]
async fn what_on_revoked_commits_is_where_the_next_owner_begins() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(2);
        produce(&server, 0, 0..5).await;
        produce(&server, 1, 5..10).await;
        let diary = Diary::default();
        let first = builder(&server, protocol).rebalance_listener(diary.clone()).enable_auto_commit(false);
        let mut first = first.build().await.unwrap();
        assert_eq!(values(&mut first, 10).await.len(), 10);
        let mut second = builder(&server, protocol).build().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while first.assignment().len() != 1 || second.assignment().len() != 1 {
            assert!(Instant::now() < deadline, "{}\n{}", first.explain(), second.explain());
            first.poll(Duration::from_millis(10)).await.unwrap();
            assert!(second.poll(Duration::from_millis(10)).await.unwrap().is_empty(), "nothing comes twice");
        }
        until(&mut second, "a position", |second| second.lag().values().all(Option::is_some)).await;
        assert!(second.lag().values().all(|lag| *lag == Some(0)), "{:?}", second.lag());
        assert!(diary.told().iter().any(|told| told.starts_with("revoked [")), "{:?}", diary.told());
    }
}

#[tokio::test]
async fn a_static_member_that_comes_back_has_its_partitions_back() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(2);
        let member = |id: &str| builder(&server, protocol).group_instance_id(id);
        let mut stays = member("stays").build().await.unwrap();
        let mut goes = member("goes").build().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while stays.assignment().len() != 1 || goes.assignment().len() != 1 {
            assert!(Instant::now() < deadline, "{}\n{}", stays.explain(), goes.explain());
            stays.poll(Duration::from_millis(10)).await.unwrap();
            goes.poll(Duration::from_millis(10)).await.unwrap();
        }
        let before = (stays.assignment(), goes.assignment());
        goes.close().await.unwrap();
        let mut back = member("goes").build().await.unwrap();
        until(&mut back, "its partition", |back| back.assignment().len() == 1).await;
        stays.poll(Duration::from_millis(50)).await.unwrap();
        assert_eq!((stays.assignment(), back.assignment()), before);
        back.close_with(CloseOptions::new().leave(LeaveGroup::Leave)).await.unwrap();
        until(&mut stays, "both", |stays| stays.assignment().len() == 2).await;
    }
}

/// Until the group stands as said. Nobody comes back into a call of the consumer meanwhile.
async fn stands(consumer: &Consumer, what: &str, as_said: impl Fn(&GroupReason) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !consumer.explain().group.as_ref().is_some_and(&as_said) {
        assert!(Instant::now() < deadline, "{what}: {}", consumer.explain());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_commit_ends_a_revocation_only_when_it_covers_all_that_was_handed_out() {
    let server = server(1);
    produce(&server, 0, 0..5).await;
    let eager = || {
        let builder =
            Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("g").subscribe(["t"]);
        let builder = builder.auto_offset_reset(OffsetReset::Earliest).enable_auto_commit(false);
        builder.assignor(RangeAssignor).heartbeat_interval(Duration::from_millis(100))
    };
    let mut first = eager().build().await.unwrap();
    let at = TopicPartition::new("t", 0);
    let deadline = Instant::now() + PATIENCE;
    let held = loop {
        let records = first.poll(Duration::from_millis(50)).await.unwrap();
        if let Some(record) = records.iter().last() {
            break record.offset() + 1;
        }
        assert!(Instant::now() < deadline, "{}", first.explain());
    };
    assert!(held > 1, "all are in the log");
    let second = eager().build().await.unwrap();
    let waits = |group: &GroupReason| matches!(group, GroupReason::RevocationWaiting { held, .. } if *held == [at.clone()]);
    stands(&first, "a revocation that waits", waits).await;
    first.commit_offsets([(at.clone(), 1)]).await.unwrap();
    assert_eq!(first.committed([at.clone()]).await.unwrap()[&at].as_ref().unwrap().offset, 1);
    assert!(
        first.explain().group.as_ref().is_some_and(waits),
        "others are in hand still: {}",
        first.explain()
    );
    first.commit().await.unwrap();
    stands(&first, "the first joins again", |group| {
        matches!(group, GroupReason::Member { .. } | GroupReason::Idle { .. })
    })
    .await;
    stands(&second, "the second is in", |group| {
        matches!(group, GroupReason::Member { .. } | GroupReason::Idle { .. })
    })
    .await;
    assert_eq!(second.committed([at.clone()]).await.unwrap()[&at].as_ref().unwrap().offset, held);
}

#[tokio::test]
async fn what_ends_a_join_for_good_has_its_own_error_and_is_told_with_every_call() {
    for code in [
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::InconsistentGroupProtocol,
        ErrorCode::InvalidSessionTimeout,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::FencedInstanceId,
    ] {
        let server = server(1);
        server
            .with_cluster(|cluster| cluster.faults().on(ApiKey::JoinGroup).always().then(Fault::Error(code)));
        let mut consumer = builder(&server, GroupProtocol::Classic).build().await.unwrap();
        for _ in 0..2 {
            let error = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap_err();
            let kind = match code {
                ErrorCode::GroupAuthorizationFailed => RecvErrorKind::NotAuthorized,
                _ => RecvErrorKind::Group,
            };
            assert_eq!((error.kind(), error.code()), (kind, Some(code)));
            let text = error.to_string();
            assert!(text.starts_with("group `g`: ") && text.contains(&code.to_string()), "{text}");
        }
    }
}

#[tokio::test]
async fn a_task_beside_the_reader_is_told_what_happens_to_the_membership() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let server = server(2);
        produce(&server, 0, 0..1).await;
        produce(&server, 1, 1..2).await;
        let mut first = builder(&server, protocol).build().await.unwrap();
        let mut events = first.events();
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            while let Some(event) = events.next().await {
                println!("{}: {}", event.at.0, event.event);
                told.push(event);
            }
            told
        });
        let mut in_hand = vec![first.recv().await.unwrap().unwrap()];
        in_hand.push(first.recv().await.unwrap().unwrap());
        let mut second = builder(&server, protocol).build().await.unwrap();
        let waits = |reason: &GroupReason| matches!(reason, GroupReason::RevocationWaiting { .. });
        let joins = async { while second.poll(Duration::from_millis(20)).await.is_ok() {} };
        tokio::select! {
            () = stands(&first, "a revocation that waits", waits) => {}
            () = joins => panic!("{}", second.explain()),
        }
        until(&mut first, "one of two", |first| first.assignment().len() == 1).await;
        first.close().await.unwrap();
        let happened = tokio::time::timeout(PATIENCE, told).await.expect("an end").unwrap();
        assert!(happened.is_sorted_by_key(|happened| happened.at));
        let waiting = happened.iter().find_map(|happened| match &happened.event {
            Event::RevocationWaiting { deadline, held, .. } => {
                Some((deadline.0 - happened.at.0, held.clone()))
            }
            _ => None,
        });
        let told: Vec<Event> = happened.into_iter().map(|happened| happened.event).collect();
        let Event::Joined { took, .. } = &told[0] else { panic!("{told:?}") };
        assert!(*took > Duration::ZERO);
        let written = serde_json::to_value(&told[0]).unwrap();
        assert!(written["joined"]["generation_id"].is_i64(), "{written}");
        let both: Vec<TopicPartition> = [0, 1].map(|number| ("t", number).into()).into();
        assert_eq!(told[1], Event::Assigned(both.clone()));
        let (time, held) = waiting.expect("a revocation that waits");
        assert_eq!(time, 300_000, "max.poll.interval");
        assert!(held.iter().all(|at| both.contains(at)) && !held.is_empty(), "{held:?}");
        let given_up = told.iter().filter(|event| matches!(event, Event::Revoked(gone) if gone.len() == 1));
        assert_eq!(given_up.count(), 2, "at the rebalance, and at the close: {told:?}");
    }
}

#[tokio::test]
async fn a_commit_of_a_member_whose_instance_id_another_has_says_what_to_change() {
    let server = server(1);
    produce(&server, 0, 0..1).await;
    let mut member = builder(&server, GroupProtocol::Classic).group_instance_id("one").build().await.unwrap();
    until(&mut member, "its partition", |member| member.assignment().len() == 1).await;
    let fenced = Fault::Error(ErrorCode::FencedInstanceId);
    server.with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetCommit).then(fenced));
    let error = member.commit_offsets([(("t", 0), 1)]).await.unwrap_err();
    assert_eq!(error.kind(), CommitErrorKind::Fenced);
    assert!(error.to_string().ends_with("give each member an id of its own"), "{error}");
}
