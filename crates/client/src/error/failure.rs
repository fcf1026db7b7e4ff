//! What all errors have in common: what they hold, how they are filled in, and how they print.

use std::{error::Error as StdError, fmt};

use ottla_core::{Address, Disconnected, RefusedConnection, TopicPartition};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{
    Context,
    permission::{AclOperation, Permission},
};

/// What an error holds.
#[derive(Debug)]
pub(crate) struct Failure<K> {
    pub(super) kind: K,
    pub(super) facts: Facts,
}

/// What it holds beside its kind.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(super) context: Context,
    detail: String,
    /// What the call needs to be allowed to do.
    needs: AclOperation,
    pub(super) source: Option<Box<dyn StdError + Send + Sync>>,
    /// What became of the connection, where that is why. The detail has its text.
    pub(super) disconnected: Option<Disconnected>,
}

impl<K> Failure<K> {
    pub(super) fn new(kind: K, needs: AclOperation) -> Box<Self> {
        let (context, detail) = (Context::default(), String::new());
        let facts = Facts { context, detail, needs, source: None, disconnected: None };
        Box::new(Self { kind, facts })
    }
}

/// What can be expected of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// It stands until somebody changes something.
    Stands,
    /// It may pass by itself.
    Passes,
    /// It passes as the broker's code says.
    AsCoded,
    /// The client, or its membership, cannot go on.
    Ends,
}

/// How errors are filled in, whichever they are.
pub(crate) trait Details: Sized {
    fn facts(&mut self) -> &mut Facts;

    fn property(mut self, key: impl Into<String>) -> Self {
        self.facts().context.property = Some(key.into());
        self
    }

    fn group(mut self, group: impl Into<String>) -> Self {
        self.facts().context.group = Some(group.into());
        self
    }

    fn topic(mut self, topic: impl Into<String>) -> Self {
        self.facts().context.topic = Some(topic.into());
        self
    }

    fn partition(mut self, partition: impl Into<TopicPartition>) -> Self {
        self.facts().context.partition = Some(partition.into());
        self
    }

    fn offset(mut self, offset: i64) -> Self {
        self.facts().context.offset = Some(offset);
        self
    }

    fn api(mut self, api: ApiKey) -> Self {
        self.facts().context.api = Some(api);
        self
    }

    fn address(mut self, address: Address) -> Self {
        self.facts().context.address = Some(address);
        self
    }

    /// A broker's answer. Where that is a lack of permission, the kind says so.
    fn broker(self, code: ErrorCode) -> Self;

    /// A connection that was refused for good: where to, and why.
    fn refused_by(self, refused: RefusedConnection) -> Self {
        let detail = refused.why.to_string();
        self.address(refused.address).detail(detail).disconnected_by(refused.why)
    }

    /// What became of the connection, of which the detail tells.
    fn disconnected_by(mut self, why: Disconnected) -> Self {
        self.facts().disconnected = Some(why);
        self
    }

    /// The call needs this, in place of what such calls usually need.
    fn needs(mut self, operation: AclOperation) -> Self {
        self.facts().needs = operation;
        self
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.facts().detail = detail.into();
        self
    }

    /// The detail, with this before it.
    fn detail_before(mut self, text: impl fmt::Display) -> Self {
        let detail = &mut self.facts().detail;
        *detail = match detail.is_empty() {
            true => text.to_string(),
            false => format!("{text}: {detail}"),
        };
        self
    }

    fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.facts().source = Some(source.into());
        self
    }
}

impl Facts {
    pub(super) fn missing(&self) -> Option<Permission> {
        Permission::lacked(self.context.code?, self.needs, &self.context)
    }

    /// `where: what (detail); advice`. The source's text is the source's to print, but in the alternate form: then the whole
    /// chain follows.
    pub(super) fn fmt(&self, what: &str, advice: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.context.to_string();
        if !context.is_empty() {
            write!(f, "{context}: ")?;
        }
        f.write_str(what)?;
        let code = self.context.code.map(|code| format!("the broker says {code}"));
        let detail = Some(self.detail.clone()).filter(|detail| !detail.is_empty());
        let missing = self.missing().map(|permission| format!("{permission} is missing"));
        let reasons: Vec<String> = [missing, detail, code].into_iter().flatten().collect();
        if !reasons.is_empty() {
            write!(f, " ({})", reasons.join("; "))?;
        }
        if !advice.is_empty() {
            write!(f, "; {advice}")?;
        }
        if f.alternate() {
            let mut next = self.source.as_deref().map(|source| source as &dyn StdError);
            while let Some(source) = next {
                write!(f, ": {source}")?;
                next = source.source();
            }
        }
        Ok(())
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.property.as_ref().map(|key| format!("`{key}`")),
            self.group.as_ref().map(|group| format!("group `{group}`")),
            self.topic.as_ref().map(|topic| format!("topic `{topic}`")),
            self.partition.as_ref().map(|partition| format!("partition {partition}")),
            self.offset.map(|offset| format!("offset {offset}")),
            self.api.map(|api| format!("{api:?}")),
            self.address.as_ref().map(Address::to_string),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
