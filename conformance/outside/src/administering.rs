//! Topics, groups and offsets.

use std::collections::BTreeMap;

use ottla::{
    Admin, AdminError, CommittedOffset, ErrorCode, IsolationLevel, NodeId, OffsetAndTimestamp, Timestamp,
    TopicPartition,
    admin::{
        AbortTransaction, Address, BrokerVersions, Cluster, ConfigChange, ConfigEntry, ConfigResource,
        ConfigSource, Coordinator, EligibleLeaders, GroupDescription, GroupKind, GroupLags, GroupListing,
        LogRange, MemberDescription, MemberToRemove, NewTopic, Node, OffsetSpec, Partition, ProducerState,
        RecordsBefore, ShareOffset, StreamsMember, StreamsTasks, Topic, TopicId, TransactionDescription,
        TransactionListing,
    },
};

use crate::{ORDERS, Outcome, configuring, equal};

pub(crate) async fn create(servers: &str, name: &str) -> Outcome {
    let admin = configuring::admin(servers).build().await?;
    admin.create_topic(wanted(name)).await?;
    admin.close().await;
    Ok(())
}

/// What is there once a group has read the topic.
pub(crate) async fn all(servers: &str, name: &str) -> Outcome {
    let admin = configuring::admin(servers).build().await?;
    let cluster = admin.describe_cluster().await?;
    let (nodes, controller) = (nodes(&cluster), controller(&cluster));
    equal(controller.is_some_and(|id| nodes.contains_key(&id)), true)?;
    let spoken = admin.describe_versions(nodes.keys().copied()).await?;
    equal(spoken.into_values().flatten().all(|broker| speaks(&broker)), true)?;

    let topics = described(&admin, name).await?;
    let topic = topics.get(name).ok_or("no such topic")?;
    equal(id(topic) == TopicId::default(), false)?;
    equal(error(topic), ErrorCode::None)?;
    let leader = topic.partitions.get(&0).and_then(leader).ok_or("no leader")?;
    equal(nodes.contains_key(&leader), true)?;

    let ends = admin.list_offsets_for(isolation(), [(at(name), end())]).await?;
    let end = ends.into_values().next().ok_or("no end")??.ok_or("no end")?;
    equal(place(&end), (i64::from(ORDERS) + 1, None))?;

    let begins = admin.delete_records([(at(name), before(0))]).await?;
    equal(begins.into_values().next().ok_or("no beginning")??, 0)?;

    let listed = admin.list_groups().await?;
    equal(listed.get(name).map(of_consumers), Some(true))?;
    let group = admin.describe_groups(name).await?.remove(name).ok_or("no such group")??;
    equal(members(&group).len(), 0)?;
    let coordinator = admin.find_coordinator(name).await?;
    equal(coordinates(&coordinator).0, group.coordinator)?;
    let committed = admin.committed_offsets(name).await?;
    equal(committed.get(&at(name)).map(next), Some(i64::from(ORDERS) + 1))?;
    let lags = admin.group_lags(name, IsolationLevel::ReadUncommitted).await?;
    equal(behind(&lags, name).is_some(), true)?;
    equal(lags.logs.into_values().flatten().map(start_of).next(), Some(0))?;
    equal((group.kind, group.is_inactive()), (of_classic_members(), true))?;
    equal(group.members.iter().filter_map(of_streams).count(), 0)?;
    let nobody = admin.remove_members(name, [nobody()]).await?;
    equal(nobody.into_values().all(|removed| removed.is_err()), true)?;
    for (_, transaction) in admin.list_transactions().await? {
        equal(is_listed(&transaction), true)?;
    }
    let unknown = admin.describe_transactions("nobody").await?;
    equal(unknown.into_values().flatten().filter_map(|open| open_since(&open)).count(), 0)?;
    // The embedded broker has no share groups, no configurations, and no account of who may lead though not in sync.
    equal(eligible(&admin, name).await?.len(), 0)?;
    equal(shared(&admin, name).await?.len(), 0)?;
    equal(configured(&admin, name).await?, 0)?;
    let nowhere = AbortTransaction::new((name, 7), 1, 0);
    equal(abort(&admin, nowhere).await.is_err(), true)?;
    for producer in admin.describe_producers([at(name)]).await?.into_values().flatten().flatten() {
        equal(has_open(&producer), false)?;
    }
    admin.close().await;
    Ok(())
}

fn speaks(broker: &BrokerVersions) -> bool {
    broker.apis.contains_key(&ottla::ApiKey::Metadata)
}

fn of_classic_members() -> GroupKind {
    GroupKind::Classic
}

fn nobody() -> MemberToRemove {
    MemberToRemove::Id("nobody".to_owned())
}

fn of_streams(member: &MemberDescription) -> Option<&StreamsTasks> {
    member.streams.as_ref().map(active)
}

fn active(member: &StreamsMember) -> &StreamsTasks {
    &member.tasks
}

fn is_listed(transaction: &TransactionListing) -> bool {
    !transaction.state.is_empty()
}

fn open_since(transaction: &TransactionDescription) -> Option<Timestamp> {
    transaction.started
}

fn has_open(producer: &ProducerState) -> bool {
    producer.transaction_start.is_some()
}

fn behind(lags: &GroupLags, group: &str) -> Option<i64> {
    lags.lag(group, &at(group))
}

fn start_of(log: LogRange) -> i64 {
    log.start
}

async fn abort(admin: &Admin, abort: AbortTransaction) -> Result<(), AdminError> {
    admin.abort_transaction(abort).await
}

/// Who may lead the topic's partitions.
async fn eligible(admin: &Admin, topic: &str) -> Result<Vec<NodeId>, AdminError> {
    let told = admin.eligible_leaders(topic).await?.into_values().flatten().flatten();
    Ok(told.flat_map(|(_, leaders)| those(&leaders)).collect())
}

fn those(leaders: &EligibleLeaders) -> Vec<NodeId> {
    leaders.eligible.clone().unwrap_or_default()
}

/// Where a share group is.
async fn shared(admin: &Admin, group: &str) -> Result<Vec<Option<i64>>, AdminError> {
    let told = admin.share_offsets(group).await?.into_values().flatten().flatten();
    Ok(told.filter_map(|(_, told)| told.ok()).map(|told| start(&told)).collect())
}

fn start(told: &ShareOffset) -> Option<i64> {
    told.start_offset
}

/// What was set of a topic, once one setting is.
async fn configured(admin: &Admin, topic: &str) -> Result<usize, AdminError> {
    let resource = configuration(topic);
    let changes = BTreeMap::from([("retention.ms".to_owned(), longer())]);
    admin.alter_configs([(resource.clone(), changes)]).await?;
    let entries = admin.describe_configs([resource]).await?.into_values().flatten().flatten();
    Ok(entries.filter(|(_, entry)| source(entry) == ConfigSource::Topic).count())
}

fn configuration(topic: &str) -> ConfigResource {
    ConfigResource::Topic(topic.to_owned())
}

fn longer() -> ConfigChange {
    ConfigChange::Set("1000000".to_owned())
}

fn source(entry: &ConfigEntry) -> ConfigSource {
    entry.source
}

pub(crate) fn at(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn wanted(topic: &str) -> NewTopic {
    NewTopic::new(topic).partitions(1).replication_factor(1)
}

fn before(offset: i64) -> RecordsBefore {
    offset.into()
}

/// What is asked about is written outside of transactions.
fn isolation() -> IsolationLevel {
    IsolationLevel::ReadCommitted
}

fn end() -> OffsetSpec {
    OffsetSpec::Latest
}

async fn described(admin: &Admin, name: &str) -> Result<BTreeMap<String, Topic>, AdminError> {
    admin.describe_topics(name).await?.into_iter().map(|(name, topic)| Ok((name, topic?))).collect()
}

fn nodes(cluster: &Cluster) -> BTreeMap<NodeId, &Address> {
    cluster.nodes.iter().map(|(id, node)| (*id, address(node))).collect()
}

fn controller(cluster: &Cluster) -> Option<NodeId> {
    cluster.controller
}

fn address(node: &Node) -> &Address {
    &node.address
}

fn id(topic: &Topic) -> TopicId {
    topic.id
}

fn error(topic: &Topic) -> ErrorCode {
    topic.error
}

fn leader(partition: &Partition) -> Option<NodeId> {
    partition.leader
}

fn place(found: &OffsetAndTimestamp) -> (i64, Option<Timestamp>) {
    (found.offset, found.timestamp)
}

fn next(committed: &CommittedOffset) -> i64 {
    committed.offset
}

fn of_consumers(group: &GroupListing) -> bool {
    group.protocol_type == "consumer"
}

fn members(group: &GroupDescription) -> &[MemberDescription] {
    &group.members
}

fn coordinates(coordinator: &Coordinator) -> (NodeId, &Address) {
    (coordinator.node, &coordinator.address)
}
