//! One life of a consumer: its machine, its readers and users, and what is known of it from outside. What its users do, and
//! what is checked, is in files of their own, each of which adds to [`Member`]; this one imports none of them.

use std::time::Duration;

use ottla_core::{Consumer, Reader, Reason, TopicPartition};
use ottla_protocol::Now;

use crate::{
    announced::Announced,
    commits::Commits,
    dice::Dice,
    gather::READING,
    habits::Habits,
    helper::Helper,
    holdings::{Expect, Holding, Holdings},
    host::{Frame, Host},
    membership::Membership,
    role::{GROUP, Role},
    stage::{Stage, Who},
    turns::Turns,
    user::{Kept, User},
    volume::Volume,
};

pub(crate) struct Member {
    pub(crate) who: Who,
    pub(crate) host: Host<Consumer<Frame>>,
    pub(crate) role: Role,
    /// Whose progress its own is.
    pub(crate) group: String,
    /// How long its user may stay away.
    pub(super) max_poll: Duration,
    pub(super) reader: Reader<Frame>,
    pub(super) user: User,
    /// More readers, with users of their own.
    pub(super) helpers: Vec<Helper>,
    /// Records that users have and have not come back from.
    pub(super) in_hand: Vec<Kept>,
    /// Whether nothing may be read twice.
    pub(super) plan_is_orderly: bool,
    pub(super) owned: Holdings,
    pub(super) membership: Membership,
    pub(super) announced: Announced,
    pub(super) commits: Commits,
    pub(super) volume: Volume,
    pub(super) turns: Turns,
    pub(crate) counts: Counts,
}

/// What happened to a member.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) assigned: u64,
    pub(crate) revoked: u64,
    pub(crate) lost: u64,
    pub(crate) expelled: u64,
    pub(crate) refused: u64,
    pub(crate) corrupt: u64,
    pub(crate) seeks: u64,
    pub(crate) commits: u64,
}

impl Member {
    pub(crate) fn new(
        who: Who,
        mut machine: Consumer<Frame>,
        role: Role,
        habits: Habits,
        (most_held, max_poll): (usize, Duration),
        dice: Dice,
        stage: &Stage,
    ) -> Self {
        let group = match &role {
            Role::Group(_) => GROUP.to_owned(),
            Role::Alone { group, .. } => group.clone().unwrap_or_else(|| format!("{who} alone")),
        };
        Self {
            reader: Reader::new(&mut machine, READING, stage.now()),
            who,
            host: Host::new(who, machine),
            max_poll,
            user: User::new(habits, dice),
            helpers: Vec::new(),
            in_hand: Vec::new(),
            plan_is_orderly: false,
            owned: Holdings::default(),
            membership: Membership::new(who, &role),
            announced: Announced::default(),
            commits: Commits::new(who, &group),
            volume: Volume::new(who, most_held),
            turns: Turns::default(),
            counts: Counts::default(),
            role,
            group,
        }
    }

    /// Whether it may still read.
    pub(crate) fn is_live(&self) -> bool {
        !self.user.closed && !self.user.is_gone()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.user.is_gone()
    }

    /// Whether it ended, and not by a crash.
    pub(crate) fn closed_in_order(&self) -> bool {
        self.user.closed && self.is_gone()
    }

    pub(crate) fn in_group(&self) -> bool {
        self.role.in_group().is_some()
    }

    pub(super) fn is_paused(&self, at: &TopicPartition) -> bool {
        self.user.paused.contains(at)
    }

    /// What the first user has in hand.
    pub(super) fn own_in_hand(&self) -> impl Iterator<Item = &Kept> {
        self.in_hand.iter().filter(|kept| kept.by == self.reader.id())
    }

    /// Whether its reader, or its user, has records of a partition.
    pub(super) fn holds(&self, at: &TopicPartition) -> bool {
        let readers = std::iter::once(&self.reader).chain(self.helpers.iter().map(|helper| &helper.reader));
        self.in_hand.iter().any(|kept| kept.record.at == *at)
            || readers.flat_map(Reader::positions).any(|(of, _)| of == at)
    }

    /// Whether it has records of a partition, taken or not.
    pub(crate) fn has_records(&self, at: &TopicPartition, now: Now) -> bool {
        let buffered = |reason: &Reason| matches!(reason, Reason::Buffered { .. });
        let explained = self.host.machine.explain(now);
        self.holds(at) || explained.partitions.iter().any(|(of, reason)| of == at && buffered(reason))
    }

    /// Whether its user may be away for long from the end of the trouble on.
    pub(crate) fn may_be_away(&self) -> bool {
        self.user.habits.absent > 0.0 && *self.user.habits.absence.end() > Duration::from_secs(4)
    }

    /// Whether a partition is its own, as its events have told the user.
    pub(crate) fn has(&self, at: &TopicPartition) -> bool {
        self.is_live() && self.owned.contains(at)
    }

    /// The partitions of which it has to read everything: not those whose end was sought, and which have been silent
    /// since.
    pub(crate) fn owes(&self) -> impl Iterator<Item = &TopicPartition> {
        let owed = |holding: &Holding| !matches!(holding.expect, Expect::EndSince(_));
        self.owned.iter().filter(move |(_, holding)| owed(holding)).map(|(at, _)| at)
    }
}

pub(crate) fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
