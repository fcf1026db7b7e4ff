//! A live group moves from one protocol to the other (KIP-848, the policy `bidirectional`).

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{DecodeError, ErrorCode};

use super::{
    Assignment, ClassicGroup, Turn,
    classic::{Member as ClassicMember, State},
    consumer::{ClassicSide, ConsumerGroup, Member, Owned, Partition, named},
    embedded::Subscription,
};
use crate::Refusal;

/// The group of the consumer protocol that a classic one becomes when a member of that joins it. All keep what they
/// have; who waits for a rebalance is told to join again.
pub(super) fn upgrade(group: &mut ClassicGroup, turn: &mut Turn<'_>) -> Result<ConsumerGroup, Refusal> {
    if group.is_empty() {
        return Ok(ConsumerGroup::new(turn.rules));
    }
    let refuse = |why: &str| {
        let message = format!("Cannot upgrade classic group to consumer group because {why}.");
        Err(Refusal { code: ErrorCode::GroupIdNotFound, message })
    };
    if group.protocol_type() != "consumer" {
        return refuse("the group does not use the consumer embedded protocol");
    }
    if group.members.len() > turn.rules.max_size {
        return refuse("the group size exceeds the consumer group maximum size");
    }
    for member in group.members.values_mut() {
        member.refuse_join(ErrorCode::RebalanceInProgress, turn);
        member.refuse_sync(ErrorCode::RebalanceInProgress, turn);
    }
    let mut upgraded =
        ConsumerGroup { epoch: group.generation_id, target_epoch: group.generation_id, ..Default::default() };
    let mut taken = BTreeSet::new();
    for member in group.members.values() {
        let Ok((subscription, assignment)) = read(group, member) else {
            return refuse("the embedded consumer protocol is malformed");
        };
        if assignment.user_data.is_some_and(|data| !data.is_empty()) {
            return refuse("an unsupported custom assignor is in use");
        }
        let ids = assignment.partitions.iter().filter_map(|(name, index)| {
            let at = (turn.topics.find(name)?.id, *index);
            taken.insert(at).then_some(at)
        });
        let target: BTreeSet<Partition> = ids.collect();
        let side = ClassicSide {
            session_timeout: member.session_timeout,
            protocols: member.protocols.clone(),
            join_deadline: None,
            sync_deadline: None,
        };
        let upgrade = Member {
            instance_id: member.group_instance_id.clone(),
            rack_id: subscription.rack,
            client_id: member.client_id.clone(),
            rebalance_timeout: member.rebalance_timeout,
            names: subscription.topics,
            epoch: group.generation_id,
            previous_epoch: group.generation_id,
            assigned: target.iter().map(|at| (*at, group.generation_id)).collect::<Owned>(),
            classic: Some(side),
            ..Member::new(member.id.clone(), turn.now + member.session_timeout)
        };
        upgraded.target.insert(member.id.clone(), target);
        upgraded.members.insert(member.id.clone(), upgrade);
    }
    // What is known now is what the epoch stands for.
    upgraded.renew(false, turn.topics);
    upgraded.epoch = group.generation_id;
    Ok(upgraded)
}

fn read(group: &ClassicGroup, member: &ClassicMember) -> Result<(Subscription, Assignment), DecodeError> {
    let protocol = group.protocol.as_deref().or(member.protocols.first().map(|(name, _)| name.as_str()));
    let metadata = member.metadata(protocol.unwrap_or_default());
    Ok((Subscription::decode(&metadata)?, Assignment::decode(&member.assignment)?))
}

/// The classic group that one of the consumer protocol becomes when nobody in it speaks that any more.
pub(super) fn downgrade(group: &ConsumerGroup, rebalances: bool, turn: &mut Turn<'_>) -> ClassicGroup {
    let mut members = BTreeMap::new();
    for (id, member) in &group.members {
        let Some(side) = &member.classic else { continue };
        let target = group.target.get(id).into_iter().flatten();
        let downgraded = ClassicMember {
            id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            session_timeout: side.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: side.protocols.clone(),
            assignment: Assignment::encode(&named(target, turn.topics), side.version()),
            is_new: false,
            synced: true,
            joining: None,
            syncing: None,
            expires: Some(turn.now + side.session_timeout),
        };
        members.insert(id.clone(), downgraded);
    }
    let mut downgraded = ClassicGroup {
        state: State::Stable,
        generation_id: group.epoch,
        protocol_type: Some("consumer".to_owned()),
        leader: members.keys().next().cloned(),
        members,
        ..Default::default()
    };
    downgraded.protocol = downgraded.select_protocol();
    if rebalances {
        downgraded.rebalance(turn);
    }
    downgraded
}
