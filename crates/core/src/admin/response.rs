//! From a response to what it adds to the outcome, and what is left to do.

use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Now, Response,
    messages::{
        ConsumerGroupDescribeAssignment, ConsumerGroupDescribeDescribedGroup, DescribeGroupsDescribedGroup,
        FindCoordinatorResponse, ListOffsetsResponse, MetadataResponse, OffsetFetchResponse,
    },
};

use super::{
    Admin, Cluster, Coordinator, Failure, GroupDescription, GroupListing, MemberDescription, Outcome,
    Refusal, Work,
};
use crate::{
    connections::{Kind, Target},
    coordinator,
    group::embedded::Assignment,
    ids::{NodeId, OpId, TopicPartition},
    log,
    metadata::{Metadata, MetadataConfig},
    offsets::{CommittedOffset, OffsetAndTimestamp, known_epoch},
};

/// What a response means for the work that it answers.
pub(super) enum Verdict {
    Done,
    /// The coordinator is known, and the work itself can be sent.
    Found,
    /// An error that may pass. The same work is to be done again, or the part of it that is left.
    Again(ErrorCode, Option<Work>),
    Failed(Failure),
}

impl Verdict {
    /// An error that concerns all of the work.
    fn of(error: ErrorCode, message: Option<String>) -> Self {
        match error {
            ErrorCode::None => Self::Done,
            error if error.is_retriable() => Self::Again(error, None),
            error => Self::Failed(Failure::Refused(Refusal { error, message })),
        }
    }
}

impl<F> Admin<F> {
    pub(super) fn gather(
        &mut self,
        op: OpId,
        work: &Work,
        target: Target,
        response: Response,
        now: Now,
    ) -> Verdict {
        let Some(task) = self.tasks.get_mut(&op) else { return Verdict::Done };
        match (&mut task.gathered, response) {
            (Outcome::Cluster(cluster), Response::Metadata(response)) => {
                *cluster = describe_cluster(response, now);
                Verdict::Done
            }
            (Outcome::Topics(topics), Response::Metadata(response)) => {
                *topics = picture(response, now).topics().clone();
                Verdict::Done
            }
            (Outcome::Changes(changes), response) => gather_changes(changes, work, response),
            (Outcome::Groups(groups), Response::ListGroups(response)) => {
                let Target::Node(coordinator) = target else { return Verdict::Done };
                let told = |text: String| Some(text).filter(|text| !text.is_empty());
                for group in response.groups {
                    let listing = GroupListing {
                        protocol_type: group.protocol_type,
                        state: told(group.group_state),
                        group_type: told(group.group_type),
                        coordinator,
                    };
                    groups.insert(group.group_id, listing);
                }
                Verdict::of(response.error_code, None)
            }
            (Outcome::Coordinator(found), Response::FindCoordinator(response)) => {
                match coordinator(response) {
                    Ok(coordinator) => {
                        *found = coordinator;
                        Verdict::Done
                    }
                    Err(refusal) => Verdict::of(refusal.error, refusal.message),
                }
            }
            (Outcome::GroupDescriptions(groups), Response::DescribeGroups(response)) => {
                let Some(group) = response.groups.into_iter().next() else {
                    return Verdict::of(ErrorCode::UnknownServerError, None);
                };
                if group.error_code.is_retriable() {
                    return self.lost_coordinator(&group.group_id, group.error_code);
                }
                let Target::Node(coordinator) = target else { return Verdict::Done };
                let (id, description) = describe_group(group, coordinator);
                let elsewhere = match &description {
                    Ok(description) => description.state == "Dead",
                    Err(failure) => failure.is(ErrorCode::GroupIdNotFound),
                };
                groups.insert(id.clone(), description);
                // There may be a group of the consumer protocol under this name.
                let key = ApiKey::ConsumerGroupDescribe;
                if elsewhere && self.hub.connections.version(target, Kind::Main, key, i16::MAX).is_ok() {
                    self.put_back(op, Work::DescribeConsumerGroup(id));
                }
                Verdict::Done
            }
            (Outcome::GroupDescriptions(groups), Response::ConsumerGroupDescribe(response)) => {
                let Some(group) = response.groups.into_iter().next() else {
                    return Verdict::of(ErrorCode::UnknownServerError, None);
                };
                if group.error_code.is_retriable() {
                    return self.lost_coordinator(&group.group_id, group.error_code);
                }
                let Target::Node(coordinator) = target else { return Verdict::Done };
                if group.error_code != ErrorCode::GroupIdNotFound {
                    groups.insert(group.group_id.clone(), describe_consumer_group(group, coordinator));
                }
                Verdict::Done
            }
            (Outcome::Committed(offsets), Response::OffsetFetch(response)) => {
                match (gather_committed(offsets, response), work) {
                    (Err(error), Work::Committed { group, .. }) if error.is_retriable() => {
                        self.lost_coordinator(group, error)
                    }
                    (Err(error), _) => Verdict::of(error, None),
                    (Ok(()), _) => Verdict::Done,
                }
            }
            (Outcome::Offsets(_), Response::ListOffsets(response)) => self.gather_offsets(op, work, response),
            _ => Verdict::of(ErrorCode::UnknownServerError, Some("an answer to another question".to_owned())),
        }
    }

    /// The group may have another coordinator by now.
    fn lost_coordinator(&mut self, group: &str, error: ErrorCode) -> Verdict {
        self.coordinators.remove(group);
        Verdict::Again(error, None)
    }

    pub(super) fn learn_coordinator(&mut self, group: String, response: FindCoordinatorResponse) -> Verdict {
        match coordinator(response) {
            Ok(Coordinator { node, address }) => {
                self.hub.metadata.learn_node(node, address);
                self.coordinators.insert(group, node);
                Verdict::Found
            }
            Err(refusal) => Verdict::of(refusal.error, refusal.message),
        }
    }

    fn gather_offsets(&mut self, op: OpId, work: &Work, response: ListOffsetsResponse) -> Verdict {
        let Work::Offsets { queries, read_committed } = work else { return Verdict::Done };
        let mut left: BTreeMap<&TopicPartition, i64> = queries.iter().map(|(at, time)| (at, *time)).collect();
        let mut again = None;
        for topic in response.topics {
            for found in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), found.partition_index);
                if found.error_code.is_retriable() {
                    again = Some(found.error_code);
                    continue;
                }
                if left.remove(&at).is_some() {
                    let offset = OffsetAndTimestamp::told(&found);
                    let refused = |error| Failure::Refused(Refusal { error, message: None });
                    self.gather_offset(op, at, found.error_code.ok().map(|()| offset).map_err(refused));
                }
            }
        }
        if left.is_empty() {
            return Verdict::Done;
        }
        let queries = left.into_iter().map(|(at, time)| (at.clone(), time)).collect();
        let rest = Work::Offsets { queries, read_committed: *read_committed };
        Verdict::Again(again.unwrap_or(ErrorCode::UnknownServerError), Some(rest))
    }
}

fn describe_cluster(response: MetadataResponse, now: Now) -> Cluster {
    let id = response.cluster_id.clone();
    let picture = picture(response, now);
    Cluster { id, controller: picture.controller(), nodes: picture.nodes().clone() }
}

/// The metadata of this answer alone, without anything remembered of others.
fn picture(response: MetadataResponse, now: Now) -> Metadata {
    let mut picture = Metadata::new(MetadataConfig::default(), Vec::new(), 0, now);
    picture.handle_response(response, now);
    picture
}

/// Takes the answer for each topic. Topics that a broker refused because it is not the controller, or for a quota,
/// go again.
fn gather_changes(
    changes: &mut BTreeMap<String, Result<(), Refusal>>,
    work: &Work,
    response: Response,
) -> Verdict {
    type Answer = (String, ErrorCode, Option<String>);
    let answers: Vec<Answer> = match response {
        Response::CreateTopics(response) => {
            response.topics.into_iter().map(|t| (t.name, t.error_code, t.error_message)).collect()
        }
        Response::DeleteTopics(response) => response
            .responses
            .into_iter()
            .map(|t| (t.name.unwrap_or_default(), t.error_code, t.error_message))
            .collect(),
        Response::CreatePartitions(response) => {
            response.results.into_iter().map(|t| (t.name, t.error_code, t.error_message)).collect()
        }
        _ => return Verdict::of(ErrorCode::UnknownServerError, None),
    };
    let mut again = None;
    for (name, error, message) in answers {
        match error {
            ErrorCode::NotController | ErrorCode::ThrottlingQuotaExceeded => again = Some(error),
            error => {
                let result = error.ok().map_err(|error| Refusal { error, message });
                if let Err(why) = &result {
                    let api = work.api().0;
                    tracing::info!(target: log::ADMIN, ?api, topic = name, %why, "refused for good");
                }
                changes.insert(name, result);
            }
        }
    }
    let decided = |name: &str| changes.contains_key(name);
    match again {
        None => Verdict::Done,
        Some(error) => Verdict::Again(error, Some(without(work, decided))),
    }
}

fn without(work: &Work, decided: impl Fn(&str) -> bool) -> Work {
    let mut work = work.clone();
    match &mut work {
        Work::CreateTopics { topics, .. } => topics.retain(|topic| !decided(&topic.name)),
        Work::DeleteTopics(names) => names.retain(|name| !decided(name)),
        Work::CreatePartitions(counts) => counts.retain(|name, _| !decided(name)),
        _ => {}
    }
    work
}

fn coordinator(response: FindCoordinatorResponse) -> Result<Coordinator, Refusal> {
    match coordinator::found(response) {
        Ok((node, address)) => Ok(Coordinator { node, address }),
        Err((error, message)) => Err(Refusal { error, message }),
    }
}

fn describe_group(
    group: DescribeGroupsDescribedGroup,
    coordinator: NodeId,
) -> (String, Result<GroupDescription, Failure>) {
    if let Err(error) = group.error_code.ok() {
        let refusal = Refusal { error, message: group.error_message };
        return (group.group_id, Err(Failure::Refused(refusal)));
    }
    let consumers = group.protocol_type == "consumer";
    let members = group.members.into_iter().map(|member| MemberDescription {
        assignment: match consumers {
            true => Assignment::decode(&member.member_assignment).unwrap_or_default().partitions,
            false => Vec::new(),
        },
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
    });
    let description = GroupDescription {
        members: members.collect(),
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        coordinator,
    };
    (group.group_id, Ok(description))
}

/// Describes a group of the consumer protocol in the form of a classic one.
fn describe_consumer_group(
    group: ConsumerGroupDescribeDescribedGroup,
    coordinator: NodeId,
) -> Result<GroupDescription, Failure> {
    let refused = |error| Failure::Refused(Refusal { error, message: group.error_message });
    group.error_code.ok().map_err(refused)?;
    let partitions = |assignment: ConsumerGroupDescribeAssignment| {
        let topics = assignment.topic_partitions.into_iter();
        let each = topics.flat_map(|topic| {
            let name = topic.topic_name;
            topic.partitions.into_iter().map(move |number| TopicPartition::new(name.clone(), number))
        });
        each.collect()
    };
    let members = group.members.into_iter().map(|member| MemberDescription {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: partitions(member.assignment),
    });
    Ok(GroupDescription {
        members: members.collect(),
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        protocol: group.assignor_name,
        coordinator,
    })
}

fn gather_committed(
    offsets: &mut BTreeMap<TopicPartition, CommittedOffset>,
    response: OffsetFetchResponse,
) -> Result<(), ErrorCode> {
    let mut add = |topic: &str, partition, offset, epoch, metadata: Option<String>, error: ErrorCode| {
        error.ok()?;
        if offset >= 0 {
            let committed = CommittedOffset::new(offset)
                .with_leader_epoch(known_epoch(epoch))
                .with_metadata(metadata.unwrap_or_default());
            offsets.insert(TopicPartition::new(topic, partition), committed);
        }
        Ok(())
    };
    // Up to version 7.
    response.error_code.ok()?;
    for topic in response.topics {
        for p in topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            add(&topic.name, p.partition_index, offset, epoch, p.metadata, p.error_code)?;
        }
    }
    // From version 8 on.
    for group in response.groups {
        group.error_code.ok()?;
        for topic in group.topics {
            for p in topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                add(&topic.name, p.partition_index, offset, epoch, p.metadata, p.error_code)?;
            }
        }
    }
    Ok(())
}
