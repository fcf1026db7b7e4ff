//! Which records of transactions a consumer sees.

use std::fmt;

/// `isolation.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// All records, those of transactions that are open or were aborted too; Kafka's default, and ours.
    #[default]
    ReadUncommitted,
    /// Of transactions only what was committed. Nothing at or behind the first record of the oldest transaction that is
    /// still open is read before that one ends: the log ends at its last stable offset.
    ReadCommitted,
}

impl IsolationLevel {
    /// As properties have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }

    /// Whether aborted and open transactions are left out.
    pub(crate) fn is_committed(self) -> bool {
        self == Self::ReadCommitted
    }

    /// As requests have it.
    pub(crate) fn wire(self) -> i8 {
        self.is_committed().into()
    }
}

impl fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
