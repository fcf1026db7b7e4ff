//! What kind of group a seed is about.

use std::{fmt, str::FromStr};

use crate::dice::Dice;

/// The kind of group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The classic protocol: everything is given up before the group is joined again.
    Eager,
    /// The classic protocol with incremental rebalancing (KIP-429).
    Cooperative,
    /// The broker shares out (KIP-848).
    ConsumerProtocol,
    /// A group in the middle of an upgrade: from eager to cooperative, or from the classic protocol to the consumer
    /// protocol.
    Mixed,
    /// Members with a `group.instance.id` (KIP-345), by either protocol.
    Static,
    /// Members that subscribe to a pattern, by either protocol.
    Regex,
    /// Members with two or three readers each, by either protocol.
    Readers,
    /// Producers and consumers of transactions: see `transactions`.
    Transactions,
    /// Processors: see `processing`.
    Processing,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 9] = [
        Self::Eager,
        Self::Cooperative,
        Self::ConsumerProtocol,
        Self::Mixed,
        Self::Static,
        Self::Regex,
        Self::Readers,
        Self::Transactions,
        Self::Processing,
    ];

    /// Those that are about a group and what it reads.
    pub const OF_GROUPS: [Self; 7] = [
        Self::Eager,
        Self::Cooperative,
        Self::ConsumerProtocol,
        Self::Mixed,
        Self::Static,
        Self::Regex,
        Self::Readers,
    ];

    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Cooperative => "cooperative",
            Self::ConsumerProtocol => "consumer",
            Self::Mixed => "mixed",
            Self::Static => "static",
            Self::Regex => "regex",
            Self::Readers => "readers",
            Self::Transactions => "transactions",
            Self::Processing => "processing",
        }
    }

    /// Tells one mode's seeds from another's.
    pub(crate) fn salt(self) -> u64 {
        // The eager ones are as they are: their numbers are known.
        (self as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or(())
    }
}

/// An assignor that a member offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Range,
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

/// How a member takes part in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// With these assignors.
    Classic(&'static [Sharing]),
    /// With this assignor of the broker's, or the one that it prefers.
    Consumer(Option<&'static str>),
}

use Protocol::{Classic, Consumer};
use Sharing::{CooperativeSticky, Range, RoundRobin, Sticky};

impl Protocol {
    /// Whether partitions that stay are kept through a rebalance.
    pub(crate) fn is_incremental(&self) -> bool {
        match self {
            Classic(sharing) => sharing.iter().all(|sharing| *sharing == CooperativeSticky),
            Consumer(_) => true,
        }
    }

    fn eager(d: &mut Dice) -> Self {
        let menu: [&'static [Sharing]; 4] = [&[Range, CooperativeSticky], &[Range], &[RoundRobin], &[Sticky]];
        Classic(d.pick(&menu))
    }

    fn consumer(d: &mut Dice) -> Self {
        Consumer(d.pick(&[None, None, Some("uniform"), Some("range")]))
    }

    fn any(d: &mut Dice) -> Self {
        match d.number(0..=2) {
            0 => Self::eager(d),
            1 => Classic(&[CooperativeSticky]),
            _ => Self::consumer(d),
        }
    }

    /// What members of one group of this mode choose from.
    pub(crate) fn menu(mode: Mode, d: &mut Dice) -> Vec<Self> {
        match mode {
            Mode::Eager => vec![Self::eager(d)],
            Mode::Cooperative => vec![Classic(&[CooperativeSticky])],
            Mode::ConsumerProtocol => vec![Self::consumer(d)],
            Mode::Mixed => match d.chance(0.5) {
                true => vec![Classic(&[Range, CooperativeSticky]), Classic(&[CooperativeSticky])],
                // One alone of the new protocol is where a group turns classic again.
                false => {
                    let eager = Self::eager(d);
                    vec![eager.clone(), eager, Self::consumer(d)]
                }
            },
            Mode::Static | Mode::Regex | Mode::Readers | Mode::Transactions | Mode::Processing => {
                vec![Self::any(d)]
            }
        }
    }
}
