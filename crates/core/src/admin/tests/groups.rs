//! Groups: found, told, changed.

use super::*;

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
fn a_consumer_of_the_consumer_protocol_is_removed_by_a_heartbeat_that_leaves() {
    let mut world = World::new();
    let id = |id: &str| MemberToRemove::Id(id.to_owned());
    let named = |name: &str| MemberToRemove::Instance(name.to_owned());
    let members = ["classic", "consumer", "nobody", "switched off"].map(id).into_iter();
    let members = members.chain(["static", "modern", "stranger"].map(named)).collect();
    let op = world.start(RemoveMembers { group: "g".to_owned(), members, reason: "why".to_owned() });
    world.find_coordinator(1);
    world.pass(Duration::from_secs(1));
    let asked = world.take();
    let Request::LeaveGroup(request) = &asked.request else { panic!("{:?}", asked.request) };
    let left = |member: &LeaveGroupMemberIdentity| LeaveGroupMemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: match (member.member_id.as_str(), member.group_instance_id.as_deref()) {
            ("classic", None) | ("", Some("static")) => ErrorCode::None,
            _ => ErrorCode::UnknownMemberId,
        },
    };
    let members = request.members.iter().map(left).collect();
    world.answer(&asked, LeaveGroupResponse { members, ..Default::default() });
    let mut heartbeats = Vec::new();
    while !world.asked.is_empty() {
        let asked = world.take();
        match &asked.request {
            Request::ConsumerGroupHeartbeat(request) => {
                assert_eq!(request.member_epoch, -1);
                let error_code = match request.member_id.as_str() {
                    "nobody" => ErrorCode::UnknownMemberId,
                    // By a cluster that knows the protocol, and has it switched off.
                    "switched off" => ErrorCode::UnsupportedVersion,
                    _ => ErrorCode::None,
                };
                heartbeats.push(request.member_id.clone());
                world.answer(&asked, ConsumerGroupHeartbeatResponse { error_code, ..Default::default() });
            }
            // By what a static member is called nobody knows its heartbeat.
            Request::ConsumerGroupDescribe(request) => {
                assert_eq!(request.group_ids, ["g"], "once for both");
                let (instance_id, member_id) = (Some("modern".to_owned()), "its id".to_owned());
                let member = ConsumerGroupDescribeMember { instance_id, member_id, ..Default::default() };
                let group = ConsumerGroupDescribeDescribedGroup {
                    group_id: "g".to_owned(),
                    members: vec![member],
                    ..Default::default()
                };
                let groups = vec![group];
                world.answer(&asked, ConsumerGroupDescribeResponse { groups, ..Default::default() });
            }
            other => panic!("{other:?}"),
        }
    }
    heartbeats.sort_unstable();
    assert_eq!(heartbeats, ["consumer", "its id", "nobody", "switched off"]);
    let removed = world.outcome(&op);
    for gone in [id("classic"), id("consumer"), named("static"), named("modern")] {
        assert_eq!(removed[&gone], Ok(()), "{gone:?}");
    }
    for missing in [id("nobody"), id("switched off"), named("stranger")] {
        assert!(removed[&missing].as_ref().unwrap_err().is(ErrorCode::UnknownMemberId), "{missing:?}");
    }
}
