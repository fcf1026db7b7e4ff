//! Live groups that move from the classic protocol to the consumer protocol and back, member by member.

use ottla_broker::{ConnId, GroupKind};
use ottla_protocol::{
    ErrorCode,
    codec::{Reader, Version, Wire},
    messages::*,
};

use crate::common::{World, config, consumer::Consumer, group::view};

const FIXED: Version = Version { number: 0, flexible: false, nullable: true };

/// A member of the classic protocol whose metadata is real, and who does what it is told.
struct Classic {
    conn: ConnId,
    id: String,
    generation: i32,
    owned: Vec<i32>,
}

fn partitions(indexes: &[i32], out: &mut Vec<u8>) {
    i32::from(!indexes.is_empty()).encode(out, FIXED);
    if !indexes.is_empty() {
        "t".to_owned().encode(out, FIXED);
        indexes.to_vec().encode(out, FIXED);
    }
}

fn assignment(indexes: &[i32]) -> Vec<u8> {
    let mut out = Vec::new();
    1i16.encode(&mut out, FIXED);
    partitions(indexes, &mut out);
    None::<Vec<u8>>.encode(&mut out, FIXED);
    out
}

fn indexes(assignment: &[u8]) -> Vec<i32> {
    let r = &mut Reader::new(assignment);
    i16::decode(r, FIXED).unwrap();
    let mut indexes = Vec::new();
    for _ in 0..i32::decode(r, FIXED).unwrap() {
        assert_eq!(String::decode(r, FIXED).unwrap(), "t");
        indexes.extend(Vec::<i32>::decode(r, FIXED).unwrap());
    }
    indexes
}

impl Classic {
    fn new(world: &mut World) -> Self {
        Self { conn: world.connect(1), id: String::new(), generation: -1, owned: Vec::new() }
    }

    fn request(&self) -> JoinGroupRequest {
        let mut metadata = Vec::new();
        1i16.encode(&mut metadata, FIXED);
        vec!["t".to_owned()].encode(&mut metadata, FIXED);
        None::<Vec<u8>>.encode(&mut metadata, FIXED);
        partitions(&self.owned, &mut metadata);
        JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "cooperative-sticky".into(), metadata }],
            ..Default::default()
        }
    }

    fn send_join(&mut self, world: &mut World) {
        if self.id.is_empty() {
            self.id = world.ask(self.conn, 9, self.request()).member_id;
        }
        world.send(self.conn, 9, self.request());
    }

    fn joined(&mut self, world: &mut World) -> JoinGroupResponse {
        let response: JoinGroupResponse = world.reply(self.conn).expect("an answer");
        assert_eq!(response.error_code, ErrorCode::None);
        self.generation = response.generation_id;
        response
    }

    fn sync(&mut self, world: &mut World, assignments: &[(&str, &[i32])]) -> Result<(), ErrorCode> {
        let to = |(id, indexes): &(&str, &[i32])| SyncGroupRequestAssignment {
            member_id: (*id).to_owned(),
            assignment: assignment(indexes),
        };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("cooperative-sticky".into()),
            assignments: assignments.iter().map(to).collect(),
            ..Default::default()
        };
        let response = world.ask(self.conn, 5, request);
        response.error_code.ok()?;
        self.owned = indexes(&response.assignment);
        Ok(())
    }

    fn heartbeat(&self, world: &mut World) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        world.ask(self.conn, 4, request).error_code
    }

    /// What a client does: a heartbeat, and the way of joining again if it is told to.
    fn act(&mut self, world: &mut World) {
        if self.heartbeat(world) == ErrorCode::RebalanceInProgress {
            self.send_join(world);
            self.joined(world);
            self.sync(world, &[]).unwrap();
        }
    }

    fn leave(&self, world: &mut World) -> ErrorCode {
        let member = LeaveGroupMemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request = LeaveGroupRequest { group_id: "g".into(), members: vec![member], ..Default::default() };
        world.ask(self.conn, 5, request).members[0].error_code
    }
}

/// A stable classic group of one, which has everything.
fn classic(world: &mut World) -> Classic {
    let mut one = Classic::new(world);
    one.send_join(world);
    one.joined(world);
    let id = one.id.clone();
    one.sync(world, &[(&id, &[0, 1, 2, 3])]).unwrap();
    one
}

fn mixed() -> (World, Classic, Consumer) {
    let mut world = World::new(config(&[("t", 4)]));
    let mut one = classic(&mut world);
    let mut two = Consumer::new(&mut world, "two");
    two.join(&mut world).unwrap();
    for _ in 0..3 {
        one.act(&mut world);
        two.obey(&mut world).unwrap();
    }
    (world, one, two)
}

#[test]
fn a_classic_group_turns_into_one_of_the_consumer_protocol_when_a_member_of_that_joins() {
    let mut world = World::new(config(&[("t", 4)]));
    let mut one = classic(&mut world);
    let mut two = Consumer::new(&mut world, "two");
    two.join(&mut world).unwrap();
    assert_eq!((view(&world).kind, two.indexes()), (GroupKind::Consumer, vec![]));
    assert_eq!(view(&world).generation_id, 2);
    assert_eq!(one.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    assert_eq!(one.owned, [0, 1, 2, 3], "it keeps all while it is not told otherwise");
    one.act(&mut world);
    assert_eq!(one.owned.len(), 2);
    two.idle(&mut world).unwrap();
    assert_eq!(two.indexes().len(), 0, "it has not said yet that it gave them up");
    one.act(&mut world);
    two.idle(&mut world).unwrap();
    let mut all = [one.owned.clone(), two.indexes()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!((one.heartbeat(&mut world), view(&world).state), (ErrorCode::None, "Stable"));
}

#[test]
fn a_classic_member_joins_a_group_of_the_consumer_protocol_as_a_follower() {
    let mut world = World::new(config(&[("t", 4)]));
    let mut two = Consumer::new(&mut world, "two");
    two.join(&mut world).unwrap();
    let mut one = Classic::new(&mut world);
    one.send_join(&mut world);
    let joined = one.joined(&mut world);
    assert_eq!((joined.generation_id, joined.leader.as_str(), joined.members.len()), (3, "", 0));
    assert_eq!(joined.protocol_name.as_deref(), Some("cooperative-sticky"));
    one.sync(&mut world, &[]).unwrap();
    assert!(one.owned.is_empty());
    assert_eq!(one.heartbeat(&mut world), ErrorCode::None, "what it is to have is not free");
    two.obey(&mut world).unwrap();
    two.obey(&mut world).unwrap();
    assert_eq!(one.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    one.act(&mut world);
    assert_eq!((one.owned.len(), two.indexes().len()), (2, 2));
}

#[test]
fn the_group_turns_classic_again_when_its_last_member_of_the_consumer_protocol_leaves() {
    let (mut world, mut one, mut two) = mixed();
    two.leave(&mut world, -1).unwrap();
    assert_eq!((view(&world).kind, view(&world).state), (GroupKind::Classic, "PreparingRebalance"));
    assert_eq!(one.heartbeat(&mut world), ErrorCode::RebalanceInProgress);
    one.send_join(&mut world);
    assert_eq!(one.joined(&mut world).leader, one.id);
    let id = one.id.clone();
    one.sync(&mut world, &[(&id, &[0, 1, 2, 3])]).unwrap();
    assert_eq!((view(&world).state, one.owned.len()), ("Stable", 4));
}

#[test]
fn the_last_classic_member_that_leaves_frees_its_partitions() {
    let (mut world, one, mut two) = mixed();
    assert_eq!(one.leave(&mut world), ErrorCode::None);
    assert_eq!(one.leave(&mut world), ErrorCode::UnknownMemberId);
    two.idle(&mut world).unwrap();
    assert_eq!(two.indexes(), [0, 1, 2, 3]);
}

#[test]
fn a_classic_member_is_lost_with_its_own_session() {
    let (mut world, one, mut two) = mixed();
    world.pass(crate::common::millis(9_999));
    assert_eq!(one.heartbeat(&mut world), ErrorCode::None);
    world.pass(crate::common::millis(10_000));
    assert_eq!(one.heartbeat(&mut world), ErrorCode::UnknownMemberId);
    two.idle(&mut world).unwrap();
    assert_eq!(two.indexes(), [0, 1, 2, 3]);
}

#[test]
fn an_empty_group_takes_the_protocol_of_its_next_member() {
    let mut world = World::new(config(&[("t", 4)]));
    let mut two = Consumer::new(&mut world, "two");
    two.join(&mut world).unwrap();
    assert_eq!(crate::common::group::commit(&mut world, two.conn, "two", two.epoch, 5), ErrorCode::None);
    two.leave(&mut world, -1).unwrap();
    let one = classic(&mut world);
    assert_eq!(view(&world).kind, GroupKind::Classic);
    assert_eq!(world.cluster.committed("g").get(&("t".into(), 0)), Some(&5));
    assert_eq!(two.idle(&mut world), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(one.leave(&mut world), ErrorCode::None);
    two.join(&mut world).unwrap();
    assert_eq!(view(&world).kind, GroupKind::Consumer);
}

#[test]
fn a_classic_group_that_is_not_of_consumers_is_not_turned() {
    let mut world = World::new(config(&[("t", 4)]));
    let mut other = Classic::new(&mut world);
    let connect = |r: JoinGroupRequest| JoinGroupRequest { protocol_type: "connect".into(), ..r };
    other.id = world.ask(other.conn, 9, connect(other.request())).member_id;
    world.send(other.conn, 9, connect(other.request()));
    other.joined(&mut world);
    let mut two = Consumer::new(&mut world, "two");
    assert_eq!(two.join(&mut world), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(view(&world).kind, GroupKind::Classic);
}
