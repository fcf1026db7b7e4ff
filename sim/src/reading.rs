//! What the user of a consumer does to read: when he comes back, what he is handed, and what he is told.

use std::time::Duration;

use ottla_core::{
    CloseKind, Filter, GroupFailure, Handed as Record, LaneFailure, LeaveGroup, Look, OpId, ReadFailure,
    ReaderId,
};
use ottla_protocol::ErrorCode;

use crate::{
    client::Client as _,
    dice::{ms, secs},
    gather::{Gathered, gather},
    handed::Handed,
    helper::Helper,
    member::Member,
    stage::{Event, Stage},
    truth::Truth,
    user::{Call, Doing},
};

impl Member {
    /// Whether every user is in a call, and would take any record.
    pub(super) fn waits_for_any(&self) -> bool {
        let waits = matches!(self.user.doing(), Doing::Reading(Call { filter: Filter::All, .. }));
        waits && self.helpers.iter().all(Helper::is_waiting)
    }

    /// Whether a user is in a call for records.
    pub(super) fn somebody_waits(&self) -> bool {
        matches!(self.user.doing(), Doing::Reading(_)) || self.helpers.iter().any(Helper::is_waiting)
    }

    /// The user is busy for so long.
    pub(super) fn think(&mut self, wait: Duration, stage: &mut Stage) {
        self.user.does(Doing::Away);
        self.user.away_since = stage.time;
        stage.after(wait, Event::User(self.who, self.user.stamp()));
    }

    /// The user's time has come.
    pub(crate) fn handle_user(&mut self, stamp: u64, stage: &mut Stage, truth: &mut Truth) {
        if stamp != self.user.stamp() {
            return;
        }
        match self.user.doing() {
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
            let resting = self.user.resting.clone().filter(|at| self.user.paused.remove(at));
            for at in std::mem::replace(&mut self.user.paused, resting.into_iter().collect()) {
                self.host.machine.set_paused(&at, false, now);
            }
        } else {
            if self.user.dice.chance(self.user.habits.seeks) {
                self.seek_somewhere(stage, truth);
            }
            self.look_for_a_time(stage, truth);
            if self.user.dice.chance(self.user.habits.pauses) {
                self.toggle_pause(stage);
            }
            if self.user.dice.chance(self.user.habits.queries) {
                self.ask(stage, truth);
            }
            if self.user.dice.chance(self.user.habits.partial_commits) && self.own_in_hand().count() > 1 {
                return self.commit_part(stage, truth);
            }
        }
        let often = self.user.habits.commits.max(if stage.quiet { 0.5 } else { 0.0 });
        let again = std::mem::replace(&mut self.user.just_committed, false);
        if self.user.habits.commits > 0.0 && !again && self.user.dice.chance(often) {
            self.user.just_committed = true;
            let waits = self.user.dice.chance(self.user.habits.waits_for_commit);
            if let Some(op) = self.commit_all(stage, truth)
                && waits
            {
                self.await_commit(op);
                return;
            }
        }
        self.read(stage, truth);
    }

    /// He waits in a call: not away, however long it takes.
    pub(super) fn await_commit(&mut self, op: OpId) {
        self.host.machine.stay(self.reader.id());
        self.user.does(Doing::Committing(op));
    }

    /// Who stays away too long has lost what he had.
    fn check_absence(&mut self, stage: &mut Stage) {
        let (who, absence) = (self.who, self.user.note_absence(stage.time));
        // Of several readers one with nothing does not count.
        let counts = self.helpers.is_empty() || self.own_in_hand().next().is_some();
        let had = self.owned.iter().find(|(_, holding)| counts && holding.since < self.user.away_since);
        if let Some((at, _)) = had.filter(|_| self.in_group() && absence > self.max_poll + ms(100)) {
            stage.violate("who stays away too long gives up his partitions", || {
                format!("{who} was away for {absence:?}, and has {at}")
            });
        }
    }

    fn read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let mut filter = Filter::All;
        if !stage.quiet && self.user.dice.chance(self.user.habits.narrows) && !self.owned.is_empty() {
            filter = Filter::Only(vec![self.any_owned()]);
        }
        let most = self.user.habits.poll;
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
        self.user.does(Doing::Reading(Call { filter, most }));
        self.be_patient(stage);
        self.try_read(stage, truth);
    }

    /// `recv` waits for ever, but this user looks at something else from time to time, as by `select!`.
    pub(super) fn be_patient(&mut self, stage: &mut Stage) {
        // In the end all look up soon, to commit.
        let longest = if stage.quiet { ms(1500) } else { self.user.habits.patience };
        let patience = self.user.dice.time(ms(100)..=longest);
        stage.after(patience, Event::User(self.who, self.user.stamp()));
    }

    /// The user looks up soon, however patient he is.
    pub(crate) fn hurry(&self, stage: &mut Stage) {
        if let Doing::Reading(_) = self.user.doing() {
            stage.after(secs(1), Event::User(self.who, self.user.stamp()));
        }
    }

    /// Goes on with the call that the user is in.
    fn try_read(&mut self, stage: &mut Stage, truth: &mut Truth) {
        let Doing::Reading(call) = self.user.doing().clone() else { return };
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
                let wait = self.user.dice.time(ms(50)..=ms(1000));
                self.think(wait, stage);
                if matches!(look, Look::NotSubscribed) && self.user.dice.chance(0.5) {
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
            busy += self.user.dice.time(self.user.habits.think.clone());
        }
        if !stage.quiet && self.user.dice.chance(self.user.habits.absent) {
            busy += self.user.dice.time(self.user.habits.absence.clone());
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
                let own = (*self.user.doing() == Doing::Away).then(|| stage.time - self.user.away_since);
                let absence =
                    std::mem::take(&mut self.user.longest_absence).max(still.max(own).unwrap_or_default());
                // The core sees the user return when his position moves, a little before the call that returns.
                if absence + ms(10) < self.max_poll {
                    stage.violate("who waits in a call is not away", || {
                        format!("{who} was away for {absence:?} at most, and is told so")
                    });
                }
            }
            ReadFailure::Lane(at, LaneFailure::Corrupt { offset, .. }) => {
                self.counts.corrupt += 1;
                self.volume.detour();
                self.seek(&at, offset, stage, truth);
            }
            ReadFailure::Lane(
                at,
                failure @ (LaneFailure::NoOffset
                | LaneFailure::OutOfRange { .. }
                | LaneFailure::Recreated { .. }
                | LaneFailure::Truncated { .. }),
            ) => {
                self.is_told_of_no_offset(&at, &failure, stage, truth);
            }
            // The password is wrong for a while; or a broker was closed so often in a row that it looks like a wrong port.
            // He calls again.
            ReadFailure::Connection(refused) if stage.security.is_some() || !refused.why.is_final() => {
                self.counts.refused += 1;
            }
            // Another has come under the same id, or was there before.
            ReadFailure::Group(GroupFailure::Refused(
                ErrorCode::FencedInstanceId | ErrorCode::UnreleasedInstanceId,
            )) if self.membership.is_static() => {
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
        let woken = match self.user.doing() {
            Doing::Reading(_) => {
                self.try_read(stage, truth);
                true
            }
            Doing::Closing => self.listen(stage, truth),
            Doing::Committing(op) if !self.user.ops.iter().any(|(open, _)| open == op) => {
                self.host.machine.unpark(self.reader.id(), stage.now());
                self.think(ms(1), stage);
                true
            }
            _ => false,
        };
        helped || woken
    }
}
