//! How users behave.

use std::{ops::RangeInclusive, time::Duration};

use ottla_core::ResetPolicy;

use crate::{
    dice::{Dice, ms, secs},
    role::Role,
};

/// How a user behaves.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// `poll` with so many records; `None` for `recv`.
    pub(crate) poll: Option<usize>,
    /// How long a record keeps him.
    pub(crate) think: RangeInclusive<Duration>,
    /// How often he stays away for longer, and for how long.
    pub(crate) absent: f64,
    pub(crate) absence: RangeInclusive<Duration>,
    /// How often he commits before he reads on; 0 for auto commit.
    pub(crate) commits: f64,
    pub(crate) waits_for_commit: f64,
    pub(crate) partial_commits: f64,
    pub(crate) seeks: f64,
    /// Whether his seeks may skip records.
    pub(crate) skips: bool,
    pub(crate) pauses: f64,
    /// How often he wants records of one partition only.
    pub(crate) narrows: f64,
    pub(crate) queries: f64,
    /// How long he waits in `recv` at most before he looks at something else.
    pub(crate) patience: Duration,
    pub(crate) listener: Option<Listener>,
    pub(crate) beginnings: Beginnings,
}

/// How a user answers to rebalances.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// How often he commits what is revoked.
    pub(crate) commits: f64,
    /// How often he seeks back in what is assigned.
    pub(crate) seeks: f64,
    /// How long it takes.
    pub(crate) takes: RangeInclusive<Duration>,
}

/// Where users begin to read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beginnings {
    /// The reset policy; `None` for the earliest.
    pub(crate) reset: Option<ResetPolicy>,
    /// How often a user looks for a time.
    pub(crate) times: f64,
    /// Whether positions are held against what they may be: in each seed that has any of it.
    pub(crate) checked: bool,
}

impl Beginnings {
    pub(crate) fn reset(&self) -> ResetPolicy {
        self.reset.unwrap_or(ResetPolicy::Earliest)
    }
}

/// What all users of a seed have in common.
#[derive(Debug)]
pub(crate) struct Drawn {
    orderly: bool,
    seeks: bool,
    skips: bool,
    listeners: f64,
    longest_patience: Duration,
    /// How often everybody pauses at least.
    pauses: f64,
    pub(crate) beginnings: Beginnings,
}

impl Drawn {
    pub(crate) fn draw(d: &mut Dice, orderly: bool) -> Self {
        Self {
            orderly,
            seeks: !orderly && d.chance(0.4),
            skips: !orderly && d.chance(0.15),
            listeners: d.pick(&[0.0, 0.5, 1.0]),
            longest_patience: ms(1500),
            pauses: 0.0,
            beginnings: Beginnings::default(),
        }
    }

    /// Users wait for up to this long.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.longest_patience = patience;
    }

    pub(crate) fn pause_often(&mut self) {
        self.pauses = 0.06;
    }

    /// The habits of one user, who loses his partitions when he stays away for `max_poll`.
    pub(crate) fn of(&self, role: &Role, max_poll: Duration, d: &mut Dice) -> Habits {
        let has_group = !matches!(role, Role::Alone { group: None, .. });
        let calm = self.orderly;
        let by_hand = has_group && !calm && d.chance(0.4);
        let slowest = d.pick(&[Duration::from_micros(100), ms(1), ms(4)]);
        let listens = role.in_group().is_some() && d.chance(self.listeners);
        Habits {
            poll: d.chance(0.5).then(|| d.pick(&[1, 5, 50, 500])),
            think: Duration::from_micros(10)..=slowest,
            absent: if calm { 0.002 } else { d.pick(&[0.0, 0.005, 0.03]) },
            absence: ms(200)..=if calm || d.chance(0.6) { secs(4) } else { max_poll * 5 / 4 },
            commits: if by_hand { d.pick(&[0.02, 0.2, 0.8]) } else { 0.0 },
            waits_for_commit: d.pick(&[0.0, 0.5, 1.0]),
            partial_commits: if !calm && has_group { d.pick(&[0.0, 0.1]) } else { 0.0 },
            seeks: if self.seeks { 0.01 } else { 0.0 },
            skips: self.skips,
            pauses: d.pick(&[0.0_f64, 0.0, 0.02]).max(self.pauses),
            narrows: d.pick(&[0.0, 0.0, 0.1]),
            patience: self.longest_patience,
            queries: if has_group { d.pick(&[0.0, 0.02]) } else { 0.0 },
            beginnings: self.beginnings,
            listener: listens.then(|| Listener {
                commits: d.pick(&[0.0, 0.5, 1.0]),
                seeks: if self.seeks { 0.3 } else { 0.0 },
                takes: Duration::ZERO..=d.pick(&[ms(1), ms(50), if calm { secs(1) } else { secs(4) }]),
            }),
        }
    }
}
