//! An admin client against answers given by hand, in a time moved by hand.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{ApiKey, ErrorCode, Request, Response, Timestamp, messages::*};

use super::*;
use crate::{
    group::embedded::Assignment,
    ids::{NodeId, RequestId, TopicPartition},
    offsets::{CommittedOffset, IsolationLevel},
};

/// Two brokers; topic `t` has a partition on each. Metadata is answered here, everything else by the test.
struct World {
    admin: Admin<()>,
    now: Now,
    unreachable: bool,
    links: BTreeMap<ConnId, u16>,
    asked: Vec<Asked>,
}

struct Asked {
    conn: ConnId,
    id: RequestId,
    port: u16,
    request: Request,
}

impl World {
    fn new() -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(0) };
        let seeds = vec![Address { host: "seed".to_owned(), port: 9 }];
        Self {
            admin: Admin::new(AdminConfig::default(), seeds, 1, now),
            now,
            unreachable: false,
            links: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn start<O: Operation>(&mut self, operation: O) -> Begun<O::Outcome> {
        let op = self.admin.start(operation, self.now);
        self.pass(Duration::from_secs(1));
        op
    }

    fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        self.pump();
        while let Some(at) = self.admin.poll_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at - self.now.mono);
            self.admin.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    fn pump(&mut self) {
        while let Some(outbound) = self.admin.poll_send(self.now) {
            match outbound {
                Outbound::Connect { conn, .. } if self.unreachable => {
                    let why = Disconnected::Refused("nobody".to_owned());
                    self.admin.handle_disconnected(conn, why, self.now);
                }
                Outbound::Connect { conn, port, .. } => {
                    self.links.insert(conn, port);
                    self.admin.handle_connected(conn, self.now);
                }
                Outbound::Send { conn, id, request, .. } => {
                    let asked = Asked { conn, id, port: self.links[&conn], request };
                    match &asked.request {
                        Request::ApiVersions(_) => self.answer(&asked, versions()),
                        Request::Metadata(request) => {
                            let answer = metadata(request.topics.as_deref());
                            self.answer(&asked, answer);
                        }
                        _ => self.asked.push(asked),
                    }
                }
                Outbound::Run { .. } => unreachable!("nobody authenticates"),
                Outbound::Close { conn } => _ = self.links.remove(&conn),
            }
        }
    }

    fn answer(&mut self, asked: &Asked, response: impl Into<Response>) {
        let reply = Reply { id: asked.id, response: response.into(), fetched: None };
        self.admin.handle_reply(asked.conn, reply, self.now);
        self.pump();
    }

    fn take(&mut self) -> Asked {
        assert!(!self.asked.is_empty(), "nothing was asked");
        self.asked.remove(0)
    }

    fn outcome<T: 'static>(&mut self, op: &Begun<T>) -> T {
        self.admin.take_result(op).expect("not done").expect("failed")
    }

    fn find_coordinator(&mut self, node_id: i32) {
        let asked = self.take();
        let Request::FindCoordinator(request) = &asked.request else { panic!("{:?}", asked.request) };
        let found = |key: &String| FindCoordinatorCoordinator {
            key: key.clone(),
            // One that bears a broker's number is with that.
            node_id: key.parse().unwrap_or(node_id),
            host: "broker".to_owned(),
            port: key.parse().unwrap_or(node_id),
            ..Default::default()
        };
        let coordinators = request.coordinator_keys.iter().map(found).collect();
        self.answer(&asked, FindCoordinatorResponse { coordinators, ..Default::default() });
    }
}

fn versions() -> ApiVersionsResponse {
    let api = |key: &ApiKey| ApiVersionsApiVersion {
        api_key: *key as i16,
        min_version: key.versions().min,
        max_version: key.versions().max,
    };
    ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
}

fn metadata(asked: Option<&[ottla_protocol::messages::MetadataRequestTopic]>) -> MetadataResponse {
    let broker = |node_id: i32| MetadataResponseBroker {
        node_id,
        host: "broker".to_owned(),
        port: node_id,
        ..Default::default()
    };
    let partition = |partition_index: i32| MetadataResponsePartition {
        partition_index,
        leader_id: partition_index + 1,
        ..Default::default()
    };
    let named = |name: &str| MetadataResponseTopic {
        name: Some(name.to_owned()),
        error_code: if name == "missing" { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::None },
        partitions: match name {
            "t" => (0..2).map(partition).collect(),
            "leaderless" => vec![MetadataResponsePartition { leader_id: -1, ..Default::default() }],
            _ => Vec::new(),
        },
        ..Default::default()
    };
    let topics = match asked {
        Some(asked) => asked.iter().map(|topic| named(topic.name.as_ref().unwrap())).collect(),
        None => vec![named("t")],
    };
    let cluster_id = Some("c".to_owned());
    MetadataResponse {
        brokers: vec![broker(1), broker(2)],
        controller_id: 2,
        cluster_id,
        topics,
        ..Default::default()
    }
}

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

#[test]
fn the_groups_of_every_broker_are_listed() {
    let mut world = World::new();
    let op = world.start(ListGroups);
    for (name, error) in
        [("a", ErrorCode::None), ("b", ErrorCode::CoordinatorLoadInProgress), ("b", ErrorCode::None)]
    {
        let asked = world.take();
        let group = ListGroupsListedGroup {
            group_id: name.to_owned(),
            group_state: "Stable".to_owned(),
            ..Default::default()
        };
        let groups = if error.is_ok() { vec![group] } else { Vec::new() };
        world.answer(&asked, ListGroupsResponse { error_code: error, groups, ..Default::default() });
        world.pass(Duration::from_secs(1));
    }
    let groups = world.outcome(&op);
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((groups["b"].coordinator, groups["b"].state.as_deref()), (NodeId(2), Some("Stable")));
}

#[test]
fn a_group_is_described_by_its_coordinator_also_after_that_moved() {
    let mut world = World::new();
    let op = world.start(DescribeGroups(vec!["g".to_owned()]));
    let answer = |group: DescribeGroupsDescribedGroup| {
        let group = DescribeGroupsDescribedGroup { group_id: "g".to_owned(), ..group };
        DescribeGroupsResponse { groups: vec![group], ..Default::default() }
    };
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    assert_eq!(asked.port, 1);
    let moved = DescribeGroupsDescribedGroup { error_code: ErrorCode::NotCoordinator, ..Default::default() };
    world.answer(&asked, answer(moved));
    world.pass(Duration::from_secs(1));
    world.find_coordinator(2);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    assert_eq!(asked.port, 2);
    let assignment = Assignment { partitions: vec![("t", 0).into(), ("t", 1).into()], user_data: None };
    let member = DescribeGroupsDescribedGroupMember {
        member_id: "m".to_owned(),
        member_assignment: assignment.encode(),
        ..Default::default()
    };
    let group = DescribeGroupsDescribedGroup {
        protocol_type: "consumer".to_owned(),
        members: vec![member],
        ..Default::default()
    };
    world.answer(&asked, answer(group));
    let groups = world.outcome(&op);
    let group = groups["g"].as_ref().unwrap();
    assert_eq!((group.coordinator, &group.members[0].assignment), (NodeId(2), &assignment.partitions));
}

#[test]
fn a_group_that_is_no_classic_one_is_asked_for_as_one_of_the_consumer_protocol() {
    let mut world = World::new();
    let op = world.start(DescribeGroups(vec!["g".to_owned()]));
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let (group_id, error_code) = ("g".to_owned(), ErrorCode::GroupIdNotFound);
    let none = DescribeGroupsDescribedGroup { group_id, error_code, ..Default::default() };
    let asked = world.take();
    world.answer(&asked, DescribeGroupsResponse { groups: vec![none], ..Default::default() });
    let asked = world.take();
    let Request::ConsumerGroupDescribe(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!((asked.port, &request.group_ids[..]), (1, &["g".to_owned()][..]));
    let group = ConsumerGroupDescribeDescribedGroup {
        group_id: "g".to_owned(),
        assignor_name: "uniform".to_owned(),
        ..Default::default()
    };
    world.answer(&asked, ConsumerGroupDescribeResponse { groups: vec![group], ..Default::default() });
    let groups = world.outcome(&op);
    let group = groups["g"].as_ref().unwrap();
    assert_eq!((group.coordinator, group.protocol.as_str()), (NodeId(1), "uniform"));
}

#[test]
fn an_operation_on_nothing_is_done_without_asking() {
    let mut world = World::new();
    world.unreachable = true;
    let op = world.start(CreateTopics { topics: Vec::new(), validate_only: false });
    assert_eq!(world.outcome(&op), TopicChanges::new());
    let op =
        world.start(ListOffsets { partitions: BTreeMap::new(), isolation: IsolationLevel::ReadUncommitted });
    assert!(world.outcome(&op).is_empty());
}

#[test]
fn the_offsets_of_a_group_are_told_and_partitions_without_one_left_out() {
    let mut world = World::new();
    let op = world.start(CommittedOffsets { groups: BTreeSet::from(["g".to_owned()]), require_stable: true });
    world.find_coordinator(2);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let Request::OffsetFetch(request) = &asked.request else { panic!() };
    assert_eq!((request.groups[0].topics.as_ref(), request.require_stable), (None, true));
    let partition = |partition_index, committed_offset| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset,
        ..Default::default()
    };
    let topic = OffsetFetchResponseTopics {
        name: "t".to_owned(),
        partitions: vec![partition(0, 5), partition(1, -1)],
        ..Default::default()
    };
    let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
    world.answer(&asked, OffsetFetchResponse { groups: vec![group], ..Default::default() });
    let offsets = world.outcome(&op).remove("g").unwrap().unwrap();
    assert_eq!(offsets.into_iter().map(|(at, o)| (at, o.offset)).collect::<Vec<_>>(), [(("t", 0).into(), 5)]);
}

#[test]
fn offsets_are_asked_of_each_leader_and_only_what_failed_is_asked_again() {
    let mut world = World::new();
    let at = |topic: &str, partition| TopicPartition::new(topic, partition);
    let partitions = [at("t", 0), at("t", 1), at("t", 7), at("missing", 0)];
    let partitions = partitions.into_iter().map(|at| (at, OffsetSpec::Latest)).collect();
    let op = world.start(ListOffsets { partitions, isolation: IsolationLevel::ReadUncommitted });
    let answer = |partition_index, error_code, offset| {
        let partition =
            ListOffsetsPartitionResponse { partition_index, error_code, offset, ..Default::default() };
        let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
        ListOffsetsResponse { topics: vec![topic], ..Default::default() }
    };
    let (first, second) = (world.take(), world.take());
    assert_eq!((first.port, second.port), (1, 2));
    world.answer(&first, answer(0, ErrorCode::None, 40));
    world.answer(&second, answer(1, ErrorCode::NotLeaderOrFollower, -1));
    world.pass(Duration::from_secs(1));
    let again = world.take();
    assert!(world.asked.is_empty());
    world.answer(&again, answer(1, ErrorCode::None, 50));
    let offsets = world.outcome(&op);
    let found = offsets.into_values().map(|found| found.map(|found| found.unwrap().offset));
    let found: Vec<_> = found.collect();
    let unknown =
        || Err(Failure::Refused(Refusal { error: ErrorCode::UnknownTopicOrPartition, message: None }));
    assert_eq!(found, [unknown(), Ok(40), Ok(50), unknown()], "in the order of names");
}

#[test]
fn a_partition_whose_leader_does_not_answer_or_is_not_there_fails_by_itself() {
    let mut world = World::new();
    let at = |topic: &str, partition| TopicPartition::new(topic, partition);
    let partitions = [at("t", 0), at("t", 1), at("leaderless", 0)];
    let partitions = partitions.into_iter().map(|at| (at, OffsetSpec::Latest)).collect();
    let op = world.start(ListOffsets { partitions, isolation: IsolationLevel::ReadUncommitted });
    let first = world.take();
    let partition = ListOffsetsPartitionResponse { partition_index: 0, offset: 40, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
    world.answer(&first, ListOffsetsResponse { topics: vec![topic], ..Default::default() });
    world.pass(Duration::from_secs(61));
    let offsets = world.outcome(&op);
    let told: Vec<_> = offsets.values().map(|found| found.as_ref().map_err(ToString::to_string)).collect();
    assert!(told[0].as_ref().unwrap_err().ends_with("leaderless-0 has no leader"), "{told:?}");
    assert_eq!(told[1].as_ref().unwrap().unwrap().offset, 40);
    assert!(told[2].as_ref().unwrap_err().contains("no answer to ListOffsets"), "{told:?}");
}

#[test]
fn a_time_out_names_the_address_and_what_was_wrong_there() {
    let mut world = World::new();
    world.unreachable = true;
    let op = world.start(DescribeTopics::All);
    world.pass(Duration::from_secs(60));
    let failure = world.admin.take_result(&op).unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "not done in 60s; the last obstacle: seed:9: cannot connect: nobody");
}

#[test]
fn a_request_that_a_broker_never_answers_is_sent_again_and_then_named() {
    let mut world = World::new();
    let op = world.start(FindCoordinator("g".to_owned()));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.asked.len(), 2, "the request's time-out is 30 s");
    let failure = world.admin.take_result(&op).unwrap().unwrap_err();
    assert!(failure.to_string().ends_with("no answer to FindCoordinator in time"), "{failure}");
}

#[test]
fn a_group_that_a_broker_refuses_or_whose_coordinator_is_silent_hides_no_other() {
    let mut world = World::new();
    // The one named 2 is coordinated by broker 2.
    let names = ["good", "refused", "loads", "2"].map(str::to_owned).to_vec();
    let op = world.start(DescribeGroups(names));
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let (asked, _silent) = (world.take(), world.take());
    let Request::DescribeGroups(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!((asked.port, &request.groups), (1, &["good", "loads", "refused"].map(str::to_owned).to_vec()));
    let group = |(group_id, error_code): (&str, ErrorCode)| DescribeGroupsDescribedGroup {
        group_id: group_id.to_owned(),
        error_code,
        ..Default::default()
    };
    let told = [
        ("good", ErrorCode::None),
        ("refused", ErrorCode::GroupAuthorizationFailed),
        ("loads", ErrorCode::CoordinatorLoadInProgress),
    ];
    let groups = told.map(group).to_vec();
    world.answer(&asked, DescribeGroupsResponse { groups, ..Default::default() });
    world.pass(Duration::from_secs(1));
    world.find_coordinator(1);
    let asked = world.take();
    let Request::DescribeGroups(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!(request.groups, ["loads"], "only what failed is asked for again");
    let groups = vec![group(("loads", ErrorCode::None))];
    world.answer(&asked, DescribeGroupsResponse { groups, ..Default::default() });
    world.pass(Duration::from_secs(61));
    let groups = world.outcome(&op);
    assert!(groups["good"].is_ok() && groups["loads"].is_ok(), "{groups:?}");
    assert!(groups["refused"].as_ref().unwrap_err().is(ErrorCode::GroupAuthorizationFailed));
    assert!(matches!(groups["2"], Err(Failure::TimedOut { .. })), "{groups:?}");
}

#[test]
fn a_name_that_no_group_may_have_fails_by_itself_where_coordinators_are_looked_up() {
    let mut world = World::new();
    let op = world.start(DeleteGroups(["", "g"].map(str::to_owned).into()));
    let asked = world.take();
    let Request::FindCoordinator(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!(request.coordinator_keys.len(), 2, "one request for both");
    let coordinator = |key: &str, error_code| FindCoordinatorCoordinator {
        key: key.to_owned(),
        error_code,
        node_id: 1,
        host: "broker".to_owned(),
        port: 1,
        ..Default::default()
    };
    let coordinators = vec![coordinator("", ErrorCode::InvalidGroupId), coordinator("g", ErrorCode::None)];
    world.answer(&asked, FindCoordinatorResponse { coordinators, ..Default::default() });
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let deleted = DeleteGroupsResult { group_id: "g".to_owned(), ..Default::default() };
    world.answer(&asked, DeleteGroupsResponse { results: vec![deleted], ..Default::default() });
    let groups = world.outcome(&op);
    assert!(groups[""].as_ref().unwrap_err().is(ErrorCode::InvalidGroupId), "{groups:?}");
    assert_eq!(groups["g"], Ok(()));
}

#[test]
fn a_group_of_unknown_kind_is_asked_for_as_each_kind_in_turn() {
    let mut world = World::new();
    let names = ["share", "streams", "none"].map(str::to_owned).to_vec();
    let op = world.start(DescribeGroups(names));
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let error_code = ErrorCode::GroupIdNotFound;
    let asked = world.take();
    let missing =
        |id: &str| DescribeGroupsDescribedGroup { group_id: id.to_owned(), error_code, ..Default::default() };
    let groups = ["none", "share", "streams"].map(missing).to_vec();
    world.answer(&asked, DescribeGroupsResponse { groups, ..Default::default() });
    let asked = world.take();
    let missing = |id: &str| ConsumerGroupDescribeDescribedGroup {
        group_id: id.to_owned(),
        error_code,
        ..Default::default()
    };
    let groups = ["none", "share", "streams"].map(missing).to_vec();
    world.answer(&asked, ConsumerGroupDescribeResponse { groups, ..Default::default() });
    let asked = world.take();
    let shared = |id: &str, error_code| ShareGroupDescribeDescribedGroup {
        group_id: id.to_owned(),
        error_code,
        group_epoch: 3,
        ..Default::default()
    };
    let groups = vec![
        shared("none", error_code),
        shared("share", ErrorCode::None),
        // A cluster that has no share groups yet.
        shared("streams", ErrorCode::UnsupportedVersion),
    ];
    world.answer(&asked, ShareGroupDescribeResponse { groups, ..Default::default() });
    let asked = world.take();
    let Request::StreamsGroupDescribe(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!(request.group_ids, ["none", "streams"]);
    let groups = vec![
        StreamsGroupDescribeDescribedGroup { error_code, group_id: "none".to_owned(), ..Default::default() },
        streams_group(),
    ];
    world.answer(&asked, StreamsGroupDescribeResponse { groups, ..Default::default() });
    let groups = world.outcome(&op);
    assert!(groups["none"].as_ref().unwrap_err().is(error_code));
    let share = groups["share"].as_ref().unwrap();
    assert_eq!((share.kind, share.group_epoch), (GroupKind::Share, Some(3)));
    let streams = groups["streams"].as_ref().unwrap();
    assert_eq!(streams.kind, GroupKind::Streams);
    let read: Vec<String> = streams.members[0].assignment.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["in-0", "in-2", "repartitioned-0", "repartitioned-2"], "what its active tasks read");
    assert_eq!(streams.source_topics, ["in", "repartitioned"].map(str::to_owned).into());
}

fn streams_group() -> StreamsGroupDescribeDescribedGroup {
    let part = StreamsGroupDescribeSubtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec!["in".to_owned()],
        repartition_source_topics: vec![StreamsGroupDescribeTopicInfo {
            name: "repartitioned".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let tasks = StreamsGroupDescribeTaskIds { subtopology_id: "0".to_owned(), partitions: vec![2, 0] };
    let assignment = StreamsGroupDescribeAssignment { active_tasks: vec![tasks], ..Default::default() };
    StreamsGroupDescribeDescribedGroup {
        group_id: "streams".to_owned(),
        topology: Some(StreamsGroupDescribeTopology { epoch: 1, subtopologies: Some(vec![part]) }),
        members: vec![StreamsGroupDescribeMember { assignment, ..Default::default() }],
        ..Default::default()
    }
}

#[test]
fn offsets_that_a_group_with_members_refuses_are_told_by_partition() {
    let mut world = World::new();
    let offsets: BTreeMap<TopicPartition, CommittedOffset> =
        [(("t", 0).into(), 5.into()), (("t", 1).into(), 6.into()), (("nope", 0).into(), 7.into())].into();
    let op = world.start(AlterOffsets { group: "g".to_owned(), offsets });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let partition =
        |partition_index, error_code| OffsetCommitResponsePartition { partition_index, error_code };
    let topic = |name: &str, partitions| OffsetCommitResponseTopic {
        name: name.to_owned(),
        partitions,
        ..Default::default()
    };
    let asked = world.take();
    let t = vec![partition(0, ErrorCode::None), partition(1, ErrorCode::NotCoordinator)];
    let nope = vec![partition(0, ErrorCode::UnknownTopicOrPartition)];
    let topics = vec![topic("t", t), topic("nope", nope)];
    world.answer(&asked, OffsetCommitResponse { topics, ..Default::default() });
    world.pass(Duration::from_secs(1));
    world.find_coordinator(2);
    let asked = world.take();
    let Request::OffsetCommit(request) = &asked.request else { panic!("{:?}", asked.request) };
    assert_eq!((request.generation_id_or_member_epoch, request.topics.len()), (-1, 1));
    assert_eq!(request.topics[0].partitions.len(), 1, "only what failed is committed again");
    let topics = vec![topic("t", vec![partition(1, ErrorCode::UnknownMemberId)])];
    world.answer(&asked, OffsetCommitResponse { topics, ..Default::default() });
    let altered = world.outcome(&op);
    let told: Vec<_> =
        altered.into_values().map(|result| result.map_err(|failure| failure.to_string())).collect();
    let refused = |error: ErrorCode| Err(error.to_string());
    assert_eq!(
        told,
        [refused(ErrorCode::UnknownTopicOrPartition), Ok(()), refused(ErrorCode::UnknownMemberId)]
    );
}

#[test]
fn an_offset_of_a_topic_that_is_not_there_fails_at_once_and_what_may_pass_is_deleted_again() {
    let mut world = World::new();
    let partitions: BTreeSet<TopicPartition> =
        [("t", 0).into(), ("t", 1).into(), ("t", 2).into(), ("nope", 0).into()].into();
    let op = world.start(DeleteOffsets { group: "g".to_owned(), partitions });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let told = |partition_index, error_code| OffsetDeletePartitionResponse { partition_index, error_code };
    let answer = |topics: Vec<(&str, Vec<OffsetDeletePartitionResponse>)>| {
        let topic =
            |(name, partitions): (&str, _)| OffsetDeleteTopicResponse { name: name.to_owned(), partitions };
        OffsetDeleteResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    };
    let asked = world.take();
    let t = vec![
        told(0, ErrorCode::None),
        told(1, ErrorCode::CoordinatorLoadInProgress),
        told(2, ErrorCode::GroupSubscribedToTopic),
    ];
    let nope = vec![told(0, ErrorCode::UnknownTopicOrPartition)];
    world.answer(&asked, answer(vec![("t", t), ("nope", nope)]));
    world.pass(Duration::from_secs(1));
    world.find_coordinator(1);
    let asked = world.take();
    let Request::OffsetDelete(request) = &asked.request else { panic!("{:?}", asked.request) };
    let again: Vec<_> =
        request.topics.iter().map(|topic| (topic.name.as_str(), &topic.partitions[..])).collect();
    assert_eq!(again, [("t", &[OffsetDeletePartition { partition_index: 1 }][..])]);
    world.answer(&asked, answer(vec![("t", vec![told(1, ErrorCode::None)])]));
    let deleted = world.outcome(&op);
    let refused = |error| Err(Failure::Refused(Refusal { error, message: None }));
    let expected = [
        refused(ErrorCode::UnknownTopicOrPartition),
        Ok(()),
        Ok(()),
        refused(ErrorCode::GroupSubscribedToTopic),
    ];
    assert_eq!(deleted.into_values().collect::<Vec<_>>(), expected, "in the order of names");
}

#[test]
fn a_consumer_of_the_consumer_protocol_is_removed_by_a_heartbeat_that_leaves() {
    let mut world = World::new();
    let members = ["classic", "consumer", "nobody"].map(|id| MemberToRemove::Id(id.to_owned()));
    let named = MemberToRemove::Instance("static".to_owned());
    let members = members.into_iter().chain([named.clone()]).collect();
    let op = world.start(RemoveMembers { group: "g".to_owned(), members, reason: "why".to_owned() });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let Request::LeaveGroup(request) = &asked.request else { panic!("{:?}", asked.request) };
    let left = |member: &LeaveGroupMemberIdentity| LeaveGroupMemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: match member.member_id.as_str() {
            "consumer" | "nobody" => ErrorCode::UnknownMemberId,
            _ => ErrorCode::None,
        },
    };
    let members = request.members.iter().map(left).collect();
    world.answer(&asked, LeaveGroupResponse { members, ..Default::default() });
    for error_code in [ErrorCode::None, ErrorCode::UnknownMemberId] {
        let asked = world.take();
        let Request::ConsumerGroupHeartbeat(request) = &asked.request else { panic!("{:?}", asked.request) };
        assert_eq!(request.member_epoch, -1);
        world.answer(&asked, ConsumerGroupHeartbeatResponse { error_code, ..Default::default() });
    }
    let removed = world.outcome(&op);
    assert_eq!(removed[&named], Ok(()));
    assert_eq!(removed[&MemberToRemove::Id("classic".to_owned())], Ok(()));
    assert_eq!(removed[&MemberToRemove::Id("consumer".to_owned())], Ok(()));
    let nobody = &removed[&MemberToRemove::Id("nobody".to_owned())];
    assert!(nobody.as_ref().unwrap_err().is(ErrorCode::UnknownMemberId));
}

#[test]
fn closing_ends_what_is_under_way() {
    let mut world = World::new();
    let op = world.start(FindCoordinator("g".to_owned()));
    world.admin.close();
    world.pump();
    assert_eq!(world.admin.take_result(&op), Some(Err(Failure::Closed)));
    assert!(world.admin.is_closed() && world.links.is_empty());
    let later = world.start(DescribeTopics::All);
    assert_eq!(world.admin.take_result(&later), Some(Err(Failure::Closed)));
}
