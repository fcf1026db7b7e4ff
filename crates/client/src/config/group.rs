//! How to be a member of a group: what a consumer's builder was told, and what `parse` makes of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ottla_core::{
    Assignor, CooperativeStickyAssignor, GroupConfig, GroupProtocol, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
    group::{Assignment, LastAssignment, Member, PartitionRacks},
};

use super::{is_topic_name, value::check_millis};
use crate::error::{BuildError, BuildErrorKind, Details as _};

/// What the setters stored.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: Option<String>,
    pub(super) protocol: GroupProtocol,
    pub(super) instance_id: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) remote_assignor: Option<String>,
    pub(super) max_poll_interval: Duration,
    pub(super) rebalance_timeout: Option<Duration>,
    pub(super) session_timeout: Option<Duration>,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) assignors: Vec<SharedAssignor>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            id: None,
            protocol: GroupProtocol::default(),
            instance_id: None,
            rack: None,
            remote_assignor: None,
            max_poll_interval: Duration::from_secs(300),
            rebalance_timeout: None,
            session_timeout: None,
            heartbeat_interval: None,
            assignors: Vec::new(),
        }
    }
}

/// An assignor that clones of a configuration share.
#[derive(Debug, Clone)]
pub(super) struct SharedAssignor(Arc<dyn Assignor>);

impl SharedAssignor {
    pub(super) fn new(assignor: impl Assignor + 'static) -> Self {
        Self(Arc::new(assignor))
    }

    /// By its name in JoinGroup, or by the name of Java's class.
    fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "range" | "RangeAssignor" => Self::new(RangeAssignor),
            "roundrobin" | "RoundRobinAssignor" => Self::new(RoundRobinAssignor),
            "sticky" | "StickyAssignor" => Self::new(StickyAssignor),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Self::new(CooperativeStickyAssignor),
            _ => return None,
        })
    }

    /// `partition.assignment.strategy`: names, with commas between.
    pub(super) fn all_named(key: &str, value: &str) -> Result<Vec<Self>, BuildError> {
        let expected = "range, roundrobin, sticky, cooperative-sticky, or Java's names of these classes";
        let named = |name| Self::named(name).ok_or_else(|| BuildError::invalid(key, name, expected));
        value.split(',').map(str::trim).map(named).collect()
    }
}

impl Assignor for SharedAssignor {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn is_cooperative(&self) -> bool {
        self.0.is_cooperative()
    }

    fn user_data(&self, last: &LastAssignment) -> Option<Vec<u8>> {
        self.0.user_data(last)
    }

    fn assign(
        &self,
        topics: &BTreeMap<String, Vec<PartitionRacks>>,
        members: &[Member],
    ) -> BTreeMap<String, Assignment> {
        self.0.assign(topics, members)
    }
}

/// A valid membership.
#[derive(Debug, Clone)]
pub(crate) struct GroupSettings {
    /// Not empty.
    pub(crate) id: String,
    /// `None`: only on asking.
    pub(crate) auto_commit_interval: Option<Duration>,
    /// `None`: any number.
    pub(crate) auto_commit_records: Option<u64>,
    protocol: GroupProtocol,
    pub(super) instance_id: Option<String>,
    rack: Option<String>,
    remote_assignor: Option<String>,
    max_poll_interval: Duration,
    /// `None`: as long as that.
    rebalance_timeout: Option<Duration>,
    pub(super) session_timeout: Duration,
    /// Shorter than the session.
    heartbeat_interval: Duration,
    /// At least one.
    assignors: Vec<SharedAssignor>,
}

impl Group {
    pub(super) fn parse(
        &self,
        id: &str,
        auto_commit_interval: Option<Duration>,
        auto_commit_records: Option<u64>,
    ) -> Result<GroupSettings, BuildError> {
        if id.is_empty() {
            return Err(BuildError::invalid("group.id", id, "a name; leave it out to read without a group"));
        }
        self.check_protocol()?;
        let session_timeout = check_millis("session.timeout.ms", self.session_timeout())?;
        let heartbeat_interval = check_millis("heartbeat.interval.ms", self.heartbeat_interval())?;
        if heartbeat_interval >= session_timeout {
            let (heartbeat, session) = (heartbeat_interval.as_millis(), session_timeout.as_millis());
            return Err(match self.heartbeat_interval {
                Some(_) => {
                    BuildError::invalid("heartbeat.interval.ms", heartbeat, "less than session.timeout.ms")
                }
                None => {
                    let expected = format!("more than heartbeat.interval.ms, {heartbeat}");
                    BuildError::invalid("session.timeout.ms", session, expected)
                }
            });
        }
        let key = "ottla.rebalance.timeout.ms";
        let rebalance_timeout =
            self.rebalance_timeout.map(|timeout| check_millis(key, timeout)).transpose()?;
        // A heartbeat tells of a rebalance: it would be over by then.
        if let Some(timeout) = rebalance_timeout.filter(|timeout| *timeout <= heartbeat_interval) {
            return Err(BuildError::invalid(key, timeout.as_millis(), "more than heartbeat.interval.ms"));
        }
        if let Some(wrong) = self.instance_id.as_ref().filter(|id| !is_topic_name(id)) {
            let expected = "up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";
            return Err(BuildError::invalid("group.instance.id", wrong, expected));
        }
        Ok(GroupSettings {
            id: id.to_owned(),
            auto_commit_interval,
            auto_commit_records,
            protocol: self.protocol,
            instance_id: self.instance_id.clone(),
            rack: self.rack.clone(),
            remote_assignor: self.remote_assignor.clone(),
            max_poll_interval: check_millis("max.poll.interval.ms", self.max_poll_interval)?,
            rebalance_timeout,
            session_timeout,
            heartbeat_interval,
            assignors: match self.assignors.is_empty() {
                true => {
                    vec![SharedAssignor::new(RangeAssignor), SharedAssignor::new(CooperativeStickyAssignor)]
                }
                false => self.assignors.clone(),
            },
        })
    }

    /// Java's default where it is not set.
    pub(super) fn session_timeout(&self) -> Duration {
        self.session_timeout.unwrap_or(Duration::from_secs(45))
    }

    /// Java's default where it is not set.
    pub(super) fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval.unwrap_or(Duration::from_secs(3))
    }

    /// What one protocol's coordinator decides cannot be set with it, as in Java.
    fn check_protocol(&self) -> Result<(), BuildError> {
        let is_classic = self.protocol == GroupProtocol::Classic;
        let classic = [
            ("session.timeout.ms", self.session_timeout.is_some()),
            ("heartbeat.interval.ms", self.heartbeat_interval.is_some()),
            ("partition.assignment.strategy", !self.assignors.is_empty()),
        ];
        let wrong = match is_classic {
            true => Some("group.remote.assignor").filter(|_| self.remote_assignor.is_some()),
            false => classic.into_iter().find(|(_, is_set)| *is_set).map(|(key, _)| key),
        };
        let Some(key) = wrong else { return Ok(()) };
        let why = match is_classic {
            true => "it needs group.protocol=consumer",
            false => "with group.protocol=consumer it is the coordinator's to decide",
        };
        Err(BuildError::new(BuildErrorKind::InvalidValue).property(key).detail(why))
    }
}

impl GroupSettings {
    pub(super) fn machine(&self) -> GroupConfig {
        GroupConfig {
            id: self.id.clone(),
            protocol: self.protocol,
            instance_id: self.instance_id.clone(),
            rack: self.rack.clone(),
            server_assignor: self.remote_assignor.clone(),
            session_timeout: self.session_timeout,
            heartbeat_interval: self.heartbeat_interval,
            max_poll_interval: self.max_poll_interval,
            rebalance_timeout: self.rebalance_timeout,
            assignors: self.assignors.iter().map(|assignor| Box::new(assignor.clone()) as _).collect(),
        }
    }
}
