//! Which seed is run, and how: all that it takes to run it again.

use std::{collections::BTreeSet, fmt};

use crate::{dice::Dice, mode::Mode, slip::Slip};

/// A bug to switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// In the consumer.
    Core(ottla_core::Planted),
    /// In the broker.
    Broker(ottla_broker::Planted),
    /// In who drives a processor's machine.
    Driver(Slip),
}

impl Bug {
    /// Every bug there is.
    pub fn all() -> Vec<Self> {
        let core = ottla_core::Planted::ALL.iter().map(|bug| Self::Core(*bug));
        let broker = ottla_broker::Planted::ALL.iter().map(|bug| Self::Broker(*bug));
        core.chain(broker).chain(Self::transactional()).chain(Self::of_processing()).collect()
    }

    /// Those that only who reads or writes in transactions can meet.
    pub fn transactional() -> impl Iterator<Item = Self> {
        let core = ottla_core::Planted::TRANSACTIONAL.iter().map(|bug| Self::Core(*bug));
        core.chain(ottla_broker::Planted::TRANSACTIONAL.iter().map(|bug| Self::Broker(*bug)))
    }

    /// Those that only who processes can meet.
    pub fn of_processing() -> impl Iterator<Item = Self> {
        let core = ottla_core::Planted::PROCESSING.iter().map(|bug| Self::Core(*bug));
        core.chain(Slip::ALL.iter().map(|slip| Self::Driver(*slip)))
    }

    /// The modes whose seeds meet it.
    pub fn modes(self) -> Vec<Mode> {
        if Self::of_processing().any(|bug| bug == self) {
            vec![Mode::Processing]
        } else if Self::transactional().any(|bug| bug == self) {
            vec![Mode::Transactions]
        } else {
            Mode::OF_GROUPS.to_vec()
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|bug| bug.to_string() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(bug) => write!(f, "{bug:?}"),
            Self::Broker(bug) => write!(f, "Broker{bug:?}"),
            Self::Driver(slip) => write!(f, "Driver{slip:?}"),
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The kind of group.
    pub mode: Mode,
    /// What everything is drawn from.
    pub seed: u64,
    /// A bug that is switched on.
    pub planted: Option<Bug>,
    /// Items of the plan that are left out.
    pub without: BTreeSet<usize>,
}

impl Case {
    /// A seed as it is.
    pub fn new(mode: Mode, seed: u64) -> Self {
        Self { mode, seed, planted: None, without: BTreeSet::new() }
    }

    /// Dice for a kind of thing that only some seeds have, by its number: the seeds that do without stay as they are known.
    pub(crate) fn dice(&self, kind: usize) -> Dice {
        Dice::of(self.seed ^ self.mode.salt(), usize::MAX - kind)
    }

    /// The bug to be planted in the clients' machines.
    pub(crate) fn in_core(&self) -> Option<ottla_core::Planted> {
        match self.planted {
            Some(Bug::Core(bug)) => Some(bug),
            _ => None,
        }
    }

    /// That of who drives a processor's machine.
    pub(crate) fn slip(&self) -> Option<Slip> {
        match self.planted {
            Some(Bug::Driver(slip)) => Some(slip),
            _ => None,
        }
    }

    /// The same with a bug.
    pub fn with(mut self, bug: Bug) -> Self {
        self.planted = Some(bug);
        self
    }
}

impl fmt::Display for Case {
    /// The command that runs it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cargo run -p ottla-sim -- {} {}", self.mode, self.seed)?;
        if let Some(bug) = self.planted {
            write!(f, " --planted {bug}")?;
        }
        let without: Vec<String> = self.without.iter().map(ToString::to_string).collect();
        if without.is_empty() { Ok(()) } else { write!(f, " --without {}", without.join(",")) }
    }
}
