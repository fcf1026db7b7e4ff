//! The user of a consumer: what he calls, and how long he takes.

use std::time::Duration;

use ottla_core::{
    CloseKind, Consumer, Filter, GroupFailure, Handed as Record, LaneFailure, LeaveGroup, Look, OpId,
    ReadFailure, Reader, ReaderId, Records,
};
use ottla_protocol::{ErrorCode, Now};

use crate::{
    dice::{ms, secs},
    handed::Handed,
    helper::Helper,
    host::Frame,
    listener::Listening,
    member::Member,
    stage::{Event, Stage},
    truth::Truth,
};

/// Where the user is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Doing {
    /// Out of every call, busy with what he has.
    Away,
    /// In `recv` or `poll`.
    Reading(Call),
    /// In `commit`.
    Committing(OpId),
    /// In his rebalance listener.
    Listening(Listening),
    Closing {
        until: Duration,
    },
    Gone,
}

/// A call that reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    filter: Filter,
    /// At most so many records; `None` for `recv`.
    most: Option<usize>,
}

/// What came of a call that reads.
pub(super) enum Gathered {
    Records(Vec<Handed>),
    /// None: `None` where he waits.
    Look(Option<Look>),
}

/// What the client's handle does in `recv` (`most` is `None`) and `poll`, but for the waiting.
pub(super) fn gather(
    reader: &mut Reader<Frame>,
    machine: &mut Consumer<Frame>,
    filter: &Filter,
    most: Option<usize>,
    now: Now,
) -> Gathered {
    let mut records = Records::default();
    while reader.has_room(&records, most.unwrap_or(1)) {
        let look = match records.is_empty() {
            true => reader.look(machine, filter, now),
            false if reader.take_more(machine, filter) => Some(Look::Read),
            false => break,
        };
        match (look, most) {
            (Some(Look::Read), Some(most)) => reader.fill(&mut records, most),
            (Some(Look::Read), None) => {
                if let Some(Record { block, span }) = reader.advance() {
                    return Gathered::Records(vec![Handed::new(&block, &span)]);
                }
            }
            (look, _) => return Gathered::Look(look),
        }
    }
    Gathered::Records(records.iter().map(|(block, _, span)| Handed::new(block, span)).collect())
}

impl Member {
    /// Whether every user is in a call, and would take any record.
    pub(super) fn waits_for_any(&self) -> bool {
        let waits = matches!(&self.doing, Doing::Reading(Call { filter: Filter::All, .. }));
        waits && self.helpers.iter().all(Helper::is_waiting)
    }

    /// Whether a user is in a call for records.
    pub(super) fn somebody_waits(&self) -> bool {
        matches!(self.doing, Doing::Reading(_)) || self.helpers.iter().any(Helper::is_waiting)
    }

    /// The user is busy for so long.
    pub(super) fn think(&mut self, wait: Duration, stage: &mut Stage) {
        self.stamp += 1;
        self.doing = Doing::Away;
        self.away_since = stage.time;
        stage.after(wait, Event::User(self.who, self.stamp));
    }

    /// The user's time has come.
    pub(crate) fn handle_user(&mut self, stamp: u64, stage: &mut Stage, truth: &mut Truth) {
        if stamp != self.stamp {
            return;
        }
        match &self.doing {
            Doing::Away => self.next_call(stage, truth),
            Doing::Listening(_) => {
                self.listened(stage);
                self.woken(stage, truth);
            }
            Doing::Reading(_) => {
                self.host.machine.unpark(self.reader.id(), stage.now());
                self.think(ms(1), stage);
            }
            _ => return,
        }
        self.called(stage, truth);
    }

    fn next_call(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        self.check_absence(stage);
        if stage.quiet {
            let resting = self.resting.clone().filter(|at| self.paused.remove(at));
            for at in std::mem::replace(&mut self.paused, resting.into_iter().collect()) {
                self.host.machine.set_paused(&at, false, now);
            }
        } else {
            if self.dice.chance(self.habits.seeks) {
                self.seek_somewhere(stage, truth);
            }
            self.look_for_a_time(stage, truth);
            if self.dice.chance(self.habits.pauses) {
                self.toggle_pause(stage);
            }
            if self.dice.chance(self.habits.queries) {
                self.ask(stage, truth);
            }
            if self.dice.chance(self.habits.partial_commits) && self.own_in_hand().count() > 1 {
                return self.commit_part(stage, truth);
            }
        }
        let often = self.habits.commits.max(if stage.quiet { 0.5 } else { 0.0 });
        let again = std::mem::replace(&mut self.just_committed, false);
        if self.habits.commits > 0.0 && !again && self.dice.chance(often) {
            self.just_committed = true;
            let waits = self.dice.chance(self.habits.waits_for_commit);
            if let Some(op) = self.commit_all(stage, truth)
                && waits
            {
                self.stamp += 1;
                self.await_commit(op);
                return;
            }
        }
        self.read(stage, truth);
    }

    /// He waits in a call: not away, however long it takes.
    pub(super) fn await_commit(&mut self, op: OpId) {
        self.host.machine.stay(self.reader.id());
        self.doing = Doing::Committing(op);
    }

    /// For how long he has been out of every call.
    pub(super) fn note_absence(&mut self, stage: &Stage) -> Duration {
        let absence = stage.time - self.away_since;
        self.longest_absence = self.longest_absence.max(absence);
        absence
    }

    /// Who stays away too long has lost what he had.
    fn check_absence(&mut self, stage: &mut Stage) {
        let (who, absence) = (self.who, self.note_absence(stage));
        // Of several readers one with nothing does not count.
        let counts = self.helpers.is_empty() || self.own_in_hand().next().is_some();
        let had = self.owned.iter().find(|(_, holding)| counts && holding.since < self.away_since);
        if let Some((at, _)) = had.filter(|_| self.in_group() && absence > self.max_poll + ms(100)) {
            stage.violate("who stays away too long gives up his partitions", || {
                format!("{who} was away for {absence:?}, and has {at}")
            });
        }
    }

    fn read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let mut filter = Filter::All;
        if !stage.quiet && self.dice.chance(self.habits.narrows) && !self.owned.is_empty() {
            filter = Filter::Only(vec![self.any_owned()]);
        }
        let most = self.habits.poll;
        if most.is_none()
            && self.reader.has_at_hand(&filter)
            && let Some(Record { block, span }) = self.reader.next_at_hand()
        {
            self.all_done(stage, truth);
            self.hand_out(vec![Handed::new(&block, &span)], stage, truth);
            // The core sees this call, which touches no lock, with its next turn. Here that comes at once, so that a user's
            // absence can be held against the clock.
            return self.turn(stage, truth);
        }
        self.stamp += 1;
        self.doing = Doing::Reading(Call { filter, most });
        self.be_patient(stage);
        self.try_read(stage, truth);
    }

    /// `recv` waits for ever, but this user looks at something else from time to time, as by `select!`.
    pub(super) fn be_patient(&mut self, stage: &mut Stage) {
        // In the end all look up soon, to commit.
        let longest = if stage.quiet { ms(1500) } else { self.habits.patience };
        let patience = self.dice.time(ms(100)..=longest);
        stage.after(patience, Event::User(self.who, self.stamp));
    }

    /// The user looks up soon, however patient he is.
    pub(crate) fn hurry(&self, stage: &mut Stage) {
        if let Doing::Reading(_) = self.doing {
            stage.after(secs(1), Event::User(self.who, self.stamp));
        }
    }

    /// Goes on with the call that the user is in.
    fn try_read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let Doing::Reading(call) = self.doing.clone() else { return };
        // A call begins with the user's return from all that he had.
        self.all_done(stage, truth);
        let Call { filter, most } = &call;
        let gathered = gather(&mut self.reader, &mut self.host.machine, filter, *most, stage.now());
        self.drain_events(stage);
        match gathered {
            Gathered::Records(records) if records.is_empty() => self.think(ms(1), stage),
            Gathered::Records(records) => self.hand_out(records, stage, truth),
            Gathered::Look(None) => {}
            Gathered::Look(Some(Look::Tell(callback))) => self.begin_listening(callback, stage, truth),
            Gathered::Look(Some(Look::Failed(failure))) => {
                self.think(ms(10), stage);
                self.is_told(failure, stage, truth);
            }
            Gathered::Look(Some(look)) => {
                let wait = self.dice.time(ms(50)..=ms(1000));
                self.think(wait, stage);
                if matches!(look, Look::NotSubscribed) && self.dice.chance(0.5) {
                    self.subscribe(stage);
                }
            }
        }
    }

    fn hand_out(&mut self, records: Vec<Handed>, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        let (first, count) = (records[0].clone(), records.len());
        stage.note(|| format!("{who} reads {count} from {} offset {}", first.at, first.offset));
        let busy = self.check_all_handed(records, self.reader.id(), stage, truth);
        self.think(busy, stage);
    }

    /// Checks what a user is handed, and says how long he is busy with it.
    pub(super) fn check_all_handed(
        &mut self,
        records: Vec<Handed>,
        by: ReaderId,
        stage: &mut Stage,
        truth: &mut Truth,
    ) -> Duration {
        let mut busy = Duration::ZERO;
        for record in records {
            self.check_handed(&record, by, stage, truth);
            busy += self.dice.time(self.habits.think.clone());
        }
        if !stage.quiet && self.dice.chance(self.habits.absent) {
            busy += self.dice.time(self.habits.absence.clone());
        }
        busy
    }

    /// A user is told, in whose reader's call it may be.
    pub(super) fn is_told(&mut self, failure: ReadFailure, stage: &mut Stage, truth: &mut Truth) {
        let who = self.who;
        stage.tell(|| format!("{who} is told {failure:?}"));
        match failure {
            ReadFailure::Group(GroupFailure::MaxPollExceeded(_)) => {
                self.counts.expelled += 1;
                let helpers = self.helpers.iter().filter(|helper| helper.is_away());
                let still = helpers.map(|helper| stage.time - helper.away_since).max();
                let own = (self.doing == Doing::Away).then(|| stage.time - self.away_since);
                let absence =
                    std::mem::take(&mut self.longest_absence).max(still.max(own).unwrap_or_default());
                // The core sees the user return when his position moves, a little before the call that returns.
                if absence + ms(10) < self.max_poll {
                    stage.violate("who waits in a call is not away", || {
                        format!("{who} was away for {absence:?} at most, and is told so")
                    });
                }
            }
            ReadFailure::Lane(at, LaneFailure::Corrupt { offset, .. }) => {
                self.counts.corrupt += 1;
                self.detours += 1;
                self.seek(&at, offset, stage, truth);
            }
            ReadFailure::Lane(at, failure @ (LaneFailure::NoOffset | LaneFailure::OutOfRange { .. })) => {
                self.is_told_of_no_offset(&at, &failure, stage, truth);
            }
            // Another has come under the same id, or was there before.
            ReadFailure::Group(GroupFailure::Refused(
                ErrorCode::FencedInstanceId | ErrorCode::UnreleasedInstanceId,
            )) if self.is_static() => {
                self.counts.refused += 1;
                truth.refused.push(self.role.clone());
                self.end(CloseKind::Closed, LeaveGroup::Default, stage, truth);
            }
            failure => {
                stage.violate("nothing fails for good", || format!("{who}: {failure:?}"));
            }
        }
    }

    /// Something came about that the user may be waiting for. Returns whether he was.
    pub(super) fn woken(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        self.take_outcomes(stage, truth);
        let helped = self.wake_helpers(stage, truth);
        let woken = match &self.doing {
            Doing::Reading(_) => {
                self.try_read(stage, truth);
                true
            }
            Doing::Closing { .. } => self.listen(stage, truth),
            Doing::Committing(op) if !self.ops.iter().any(|(open, _)| open == op) => {
                self.host.machine.unpark(self.reader.id(), stage.now());
                self.think(ms(1), stage);
                true
            }
            _ => false,
        };
        helped || woken
    }
}
