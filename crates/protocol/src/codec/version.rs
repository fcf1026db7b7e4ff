//! Versions of messages and of their fields.

use std::fmt;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub min: i16,
    /// The last version; `i16::MAX` where the range is open.
    pub max: i16,
}

impl Versions {
    /// Every version.
    pub const ALL: Self = Self::since(0);

    /// `min` and all after it.
    pub const fn since(min: i16) -> Self {
        Self { min, max: i16::MAX }
    }

    /// `min` to `max`, both included.
    pub const fn between(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The newest version in both ranges.
    pub fn newest_common(self, other: Self) -> Option<i16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    /// As Kafka's schema files write it: `3+`, `0-4`, `2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { min, max: i16::MAX } => write!(f, "{min}+"),
            Self { min, max } if min == max => write!(f, "{min}"),
            Self { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

/// How one field is written: the message's version, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The message's version.
    pub number: i16,
    /// Whether lengths are compact and tagged fields follow (KIP-482).
    pub flexible: bool,
    /// Whether the field at hand may be null.
    pub nullable: bool,
}

impl Version {
    /// A field that may be null in the versions given.
    #[must_use]
    pub(crate) const fn nullable_in(self, versions: Versions) -> Self {
        Self { nullable: versions.contains(self.number), ..self }
    }

    /// A value inside another: never null.
    #[must_use]
    pub(crate) const fn element(self) -> Self {
        Self { nullable: false, ..self }
    }
}
