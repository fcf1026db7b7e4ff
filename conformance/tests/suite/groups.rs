//! Groups: who reads what, and where a group goes on.

use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::error::RecvErrorKind;
use ottla::{Consumer, ErrorCode, GroupReason};
use ottla_conformance::targets::{Target, unique};
use ottla_protocol::messages::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::{ApiKey, Response};

use crate::cases::{Case, Outcome};
use crate::kit::{
    Seen, admin, ask, equal, generations, holds, member, members_of, next, numbers, poll_all, shares, topic,
    wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("two_members_share_the_partitions_and_a_restarted_group_resumes", |target| {
            wait(two_members_share(target))
        }),
        Case::both("two_groups_read_one_topic_independently", |target| wait(two_groups(target))),
        Case::both("a_third_member_of_two_partitions_is_idle_and_stable", |target| {
            wait(third_member(target))
        }),
        Case::both("a_group_of_another_protocol_type_refuses_the_consumer", |target| {
            wait(another_protocol_type(target))
        }),
    ]
    .into_iter()
    .map(Case::and_kafka_4_3)
    .map(Case::and_kafka_3_9)
    .collect()
}

/// Each offset of a topic of so many partitions, once.
fn every(partitions: i32, offsets: std::ops::Range<i64>) -> Vec<(i32, i64)> {
    (0..partitions).flat_map(|partition| offsets.clone().map(move |offset| (partition, offset))).collect()
}

fn places(seen: &[Seen]) -> Vec<(i32, i64)> {
    let mut places: Vec<_> = seen.iter().map(|seen| (seen.partition, seen.offset)).collect();
    places.sort_unstable();
    places
}

/// What was seen, be it twice: a rebalance hands out again what was not committed.
fn distinct(seen: &[Seen]) -> Vec<(i32, i64)> {
    let mut places = places(seen);
    places.dedup();
    places
}

async fn two_members_share(target: &Target) -> Outcome {
    let topic = topic(target, "shared", 4).await?;
    let mut from = 0;
    for to in [100, 150] {
        numbers(target, &topic, 4, from * 4..to * 4).await?;
        let read = every(4, from.into()..to.into());
        let builder = || member(target, &topic, &topic).build();
        let mut members = vec![builder().await?, builder().await?];
        let mut seen = Vec::new();
        let shared = |members: &[Consumer], _: &[Seen]| {
            let at_the_end = |member: &Consumer| member.lag().values().all(|lag| *lag == Some(0));
            shares(members) == [2, 2] && members.iter().all(at_the_end)
        };
        poll_all(&mut members, &mut seen, "two partitions for each, read to the end", shared).await?;
        equal("what both read, from where the group was", distinct(&seen), read)?;
        for member in &mut members {
            within("a commit", member.commit()).await??;
        }
        for member in members {
            member.close().await?;
        }
        let committed = admin(target).await?.committed_offsets(topic.as_str()).await?;
        equal("committed", committed.values().map(|at| at.offset).collect(), vec![i64::from(to); 4])?;
        from = to;
    }
    Ok(())
}

async fn two_groups(target: &Target) -> Outcome {
    let topic = topic(target, "apart", 2).await?;
    numbers(target, &topic, 2, 0..100).await?;
    for (group, commit) in [(unique("one"), true), (unique("other"), false), (unique("third"), true)] {
        let mut members = vec![member(target, &group, &topic).build().await?];
        let mut seen = Vec::new();
        poll_all(&mut members, &mut seen, "all records", |_, seen| seen.len() == 100).await?;
        equal("each once", places(&seen), every(2, 0..50))?;
        if commit {
            within("a commit", members[0].commit()).await??;
        }
        let committed = admin(target).await?.committed_offsets(group).await?;
        let offsets: Vec<i64> = committed.values().map(|committed| committed.offset).collect();
        equal("its own offsets", offsets, if commit { vec![50, 50] } else { Vec::new() })?;
    }
    Ok(())
}

async fn third_member(target: &Target) -> Outcome {
    let topic = topic(target, "idle", 2).await?;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(member(target, &topic, &topic).build().await?);
    }
    let mut seen = Vec::new();
    let is_idle = |member: &Consumer| matches!(member.explain().group, Some(GroupReason::Idle { .. }));
    let has_one = |member: &Consumer| member.explain().group == Some(GroupReason::Member { partitions: 1 });
    poll_all(&mut members, &mut seen, "two with a share, and one idle and saying so", |members, _| {
        members.iter().any(is_idle) && members.iter().filter(|member| has_one(member)).count() == 2
    })
    .await?;
    let idle = members.iter().position(is_idle).ok_or("none is idle")?;
    let reached: Vec<_> = members.iter_mut().map(|member| generations(member).last().copied()).collect();
    holds("one generation", reached.iter().all(|generation| *generation == reached[0]))?;
    // Ten heartbeats, and all records.
    numbers(target, &topic, 2, 0..100).await?;
    let start = std::time::Instant::now();
    poll_all(&mut members, &mut seen, "all records", |_, seen| {
        seen.len() >= 100 && start.elapsed() > Duration::from_secs(3)
    })
    .await?;
    equal("each once", places(&seen), every(2, 0..50))?;
    holds("none by the idle one", seen.iter().all(|seen| seen.member != idle))?;
    let more: Vec<_> = members.iter_mut().flat_map(generations).collect();
    equal("no rebalance since", more, Vec::new())?;
    let members = within("it", members_of(&admin(target).await?, &topic)).await??;
    equal("members", members.len(), 3)
}

/// Makes a group of workers that are no consumers: they speak Kafka's group protocol all the same.
fn join_as_a_worker(stream: &mut TcpStream, group: &str) -> Result<ErrorCode, Failed> {
    // The last version that needs no member id first.
    let version = 3;
    let protocols = vec![JoinGroupRequestProtocol { name: "sessioned".into(), ..Default::default() }];
    let request = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "connect".to_owned(),
        protocols,
        ..Default::default()
    };
    match ask(stream, ApiKey::JoinGroup, version, request)? {
        Response::JoinGroup(joined) => Ok(joined.error_code),
        _ => Err("an answer to another question".into()),
    }
}

/// A group whose only member is a worker, for as long as the stream lives and a minute more.
pub(crate) async fn group_of_workers(target: &Target) -> Result<(String, TcpStream), Failed> {
    let group = unique("workers");
    let admin = admin(target).await?;
    for _ in 0..100 {
        // A coordinator that has just been made one loads the group first.
        let coordinator = admin.find_coordinator(group.as_str()).await?;
        let mut stream = TcpStream::connect((coordinator.address.host.as_str(), coordinator.address.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        match join_as_a_worker(&mut stream, &group)? {
            ErrorCode::None => return Ok((group, stream)),
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress => {}
            error => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the group has no coordinator".into())
}

async fn another_protocol_type(target: &Target) -> Outcome {
    let topic = topic(target, "workers", 1).await?;
    let (group, _stream) = group_of_workers(target).await?;
    let mut consumer = member(target, &group, &topic).build().await?;
    let Err(error) = within("an error", consumer.recv()).await? else { return Err("not an error".into()) };
    equal("its kind", error.kind(), RecvErrorKind::Group)?;
    equal("its code", error.code(), Some(ErrorCode::InconsistentGroupProtocol))?;
    equal("its group", error.context().group.as_deref(), Some(group.as_str()))?;
    // The same consumer, once its own group is another.
    let mut consumer = member(target, &topic, &topic).build().await?;
    numbers(target, &topic, 1, 0..1).await?;
    equal("in a group of its own", next(&mut consumer).await?.offset(), 0)
}
