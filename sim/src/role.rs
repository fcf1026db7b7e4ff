//! What a consumer is there to read, and as whom.

use std::collections::BTreeSet;

use ottla_core::TopicPartition;

use crate::mode::Protocol;

/// The group that most consumers are in.
pub(crate) const GROUP: &str = "group";

/// What a consumer is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// As a member of the group.
    Group(GroupRole),
    /// These partitions, alone; with the offsets of a group, or from the start each time.
    Alone { partitions: Vec<TopicPartition>, group: Option<String> },
}

/// A place in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRole {
    pub(crate) wants: Wants,
    pub(crate) protocol: Protocol,
    /// `group.instance.id`.
    pub(crate) instance: Option<String>,
}

/// What a member subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wants {
    Topics(BTreeSet<String>),
    Pattern(String),
}

impl Role {
    pub(crate) fn in_group(&self) -> Option<&GroupRole> {
        match self {
            Self::Group(role) => Some(role),
            Self::Alone { .. } => None,
        }
    }
}
