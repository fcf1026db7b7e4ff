//! How a member under the consumer protocol takes its coordinator's answers, and heartbeats without an answer.

use std::{collections::BTreeMap, time::Duration};

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatResponse},
};

use super::ConsumerMember;
use crate::{
    coordinator::Coordinator,
    group::{ConsumerState, GroupNews},
    ids::RequestId,
    log::{self, refused},
    planted::Planted,
};

/// The longest session that brokers allow by default (`group.consumer.max.session.timeout.ms`).
const LONGEST_SESSION: Duration = Duration::from_secs(60);

/// No coordinator is in need of more heartbeats: Kafka's default is one in 5 s.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

impl ConsumerMember {
    /// Whether this is the heartbeat that waits for its answer.
    pub(in crate::group) fn is_heartbeat(&self, id: RequestId) -> bool {
        self.heartbeat == Some(id)
    }

    /// The answer to a heartbeat.
    pub(in crate::group) fn handle_heartbeat(
        &mut self,
        id: RequestId,
        response: ConsumerGroupHeartbeatResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        if self.heartbeat.take_if(|sent| *sent == id).is_none() {
            return GroupNews::None;
        }
        if self.state == ConsumerState::Leaving {
            if response.error_code.is_ok() {
                // If the instance id is taken after this, another consumer has it.
                self.holds_id_until = None;
            }
            self.tell_left(true);
            self.left(now);
            return GroupNews::None;
        }
        match response.error_code {
            ErrorCode::None => self.handle_success(response, now),
            error => self.refused(error, coordinator, now),
        }
    }

    fn handle_success(&mut self, response: ConsumerGroupHeartbeatResponse, now: Now) -> GroupNews {
        self.attempts.reset();
        self.pulse.confirm();
        self.in_vain &= self.epoch != response.member_epoch;
        self.holds_id_until = Some(now.mono + LONGEST_SESSION);
        if let Some(id) = response.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id;
        }
        if let Ok(millis) = u64::try_from(response.heartbeat_interval_ms) {
            self.pulse.interval = Duration::from_millis(millis).max(SHORTEST_INTERVAL);
        }
        if self.epoch != response.member_epoch {
            self.epoch = response.member_epoch;
            self.pulse.quicken(now.mono);
            self.due = self.due.min(self.pulse.next(now.mono));
        }
        let joined = self.state == ConsumerState::Joining;
        let assignment =
            response.assignment.or_else(|| joined.then(ConsumerGroupHeartbeatAssignment::default));
        let Some(assignment) = assignment else { return GroupNews::None };
        let topics = assignment.topic_partitions.into_iter();
        let target: BTreeMap<_, _> = topics.map(|topic| (topic.topic_id, sorted(topic.partitions))).collect();
        if joined || target != self.target {
            self.target = target;
            self.announced = false;
            if self.state != ConsumerState::Reconciling {
                self.transition_to(ConsumerState::Reconciling, now);
            }
        }
        GroupNews::None
    }

    fn refused(&mut self, error: ErrorCode, coordinator: &mut Coordinator, now: Now) -> GroupNews {
        let news = self.attempts.is_news(error);
        self.attempts.note(error);
        match error {
            ErrorCode::GroupIdNotFound if self.plot.has(Planted::MissingGroupIsIgnored) => {}
            // Who is not in the group yet has nothing to lose, and would be refused without end.
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch
                if self.state == ConsumerState::Joining =>
            {
                self.back_off(error, now);
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => return self.fenced(error, now),
            // The group is gone, or is a classic one by now. It had this member once, so the member tries to join again.
            ErrorCode::GroupIdNotFound if self.epoch > 0 => return self.fenced(error, now),
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                coordinator.forget(error, now);
                self.full = true;
            }
            // An earlier epoch of this very member holds the instance id, until its session is over.
            ErrorCode::UnreleasedInstanceId if self.holds_id_until.is_some_and(|until| now.mono < until) => {
                self.back_off(error, now);
            }
            ErrorCode::TopicAuthorizationFailed | ErrorCode::UnknownServerError => self.back_off(error, now),
            error if error.is_retriable() => self.back_off(error, now),
            error => return self.fail(error, now),
        }
        if news {
            refused!(log::GROUP, ApiKey::ConsumerGroupHeartbeat, error, member = self.member_id);
        }
        GroupNews::None
    }

    fn fenced(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        if self.plot.has(Planted::FencedMemberGoesOn) {
            return GroupNews::None;
        }
        let (member, epoch) = (&self.member_id, self.epoch);
        tracing::warn!(target: log::GROUP, member, generation = epoch, %error, "fenced");
        self.transition_to(ConsumerState::Fenced, now);
        self.forget_epoch();
        match std::mem::replace(&mut self.in_vain, true) {
            false => self.attempts.hurry(),
            true => self.back_off(error, now),
        }
        GroupNews::Lost
    }

    /// A heartbeat will not be answered. The coordinator may or may not have read it, so the next one says everything.
    pub(in crate::group) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if self.heartbeat.take_if(|sent| *sent == id).is_none() {
            return;
        }
        match self.state {
            // One attempt is enough: without heartbeats the session will expire.
            ConsumerState::Leaving => {
                self.tell_left(false);
                self.left(now);
            }
            _ => self.back_off(None, now),
        }
    }
}

/// In order, each once, and none that cannot be.
fn sorted(mut partitions: Vec<i32>) -> Vec<i32> {
    partitions.retain(|partition| *partition >= 0);
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}
