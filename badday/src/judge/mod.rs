//! Judges what actors tell, as it comes, and forgets what everybody is done with: so it holds minutes of a day of hours.
//!
//! The parts: [`log`] is what a topic holds, as its audit reads it, and [`had`] who has had it; [`follower`] is who has to have each record
//! of it, by which rules, and [`member`] one of its members; [`early`] are outcomes that are read before their inputs;
//! [`transactions`] are whole or not there; [`shade`] is for how long nothing may come, as a fault is in the way.

mod early;
mod follower;
mod had;
mod log;
mod member;
mod numbers;
mod part;
mod shade;
#[cfg(test)]
mod tests;
mod transactions;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

pub(crate) use follower::{Follower, Kind};
pub(crate) use log::{Log, Topic};
pub(crate) use shade::{Scope, Shades};
use transactions::Transactions;

use crate::line::{End, Told};

/// For how long nothing may come where no fault is in the way.
pub(crate) const STEADY: Duration = Duration::from_secs(10);

/// For how long nothing may come, whatever is in the way.
pub(crate) const LONGEST: Duration = Duration::from_secs(120);

/// How long after its end a transaction is read in whole; how long after an output its input is known.
pub(crate) const WHOLE: Duration = Duration::from_secs(30);

/// Violations of a kind that are kept with their text; others are counted.
const KEPT: u64 = 50;

/// What an actor is to the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes records by themselves.
    Writer,
    /// Writes records in transactions.
    Ledger,
    /// Reads all that a topic holds.
    Audit(Topic),
    /// Hands out, or handles, what a follower has to have: its place in the topic's list.
    Member(Topic, usize),
    /// Reads what a follower has made of its records: their values.
    Outcome(Topic, usize),
    /// Reads what may be lost: it is only to go on.
    Side,
    /// What it does is judged by what others read of it.
    Worker,
}

/// What has gone wrong: once each.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Violations {
    pub(crate) kept: Vec<Violation>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Violations {
    pub(crate) fn add(&mut self, kind: &'static str, text: String, at: Instant) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT {
            self.kept.push(Violation { kind, text, at });
        }
    }
}

/// Numbers for the report.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) unsure: u64,
    pub(crate) committed: u64,
    pub(crate) aborted: u64,
    pub(crate) undecided: u64,
    pub(crate) rounds: u64,
    pub(crate) errors: BTreeMap<String, u64>,
}

pub(crate) struct Judge {
    pub(crate) orders: Log,
    pub(crate) ledger: Log,
    transactions: Transactions,
    pub(crate) shades: Shades,
    pub(crate) violations: Violations,
    pub(crate) counts: Counts,
    /// What each actor last gave as the reason for its waiting, and when.
    whys: BTreeMap<String, (Instant, String)>,
    /// When those whose work never ends last got on, by what shades call them, and whether that was found too long ago.
    progress: BTreeMap<String, (Instant, bool)>,
    is_written: bool,
    /// How many records were deleted before each actor had read them, in its life.
    deleted: BTreeMap<String, u64>,
}

impl Judge {
    pub(crate) fn new(orders: Log, ledger: Log) -> Self {
        Self {
            orders,
            ledger,
            transactions: Transactions::default(),
            shades: Shades::default(),
            violations: Violations::default(),
            counts: Counts::default(),
            whys: BTreeMap::new(),
            progress: BTreeMap::new(),
            is_written: false,
            deleted: BTreeMap::new(),
        }
    }

    pub(crate) fn log(&self, topic: Topic) -> &Log {
        match topic {
            Topic::Orders => &self.orders,
            Topic::Ledger => &self.ledger,
        }
    }

    pub(crate) fn log_mut(&mut self, topic: Topic) -> &mut Log {
        match topic {
            Topic::Orders => &mut self.orders,
            Topic::Ledger => &mut self.ledger,
        }
    }

    /// An actor's process is started, be it anew.
    pub(crate) fn started(&mut self, role: Role, actor: &str, now: Instant) {
        self.deleted.remove(actor);
        match role {
            Role::Member(topic, follower) => self.log_mut(topic).started(follower, actor),
            Role::Writer | Role::Ledger | Role::Audit(_) | Role::Side if !self.is_written => {
                // One that begins again and again does not get on.
                self.progress.entry(known_as(role, actor)).or_insert((now, false));
            }
            _ => {}
        }
    }

    /// Nobody writes any more: what waits for records has none to come.
    pub(crate) fn writers_end(&mut self) {
        self.progress.clear();
        self.is_written = true;
    }

    /// One whose work never ends has got on.
    fn got_on(&mut self, role: Role, actor: &str, now: Instant) {
        if !self.is_written {
            self.progress.insert(known_as(role, actor), (now, false));
        }
    }

    fn deleted_unread(&mut self, actor: &str, deleted: u64, now: Instant) {
        let before = self.deleted.get(actor).copied().unwrap_or_default();
        if deleted > before {
            self.deleted.insert(actor.to_owned(), deleted);
            let text = format!("{actor}: {} records were deleted before it had read them", deleted - before);
            self.violations.add("deleted unread", text, now);
        }
    }

    /// A line of an actor.
    pub(crate) fn told(&mut self, role: Role, actor: &str, told: &Told, now: Instant) {
        match told {
            Told::Why(why) => drop(self.whys.insert(actor.to_owned(), (now, why.clone()))),
            Told::Error(why) => *self.counts.errors.entry(gist(why)).or_default() += 1,
            Told::Failed { why, .. } => {
                self.counts.unsure += 1;
                *self.counts.errors.entry(gist(why)).or_default() += 1;
            }
            Told::Round(_) => self.counts.rounds += 1,
            Told::Tick { deleted, .. } if role != Role::Side => self.deleted_unread(actor, *deleted, now),
            _ => {}
        }
        match (role, told) {
            (Role::Writer, Told::Acked { .. })
            | (Role::Ledger, Told::Ended { end: End::Committed, .. })
            | (Role::Audit(_), Told::Got { .. })
            | (Role::Side, Told::Got { .. }) => self.got_on(role, actor, now),
            _ => {}
        }
        let violations = &mut self.violations;
        match (role, told) {
            (Role::Writer, Told::Acked { value, offset }) => {
                self.counts.acknowledged += 1;
                self.orders.acknowledged(*value, *offset, now, violations);
            }
            (Role::Ledger, Told::Ended { transaction, end, records }) => {
                self.transactions.ended(actor, *transaction, *end, *records, now, violations);
                match end {
                    End::Committed => self.counts.committed += 1,
                    End::Aborted => self.counts.aborted += 1,
                    End::Unknown => self.counts.undecided += 1,
                }
            }
            (Role::Audit(topic), Told::Got { partition, offset, value }) => {
                if topic == Topic::Ledger {
                    self.transactions.read(value, now, violations);
                }
                let log = if topic == Topic::Ledger { &mut self.ledger } else { &mut self.orders };
                log.audited(*partition, *offset, value, now, violations);
            }
            (Role::Audit(topic), Told::At { partition, offset }) => {
                let log = if topic == Topic::Ledger { &mut self.ledger } else { &mut self.orders };
                log.passed(*partition, *offset, now, violations);
            }
            (Role::Member(topic, follower), told) => {
                let log = if topic == Topic::Ledger { &mut self.ledger } else { &mut self.orders };
                log.member(follower, actor, told, now, violations);
            }
            (Role::Outcome(topic, follower), Told::Got { partition, offset, value }) => {
                let log = if topic == Topic::Ledger { &mut self.ledger } else { &mut self.orders };
                log.outcome(follower, actor, (*partition, *offset), value, now, violations);
            }
            _ => {}
        }
    }

    /// What a group has committed, as it was just told.
    pub(crate) fn committed(&mut self, topic: Topic, follower: usize, offsets: &[(i32, i64)], now: Instant) {
        let log = if topic == Topic::Ledger { &mut self.ledger } else { &mut self.orders };
        log.committed(follower, offsets, now, &mut self.violations);
    }

    /// What only time shows.
    pub(crate) fn look(&mut self, now: Instant) {
        for log in [&mut self.orders, &mut self.ledger] {
            log.look(now, &self.shades, &self.whys, &mut self.violations);
        }
        self.transactions.look(now, &self.shades, &mut self.violations);
        for (name, (since, is_stalled)) in &mut self.progress {
            let calm = self.shades.calm(name, *since, now);
            if calm > STEADY && !*is_stalled {
                let told = self.whys.iter().filter(|(actor, (at, _))| actor.starts_with(name) && at > since);
                let why: Vec<&str> = told.map(|(_, (_, why))| why.as_str()).collect();
                let whole = now.saturating_duration_since(*since);
                let beside = self.shades.named(name, *since, now);
                let text = format!(
                    "{name}: {calm:.1?} in calm, {whole:.1?} in all, beside {beside}; {}",
                    why.join(" | ")
                );
                self.violations.add("stalled", text, now);
                *is_stalled = true;
            }
        }
        self.shades.forget(now);
    }

    /// How many records somebody still has to have.
    pub(crate) fn open(&self) -> usize {
        self.orders.open() + self.ledger.open() + self.transactions.open()
    }

    /// All is over: what is open is missing.
    pub(crate) fn close(&mut self, now: Instant) {
        for log in [&self.orders, &self.ledger] {
            log.close(now, &mut self.violations);
        }
        self.transactions.close(now, &mut self.violations);
    }
}

/// How shades call one whose work never ends.
fn known_as(role: Role, actor: &str) -> String {
    if role == Role::Side {
        return "side".to_owned();
    }
    // A writer's number and its life are no part of its name here.
    let name = actor.rsplit_once('-').filter(|(_, life)| life.contains('.')).map_or(actor, |(name, _)| name);
    name.to_owned()
}

/// An error without its numbers, for counting those of one kind.
fn gist(why: &str) -> String {
    let mut gist = String::new();
    for letter in why.chars().take(160) {
        match letter {
            '0'..='9' if gist.ends_with('#') => {}
            '0'..='9' => gist.push('#'),
            other => gist.push(other),
        }
    }
    gist
}
