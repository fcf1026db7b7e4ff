//! Members of a group, each on a connection of its own.

use ottla_broker::{ConnId, GroupView};
use ottla_protocol::{ErrorCode, messages::*};

use super::World;

pub struct Member {
    pub conn: ConnId,
    pub id: String,
    pub instance: Option<String>,
    pub generation: i32,
    pub protocols: Vec<(&'static str, &'static str)>,
    pub session_ms: i32,
    pub rebalance_ms: i32,
}

impl Member {
    pub fn new(world: &mut World) -> Self {
        Self {
            conn: world.connect(1),
            id: String::new(),
            instance: None,
            generation: -1,
            protocols: vec![("range", "topics")],
            session_ms: 10_000,
            rebalance_ms: 60_000,
        }
    }

    pub fn fixed(world: &mut World, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::new(world) }
    }

    pub fn request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: metadata.as_bytes().to_vec(),
        });
        JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: self.rebalance_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".into(),
            protocols: protocols.collect(),
            ..Default::default()
        }
    }

    /// Sends a JoinGroup, after the one that brings the id where it needs one.
    pub fn join(&mut self, world: &mut World) {
        if self.id.is_empty() && self.instance.is_none() {
            let refused = world.ask(self.conn, 9, self.request());
            assert_eq!(refused.error_code, ErrorCode::MemberIdRequired);
            self.id = refused.member_id;
        }
        world.send(self.conn, 9, self.request());
    }

    /// The answer to its JoinGroup, whose generation and id it takes over.
    pub fn joined(&mut self, world: &mut World) -> Option<JoinGroupResponse> {
        let response: JoinGroupResponse = world.reply(self.conn)?;
        if response.error_code.is_ok() {
            self.id.clone_from(&response.member_id);
            self.generation = response.generation_id;
        }
        Some(response)
    }

    /// Sends a SyncGroup; with assignments, as the leader.
    pub fn sync(&self, world: &mut World, assignments: &[(&str, &str)]) {
        let to = |(member, what): &(&str, &str)| SyncGroupRequestAssignment {
            member_id: (*member).to_owned(),
            assignment: what.as_bytes().to_vec(),
        };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments: assignments.iter().map(to).collect(),
            ..Default::default()
        };
        world.send(self.conn, 4, request);
    }

    /// The answer to its SyncGroup.
    pub fn synced(&self, world: &mut World) -> Option<Result<String, ErrorCode>> {
        let response: SyncGroupResponse = world.reply(self.conn)?;
        let assignment = String::from_utf8(response.assignment).unwrap();
        Some(response.error_code.ok().map(|()| assignment))
    }

    pub fn heartbeat(&self, world: &mut World) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        world.ask(self.conn, 4, request).error_code
    }

    pub fn leave(&self, world: &mut World) -> ErrorCode {
        let identity = LeaveGroupMemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            reason: None,
        };
        let request =
            LeaveGroupRequest { group_id: "g".into(), members: vec![identity], ..Default::default() };
        let response = world.ask(self.conn, 5, request);
        assert_eq!(response.error_code, ErrorCode::None);
        response.members[0].error_code
    }

    pub fn commit(&self, world: &mut World, offset: i64) -> ErrorCode {
        commit(world, self.conn, &self.id, self.generation, offset)
    }
}

pub fn commit(world: &mut World, conn: ConnId, member: &str, generation: i32, offset: i64) -> ErrorCode {
    let partitions = vec![OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() }];
    let topics = vec![OffsetCommitRequestTopic { name: "t".into(), partitions, ..Default::default() }];
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics,
        ..Default::default()
    };
    world.ask(conn, 9, request).topics[0].partitions[0].error_code
}

pub fn view(world: &World) -> GroupView {
    world.cluster.group("g").expect("a group")
}

/// A stable group of these members, the first being the leader, each assigned its place in the list.
pub fn stable<const N: usize>(world: &mut World, mut members: [Member; N]) -> [Member; N] {
    for index in 0..N {
        members[index].join(world);
        // Those that are in already learn of the newcomer and join again.
        for member in &mut members[..index] {
            assert_eq!(member.heartbeat(world), ErrorCode::RebalanceInProgress);
            member.join(world);
        }
        for member in &mut members[..=index] {
            assert_eq!(member.joined(world).expect("joined").error_code, ErrorCode::None);
        }
        settle(world, &members[..=index]);
    }
    members
}

/// Brings the assignments of a new generation: to each its place in the list.
pub fn settle(world: &mut World, members: &[Member]) {
    let leader = view(world).leader.expect("a leader");
    let places: Vec<(String, String)> =
        members.iter().enumerate().map(|(place, member)| (member.id.clone(), place.to_string())).collect();
    let assignments: Vec<(&str, &str)> =
        places.iter().map(|(id, place)| (id.as_str(), place.as_str())).collect();
    for member in members {
        member.sync(world, if member.id == leader { &assignments } else { &[] });
    }
    for (place, member) in members.iter().enumerate() {
        assert_eq!(member.synced(world), Some(Ok(place.to_string())));
    }
    assert_eq!(view(world).state, "Stable");
}
