//! How a member of a classic group takes its coordinator's answers, and requests without an answer.

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{HeartbeatResponse, JoinGroupResponse, SyncGroupResponse},
};

use super::{ClassicMember, leader};
use crate::{
    coordinator::Coordinator,
    group::{ClassicState, GroupNews, LastAssignment, embedded::Assignment},
    ids::RequestId,
    log::{self, refused},
    planted::Planted,
};

impl ClassicMember {
    /// The answer to JoinGroup.
    pub(in crate::group) fn handle_join(
        &mut self,
        id: RequestId,
        response: JoinGroupResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        if self.request != Some(id) || self.state != ClassicState::Joining {
            return GroupNews::None;
        }
        self.request = None;
        match response.error_code {
            ErrorCode::None => {
                let left_out = self.was_left_out(response.generation_id);
                self.reason = None;
                if self.member_id != response.member_id {
                    self.named_by = self.joins_at;
                }
                self.member_id.clone_from(&response.member_id);
                self.generation_id = response.generation_id;
                self.protocol.clone_from(&response.protocol_name);
                if self.is_cooperative() {
                    self.pulse.quicken(now.mono);
                }
                self.heartbeat_due = self.pulse.next(now.mono);
                self.shared_out.clear();
                self.shared =
                    if self.comes_back { leader::Shared::Unasked } else { leader::Shared::Unwatched };
                let leads = response.leader == self.member_id;
                // A static leader that came back is told not to assign anew (KIP-814).
                let shares_out = leads && !response.skip_assignment;
                self.task = leads.then(|| leader::Task::new(response));
                self.transition_to(
                    if shares_out { ClassicState::Assigning } else { ClassicState::Syncing },
                    now,
                );
                if left_out {
                    self.last.partitions.clear();
                    return GroupNews::Lost;
                }
                GroupNews::None
            }
            ErrorCode::MemberIdRequired => {
                // Once is the protocol's (KIP-394). Who requires another each time would be asked without end.
                let again = !self.member_id.is_empty();
                self.member_id = response.member_id;
                if again {
                    self.back_off(ErrorCode::MemberIdRequired, now);
                }
                GroupNews::None
            }
            // The partitions that the member owns are of a generation that is over.
            error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)
                if self.generation_id >= 0 && self.is_cooperative() =>
            {
                self.lost(error, now)
            }
            ErrorCode::UnknownMemberId => self.join_as_another(ErrorCode::UnknownMemberId, now),
            error if self.is_fenced_by_its_past(error, coordinator) => self.join_as_another(error, now),
            error => self.refused(error, coordinator, now),
        }
    }

    /// Whether it is fenced as another broker than the coordinator gave it its id, and no SyncGroup has succeeded since. A broker
    /// that was frozen goes on as a coordinator until it hears that it is none: it expires its members and gives
    /// static ones new ids, which nobody else ever hears of. The coordinator then takes the member for somebody
    /// else with its `group.instance.id`, whatever the member asks.
    fn is_fenced_by_its_past(&self, error: ErrorCode, coordinator: &Coordinator) -> bool {
        error == ErrorCode::FencedInstanceId
            && self.named_by.is_some_and(|broker| coordinator.node() != Some(broker))
    }

    /// JoinGroup was refused for the member id: the member joins without one.
    fn join_as_another(&mut self, error: ErrorCode, now: Now) -> GroupNews {
        self.tell_refused(ApiKey::JoinGroup, error);
        self.forget_member();
        self.back_off(error, now);
        GroupNews::None
    }

    /// The answer to SyncGroup.
    pub(in crate::group) fn handle_sync(
        &mut self,
        id: RequestId,
        response: SyncGroupResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        if self.request != Some(id) || self.state != ClassicState::Syncing {
            return GroupNews::None;
        }
        self.request = None;
        match response.error_code {
            ErrorCode::None => match Assignment::decode(&response.assignment) {
                Ok(Assignment { mut partitions, .. }) => {
                    // Not before: who joins time and again, and gets nowhere, has the whole group do so.
                    self.attempts.reset();
                    self.in_vain = false;
                    self.named_by = None;
                    self.pulse.confirm_as_of(self.since);
                    self.transition_to(ClassicState::Reconciling, now);
                    let assigned = partitions.len();
                    partitions.retain(|at| at.partition >= 0 && self.interest.wants(&at.topic));
                    // Whoever assigns one twice means it once.
                    partitions.sort_unstable();
                    partitions.dedup();
                    if self.comes_back && partitions.len() < assigned {
                        self.reason = Some("came back with another subscription".to_owned());
                        self.rejoins = true;
                    }
                    let generation_id = self.generation_id;
                    self.last = LastAssignment { partitions: partitions.clone(), generation_id };
                    GroupNews::Assigned(partitions)
                }
                // The leader's assignment cannot be decoded. The next generation may have another leader.
                Err(_) => {
                    self.join_again(now);
                    self.back_off(ErrorCode::CorruptMessage, now);
                    GroupNews::None
                }
            },
            ErrorCode::RebalanceInProgress => self.join_again(now),
            error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                self.lost_on_the_way(error, now)
            }
            error if self.is_fenced_by_its_past(error, coordinator) => self.lost_on_the_way(error, now),
            error => self.refused(error, coordinator, now),
        }
    }

    /// JoinGroup or SyncGroup was refused with any other error: the member joins again, or fails for good.
    fn refused(&mut self, error: ErrorCode, coordinator: &mut Coordinator, now: Now) -> GroupNews {
        coordinator.heard(error, now);
        match error {
            ErrorCode::IllegalGeneration => self.forget_generation(),
            ErrorCode::RebalanceInProgress | ErrorCode::UnknownServerError => {}
            error if error.is_retriable() => {}
            error => return self.fail(error, now),
        }
        let joining = self.state == ClassicState::Joining;
        self.tell_refused(if joining { ApiKey::JoinGroup } else { ApiKey::SyncGroup }, error);
        if !joining {
            self.join_again(now);
        }
        self.back_off(error, now);
        GroupNews::None
    }

    /// Tells the log, once, however often the request is sent.
    fn tell_refused(&self, api: ApiKey, error: ErrorCode) {
        if self.attempts.is_news(error) {
            refused!(log::GROUP, api, error, member = self.member_id);
        }
    }

    /// Whether a heartbeat was sent in another generation than the member is in now.
    fn is_of_another(&self, generation_id: i32) -> bool {
        generation_id != self.generation_id && !self.plot.has(Planted::StaleHeartbeatCounts)
    }

    /// Whether this is the heartbeat that waits for its answer, and says something of the generation that the member is in.
    pub(in crate::group) fn is_heartbeat(&self, id: RequestId) -> bool {
        self.heartbeat.is_some_and(|(sent, generation_id)| sent == id && !self.is_of_another(generation_id))
    }

    /// The answer to a heartbeat.
    pub(in crate::group) fn handle_heartbeat(
        &mut self,
        id: RequestId,
        response: HeartbeatResponse,
        coordinator: &mut Coordinator,
        now: Now,
    ) -> GroupNews {
        let Some((_, generation_id)) = self.heartbeat.take_if(|(sent, _)| *sent == id) else {
            return GroupNews::None;
        };
        let stale = self.is_of_another(generation_id);
        // `IllegalGeneration` may speak of the generation that the member's own JoinGroup has begun, whose answer
        // is on its way.
        let gone = match response.error_code {
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.owns_while_joining(),
            ErrorCode::IllegalGeneration => self.owns_while_joining() && self.request.is_none(),
            _ => false,
        };
        if stale || !(self.state.beats() || gone) {
            return GroupNews::None;
        }
        if matches!(response.error_code, ErrorCode::None | ErrorCode::RebalanceInProgress) {
            self.pulse.confirm();
        }
        match response.error_code {
            ErrorCode::None => {
                self.attempts.note(None);
                GroupNews::None
            }
            ErrorCode::RebalanceInProgress if self.plot.has(Planted::RebalanceIsIgnored) => GroupNews::None,
            // On its way into the generation, the member is told the same by the answer to SyncGroup.
            ErrorCode::RebalanceInProgress
                if matches!(self.state, ClassicState::Assigning | ClassicState::Syncing) =>
            {
                GroupNews::None
            }
            ErrorCode::RebalanceInProgress => self.begin_rebalance(now),
            error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => self.lost(error, now),
            error if self.is_fenced_by_its_past(error, coordinator) => self.lost_on_the_way(error, now),
            error @ (ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.attempts.note(error);
                coordinator.forget(error, now);
                self.heartbeat_due = now.mono;
                GroupNews::None
            }
            error if error.is_retriable() => {
                self.tell_refused(ApiKey::Heartbeat, error);
                self.attempts.note(error);
                GroupNews::None
            }
            error => self.fail(error, now),
        }
    }

    /// The answer to LeaveGroup. Whatever it says, the member is out.
    pub(in crate::group) fn handle_leave(&mut self, id: RequestId, now: Now) {
        if self.request == Some(id) && self.state == ClassicState::Leaving {
            self.tell_left(true);
            self.left(now);
        }
    }

    /// A request will not be answered.
    pub(in crate::group) fn handle_unanswered(&mut self, id: RequestId, now: Now) {
        if self.heartbeat.take_if(|(sent, _)| *sent == id).is_some() {
            self.heartbeat_due = now.mono + self.attempts.backoff().first;
        }
        if self.request == Some(id) {
            match self.state {
                // One attempt is enough: without heartbeats the session will expire.
                ClassicState::Leaving => {
                    self.tell_left(false);
                    self.left(now);
                }
                ClassicState::Syncing => {
                    self.join_again(now);
                    self.back_off(None, now);
                }
                _ => {
                    if self.state == ClassicState::Joining && self.comes_back {
                        self.given_up_join = Some(now.mono);
                    }
                    self.back_off(None, now);
                }
            }
        }
    }
}
