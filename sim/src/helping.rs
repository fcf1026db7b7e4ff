//! What the users of a member's other readers do.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{Filter, Look, Reader};

use crate::{
    client::Client as _,
    dice::ms,
    gather::{Gathered, READING, gather},
    handed::Handed,
    helper::{Doing, Helper},
    member::Member,
    stage::{Event, Stage},
    truth::Truth,
};

impl Member {
    /// One reader more.
    pub(super) fn add_helper(&mut self, stage: &mut Stage) {
        let helper = Helper {
            reader: Reader::new(&mut self.host.machine, READING, stage.now()),
            most: self.user.dice.chance(0.5).then(|| self.user.dice.pick(&[1, 5, 50])),
            doing: Doing::Away,
            stamp: 0,
            away_since: stage.time,
        };
        let (who, id) = (self.who, helper.reader.id());
        stage.tell(|| format!("{who} has reader {id} too"));
        self.helpers.push(helper);
        self.helper_thinks(self.helpers.len() - 1, Duration::ZERO, stage);
    }

    fn helper_thinks(&mut self, index: usize, wait: Duration, stage: &mut Stage) {
        let helper = &mut self.helpers[index];
        helper.stamp += 1;
        (helper.doing, helper.away_since) = (Doing::Away, stage.time);
        stage.after(wait, Event::Helper(self.who, index, helper.stamp));
    }

    /// A helper's time has come.
    pub(crate) fn handle_helper(&mut self, index: usize, stamp: u64, stage: &mut Stage, truth: &mut Truth) {
        let helper = &mut self.helpers[index];
        if stamp != helper.stamp {
            return;
        }
        match std::mem::replace(&mut helper.doing, Doing::Reading) {
            Doing::Away if !stage.quiet && !self.plan_is_orderly && self.user.dice.chance(0.01) => {
                self.drop_helper(index, stage, truth);
            }
            Doing::Away => self.helper_returns(index, stage, truth),
            Doing::Listening(told) => {
                let id = self.helpers[index].reader.id();
                self.heard(&told, id, stage);
                self.helper_reads(index, stage, truth);
                self.woken(stage, truth);
            }
            Doing::Reading | Doing::Gone => return,
        }
        self.called(stage, truth);
    }

    /// He comes back for more.
    fn helper_returns(&mut self, index: usize, stage: &mut Stage, truth: &mut Truth) {
        let helper = &mut self.helpers[index];
        let (id, away) = (helper.reader.id(), stage.time - helper.away_since);
        let holds = self.in_hand.iter().any(|kept| {
            let holding = self.owned.get(&kept.record.at);
            kept.by == id && holding.is_some_and(|holding| holding.serial == kept.serial)
        });
        self.user.longest_absence = self.user.longest_absence.max(away);
        if holds && self.in_group() && away > self.max_poll + ms(100) {
            let who = self.who;
            stage.violate("who stays away too long gives up his partitions", || {
                format!("the user of {who}'s reader {id} was away for {away:?}, and has records")
            });
        }
        if self.helpers[index].most.is_none()
            && let Some(record) = self.helpers[index].reader.next_at_hand()
        {
            self.done(id, usize::MAX, stage, truth);
            self.helper_has(index, vec![Handed::new(&record.block, &record.span)], stage, truth);
            return self.turn(stage, truth);
        }
        self.helper_reads(index, stage, truth);
    }

    /// Goes on with the call that he is in.
    fn helper_reads(&mut self, index: usize, stage: &mut Stage, truth: &mut Truth) {
        let now = stage.now();
        let id = self.helpers[index].reader.id();
        self.done(id, usize::MAX, stage, truth);
        let (machine, helper) = (&mut self.host.machine, &mut self.helpers[index]);
        match gather(&mut helper.reader, machine, &Filter::All, helper.most, now) {
            Gathered::Records(records) => self.helper_has(index, records, stage, truth),
            Gathered::Look(None) => helper.doing = Doing::Reading,
            Gathered::Look(Some(Look::Tell(callback))) => {
                helper.stamp += 1;
                let stamp = helper.stamp;
                let (told, takes) = self.tell_listener(callback, stage, truth);
                self.helpers[index].doing = Doing::Listening(told);
                stage.after(takes, Event::Helper(self.who, index, stamp));
            }
            // What is said once is said to the user who can do something about it.
            Gathered::Look(Some(Look::Failed(failure))) => {
                self.helper_thinks(index, ms(10), stage);
                self.is_told(failure, stage, truth);
            }
            Gathered::Look(Some(Look::Closed)) => self.helper_is_gone(index, stage),
            Gathered::Look(Some(_)) => self.helper_thinks(index, ms(200), stage),
        }
    }

    fn helper_has(&mut self, index: usize, records: Vec<Handed>, stage: &mut Stage, truth: &mut Truth) {
        self.drain_events(stage);
        let id = self.helpers[index].reader.id();
        let busy = self.check_all_handed(records, id, stage, truth);
        self.helper_thinks(index, busy.max(Duration::from_micros(10)), stage);
    }

    /// Something came about that helpers may be waiting for.
    pub(super) fn wake_helpers(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        let waiting: Vec<usize> =
            (0..self.helpers.len()).filter(|index| self.helpers[*index].is_waiting()).collect();
        for index in &waiting {
            self.helper_reads(*index, stage, truth);
        }
        !waiting.is_empty()
    }

    /// The user drops it in the middle of what he has, and another takes its place: what he had comes again.
    fn drop_helper(&mut self, index: usize, stage: &mut Stage, truth: &mut Truth) {
        let (who, id) = (self.who, self.helpers[index].reader.id());
        stage.tell(|| format!("{who} drops reader {id}"));
        let kept = self.in_hand.iter().filter(|kept| kept.by == id);
        let mut first = BTreeMap::new();
        for kept in kept {
            first.entry(kept.record.at.clone()).or_insert((kept.record.offset, kept.serial));
        }
        for (at, (offset, serial)) in first {
            self.owned.hands_out_again(&at, offset, serial);
        }
        self.helper_is_gone(index, stage);
        self.drain_events(stage);
        self.add_helper(stage);
        self.woken(stage, truth);
    }

    /// The users stop before their consumer is closed: nothing is left in anybody's hands.
    pub(super) fn stop_helpers(&mut self, stage: &mut Stage, truth: &mut Truth) {
        for index in 0..self.helpers.len() {
            let id = self.helpers[index].reader.id();
            self.done(id, usize::MAX, stage, truth);
            self.helpers[index].reader.sync(&mut self.host.machine, true, stage.now());
            self.helper_is_gone(index, stage);
        }
    }

    pub(super) fn helper_is_gone(&mut self, index: usize, stage: &mut Stage) {
        let helper = &mut self.helpers[index];
        let id = helper.reader.id();
        helper.stamp += 1;
        // A call of the listener goes on in another's.
        if let Doing::Listening(told) = std::mem::replace(&mut helper.doing, Doing::Gone) {
            self.heard(&told, id, stage);
        }
        let helper = &mut self.helpers[index];
        helper.reader.close(&mut self.host.machine, stage.now());
        self.in_hand.retain(|kept| kept.by != id);
    }
}
