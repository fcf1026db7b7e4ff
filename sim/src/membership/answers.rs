//! What the coordinator tells a member, as it stands on the wire.

use std::time::Duration;

use ottla_core::TopicPartition;
use ottla_protocol::{
    ErrorCode, Response,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatTopicPartitions, ConsumerProtocolAssignment,
        OffsetCommitResponse, decode_embedded,
    },
};

use super::Membership;
use crate::{holdings::Holdings, host::Awaited, truth::Truth};

impl Membership {
    /// An answer comes. `closed`: its user has closed it.
    pub(crate) fn observe(
        &mut self,
        awaited: Awaited,
        response: &Response,
        (owned, closed): (&Holdings, bool),
        time: Duration,
        truth: &mut Truth,
    ) {
        let before = self.told;
        self.note_heard(awaited, response, closed, truth);
        self.follow(awaited, response, owned, truth);
        if self.told != before {
            self.told_at = time;
        }
    }

    /// The coordinator has heard of a static member.
    fn note_heard(&self, awaited: Awaited, response: &Response, closed: bool, truth: &mut Truth) {
        let Some(instance) = self.instance.clone() else { return };
        // Who has joined has to ask for his assignment in time, whatever else he sends.
        let is_heard = match response {
            Response::SyncGroup(sync) => sync.error_code.is_ok(),
            Response::Heartbeat(beat) => beat.error_code.is_ok() && self.synced,
            _ => false,
        };
        // One that closes for good may leave before an answer to what it asked before comes.
        if is_heard && !closed {
            truth.heard.insert(instance, awaited.sent);
        }
    }

    fn follow(&mut self, awaited: Awaited, response: &Response, owned: &Holdings, truth: &Truth) {
        let current = awaited.generation_id == self.generation_id;
        match response {
            // One that has asked again does not know the answer to the question before.
            Response::JoinGroup(_) if awaited.id != self.asked_to_join => {}
            Response::JoinGroup(join) => match join.error_code {
                ErrorCode::None => {
                    // A generation without it, in which what it has may have been another's (KIP-345).
                    self.warned |= self.is_static() && join.generation_id > self.generation_id + 1;
                    self.generation_id = join.generation_id;
                    self.joined_by = awaited.id;
                }
                error => self.over(error, owned),
            },
            // One that joins again does not follow what came of it before, nor of a question that it has asked again.
            Response::SyncGroup(_) if !self.syncing || awaited.id != self.asked_to_sync => {}
            Response::SyncGroup(sync) if sync.error_code.is_ok() => {
                self.synced = true;
                self.keeps(&shared_out(&sync.assignment), owned);
            }
            Response::ConsumerGroupHeartbeat(heartbeat) if heartbeat.error_code.is_ok() => {
                self.generation_id = heartbeat.member_epoch;
                if let Some(assignment) = &heartbeat.assignment {
                    self.keeps(&named(assignment, truth), owned);
                }
            }
            Response::SyncGroup(sync) => self.over(sync.error_code, owned),
            Response::ConsumerGroupHeartbeat(heartbeat) => self.over(heartbeat.error_code, owned),
            Response::OffsetCommit(commit) => self.follow_commit(awaited, commit, owned),
            // The join of one that keeps its partitions may have made the next generation: the answer is on its way.
            Response::Heartbeat(heartbeat)
                if heartbeat.error_code == ErrorCode::IllegalGeneration
                    && self.is_incremental
                    && !self.syncing =>
            {
                self.warned = true;
            }
            Response::Heartbeat(heartbeat) if current && awaited.id > self.joined_by => {
                self.over(heartbeat.error_code, owned);
            }
            _ => {}
        }
    }

    fn follow_commit(&mut self, awaited: Awaited, commit: &OffsetCommitResponse, owned: &Holdings) {
        // A member that commits, and is none. One that keeps its partitions may have been overtaken by the next
        // generation, which is its own, too; and under the consumer protocol heartbeats have the last word. A static
        // member that joins anew may be back in the generation that it left.
        let known = [self.generation_id, self.joined_generation_id].contains(&awaited.generation_id);
        if !known || awaited.id < self.joined_by {
            self.warned = true;
            return;
        }
        let codes = commit.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
        for code in codes.filter(|code| !code.is_ok() && *code != ErrorCode::RebalanceInProgress) {
            let may_pass = code == ErrorCode::IllegalGeneration && self.is_incremental;
            match may_pass || self.follows_broker {
                true => self.warned = true,
                false => self.over(code, owned),
            }
        }
    }

    /// An error may end a membership, or a generation.
    fn over(&mut self, error: ErrorCode, owned: &Holdings) {
        let over = match error {
            ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::FencedInstanceId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound => true,
            ErrorCode::RebalanceInProgress => !self.is_incremental,
            _ => false,
        };
        if over && !owned.is_empty() {
            self.told = Some(error);
        }
        // Who is no member has nothing to leave.
        if over {
            self.says_goodbye();
        }
    }

    /// These are its own from here on, and of what it has nothing else.
    fn keeps(&mut self, assigned: &[TopicPartition], owned: &Holdings) {
        (self.told, self.warned) = (None, false);
        self.withdrawn = owned.partitions().filter(|at| !assigned.contains(at)).cloned().collect();
    }
}

/// What the leader of a classic group gave: nothing, where there are no bytes.
fn shared_out(assignment: &[u8]) -> Vec<TopicPartition> {
    let given: ConsumerProtocolAssignment = decode_embedded(assignment).unwrap_or_default();
    let of_topic = given.assigned_partitions.into_iter().flat_map(|given| {
        let at = move |partition| TopicPartition::new(given.topic.as_str(), partition);
        given.partitions.into_iter().map(at)
    });
    of_topic.collect()
}

/// The partitions of an assignment by their names.
fn named(assignment: &ConsumerGroupHeartbeatAssignment, truth: &Truth) -> Vec<TopicPartition> {
    let topics = assignment.topic_partitions.iter();
    let of = |topic: &ConsumerGroupHeartbeatTopicPartitions| {
        let name = truth.topic_ids.get(&topic.topic_id).cloned().unwrap_or_default();
        let numbers = topic.partitions.clone().into_iter();
        numbers.map(move |partition| TopicPartition::new(name.clone(), partition)).collect::<Vec<_>>()
    };
    topics.flat_map(of).collect()
}
