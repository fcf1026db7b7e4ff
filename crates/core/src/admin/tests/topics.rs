//! The cluster and its topics.

use super::*;

#[test]
fn the_cluster_and_its_topics_are_told() {
    let mut world = World::new();
    let cluster = world.start(DescribeCluster);
    let cluster = world.outcome(&cluster);
    assert_eq!(
        (cluster.id.as_deref(), cluster.controller, cluster.nodes.len()),
        (Some("c"), Some(NodeId(2)), 2)
    );
    let all = world.start(DescribeTopics::All);
    let topics = world.outcome(&all);
    assert_eq!(topics["t"].partitions[&1].leader, Some(NodeId(2)));
    let missing = world.start(DescribeTopics::Named(vec!["missing".to_owned()]));
    let topics = world.outcome(&missing);
    assert_eq!(topics["missing"].error, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn topics_are_created_by_the_controller_and_those_it_did_not_decide_go_again() {
    let mut world = World::new();
    let new = |name: &str| NewTopic::new(name).partitions(3);
    let topics = vec![new("a"), new("b"), new("c")];
    let op = world.start(CreateTopics { topics, validate_only: false });
    let result = |name: &str, error_code| CreateTopicsCreatableTopicResult {
        name: name.to_owned(),
        error_code,
        ..Default::default()
    };
    let asked = world.take();
    assert_eq!(asked.port, 2, "the controller");
    let topics = vec![
        result("a", ErrorCode::None),
        result("b", ErrorCode::TopicAlreadyExists),
        result("c", ErrorCode::NotController),
    ];
    world.answer(&asked, CreateTopicsResponse { topics, ..Default::default() });
    assert!(world.admin.take_result(&op).is_none());
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let Request::CreateTopics(request) = &asked.request else { panic!() };
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!((names, request.topics[0].replication_factor), (vec!["c"], -1));
    let topics = vec![result("c", ErrorCode::None)];
    world.answer(&asked, CreateTopicsResponse { topics, ..Default::default() });
    let changes = world.outcome(&op);
    let exists = Refusal { error: ErrorCode::TopicAlreadyExists, message: None };
    assert_eq!((&changes["a"], &changes["b"], &changes["c"]), (&Ok(()), &Err(exists), &Ok(())));
}

/// A page of an answer: topics by name with their error and how many partitions follow `from`, and where the next page begins.
fn page(
    topics: &[(&str, ErrorCode, std::ops::Range<i32>)],
    next: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse {
    let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
        partition_index,
        eligible_leader_replicas: Some(vec![partition_index + 1]),
        last_known_elr: Some(vec![]),
        ..Default::default()
    };
    let topic = |(name, error_code, partitions): &(&str, ErrorCode, std::ops::Range<i32>)| {
        DescribeTopicPartitionsResponseTopic {
            name: Some((*name).to_owned()),
            error_code: *error_code,
            partitions: partitions.clone().map(partition).collect(),
            ..Default::default()
        }
    };
    let next_cursor = next.map(|(name, partition_index)| DescribeTopicPartitionsCursor {
        topic_name: name.to_owned(),
        partition_index,
    });
    let topics = topics.iter().map(topic).collect();
    DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() }
}

/// What was asked for: the topics, and from where on.
fn asked_for(asked: &Asked) -> (Vec<&str>, Option<(&str, i32)>) {
    let Request::DescribeTopicPartitions(request) = &asked.request else { panic!("{:?}", asked.request) };
    let cursor = request.cursor.as_ref().map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    (request.topics.iter().map(|topic| topic.name.as_str()).collect(), cursor)
}

#[test]
fn eligible_leaders_come_page_by_page_and_each_topic_by_itself() {
    let mut world = World::new();
    let names = ["a", "b", "c", "none"].map(str::to_owned);
    let op = world.start(DescribeEligibleLeaders(BTreeSet::from(names)));
    let first = world.take();
    assert_eq!(asked_for(&first), (vec!["a", "b", "c", "none"], None));
    let (good, missing) = (ErrorCode::None, ErrorCode::UnknownTopicOrPartition);
    world.answer(&first, page(&[("a", good, 0..1), ("b", good, 0..2)], Some(("b", 2))));
    let second = world.take();
    assert_eq!(asked_for(&second), (vec!["b", "c", "none"], Some(("b", 2))), "at once");
    world.answer(&second, page(&[("b", good, 2..3), ("c", good, 0..1), ("none", missing, 0..0)], None));
    let told = world.outcome(&op);
    let of = |name: &str| told[name].as_ref().unwrap().keys().copied().collect::<Vec<_>>();
    assert_eq!((of("a"), of("b"), of("c")), (vec![0], vec![0, 1, 2], vec![0]));
    let leaders = &told["b"].as_ref().unwrap()[&2];
    assert_eq!((&leaders.eligible, &leaders.last_known), (&Some(vec![NodeId(3)]), &Some(vec![])));
    assert!(told["none"].is_err());
}

#[test]
fn pages_that_lead_nowhere_are_not_followed_at_once() {
    let mut world = World::new();
    let op = world.start(DescribeEligibleLeaders(BTreeSet::from(["a".to_owned()])));
    let first = world.take();
    world.answer(&first, page(&[("a", ErrorCode::None, 0..1)], Some(("a", 0))));
    assert!(world.asked.is_empty(), "{:?}", world.asked.len());
    world.pass(Duration::from_secs(1));
    let second = world.take();
    assert_eq!(asked_for(&second), (vec!["a"], None));
    world.answer(&second, page(&[("a", ErrorCode::None, 0..2)], None));
    assert_eq!(world.outcome(&op)["a"].as_ref().unwrap().len(), 2);
}

/// A directory: its error, and the logs in it by partition and size, and whether each is on its way there.
type Directory<'a> = (ErrorCode, &'a [(i32, i64, bool)]);

/// What a broker says of its directories.
fn directories(of: &[Directory<'_>]) -> DescribeLogDirsResponse {
    let log =
        |(partition_index, partition_size, is_future_key): &(i32, i64, bool)| DescribeLogDirsPartition {
            partition_index: *partition_index,
            partition_size: *partition_size,
            is_future_key: *is_future_key,
            ..Default::default()
        };
    let result = |(error_code, logs): &Directory<'_>| {
        let partitions = logs.iter().map(log).collect();
        let topics = vec![DescribeLogDirsTopic { name: "t".to_owned(), partitions }];
        DescribeLogDirsResult { error_code: *error_code, topics, ..Default::default() }
    };
    DescribeLogDirsResponse { results: of.iter().map(result).collect(), ..Default::default() }
}

#[test]
fn how_large_logs_are_is_asked_of_their_leaders_and_of_those_that_do_not_say_again() {
    let mut world = World::new();
    let op = world.start(DescribeLogSizes([("t", 0).into(), ("t", 1).into()].into()));
    let (good, offline) = (ErrorCode::None, ErrorCode::KafkaStorageError);
    for _ in 0..2 {
        let asked = world.take();
        let answer = match asked.port {
            1 => directories(&[(offline, &[]), (good, &[(0, 7, true), (0, 100, false)])]),
            _ => directories(&[(offline, &[])]),
        };
        world.answer(&asked, answer);
    }
    assert!(world.admin.take_result(&op).is_none(), "one directory cannot be read");
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    assert_eq!(asked.port, 2);
    world.answer(&asked, directories(&[(good, &[(1, -1, false)])]));
    let sizes = world.outcome(&op);
    assert_eq!((&sizes[&("t", 0).into()], &sizes[&("t", 1).into()]), (&Ok(100), &Ok(0)));
}

#[test]
fn who_may_not_ask_how_large_logs_are_is_told_so_by_brokers_of_any_age() {
    let refused = ErrorCode::ClusterAuthorizationFailed;
    let new = DescribeLogDirsResponse { error_code: refused, ..Default::default() };
    for answer in [new, DescribeLogDirsResponse::default()] {
        let mut world = World::new();
        let op = world.start(DescribeLogSizes([("t", 0).into()].into()));
        let asked = world.take();
        world.answer(&asked, answer);
        let failure = Failure::Refused(Refusal { error: refused, message: None });
        assert_eq!(world.outcome(&op)[&("t", 0).into()], Err(failure));
    }
}
