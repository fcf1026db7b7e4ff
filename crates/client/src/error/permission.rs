//! Which permission is missing. No broker says so: its error names at best the kind of resource, and the call tells the rest.

use std::fmt;

use ottla_protocol::ErrorCode;

use super::Context;

/// An operation that an access list allows or forbids, as `kafka-acls` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum AclOperation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    IdempotentWrite,
    DescribeConfigs,
    AlterConfigs,
}

/// What an access list is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// A topic, by its name; `None` where it is not known which.
    Topic(Option<String>),
    /// A group, by its id; `None` where it is not known which.
    Group(Option<String>),
    /// The cluster.
    Cluster,
    /// A transactional id.
    TransactionalId,
}

/// A permission: an operation on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Permission {
    /// The operation.
    pub operation: AclOperation,
    /// On what.
    pub resource: Resource,
}

impl Permission {
    /// The one whose lack a broker answers with this error, where the call needs `operation`.
    pub(super) fn lacked(code: ErrorCode, operation: AclOperation, context: &Context) -> Option<Self> {
        let topic = || context.topic.clone().or_else(|| Some(context.partition.as_ref()?.topic.clone()));
        let (operation, resource) = match code {
            ErrorCode::TopicAuthorizationFailed => (operation, Resource::Topic(topic())),
            ErrorCode::GroupAuthorizationFailed => (operation, Resource::Group(context.group.clone())),
            // WRITE on any topic would do, too.
            ErrorCode::ClusterAuthorizationFailed if operation == AclOperation::Write => {
                (AclOperation::IdempotentWrite, Resource::Cluster)
            }
            ErrorCode::ClusterAuthorizationFailed => (operation, Resource::Cluster),
            ErrorCode::TransactionalIdAuthorizationFailed => (operation, Resource::TransactionalId),
            _ => return None,
        };
        Some(Self { operation, resource })
    }
}

impl fmt::Display for AclOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Alter => "ALTER",
            Self::Describe => "DESCRIBE",
            Self::IdempotentWrite => "IDEMPOTENT_WRITE",
            Self::DescribeConfigs => "DESCRIBE_CONFIGS",
            Self::AlterConfigs => "ALTER_CONFIGS",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(Some(name)) => write!(f, "topic `{name}`"),
            Self::Topic(None) => f.write_str("a topic"),
            Self::Group(Some(id)) => write!(f, "group `{id}`"),
            Self::Group(None) => f.write_str("the group"),
            Self::Cluster => f.write_str("the cluster"),
            Self::TransactionalId => f.write_str("the transactional id"),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.operation, self.resource)
    }
}
