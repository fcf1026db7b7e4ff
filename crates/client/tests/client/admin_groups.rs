//! What admin clients change of groups, on the embedded broker.

use std::time::Duration;

use ottla::{
    Consumer, ErrorCode, GroupProtocol, IsolationLevel,
    admin::{Admin, CommittedOffset, GroupDescription, GroupKind, MemberToRemove, TopicPartition},
    error::AdminErrorKind,
};
use ottla_broker::{Config, Server, TopicSpec};

fn cluster(brokers: u32) -> Server {
    let topics = vec![TopicSpec::new("t", 3), TopicSpec::new("other", 1)];
    Server::start_on_thread(Config { brokers, topics, ..Config::default() }, ([127, 0, 0, 1], 0)).unwrap()
}

async fn admin(server: &Server) -> Admin {
    Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap()
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// A member of this group that has all three partitions.
async fn member(server: &Server, group: &str, protocol: GroupProtocol) -> Consumer {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id(group);
    let mut consumer = builder.group_protocol(protocol).subscribe(["t"]).build().await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while consumer.assignment().len() < 3 {
        assert!(std::time::Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    consumer
}

#[tokio::test]
async fn offsets_of_a_group_that_is_not_there_make_it_and_go_with_it() {
    let server = cluster(3);
    let admin = admin(&server).await;
    let offsets = [(at(0), CommittedOffset::new(7).with_metadata("by hand")), (at(1), 9.into())];
    let altered = admin.alter_offsets("made", offsets.clone()).await.unwrap();
    assert!(altered.len() == 2 && altered.values().all(Result::is_ok), "{altered:?}");
    assert_eq!(admin.committed_offsets("made").await.unwrap(), offsets.into());
    let group = admin.describe_groups("made").await.unwrap().remove("made").unwrap().unwrap();
    assert_eq!(
        (group.kind, group.state.as_str(), group.protocol_type.as_str()),
        (GroupKind::Classic, "Empty", "")
    );
    let wrong = admin.alter_offsets("made", [(("nope", 0), 1), (("t", 9), 1), (("t", 2), 1)]).await.unwrap();
    let kinds: Vec<_> =
        wrong.values().map(|result| result.as_ref().err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [Some(AdminErrorKind::UnknownTopic), None, Some(AdminErrorKind::UnknownTopic)]);
    let deleted = admin.delete_offsets("made", [("nope", 0), ("t", 9), ("t", 2)]).await.unwrap();
    let kinds: Vec<_> =
        deleted.values().map(|result| result.as_ref().err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [Some(AdminErrorKind::UnknownTopic), None, Some(AdminErrorKind::UnknownTopic)]);
    let shared = admin.share_offsets("made").await.unwrap();
    assert_eq!(shared["made"].as_ref().unwrap_err().kind(), AdminErrorKind::Unsupported);
    let deleted = admin.delete_groups(["made", "never"]).await.unwrap();
    assert!(deleted["made"].is_ok());
    assert_eq!(deleted["never"].as_ref().unwrap_err().kind(), AdminErrorKind::UnknownGroup);
    assert!(admin.committed_offsets("made").await.unwrap().is_empty());
    assert!(admin.list_groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_with_members_keeps_its_offsets_and_itself() {
    let server = cluster(1);
    let admin = admin(&server).await;
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let group = format!("{protocol:?}");
        let consumer = member(&server, &group, protocol).await;
        let altered = admin.alter_offsets(group.as_str(), [(at(0), 1)]).await.unwrap();
        let refused = altered[&at(0)].as_ref().unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::UnknownMemberId), "{refused}");
        assert!(refused.to_string().contains(&group), "{refused}");
        let deleted = admin.delete_groups(&group).await.unwrap();
        assert_eq!(deleted[&group].as_ref().unwrap_err().code(), Some(ErrorCode::NonEmptyGroup));
        consumer.close().await.unwrap();
        assert!(admin.alter_offsets(group.as_str(), [(at(0), 1)]).await.unwrap()[&at(0)].is_ok());
        assert!(admin.delete_groups(&group).await.unwrap()[&group].is_ok());
    }
}

#[tokio::test]
async fn a_member_that_is_removed_is_gone_until_it_joins_anew() {
    let server = cluster(1);
    let admin = admin(&server).await;
    let mut consumer = member(&server, "g", GroupProtocol::Classic).await;
    let group = admin.describe_groups("g").await.unwrap().remove("g").unwrap().unwrap();
    let first = group.members[0].member_id.clone();
    let id = MemberToRemove::Id(first.clone());
    let nobody = MemberToRemove::Instance("nobody".to_owned());
    let removed = admin.remove_members("g", [id.clone(), nobody.clone()]).await.unwrap();
    assert!(removed[&id].is_ok(), "{removed:?}");
    assert_eq!(removed[&nobody].as_ref().unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
    let again = admin.remove_members("g", [id.clone()]).await.unwrap();
    assert_eq!(again[&id].as_ref().unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while consumer.group_metadata().is_none_or(|now| now.member_id == first)
        || consumer.assignment().len() < 3
    {
        assert!(std::time::Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn the_epochs_and_the_target_of_a_group_of_the_consumer_protocol_are_told() {
    let server = cluster(1);
    let admin = admin(&server).await;
    let consumer = member(&server, "modern", GroupProtocol::Consumer).await;
    let group = admin.describe_groups("modern").await.unwrap().remove("modern").unwrap().unwrap();
    assert_eq!(group.kind, GroupKind::Consumer);
    // A group begins at 1, since 0 is a member that joins; what this one is subscribed to makes it 2.
    assert_eq!((group.group_epoch, group.assignment_epoch), (Some(2), Some(2)));
    let member = &group.members[0];
    assert_eq!((member.epoch, &member.assignment), (Some(2), &vec![at(0), at(1), at(2)]));
    assert_eq!(member.target.as_ref(), Some(&member.assignment));
    assert_eq!(member.subscription.iter().collect::<Vec<_>>(), ["t"]);
    let classic = of_the_classic_protocol(&server, &admin).await;
    assert_eq!((classic.kind, classic.group_epoch), (GroupKind::Classic, None));
    assert_eq!((classic.members[0].epoch, &classic.members[0].target), (None, &None));
    consumer.close().await.unwrap();
}

async fn of_the_classic_protocol(server: &Server, admin: &Admin) -> GroupDescription {
    let consumer = member(server, "classic", GroupProtocol::Classic).await;
    let group = admin.describe_groups("classic").await.unwrap().remove("classic").unwrap().unwrap();
    consumer.close().await.unwrap();
    group
}

#[tokio::test]
async fn many_groups_are_asked_for_and_deleted_at_once() {
    let server = cluster(3);
    let admin = admin(&server).await;
    let names: Vec<String> = (0..250).map(|n| format!("g{n:03}")).collect();
    for (n, name) in names.iter().enumerate() {
        admin.alter_offsets(name.as_str(), [(at(0), n as i64)]).await.unwrap();
    }
    let committed = admin.committed_offsets_of(names.clone()).await.unwrap();
    let offsets: Vec<i64> =
        names.iter().map(|name| committed[name].as_ref().unwrap()[&at(0)].offset).collect();
    assert_eq!(offsets, (0..250).collect::<Vec<_>>());
    let described = admin.describe_groups(names.clone()).await.unwrap();
    assert!(names.iter().all(|name| described[name].as_ref().unwrap().state == "Empty"));
    let deleted = admin.delete_groups(names).await.unwrap();
    assert!(deleted.len() == 250 && deleted.values().all(Result::is_ok));
}

#[tokio::test]
async fn a_partition_without_a_leader_hides_no_other_groups_lag_and_is_not_waited_for() {
    let server = cluster(3);
    let admin = admin(&server).await;
    for group in ["g", "h"] {
        admin.alter_offsets(group, [(at(0), 3), (at(1), 0)]).await.unwrap();
    }
    server.with_cluster(|cluster| assert!(cluster.depose_leader("t", 1, server.now())));
    let lags = admin.group_lags(["g", "h"], IsolationLevel::ReadUncommitted).await.unwrap();
    for group in ["g", "h"] {
        assert_eq!((lags.lag(group, &at(0)), lags.lag(group, &at(1))), (Some(-3), None));
    }
    let error = lags.logs[&at(1)].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.code()), (AdminErrorKind::Broker, Some(ErrorCode::LeaderNotAvailable)));
}
