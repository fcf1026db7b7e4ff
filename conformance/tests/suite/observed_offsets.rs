//! Who may commit offsets in a transaction, and what is told of them until it ends: the rows of
//! `docs/transactions-observed.md` about TxnOffsetCommit and OffsetFetch.

use libtest_mimic::Failed;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::{until, until_some};
use ottla_protocol::messages::*;
use ottla_protocol::{ApiKey, ErrorCode as E, TopicId};

use crate::cases::{Case, Outcome};
use crate::kit::PATIENCE;
use crate::raw::{At, Raw};
use crate::raw_transactions::{Flow, NOBODY, Producer, Who};

const NONE: E = E::None;
const ILLEGAL: E = E::IllegalGeneration;
const UNKNOWN: E = E::UnknownMemberId;

pub(crate) fn cases() -> Vec<Case> {
    let both = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run);
    vec![
        both("observed::offsets_in_a_transaction_are_pending_until_its_end", pending).and_kafka_3_9(),
        both("observed::who_may_commit_in_a_transaction_for_a_classic_group", classic).and_kafka_3_9(),
        both("observed::who_may_commit_in_a_transaction_for_a_group_of_the_consumer_protocol", consumer),
    ]
}

impl Raw {
    /// What is told of partition 0.
    pub(crate) fn committed(
        &mut self,
        version: i16,
        group: &str,
        require_stable: bool,
    ) -> Result<(E, i64), Failed> {
        let topic = OffsetFetchRequestTopics {
            name: self.topic.clone(),
            topic_id: self.topic_id,
            partition_indexes: vec![0],
        };
        let asked = OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![asked], require_stable, ..Default::default() };
        let answer = self.ask(At::Group(group), version, request)?;
        let partition = &answer.groups[0].topics[0].partitions[0];
        Ok((partition.error_code, partition.committed_offset))
    }

    /// Until that is told of partition 0.
    fn is_committed(&mut self, group: &str, offset: i64) -> Outcome {
        let mut last = None;
        until(PATIENCE, "a committed offset", || {
            last = self.committed(8, group, true).ok();
            last.is_some_and(|(code, _)| code != E::UnstableOffsetCommit)
        })?;
        self.row("what is committed", last, Some((NONE, offset)));
        Ok(())
    }

    pub(crate) fn plain_commit(
        &mut self,
        version: i16,
        group: &str,
        who: Who<'_>,
        offset: i64,
    ) -> Result<E, Failed> {
        let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
        let topic = OffsetCommitRequestTopic {
            name: self.topic.clone(),
            topic_id: self.topic_id,
            partitions: vec![partition],
        };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: who.generation,
            member_id: who.id.to_owned(),
            topics: vec![topic],
            ..Default::default()
        };
        Ok(self.ask(At::Group(group), version, request)?.topics[0].partitions[0].error_code)
    }

    /// The versions of TxnOffsetCommit to ask with: those without topic ids, and the one with.
    fn commits(&self) -> std::ops::RangeInclusive<i16> {
        3..=self.offered(ApiKey::TxnOffsetCommit).min(6)
    }
}

fn pending(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "pending")?;
    let (flow, group) = (*raw.flows().last().ok_or("a flow")?, unique("pending"));
    let newest = raw.offered(ApiKey::OffsetFetch).min(9);
    let mut who = raw.producer("a")?;
    let commit = |raw: &mut Raw, who: &Producer, offset: i64| -> Outcome {
        if flow == Flow::V1 {
            let added = raw.add_offsets(4, who, &group)?;
            raw.row("a group is added", added, NONE);
        }
        let told = raw.commit(flow.commit(), who, &group, NOBODY, 0, offset)?;
        raw.row("an offset in a transaction", told, NONE);
        Ok(())
    };
    for (ends, offset, before, after) in [(false, 3, -1, -1), (true, 5, -1, 5), (false, 7, 5, 5)] {
        commit(&mut raw, &who, offset)?;
        for version in [8, newest] {
            let told = raw.committed(version, &group, true)?;
            raw.row("who wants it stable", told, (E::UnstableOffsetCommit, -1));
            let told = raw.committed(version, &group, false)?;
            raw.row("who does not", told, (NONE, before));
        }
        who = raw.finish_transaction(flow, &who, ends)?;
        raw.is_committed(&group, after)?;
    }
    commit(&mut raw, &who, 200)?;
    let told = raw.plain_commit(8, &group, NOBODY, 7)?;
    raw.row("a plain commit over a pending one", told, NONE);
    let who = raw.finish_transaction(flow, &who, true)?;
    raw.is_committed(&group, 7)?;
    commit(&mut raw, &who, 300)?;
    let deleted = raw.delete_groups(2, &group, &[&group])?;
    raw.row("a group with a pending offset is deleted", deleted, vec![NONE]);
    raw.finish_transaction(flow, &who, true)?;
    raw.is_committed(&group, -1)?;

    // Nobody knows the group, or the topic.
    let who = raw.producer("b")?;
    let member = Who { generation: 5, ..NOBODY };
    for version in raw.commits() {
        let group = unique("new");
        let added = raw.add_offsets(4, &who, &group)?;
        raw.row("a group is added", added, NONE);
        let told = raw.commit(version, &who, &group, member, 0, 5)?;
        let seen = match version {
            6 => E::GroupIdNotFound,
            _ if raw.flows().len() == 2 => ILLEGAL,
            // A group begins with the request there.
            _ => UNKNOWN,
        };
        raw.row(&format!("generation 5 of no group, version {version}"), told, seen);
        let told = raw.commit(version, &who, &group, NOBODY, 0, 5)?;
        raw.row(&format!("nobody in no group, version {version}"), told, NONE);
        let told = raw.commit(version, &who, &group, NOBODY, 9, 5)?;
        raw.row(
            &format!("a partition that is not there, version {version}"),
            told,
            E::UnknownTopicOrPartition,
        );
        let topic = TxnOffsetCommitTopic {
            name: unique("unknown"),
            topic_id: TopicId([7; 16]),
            partitions: vec![TxnOffsetCommitPartition { committed_offset: 5, ..Default::default() }],
        };
        let told = raw.commit_topic(version, &who, &group, NOBODY, topic)?;
        let told_later = raw.commit(version, &who, &group, member, 0, 5)?;
        raw.row(&format!("generation 5 once the group is there, version {version}"), told_later, UNKNOWN);
        let code = if version >= 6 { E::UnknownTopicId } else { E::UnknownTopicOrPartition };
        raw.row(&format!("a topic that is not there, version {version}"), told, code);
    }
    raw.finish()
}

fn joins(group: &str, id: &str, instance: Option<&str>) -> JoinGroupRequest {
    // Subscribed to no topic, in version 0 of the consumers' own format.
    let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata: vec![0; 10] };
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        member_id: id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// The only member of a group joins it, anew where it has joined before: its id, and the generation.
pub(crate) fn join(
    raw: &mut Raw,
    group: &str,
    id: &str,
    instance: Option<&str>,
) -> Result<(String, i32), Failed> {
    let mut id = id.to_owned();
    let joined = until_some(PATIENCE, "a member that has joined", || {
        let told = raw.ask(At::Group(group), 5, joins(group, &id, instance)).ok()?;
        if told.error_code == E::MemberIdRequired {
            id.clone_from(&told.member_id);
        }
        told.error_code.is_ok().then_some(told)
    })?;
    let assignments =
        vec![SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: vec![] }];
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: instance.map(str::to_owned),
        assignments,
        ..Default::default()
    };
    let synced = raw.ask(At::Group(group), 3, request)?;
    raw.row("the group is stable", synced.error_code, NONE);
    Ok((joined.member_id, joined.generation_id))
}

/// In each version, the group added where it has to be.
fn rows(raw: &mut Raw, group: &str, rows: &[(&str, Who<'_>, i32, E, E)]) -> Outcome {
    let who = raw.producer("rows")?;
    let added = raw.add_offsets(4, &who, group)?;
    raw.row("a group is added", added, NONE);
    for version in raw.commits() {
        for (what, member, partition, seen, with_ids) in rows {
            let told = raw.commit(version, &who, group, *member, *partition, 5)?;
            let seen = if version >= 6 { *with_ids } else { *seen };
            raw.row(&format!("{what}, version {version}"), told, seen);
        }
    }
    raw.finish_transaction(Flow::V1, &who, false)?;
    Ok(())
}

fn classic(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "classic")?;
    let group = unique("classic");
    let (id, before) = join(&mut raw, &group, "", None)?;
    let (id, now) = join(&mut raw, &group, &id, None)?;
    raw.row("the generation is raised", now, before + 1);
    let member = |id, generation| Who { id, instance: None, generation };
    rows(
        &mut raw,
        &group,
        &[
            ("the current generation, a partition that is not its own", member(&id, now), 0, NONE, NONE),
            ("the previous one", member(&id, before), 0, ILLEGAL, ILLEGAL),
            ("a later one", member(&id, now + 1), 0, ILLEGAL, ILLEGAL),
            ("-1 with the member id", member(&id, -1), 0, ILLEGAL, ILLEGAL),
            ("an unknown member", member("unknown", now), 0, UNKNOWN, UNKNOWN),
            ("an empty member", member("", now), 0, UNKNOWN, UNKNOWN),
            ("an unknown instance", Who { instance: Some("x"), ..member(&id, now) }, 0, UNKNOWN, UNKNOWN),
            ("nobody in particular", NOBODY, 0, NONE, NONE),
        ],
    )?;
    let told = raw.plain_commit(8, &group, NOBODY, 5)?;
    raw.row("a plain commit of nobody", told, UNKNOWN);
    let identity = LeaveGroupMemberIdentity { member_id: id.clone(), ..Default::default() };
    let request =
        LeaveGroupRequest { group_id: group.clone(), members: vec![identity], ..Default::default() };
    let left = raw.ask(At::Group(&group), 4, request)?.error_code;
    raw.row("it leaves", left, NONE);
    rows(&mut raw, &group, &[("a member that left", member(&id, now), 0, UNKNOWN, UNKNOWN)])?;

    let group = unique("static");
    let (_, now) = join(&mut raw, &group, "", Some("instance"))?;
    let (fenced, wrong) = (E::FencedInstanceId, Who { instance: Some("instance"), ..member("other", now) });
    rows(&mut raw, &group, &[("the wrong member id for an instance", wrong, 0, fenced, fenced)])?;
    raw.finish()
}

/// A member of the consumer protocol: what it has, in which epoch.
struct Member {
    id: &'static str,
    instance: Option<&'static str>,
    epoch: i32,
    owned: Vec<i32>,
}

impl Member {
    /// Says what it has, and takes what it is given.
    fn beat(&mut self, raw: &mut Raw, group: &str) -> Result<E, Failed> {
        let (topic_id, joins) = (raw.topic_id, self.epoch == 0);
        let has = ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions: self.owned.clone() };
        let has = if self.owned.is_empty() { vec![] } else { vec![has] };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: self.id.to_owned(),
            member_epoch: self.epoch,
            instance_id: self.instance.map(str::to_owned),
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![raw.topic.clone()]),
            topic_partitions: Some(has),
            ..Default::default()
        };
        let told = raw.ask(At::Group(group), 1, request)?;
        if told.error_code.is_ok() {
            self.epoch = told.member_epoch;
            if let Some(assignment) = told.assignment {
                self.owned = assignment.topic_partitions.into_iter().flat_map(|it| it.partitions).collect();
            }
        }
        Ok(told.error_code)
    }
}

fn consumer(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "consumer")?;
    let group = unique("consumer");
    let member = |id, instance| Member { id, instance, epoch: 0, owned: vec![] };
    let mut one = member("one", Some("instance"));
    let mut two = member("two", None);
    until(PATIENCE, "a member that has both partitions", || {
        one.beat(&mut raw, &group).is_ok_and(E::is_ok) && one.owned.len() == 2
    })?;
    // What it says next tells the coordinator that it has them.
    one.beat(&mut raw, &group)?;
    let before = one.epoch;
    until(PATIENCE, "members that have one each", || {
        let beaten = one.beat(&mut raw, &group).is_ok() && two.beat(&mut raw, &group).is_ok();
        beaten && one.owned.len() == 1 && two.owned.len() == 1 && one.epoch == two.epoch
    })?;
    one.beat(&mut raw, &group)?;
    two.beat(&mut raw, &group)?;
    let (now, kept, lost) = (one.epoch, one.owned[0], two.owned[0]);
    raw.row("the epoch is raised", now > before, true);
    let who = |id, generation| Who { id, instance: None, generation };
    let stale = E::StaleMemberEpoch;
    rows(
        &mut raw,
        &group,
        &[
            ("the current epoch", who("one", now), kept, NONE, NONE),
            ("another member's partition", who("one", now), lost, NONE, NONE),
            ("the previous epoch, a partition held since", who("one", before), kept, NONE, NONE),
            ("the previous epoch, a partition that is another's", who("one", before), lost, ILLEGAL, stale),
            ("a later epoch", who("one", now + 1), kept, ILLEGAL, stale),
            ("-1 with the member id", who("one", -1), kept, ILLEGAL, stale),
            ("an unknown member", who("unknown", now), kept, UNKNOWN, UNKNOWN),
            ("an empty member", who("", now), kept, UNKNOWN, UNKNOWN),
            ("nobody in particular", NOBODY, kept, NONE, NONE),
            (
                "the wrong member id for an instance",
                Who { instance: Some("instance"), ..who("x", now) },
                kept,
                UNKNOWN,
                UNKNOWN,
            ),
            ("an unknown instance", Who { instance: Some("x"), ..who("one", now) }, kept, NONE, NONE),
        ],
    )?;
    for (version, member, told) in [
        (8, who("one", now), E::UnsupportedVersion),
        (9, who("one", now + 1), stale),
        (10, who("one", now + 1), stale),
        (9, who("unknown", now), UNKNOWN),
        (10, who("unknown", now), UNKNOWN),
        (9, NOBODY, UNKNOWN),
    ] {
        let code = raw.plain_commit(version, &group, member, 5)?;
        raw.row(&format!("a plain commit, version {version}, {member:?}"), code, told);
    }
    if kept == 0 {
        let code = raw.plain_commit(9, &group, who("one", before), 5)?;
        raw.row("a plain commit in the previous epoch", code, NONE);
    }
    two.epoch = -1;
    two.beat(&mut raw, &group)?;
    rows(&mut raw, &group, &[("a member that left", who("two", now), lost, UNKNOWN, UNKNOWN)])?;
    raw.finish()
}
