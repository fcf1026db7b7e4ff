//! The requests of a member of a classic group to its coordinator.

use std::time::Duration;

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{
        DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol,
        LeaveGroupMemberIdentity, LeaveGroupRequest, SyncGroupRequest,
    },
};

use super::{ClassicMember, leader};
use crate::{
    connections::Kind,
    coordinator::ToCoordinator,
    group::{Assignor, ClassicState, embedded::Subscription, interest::Owned, millis},
    ids::RequestId,
    planted::Planted,
};

/// How long the pause of [`Planted::JoinsAfterAPause`] is.
const PAUSE: Duration = Duration::from_secs(4);

type Sent = Result<Option<RequestId>, ErrorCode>;

impl ClassicMember {
    pub(in crate::group) fn poll_send(
        &mut self,
        to: &mut ToCoordinator<'_>,
        owned: Owned<'_>,
        may_join: bool,
    ) -> Result<Vec<RequestId>, ErrorCode> {
        let mut sent = Vec::new();
        if self.state == ClassicState::Assigning {
            self.share_out(to.metadata, to.now);
        }
        if self.request.is_none() && self.attempts.is_due(to.now) {
            self.request = match self.state {
                ClassicState::Joining if self.lingers(to.now) => None,
                ClassicState::Joining if may_join && self.knows_its_topics() => self.send_join(to, owned)?,
                ClassicState::Syncing => self.send_sync(to)?,
                ClassicState::Leaving => self.send_leave(to)?,
                ClassicState::Stable if self.shared == leader::Shared::Unasked => self.send_describe(to)?,
                _ => None,
            };
            sent.extend(self.request);
        }
        let busy = matches!(self.state, ClassicState::Revoking | ClassicState::Reconciling);
        let holds = busy && self.plot.has(Planted::HandoverHoldsHeartbeats);
        if self.state.beats() && self.heartbeat.is_none() && self.heartbeat_due <= to.now.mono && !holds {
            sent.extend(self.send_heartbeat(to)?);
        }
        Ok(sent)
    }

    fn lingers(&self, now: Now) -> bool {
        self.plot.has(Planted::JoinsAfterAPause) && self.generation_id >= 0 && now.mono < self.since + PAUSE
    }

    /// How long JoinGroup may stay without an answer. The coordinator answers when the slowest member has joined,
    /// and `request.timeout.ms` may be shorter than that.
    fn held(&self, to: &ToCoordinator<'_>) -> Option<Duration> {
        let rebalance = self.config.rebalance_timeout() + Duration::from_secs(5);
        Some(rebalance.max(to.connections.request_timeout()))
    }

    fn send_join(&mut self, to: &mut ToCoordinator<'_>, owned: Owned<'_>) -> Sent {
        let Some(open) = to.open(Kind::Join, ApiKey::JoinGroup, i16::MAX)? else { return Ok(None) };
        let cooperative = self.is_cooperative();
        let wishes = Subscription {
            topics: self.interest.topics.iter().cloned().collect(),
            owned: if cooperative { owned() } else { Vec::new() },
            // The coordinator rebalances only if a follower's JoinGroup differs from its last. Where nothing else
            // has changed, the generation makes the difference.
            generation_id: self.last.generation_id,
            rack: self.config.rack.clone(),
            user_data: None,
        };
        let protocol = |assignor: &dyn Assignor| {
            let wishes = Subscription { user_data: assignor.user_data(&self.last), ..wishes.clone() };
            JoinGroupRequestProtocol { name: assignor.name().to_owned(), metadata: wishes.encode() }
        };
        let request = JoinGroupRequest {
            group_id: self.config.id.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout()),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: self.config.assignors.iter().map(|assignor| protocol(assignor.as_ref())).collect(),
            reason: self.reason.clone(),
        };
        self.task = None;
        self.joins_at = to.coordinator.node();
        self.comes_back = self.member_id.is_empty() && self.config.instance_id.is_some();
        let held = self.held(to);
        Ok(Some(to.send(open, request, held)))
    }

    fn send_sync(&mut self, to: &mut ToCoordinator<'_>) -> Sent {
        let Some(open) = to.open(Kind::Join, ApiKey::SyncGroup, i16::MAX)? else { return Ok(None) };
        let request = SyncGroupRequest {
            group_id: self.config.id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: self.protocol.clone(),
            assignments: self.shared_out.clone(),
        };
        // The coordinator holds SyncGroup only until the leader has assigned. A member that times out and joins
        // again before that is told the same generation.
        Ok(Some(to.send(open, request, None)))
    }

    fn send_describe(&self, to: &mut ToCoordinator<'_>) -> Sent {
        let Some(open) = to.open(Kind::Main, ApiKey::DescribeGroups, i16::MAX)? else { return Ok(None) };
        let groups = vec![self.config.id.clone()];
        Ok(Some(to.send(open, DescribeGroupsRequest { groups, ..Default::default() }, None)))
    }

    fn send_leave(&mut self, to: &mut ToCoordinator<'_>) -> Sent {
        let Some(open) = to.open(Kind::Main, ApiKey::LeaveGroup, i16::MAX)? else { return Ok(None) };
        let request = LeaveGroupRequest {
            group_id: self.config.id.clone(),
            member_id: self.member_id.clone(),
            members: vec![LeaveGroupMemberIdentity {
                member_id: self.member_id.clone(),
                group_instance_id: self.config.instance_id.clone(),
                reason: None,
            }],
        };
        Ok(Some(to.send(open, request, None)))
    }

    fn send_heartbeat(&mut self, to: &mut ToCoordinator<'_>) -> Sent {
        let Some(open) = to.open(Kind::Main, ApiKey::Heartbeat, i16::MAX)? else { return Ok(None) };
        let request = HeartbeatRequest {
            group_id: self.config.id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
        };
        // A heartbeat that takes longer than the session cannot keep the session alive.
        let id = to.send(open, request, Some(self.config.session_timeout));
        self.heartbeat = Some((id, self.generation_id));
        self.heartbeat_due = self.pulse.beat(to.now.mono);
        if self.plot.has(Planted::BeatsTooRarely) {
            self.heartbeat_due += (self.heartbeat_due - to.now.mono) * 9;
        }
        Ok(Some(id))
    }
}
