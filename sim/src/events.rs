//! What a member's own events say, held against what its coordinator, its user and its listener know.

use std::time::Duration;

use ottla_core::{Event, Happened, TopicPartition};

use crate::{
    dice::ms,
    member::{Member, names},
    stage::Stage,
    user::{Doing, Kept},
};

impl Member {
    pub(super) fn drain_events(&mut self, stage: &mut Stage) {
        while let Some(Happened { event, .. }) = self.host.machine.poll_event() {
            let who = self.who;
            debug_assert_eq!(self.host.machine.events_dropped(), 0);
            stage.tell(|| format!("{who} {event:?}"));
            match event {
                Event::Joined { member_id, generation_id, .. } => {
                    self.membership.joins(member_id, generation_id);
                }
                Event::RevocationWaiting { deadline, .. } => self.membership.waits_until(deadline),
                Event::Assigned(partitions) => self.assigned(partitions, stage),
                Event::Revoked(partitions) => self.revoked(&partitions, stage),
                Event::Lost(partitions) => self.lost(&partitions, stage),
                _ => {}
            }
            self.user.paused.retain(|at| self.owned.contains(at));
            self.membership.forget_others_than(&self.owned);
            self.announced.forget_others_than(&self.owned);
            self.turns.forget_others_than(&self.owned);
        }
    }

    fn assigned(&mut self, partitions: Vec<TopicPartition>, stage: &mut Stage) {
        let who = self.who;
        self.counts.assigned += 1;
        self.volume.detour();
        let incremental = self.membership.is_incremental();
        let kept = self.owned.partitions().find(|at| !incremental || partitions.contains(at));
        if let Some(at) = kept {
            stage.violate("nothing is assigned that is owned, and eagerly nothing while anything is", || {
                format!("{who} is assigned {} while it has {at}", names(&partitions))
            });
        }
        if self.host.machine.reads_nothing() {
            stage.violate("nothing is assigned to who has unsubscribed", || {
                format!("{who} is assigned {}", names(&partitions))
            });
        }
        if let Some(at) = partitions.iter().find(|at| at.topic.starts_with("other")) {
            stage.violate("only what is subscribed to is assigned", || format!("{who} is assigned {at}"));
        }
        self.announced.comes(&partitions, self.user.habits.listener.is_some());
        let since = stage.time;
        partitions.into_iter().for_each(|at| self.owned.begin(at, since));
    }

    fn revoked(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        self.counts.revoked += 1;
        self.membership.gives_up();
        let held = |Kept { record, serial, .. }: &&Kept| {
            self.owned.of(&record.at, *serial).is_some() && partitions.contains(&record.at)
        };
        if let Some(Kept { record, .. }) = self.in_hand.iter().find(held).filter(|_| !self.user.unsubscribing)
        {
            stage.violate("nothing is revoked that the user has in hand", || {
                format!("{who} gives up {} while its user has offset {}", record.at, record.offset)
            });
        }
        self.check_told(partitions, stage);
        self.owned.end(partitions);
        if let Some(at) = self.owned.partitions().next().filter(|_| !self.membership.is_incremental()) {
            stage.violate("eagerly everything is revoked at once", || format!("{who} keeps {at}"));
        }
    }

    fn lost(&mut self, partitions: &[TopicPartition], stage: &mut Stage) {
        let who = self.who;
        self.counts.lost += 1;
        self.announced.loses(partitions);
        // The core sees the user return when his position moves, a little before the call that returns.
        let since = self.user.away_since.saturating_sub(Duration::from_millis(10));
        let away = !matches!(self.user.doing(), Doing::Reading(_)) && stage.time >= since + self.max_poll;
        let mut helpers = self.helpers.iter().filter(|helper| helper.is_away());
        let away = away || helpers.any(|helper| stage.time + ms(10) >= helper.away_since + self.max_poll);
        let may_lose = self.membership.may_lose(partitions, stage);
        if !may_lose && !away {
            stage.violate("partitions are lost for a reason", || format!("{who} was told nothing"));
        }
        self.owned.end(partitions);
    }
}
