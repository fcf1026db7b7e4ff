//! What an admin client sees and changes of groups, transactions and configurations.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use ottla::admin::{
    AbortTransaction, Admin, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, MemberToRemove, NodeId,
    OffsetSpec, TopicPartition,
};
use ottla::error::AdminErrorKind;
use ottla::producer::{Producer, ProducerRecord};
use ottla::{AdminError, Consumer, ErrorCode, GroupProtocol, IsolationLevel};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{
    PATIENCE, admin, equal, generations, holds, member_by, members_of, poll_until, topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    let protocols = [GroupProtocol::Classic, GroupProtocol::Consumer];
    let groups = protocols.map(|protocol| {
        let name = format!("{protocol:?}").to_lowercase();
        let run = move |target: &Target| wait(groups(target, protocol));
        let case = Case::both(format!("members_are_removed_and_groups_deleted::{name}"), run);
        // Kafka 3.9 has no consumer protocol that is on.
        if protocol == GroupProtocol::Classic { case.and_kafka_3_9() } else { case }
    });
    let others = [
        Case::both("offsets_of_what_is_not_there_are_told_by_partition", |target| wait(nowhere(target)))
            .and_kafka_3_9(),
        Case::both("a_transaction_that_hangs_is_found_and_aborted", |target| wait(transactions(target)))
            .and_kafka_3_9(),
        Case::kafka("configurations_are_told_and_changed", |target| wait(configurations(target)))
            .and_kafka_4_3()
            .and_kafka_3_9(),
    ];
    groups.into_iter().chain(others).collect()
}

async fn joined(
    target: &Target,
    group: &str,
    topic: &str,
    protocol: GroupProtocol,
    instance: Option<&str>,
) -> Result<Consumer, Failed> {
    let builder = member_by(target, group, topic, protocol);
    let builder = match instance {
        Some(name) => builder.group_instance_id(name),
        None => builder,
    };
    let mut consumer = builder.build().await?;
    poll_until(&mut consumer, "a share", |consumer| !consumer.assignment().is_empty()).await?;
    Ok(consumer)
}

/// By its id and by its name, each from a group of its own: a member that is removed joins anew.
async fn groups(target: &Target, protocol: GroupProtocol) -> Outcome {
    let topic = topic(target, "administered", 2).await?;
    let admin = admin(target).await?;
    for instance in [None, Some("static")] {
        let group = unique("administered");
        let mut consumer = joined(target, &group, &topic, protocol, instance).await?;
        let refused = admin.delete_groups(&group).await?.remove(&group).ok_or("no answer")?;
        let code = refused.err().ok_or("it is deleted")?.code();
        equal("a group with members", code, Some(ErrorCode::NonEmptyGroup))?;
        let members = members_of(&admin, &group).await?;
        let [id] = &members[..] else { return Err(format!("not one member: {members:?}").into()) };
        let gone = match instance {
            Some(name) => MemberToRemove::Instance(name.to_owned()),
            None => MemberToRemove::Id(id.clone()),
        };
        let nobody = MemberToRemove::Id("nobody".to_owned());
        let stranger = MemberToRemove::Instance("stranger".to_owned());
        let asked = [gone.clone(), nobody.clone(), stranger.clone()];
        let mut removed = within("a removal", admin.remove_members(group.as_str(), asked)).await??;
        removed.remove(&gone).ok_or("no answer of it")??;
        for unknown in [&nobody, &stranger] {
            let error = removed.remove(unknown).and_then(Result::err).ok_or("it is removed")?;
            equal("one that is not there", error.code(), Some(ErrorCode::UnknownMemberId))?;
        }
        let mut times = 0;
        let again = |consumer: &mut Consumer| {
            times += generations(consumer).len();
            times > 1
        };
        poll_until(&mut consumer, "that it joins anew", again).await?;
        within("a close", consumer.close()).await??;
        // A static member stays beyond its close.
        if let Some(name) = instance {
            let named = [MemberToRemove::Instance(name.to_owned())];
            within("a removal", admin.remove_members(group.as_str(), named)).await??;
        }
        within("a deletion", admin.delete_groups(&group)).await??.remove(&group).ok_or("no answer")??;
        let error = admin.delete_groups(&group).await?.remove(&group).and_then(Result::err);
        equal("once more", error.ok_or("it is deleted")?.kind(), AdminErrorKind::UnknownGroup)?;
    }
    Ok(())
}

async fn nowhere(target: &Target) -> Outcome {
    let (topic, group) = (topic(target, "nowhere", 1).await?, unique("nowhere"));
    let admin = admin(target).await?;
    let partitions = || [("no-such-topic", 0), (topic.as_str(), 0), (topic.as_str(), 9)];
    let kinds = |told: BTreeMap<TopicPartition, Result<(), AdminError>>| {
        let kind = |at| told.get(&TopicPartition::from(at))?.as_ref().err().map(|error| error.kind());
        partitions().map(kind)
    };
    let begun = std::time::Instant::now();
    let altered = admin.alter_offsets(group.as_str(), partitions().map(|at| (at, 0))).await?;
    let unknown = Some(AdminErrorKind::UnknownTopic);
    equal("committed", kinds(altered), [unknown, None, unknown])?;
    let deleted = admin.delete_offsets(group.as_str(), partitions()).await?;
    equal("deleted", kinds(deleted), [unknown, None, unknown])?;
    holds("nobody waits for a topic to come", begun.elapsed() < PATIENCE)
}

async fn last_stable(admin: &Admin, at: &TopicPartition) -> Result<i64, Failed> {
    let asked = [(at.clone(), OffsetSpec::Latest)];
    let mut found = admin.list_offsets_for(IsolationLevel::ReadCommitted, asked).await?;
    Ok(found.remove(at).ok_or("no answer")??.ok_or("no offset")?.offset)
}

async fn transactions(target: &Target) -> Outcome {
    let (topic, id) = (topic(target, "hanging", 1).await?, unique("hanging"));
    let at = TopicPartition::new(topic.as_str(), 0);
    let admin = admin(target).await?;
    let builder = Producer::builder().bootstrap_servers([target.bootstrap()]).transactional_id(id.as_str());
    let mut producer = builder.build_transactional().await?;
    let transaction = producer.begin().await?;
    transaction.send(ProducerRecord::to(topic.as_str()).value(b"v".as_slice())).await?.await?;

    let listed = admin.list_transactions().await?.remove(&id).ok_or("it is not listed")?;
    equal("its state", listed.state.as_str(), "Ongoing")?;
    let mut described = admin.describe_transactions([id.as_str(), "nobody"]).await?;
    let open = described.remove(&id).ok_or("no answer")??;
    equal("its state", (open.state.as_str(), open.producer_id), ("Ongoing", listed.producer_id))?;
    equal("its partitions", &open.partitions, &vec![at.clone()])?;
    let nobody = described.remove("nobody").and_then(Result::err).ok_or("it is described")?;
    equal("nobody", nobody.code(), Some(ErrorCode::TransactionalIdNotFound))?;

    let told = admin.describe_producers([at.clone()]).await?.remove(&at).ok_or("no answer")??;
    let [writer] = &told[..] else { return Err(format!("not one producer: {told:?}").into()) };
    equal("where it begins", (writer.producer_id, writer.transaction_start), (open.producer_id, Some(0)))?;
    equal("what holds back readers", last_stable(&admin, &at).await?, 0)?;
    let abort = AbortTransaction::new(at.clone(), writer.producer_id, i16::try_from(writer.producer_epoch)?)
        .coordinator_epoch(writer.coordinator_epoch.unwrap_or(0));
    within("an abort", admin.abort_transaction(abort)).await??;
    equal("behind the marker", last_stable(&admin, &at).await?, 2)?;
    let told = admin.describe_producers([at.clone()]).await?.remove(&at).ok_or("no answer")??;
    equal("nothing is open", told.iter().all(|producer| producer.transaction_start.is_none()), true)
}

async fn setting(admin: &Admin, of: &ConfigResource, name: &str) -> Result<ConfigEntry, Failed> {
    let mut told = admin.describe_configs([of.clone()]).await?.remove(of).ok_or("no answer")??;
    Ok(told.remove(name).ok_or("there is no such setting")?)
}

async fn change(
    admin: &Admin,
    of: &ConfigResource,
    changes: &[(&str, ConfigChange)],
) -> Result<Result<(), AdminErrorKind>, Failed> {
    let changes: BTreeMap<_, _> =
        changes.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
    let changed = admin.alter_configs([(of.clone(), changes)]).await?.remove(of).ok_or("no answer")?;
    Ok(changed.map_err(|error| error.kind()))
}

async fn configurations(target: &Target) -> Outcome {
    let name = topic(target, "configured", 1).await?;
    let admin = admin(target).await?;
    let topic = ConfigResource::Topic(name.clone());
    let set = |value: &str| ConfigChange::Set(value.to_owned());
    equal("its default", setting(&admin, &topic, "retention.ms").await?.source, ConfigSource::Default)?;
    change(&admin, &topic, &[("retention.ms", set("1000")), ("cleanup.policy", set("compact"))])
        .await?
        .map_err(|kind| format!("{kind:?}"))?;
    change(&admin, &topic, &[("cleanup.policy", ConfigChange::Append("delete".to_owned()))])
        .await?
        .map_err(|kind| format!("{kind:?}"))?;
    // Nodes hear of a change a moment later.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (retention, policy) = (
            setting(&admin, &topic, "retention.ms").await?,
            setting(&admin, &topic, "cleanup.policy").await?,
        );
        if retention.value.as_deref() == Some("1000") && policy.value.as_deref() == Some("compact,delete") {
            equal("where it is set", retention.source, ConfigSource::Topic)?;
            break;
        }
        holds(&format!("{retention:?}, {policy:?}"), tokio::time::Instant::now() < deadline)?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Of two changes one is wrong: none is made.
    let refused = change(&admin, &topic, &[("retention.ms", set("a lot")), ("flush.ms", set("7"))]).await?;
    equal("a value that is none", refused, Err(AdminErrorKind::InvalidRequest))?;
    let none = ConfigResource::Topic("no-such-topic".to_owned());
    let mut told = admin.describe_configs([none.clone(), topic.clone()]).await?;
    let error = told.remove(&none).and_then(Result::err).ok_or("it is described")?;
    equal("no such topic", error.kind(), AdminErrorKind::UnknownTopic)?;
    let flush = told.remove(&topic).ok_or("no answer")??.remove("flush.ms").ok_or("no such setting")?;
    equal("the other change", flush.source, ConfigSource::Default)?;

    let cluster = admin.describe_cluster().await?;
    for node in cluster.nodes.keys() {
        let id = setting(&admin, &ConfigResource::Broker(*node), "node.id").await?;
        let told = (id.value, id.source, id.is_read_only);
        equal("a broker's own", told, (Some(node.0.to_string()), ConfigSource::File, true))?;
    }
    let gone = ConfigResource::Broker(NodeId(99));
    let error = admin.describe_configs([gone.clone()]).await?.remove(&gone).and_then(Result::err);
    let code = error.ok_or("it is described")?.code();
    equal("no such broker", code, Some(ErrorCode::BrokerNotAvailable))
}
