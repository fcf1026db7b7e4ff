//! Who may do what: rules that allow, as `kafka-acls` writes them (KIP-11), and what is allowed without one.

use std::{fmt, str::FromStr};

use ottla_protocol::ErrorCode;

use crate::{Cluster, Config, topics::Topics};

/// The name of the one resource of its type, as Kafka has it.
pub(crate) const CLUSTER: &str = "kafka-cluster";
const EVERYBODY: &str = "User:*";

/// What Kafka's `StandardAuthorizer` is configured with. Without a rule nobody may do anything but super users.
///
/// ```
/// use ottla_broker::{Authorizer, Config};
///
/// let acls = ["User:alice:READ:topic:orders", "User:alice:READ:group:billing-*"];
/// let authorizer = Authorizer {
///     acls: acls.iter().map(|acl| acl.parse()).collect::<Result<_, _>>()?,
///     super_users: vec!["User:admin".to_owned()],
///     ..Authorizer::default()
/// };
/// let config = Config { authorizer: Some(authorizer), ..Config::default() };
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorizer {
    /// What is allowed. There are no rules that deny.
    pub acls: Vec<Acl>,
    /// Kafka's `super.users`, such as `User:admin`: they may do everything.
    pub super_users: Vec<String>,
    /// Kafka's `allow.everyone.if.no.acl.found`; false. If true, everybody may do everything with a resource that no rule
    /// names, for whomever.
    pub allow_everyone_if_no_acl_found: bool,
}

/// One rule. As text: `PRINCIPAL:OPERATION:RESOURCE:NAME`, such as `User:alice:READ:topic:orders`; upper and lower case are
/// the same in operation and resource, and `cluster` needs no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// Who: `User:alice`; `User:*` is everybody.
    pub principal: String,
    /// May do what.
    pub operation: Operation,
    /// With what.
    pub resource_type: ResourceType,
    /// Of which name; with `*` at its end: whose names begin so. The cluster's is `kafka-cluster`.
    pub name: String,
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident: $($(#[$of:meta])* $variant:ident $name:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type { $($(#[$of])* $variant),* }

        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Kafka's name of it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn find(name: &str) -> Option<Self> {
                let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
                Self::ALL.iter().copied().find(|it| plain(it.name()) == plain(name))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What may be done.
    Operation:
    /// Everything.
    All "ALL",
    /// Read a topic, or be a member of a group. Implies DESCRIBE, as WRITE, DELETE and ALTER do.
    Read "READ",
    /// Write to a topic.
    Write "WRITE",
    /// Create topics: those of the name, or any, with the cluster.
    Create "CREATE",
    /// Delete.
    Delete "DELETE",
    /// Give a topic more partitions.
    Alter "ALTER",
    /// Know that it is there, and what can be told of it.
    Describe "DESCRIBE",
    /// What brokers do among themselves.
    ClusterAction "CLUSTER_ACTION",
    /// Read its configuration.
    DescribeConfigs "DESCRIBE_CONFIGS",
    /// Change its configuration. Implies DESCRIBE_CONFIGS.
    AlterConfigs "ALTER_CONFIGS",
    /// Be an idempotent producer without any topic to write to, with the cluster.
    IdempotentWrite "IDEMPOTENT_WRITE",
}

named! {
    /// With what something may be done.
    ResourceType:
    /// A topic.
    Topic "topic",
    /// A group of consumers.
    Group "group",
    /// The cluster.
    Cluster "cluster",
    /// A transactional producer.
    TransactionalId "transactional-id",
}

impl FromStr for Acl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}`: expected PRINCIPAL:OPERATION:RESOURCE:NAME, as in User:alice:READ:topic:orders; operations are \
                 {}, resources {}",
                Operation::ALL.iter().map(|it| it.name()).collect::<Vec<_>>().join(", "),
                ResourceType::ALL.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ")
            )
        };
        // Principals and groups may have colons in their names.
        let parts: Vec<&str> = text.split(':').collect();
        let found = (2..parts.len()).find_map(|at| {
            let operation = Operation::find(parts.get(at)?)?;
            let resource_type = ResourceType::find(parts.get(at + 1)?)?;
            let name = parts.get(at + 2..)?.join(":");
            let principal = parts.get(..at)?.join(":");
            Some(Self { principal, operation, resource_type, name })
        });
        let mut acl = found.filter(|acl| acl.principal.starts_with("User:")).ok_or_else(wrong)?;
        if acl.name.is_empty() && acl.resource_type == ResourceType::Cluster {
            CLUSTER.clone_into(&mut acl.name);
        }
        if acl.name.is_empty() { Err(wrong()) } else { Ok(acl) }
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.principal, self.operation, self.resource_type, self.name)
    }
}

impl Acl {
    fn concerns(&self, resource_type: ResourceType, name: &str) -> bool {
        self.resource_type == resource_type
            && match self.name.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => self.name == name,
            }
    }

    fn permits(&self, principal: &str, operation: Operation) -> bool {
        use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        let implied = match operation {
            Describe => matches!(self.operation, Read | Write | Delete | Alter),
            DescribeConfigs => self.operation == AlterConfigs,
            _ => false,
        };
        (self.principal == principal || self.principal == EVERYBODY)
            && (implied || self.operation == operation || self.operation == All)
    }
}

impl Authorizer {
    fn allows(&self, principal: &str, operation: Operation, resource_type: ResourceType, name: &str) -> bool {
        if self.is_super_user(principal) {
            return true;
        }
        let mut rules = self.acls.iter().filter(|acl| acl.concerns(resource_type, name)).peekable();
        match rules.peek() {
            None => self.allow_everyone_if_no_acl_found,
            Some(_) => rules.any(|acl| acl.permits(principal, operation)),
        }
    }

    fn is_super_user(&self, principal: &str) -> bool {
        self.super_users.iter().any(|user| user == principal)
    }
}

impl Config {
    /// Whether a principal may do this. Without an authorizer everybody may do everything.
    pub(crate) fn check(
        &self,
        principal: &str,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> Result<(), ErrorCode> {
        let Some(authorizer) = &self.authorizer else { return Ok(()) };
        if authorizer.allows(principal, operation, resource_type, name) {
            return Ok(());
        }
        tracing::debug!(principal, %operation, %resource_type, name, "not allowed");
        Err(match resource_type {
            ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
            ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
            ResourceType::Cluster => ErrorCode::ClusterAuthorizationFailed,
            ResourceType::TransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        })
    }

    pub(crate) fn check_topic(
        &self,
        principal: &str,
        operation: Operation,
        name: &str,
    ) -> Result<(), ErrorCode> {
        self.check(principal, operation, ResourceType::Topic, name)
    }

    pub(crate) fn check_group(
        &self,
        principal: &str,
        operation: Operation,
        name: &str,
    ) -> Result<(), ErrorCode> {
        self.check(principal, operation, ResourceType::Group, name)
    }

    /// Whether a principal may create a topic: it, or any.
    pub(crate) fn check_create(&self, principal: &str, name: &str) -> Result<(), ErrorCode> {
        let any = self.check(principal, Operation::Create, ResourceType::Cluster, CLUSTER);
        any.or_else(|_| self.check_topic(principal, Operation::Create, name))
    }

    /// Whether a principal may be an idempotent producer: of any topic, or at all.
    pub(crate) fn check_produce_anything(&self, principal: &str) -> Result<(), ErrorCode> {
        let writes = self.authorizer.as_ref().is_none_or(|authorizer| {
            let topics = |acl: &&Acl| acl.resource_type == ResourceType::Topic;
            let mut rules = authorizer.acls.iter().filter(topics);
            authorizer.allow_everyone_if_no_acl_found
                || rules.any(|acl| acl.permits(principal, Operation::Write))
        });
        if writes {
            return Ok(());
        }
        self.check(principal, Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER)
    }

    /// The topics that a principal is not to know of.
    pub(crate) fn hidden(&self, principal: &str, topics: &Topics) -> Vec<String> {
        if self.authorizer.is_none() {
            return Vec::new();
        }
        let names = topics.iter().map(|(name, _)| name);
        let hidden = names.filter(|name| self.check_topic(principal, Operation::Describe, name).is_err());
        hidden.map(str::to_owned).collect()
    }
}

impl Cluster {
    /// Who may do what, to be changed while the cluster runs; none where everybody may do everything. What it is changed to
    /// holds from the next request on, on connections that are open, too.
    pub fn authorizer(&mut self) -> &mut Option<Authorizer> {
        // Fetches that wait may have to be told.
        self.logs_changed = true;
        &mut self.config.authorizer
    }
}
