//! Authorization: what each API answers to who may not, as observed of Kafka 4.4.0's `StandardAuthorizer`.

use ottla_broker::{Acl, Authorizer, Config, ConnId, ErrorCode, Operation, ResourceType};
use ottla_protocol::messages::*;

use crate::common::{World, batch, config, fetch, fetched, millis, produce, produced};

const TOPIC: ErrorCode = ErrorCode::TopicAuthorizationFailed;
const GROUP: ErrorCode = ErrorCode::GroupAuthorizationFailed;
const CLUSTER: ErrorCode = ErrorCode::ClusterAuthorizationFailed;

/// Topics `open` and `shut`, and what alice may do.
fn with_acls(acls: &[&str]) -> Config {
    let acls = acls.iter().map(|acl| format!("User:alice:{acl}").parse().unwrap()).collect();
    let authorizer = Authorizer { acls, super_users: vec!["User:admin".into()], ..Default::default() };
    Config { authorizer: Some(authorizer), ..config(&[("open", 2), ("shut", 2)]) }
}

/// And a connection of hers.
fn world(acls: &[&str]) -> (World, ConnId) {
    let mut world = World::new(with_acls(acls));
    let conn = world.connect_with("User:alice");
    (world, conn)
}

/// May everything with `open` and with the group `g`.
fn half() -> (World, ConnId) {
    world(&["ALL:topic:open", "ALL:group:g"])
}

fn metadata(world: &mut World, conn: ConnId, names: Option<&[&str]>) -> Vec<(Option<String>, ErrorCode)> {
    let topic = |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..Default::default() };
    let topics = names.map(|names| names.iter().map(topic).collect());
    let told = world.ask(conn, 12, MetadataRequest { topics, ..Default::default() });
    assert!(told.error_code.is_ok() && !told.brokers.is_empty());
    told.topics.into_iter().map(|topic| (topic.name, topic.error_code)).collect()
}

fn of(name: &str, code: ErrorCode) -> (Option<String>, ErrorCode) {
    (Some(name.to_owned()), code)
}

#[test]
fn metadata_refuses_names_and_leaves_the_rest_out() {
    let (mut world, conn) = half();
    let named = metadata(&mut world, conn, Some(&["open", "shut", "missing"]));
    assert_eq!(named, [of("open", ErrorCode::None), of("shut", TOPIC), of("missing", TOPIC)]);
    assert_eq!(metadata(&mut world, conn, None), [of("open", ErrorCode::None)]);
}

#[test]
fn metadata_by_id_tells_no_name() {
    let (mut world, conn) = half();
    let admin = world.connect_with("User:admin");
    let all = world.ask(admin, 12, MetadataRequest::default());
    let topic_id = all.topics.iter().find(|topic| topic.name.as_deref() == Some("shut")).unwrap().topic_id;
    let mut by_id = |topic_id| {
        let topics = Some(vec![MetadataRequestTopic { topic_id, name: None }]);
        let told = world.ask(conn, 12, MetadataRequest { topics, ..Default::default() });
        (told.topics[0].name.clone(), told.topics[0].error_code)
    };
    assert_eq!(by_id(topic_id), (None, TOPIC));
    let unknown = ottla_protocol::TopicId([7; 16]);
    assert_eq!(by_id(unknown), (None, ErrorCode::UnknownTopicId));
}

#[test]
fn a_topic_comes_into_being_only_for_who_may_create_it() {
    for (acls, code) in
        [(&["DESCRIBE:topic:new"][..], TOPIC), (&["DESCRIBE:topic:new", "CREATE:cluster"], ErrorCode::None)]
    {
        let config = Config { auto_create: true, ..with_acls(acls) };
        let mut world = World::new(config);
        let conn = world.connect_with("User:alice");
        let topics = Some(vec![MetadataRequestTopic { name: Some("new".into()), ..Default::default() }]);
        let request = MetadataRequest { topics, allow_auto_topic_creation: true, ..Default::default() };
        assert_eq!(world.ask(conn, 12, request).topics[0].error_code, code);
    }
}

#[test]
fn fetch_refuses_partitions_and_the_others_flow_without_waiting() {
    let (mut world, conn) = half();
    world.append("open", 0, 2);
    let wait = |parts| FetchRequest { max_wait_ms: 10_000, min_bytes: 1_000_000, ..fetch(parts) };
    let told = world.ask(conn, 12, wait(&[("open", 0, 0), ("shut", 0, 0), ("missing", 0, 0)]));
    let codes: Vec<_> = fetched(&told).iter().map(|(topic, part)| (*topic, part.error_code)).collect();
    assert_eq!(codes, [("open", ErrorCode::None), ("shut", TOPIC), ("missing", TOPIC)]);
    assert!(!fetched(&told)[0].1.records.as_ref().unwrap().is_empty());
}

#[test]
fn a_fetch_that_waits_is_told_when_its_rule_is_taken_away() {
    let (mut world, conn) = world(&["READ:topic:open"]);
    world.send(conn, 12, FetchRequest { max_wait_ms: 10_000, min_bytes: 1, ..fetch(&[("open", 0, 0)]) });
    assert!(world.replies_are_empty(conn));
    world.cluster.authorizer().as_mut().unwrap().acls.clear();
    world.settle();
    let told: FetchResponse = world.reply(conn).unwrap();
    assert_eq!(fetched(&told)[0].1.error_code, TOPIC);
}

#[test]
fn produce_refuses_partitions_and_writes_the_others() {
    let (mut world, conn) = world(&["WRITE:topic:open", "READ:topic:shut"]);
    let mut request = produce("open", 0, batch(1));
    request.topic_data.extend(produce("shut", 0, batch(1)).topic_data);
    let told = world.ask(conn, 11, request);
    assert_eq!(produced(&told), (ErrorCode::None, 0));
    let refused = &told.responses[1].partition_responses[0];
    assert_eq!((refused.error_code, &refused.error_message), (TOPIC, &None));
    assert_eq!(world.cluster.log_end_offset("shut", 0), Some(0));
}

#[test]
fn list_offsets_needs_describe() {
    let (mut world, conn) = world(&["READ:topic:open"]);
    let topic = |name: &str| ListOffsetsTopic {
        name: name.into(),
        partitions: vec![ListOffsetsPartition {
            timestamp: -1,
            current_leader_epoch: -1,
            ..Default::default()
        }],
    };
    let topics = vec![topic("open"), topic("shut"), topic("missing")];
    let told = world.ask(conn, 7, ListOffsetsRequest { topics, ..Default::default() });
    let codes: Vec<_> = told.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::None, TOPIC, TOPIC]);
}

#[test]
fn a_coordinator_is_found_by_who_may_describe_the_group() {
    let (mut world, conn) = half();
    let request = |key_type| FindCoordinatorRequest {
        key: "other".into(),
        coordinator_keys: vec!["g".into(), "other".into()],
        key_type,
    };
    let told = world.ask(conn, 5, request(0));
    let codes: Vec<_> = told.coordinators.iter().map(|found| found.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, GROUP]);
    assert_eq!(told.coordinators[1].error_message.as_deref(), Some(""));
    let told = world.ask(conn, 2, request(0));
    assert_eq!(
        (told.error_code, told.error_message.as_deref()),
        (GROUP, Some("Group authorization failed."))
    );
    let told = world.ask(conn, 5, request(1));
    assert_eq!(told.coordinators[0].error_code, ErrorCode::TransactionalIdAuthorizationFailed);
}

#[test]
fn members_need_read_on_the_group() {
    let (mut world, conn) = world(&["DESCRIBE:group:g", "ALL:topic:open"]);
    let g = || "g".to_owned();
    let joined = world.ask(conn, 9, JoinGroupRequest { group_id: g(), ..Default::default() });
    assert_eq!(joined.error_code, GROUP);
    assert_eq!(
        world.ask(conn, 5, SyncGroupRequest { group_id: g(), ..Default::default() }).error_code,
        GROUP
    );
    assert_eq!(
        world.ask(conn, 4, HeartbeatRequest { group_id: g(), ..Default::default() }).error_code,
        GROUP
    );
    assert_eq!(
        world.ask(conn, 5, LeaveGroupRequest { group_id: g(), ..Default::default() }).error_code,
        GROUP
    );
    let request = heartbeat(&["open"], None);
    let told = world.ask(conn, 1, request);
    assert_eq!((told.error_code, told.error_message), (GROUP, None));
    assert_eq!(world.cluster.groups().count(), 0);
}

fn heartbeat(names: &[&str], pattern: Option<&str>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: pattern
            .is_none()
            .then(|| names.iter().map(|&name| name.to_owned()).collect()),
        subscribed_topic_regex: pattern.map(str::to_owned),
        topic_partitions: Some(vec![]),
        ..Default::default()
    }
}

#[test]
fn a_heartbeat_that_names_one_forbidden_topic_is_refused_as_a_whole() {
    let (mut world, conn) = half();
    let told = world.ask(conn, 1, heartbeat(&["open", "shut"], None));
    assert_eq!((told.error_code, told.error_message, told.assignment), (TOPIC, None, None));
    assert_eq!(world.cluster.groups().count(), 0);
    let told = world.ask(conn, 1, heartbeat(&["open"], None));
    assert_eq!(told.assignment.unwrap().topic_partitions.len(), 1);
}

#[test]
fn a_pattern_leaves_forbidden_topics_out() {
    let (mut world, conn) = half();
    assert!(world.ask(conn, 1, heartbeat(&[], Some(".*"))).error_code.is_ok());
    let mut again = heartbeat(&[], Some(".*"));
    again.member_epoch = 1;
    world.pass(millis(100));
    let told = world.ask(conn, 1, again);
    let topics = told.assignment.map_or(0, |assignment| assignment.topic_partitions.len());
    let owned = world.cluster.group("g").unwrap().members[0].owned.clone();
    assert!(topics <= 1 && !owned.is_empty(), "{owned:?}");
    assert!(owned.iter().all(|(topic, _)| topic == "open"), "{owned:?}");
}

fn commit() -> OffsetCommitRequest {
    let topic = |name: &str| OffsetCommitRequestTopic {
        name: name.into(),
        partitions: vec![OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() }],
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic("open"), topic("shut")],
        ..Default::default()
    }
}

#[test]
fn a_commit_is_refused_by_group_or_by_topic() {
    for (acls, codes) in [
        (&["READ:group:g", "READ:topic:open"][..], [ErrorCode::None, TOPIC]),
        (&["READ:topic:open"], [GROUP, GROUP]),
    ] {
        let (mut world, conn) = world(acls);
        let told = world.ask(conn, 9, commit());
        let found: Vec<_> = told.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
        assert_eq!(found, codes);
        assert_eq!(world.cluster.committed("g").len(), usize::from(codes[0].is_ok()));
    }
}

#[test]
fn committed_offsets_are_refused_by_group_or_by_topic_and_left_out_of_all() {
    let (mut world, conn) = world(&["DESCRIBE:group:g", "DESCRIBE:topic:open"]);
    let admin = world.connect_with("User:admin");
    world.ask(admin, 9, commit());
    let mut offsets = |group: &str, names: Option<&[&str]>| {
        let topic = |name: &&str| OffsetFetchRequestTopics {
            name: (*name).into(),
            partition_indexes: vec![0],
            ..Default::default()
        };
        let topics = names.map(|names| names.iter().map(topic).collect());
        let group = OffsetFetchRequestGroup {
            group_id: group.into(),
            member_epoch: -1,
            topics,
            ..Default::default()
        };
        let told = world.ask(conn, 9, OffsetFetchRequest { groups: vec![group], ..Default::default() });
        let group = told.groups[0].clone();
        let topic = |topic: &OffsetFetchResponseTopics| {
            (topic.partitions[0].committed_offset, topic.partitions[0].error_code)
        };
        (group.error_code, group.topics.iter().map(topic).collect::<Vec<_>>())
    };
    let named = offsets("g", Some(&["open", "shut"]));
    assert_eq!(named, (ErrorCode::None, vec![(5, ErrorCode::None), (-1, TOPIC)]));
    assert_eq!(offsets("g", None), (ErrorCode::None, vec![(5, ErrorCode::None)]));
    assert_eq!(offsets("other", None), (GROUP, vec![]));
}

#[test]
fn groups_are_listed_and_described_for_who_may() {
    let (mut world, conn) = half();
    let admin = world.connect_with("User:admin");
    for group in ["g", "other"] {
        world.ask(admin, 9, OffsetCommitRequest { group_id: group.into(), ..commit() });
    }
    let told = world.ask(conn, 5, ListGroupsRequest::default());
    let listed: Vec<_> = told.groups.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!((told.error_code, listed), (ErrorCode::None, vec!["g"]));
    let groups = vec!["g".to_owned(), "other".to_owned()];
    let told = world.ask(conn, 6, DescribeGroupsRequest { groups: groups.clone(), ..Default::default() });
    assert_ne!(told.groups[0].error_code, GROUP);
    assert_eq!((told.groups[1].error_code, &told.groups[1].error_message), (GROUP, &None));
    let told = world.ask(conn, 1, ConsumerGroupDescribeRequest { group_ids: groups, ..Default::default() });
    assert_eq!((told.groups[1].error_code, &told.groups[1].error_message), (GROUP, &None));
}

fn create(name: &str) -> CreateTopicsRequest {
    let topic = CreateTopicsCreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..Default::default() }
}

#[test]
fn topics_are_created_by_who_may_create_them_or_any() {
    for (acls, name, code) in [
        (&["CREATE:topic:new-*"][..], "new-1", ErrorCode::None),
        (&["CREATE:cluster"], "new-1", ErrorCode::None),
        (&["ALL:topic:open"], "new-1", TOPIC),
        (&[], "open", TOPIC),
    ] {
        let (mut world, conn) = world(acls);
        let told = world.ask(conn, 7, create(name));
        let text = (!code.is_ok()).then_some("Authorization failed.");
        let topic = &told.topics[0];
        assert_eq!((topic.error_code, topic.error_message.as_deref()), (code, text), "{acls:?}");
    }
}

#[test]
fn topics_are_deleted_and_widened_by_who_may() {
    let (mut world, conn) = half();
    let name = |name: &str| DeleteTopicsDeleteTopicState { name: Some(name.into()), ..Default::default() };
    let wider = |name: &str| CreatePartitionsTopic { name: name.into(), count: 3, ..Default::default() };
    let topics = vec![wider("open"), wider("shut")];
    let told = world.ask(conn, 3, CreatePartitionsRequest { topics, ..Default::default() });
    let codes: Vec<_> = told.results.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, TOPIC]);

    let admin = world.connect_with("User:admin");
    let all = world.ask(admin, 12, MetadataRequest::default());
    let topic_id = all.topics.iter().find(|topic| topic.name.as_deref() == Some("shut")).unwrap().topic_id;
    let by_id = DeleteTopicsDeleteTopicState { name: None, topic_id };
    let topics = vec![name("open"), name("shut"), name("missing"), by_id];
    let told = world.ask(conn, 6, DeleteTopicsRequest { topics, ..Default::default() });
    let refused = Some("Topic authorization failed.");
    let told: Vec<_> = told
        .responses
        .iter()
        .map(|topic| (topic.name.as_deref(), topic.error_code, topic.error_message.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("open"), ErrorCode::None, None),
            (Some("shut"), TOPIC, refused),
            (Some("missing"), TOPIC, refused),
            (None, TOPIC, refused),
        ]
    );
    assert_eq!(world.cluster.topics().map(|(name, _)| name).collect::<Vec<_>>(), ["shut"]);
}

#[test]
fn a_producer_needs_something_to_write_to() {
    for (acls, code) in [
        (&["READ:topic:open"][..], CLUSTER),
        (&["WRITE:topic:open"], ErrorCode::None),
        (&["IDEMPOTENT_WRITE:cluster"], ErrorCode::None),
    ] {
        let (mut world, conn) = world(acls);
        assert_eq!(world.ask(conn, 4, InitProducerIdRequest::default()).error_code, code);
        let transactional =
            InitProducerIdRequest { transactional_id: Some("t".into()), ..Default::default() };
        let told = world.ask(conn, 4, transactional).error_code;
        assert_eq!(told, ErrorCode::TransactionalIdAuthorizationFailed);
    }
}

#[test]
fn super_users_and_everybody_and_resources_without_a_rule() {
    let (mut world, alice) = world(&["READ:topic:open"]);
    let (admin, bob) = (world.connect_with("User:admin"), world.connect_with("User:bob"));
    let nobody = world.connect(1);
    let both = Some(&["open", "shut"][..]);
    let seen = |world: &mut World, conn| {
        metadata(world, conn, both).iter().map(|(_, code)| code.is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&mut world, admin), [true, true]);
    assert_eq!(seen(&mut world, alice), [true, false]);
    assert_eq!(seen(&mut world, bob), [false, false]);
    let everyone = |world: &mut World, on| {
        world.cluster.authorizer().as_mut().unwrap().allow_everyone_if_no_acl_found = on;
    };
    everyone(&mut world, true);
    assert_eq!(seen(&mut world, bob), [false, true], "one rule shuts the others out");
    assert_eq!(seen(&mut world, nobody), [false, true]);
    everyone(&mut world, false);
    let rules = &mut world.cluster.authorizer().as_mut().unwrap().acls;
    rules.push("User:*:DESCRIBE:topic:*".parse().unwrap());
    rules.push("User:ANONYMOUS:READ:topic:sh*".parse().unwrap());
    assert_eq!(seen(&mut world, bob), [true, true]);
    let told = world.ask(nobody, 12, fetch(&[("open", 0, 0), ("shut", 0, 0)]));
    let codes: Vec<_> = fetched(&told).iter().map(|(_, part)| part.error_code).collect();
    assert_eq!(codes, [TOPIC, ErrorCode::None]);
    *world.cluster.authorizer() = None;
    assert_eq!(seen(&mut world, alice), [true, true]);
}

#[test]
fn rules_are_read_as_text() {
    let acl: Acl = "User:alice:READ:topic:orders".parse().unwrap();
    let expected = Acl {
        principal: "User:alice".into(),
        operation: Operation::Read,
        resource_type: ResourceType::Topic,
        name: "orders".into(),
    };
    assert_eq!((acl.to_string().as_str(), acl), ("User:alice:READ:topic:orders", expected));
    let acl: Acl = "User:CN=a:b,O=c:DescribeConfigs:Transactional-Id:x:y".parse().unwrap();
    assert_eq!((acl.principal.as_str(), acl.name.as_str()), ("User:CN=a:b,O=c", "x:y"));
    assert_eq!(
        (acl.operation, acl.resource_type),
        (Operation::DescribeConfigs, ResourceType::TransactionalId)
    );
    assert_eq!("User:a:describe:CLUSTER".parse::<Acl>().unwrap().name, "kafka-cluster");
    for wrong in ["", "alice:READ:topic:x", "User:a:READ:topic", "User:a:EAT:topic:x", "User:a:READ:soup:x"] {
        let error = wrong.parse::<Acl>().unwrap_err();
        assert!(error.contains("User:alice:READ:topic:orders"), "{error}");
    }
}
