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
