//! A member of a group.

use std::time::{Duration, Instant};

use ottla_protocol::{
    ErrorCode,
    messages::{
        DescribeGroupsDescribedGroupMember, JoinGroupResponse, JoinGroupResponseMember, SyncGroupResponse,
    },
};

use crate::{
    ConnId, MemberView,
    groups::{Assignment, Turn},
};

/// The names of assignors and what a member tells each, in the order of its preference.
pub(crate) type Protocols = Vec<(String, Vec<u8>)>;

/// A request to join.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) wait: JoinWait,
    pub(crate) member_id: String,
    /// The id that it gets if it is to have a new one.
    pub(crate) new_member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Protocols,
}

/// A JoinGroup that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinWait {
    pub(crate) conn: ConnId,
    pub(crate) version: i16,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocols: Protocols,
    pub(crate) assignment: Vec<u8>,
    /// Whether it never was in a generation. It cannot send heartbeats, as it does not know its id.
    pub(crate) is_new: bool,
    /// Whether it asked for its assignment of this generation.
    pub(crate) synced: bool,
    pub(crate) joining: Option<JoinWait>,
    pub(crate) syncing: Option<ConnId>,
    /// When its session ends. None while it waits for others.
    pub(crate) expires: Option<Instant>,
}

impl Member {
    pub(crate) fn new(id: String, join: Join, expires: Instant) -> Self {
        Self {
            id,
            group_instance_id: join.group_instance_id,
            client_id: join.client_id,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols,
            assignment: Vec::new(),
            is_new: true,
            synced: false,
            joining: Some(join.wait),
            syncing: None,
            expires: Some(expires),
        }
    }

    /// Takes over what a later JoinGroup says. Of an earlier one that still waits nobody hears, as in Kafka.
    pub(crate) fn update(&mut self, join: Join) {
        self.client_id = join.client_id;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        self.protocols = join.protocols;
        self.joining = Some(join.wait);
    }

    /// It has shown that it is alive.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.expires = Some(now + self.session_timeout);
    }

    /// Whether its session is over. One that waits for others need not send heartbeats.
    pub(crate) fn check_session(&mut self, now: Instant) -> bool {
        if self.expires.is_none_or(|expires| expires > now) {
            return false;
        }
        self.expires = None;
        self.is_new || !self.is_waiting()
    }

    /// Whether it waits for others.
    pub(crate) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// What it tells the assignor that the group agreed on.
    pub(crate) fn metadata(&self, protocol: &str) -> Vec<u8> {
        let told = self.protocols.iter().find(|(name, _)| name == protocol);
        told.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Answers its JoinGroup with an error, if it waits for one.
    pub(crate) fn refuse_join(&mut self, error_code: ErrorCode, turn: &mut Turn<'_>) {
        if let Some(wait) = self.joining.take() {
            let response = JoinGroupResponse { error_code, member_id: self.id.clone(), ..Default::default() };
            turn.replies.push((wait.conn, response.into()));
        }
    }

    /// Answers its SyncGroup with an error, if it waits for one.
    pub(crate) fn refuse_sync(&mut self, error_code: ErrorCode, turn: &mut Turn<'_>) {
        if let Some(conn) = self.syncing.take() {
            self.touch(turn.now);
            turn.replies.push((conn, SyncGroupResponse { error_code, ..Default::default() }.into()));
        }
    }

    pub(crate) fn to_join_response(&self, protocol: &str) -> JoinGroupResponseMember {
        JoinGroupResponseMember {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// As DescribeGroups shows it; what it told the assignor only where there is one.
    pub(crate) fn describe(&self, protocol: Option<&str>) -> DescribeGroupsDescribedGroupMember {
        DescribeGroupsDescribedGroupMember {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: "/127.0.0.1".to_owned(),
            member_metadata: protocol.map(|protocol| self.metadata(protocol)).unwrap_or_default(),
            member_assignment: self.assignment.clone(),
        }
    }

    pub(crate) fn view(&self, generation_id: i32) -> MemberView {
        MemberView {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            epoch: generation_id,
            owned: Assignment::decode(&self.assignment).map(|read| read.partitions).unwrap_or_default(),
            revoking: Vec::new(),
            assignment: self.assignment.clone(),
        }
    }
}
