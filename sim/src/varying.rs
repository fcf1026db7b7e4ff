//! How what only some seeds have is drawn: each kind by dice of its own, so that the seeds that do without stay as they are
//! known.

use std::time::Duration;

use ottla_broker::Fault;
use ottla_core::ResetPolicy;
use ottla_protocol::{
    ApiKey,
    ErrorCode::{
        self, CoordinatorLoadInProgress, KafkaStorageError, NotEnoughReplicas, NotLeaderOrFollower,
        OffsetNotAvailable, UnstableOffsetCommit,
    },
};

use crate::{
    case::Case,
    dice::{Dice, ms, secs},
    habits::Beginnings,
    mode::Mode,
    plan::{Item, Plan},
    role::Role,
    trouble::Trouble,
    variety::Variety,
};

/// What a broker may say of some of the partitions that it is asked about.
const IN_PARTS: [(ApiKey, &[ErrorCode]); 5] = [
    (ApiKey::OffsetCommit, &[CoordinatorLoadInProgress]),
    (ApiKey::OffsetFetch, &[UnstableOffsetCommit]),
    (ApiKey::ListOffsets, &[NotLeaderOrFollower, OffsetNotAvailable]),
    (ApiKey::Produce, &[NotEnoughReplicas, NotLeaderOrFollower]),
    (ApiKey::Fetch, &[NotLeaderOrFollower, KafkaStorageError]),
];

impl Plan {
    pub(crate) fn draw_variety(&mut self, case: &Case) {
        if self.orderly {
            return;
        }
        self.draw_answers_in_parts(&mut case.dice(5));
        self.draw_comings_and_goings(&mut case.dice(6));
        self.draw_lag(&mut case.dice(7));
        self.draw_settings(&mut case.dice(8));
        self.draw_room(&mut case.dice(9));
        let mut d = case.dice(14);
        self.variety.read_ahead = d.pick(&[500, 3000, 1 << 20]);
        self.variety.at_first = d.pick(&[1, 2, 500]);
    }

    /// Answers in which partitions fare differently: from the start, when offsets are looked up, or later.
    fn draw_answers_in_parts(&mut self, d: &mut Dice) {
        if !d.chance(0.4) {
            return;
        }
        for _ in 0..d.number(2..=5) {
            let (api, errors) = d.pick(&IN_PARTS);
            let (fault, times) = (Fault::ErrorInSome(d.pick(errors)), d.pick(&[1, 2, 4]));
            let (after, node) = (d.pick(&[0, 0, 1]), None);
            let at = if d.chance(0.4) { Duration::ZERO } else { d.time(secs(1)..=self.trouble) };
            self.items.push((at, Item::Trouble(Trouble::Requests { api, fault, times, after, node })));
        }
    }

    /// The coordinator moves while members wait for a generation, members go as soon as they come, and what was said long
    /// ago arrives.
    fn draw_comings_and_goings(&mut self, d: &mut Dice) {
        let joins = self.group_joins(secs(2));
        let (moves, visits) = (d.chance(0.3), d.chance(0.3));
        for at in joins.into_iter().filter(|_| moves) {
            let node = Trouble::node(d, self.broker.brokers);
            self.items.push((at + d.time(ms(5)..=ms(900)), Item::Trouble(Trouble::MoveCoordinator { node })));
        }
        for _ in 0..d.number(1..=4) {
            if visits {
                let (at, role) = (d.time(secs(3)..=self.trouble), self.in_group(d));
                self.items.push((at, Item::Join(role)));
                self.items.push((at + d.time(ms(1)..=ms(250)), Item::CloseNewest));
            }
            self.items.push((d.time(secs(4)..=self.trouble), Item::Ghost));
        }
    }

    /// A broker's metadata lags behind while leaders move.
    fn draw_lag(&mut self, d: &mut Dice) {
        let brokers = self.broker.brokers;
        if brokers < 2 || !d.chance(0.4) {
            return;
        }
        for _ in 0..d.number(1..=3) {
            let (at, lasts) = (d.time(secs(2)..=self.trouble), d.time(secs(1)..=secs(9)));
            let node = Trouble::node(d, brokers);
            self.items.push((at, Item::Trouble(Trouble::Lag { node, lasts })));
            for _ in 0..d.number(1..=4) {
                let node = Trouble::node(d, brokers);
                self.items
                    .push((at + d.time(Duration::ZERO..=lasts), Item::Trouble(Trouble::MoveLeader { node })));
            }
        }
    }

    /// Settings that most leave as they are.
    fn draw_settings(&mut self, d: &mut Dice) {
        let grows = |(_, item): &(Duration, Item)| {
            matches!(item, Item::Widen { .. } | Item::Fleet { .. } | Item::Create { .. })
        };
        let finds = self.mode != Mode::Regex && !self.items.iter().any(grows);
        let longest = d.pick(&[secs(30), secs(300)]);
        let rebalance = d.time(secs(9)..=secs(20));
        self.variety = Variety {
            max_age: if finds && d.chance(0.6) { longest } else { secs(5) },
            rebalance_timeout: d.chance(0.25).then_some(rebalance),
            racks: d.chance(0.3),
            ..Variety::default()
        };
        // In a call for longer than he may be away, while there is nothing to be read.
        if d.chance(0.4) {
            self.max_poll = d.time(secs(6)..=secs(9));
            self.habits.be_patient(self.max_poll * 3 / 2);
            let lasts = self.max_poll * 2;
            self.items.push((d.time(secs(3)..=secs(12)), Item::Hush { lasts }));
        }
    }

    /// Hardly room for anything, partitions that are paused with what is fetched of them, and a log with much to read.
    fn draw_room(&mut self, d: &mut Dice) {
        if d.chance(0.25) {
            self.setup.tighten(self.broker.brokers);
            self.habits.pause_often();
        }
        if d.chance(0.25) {
            // Without sessions brokers begin with the first partition that is named, each time.
            if d.chance(0.6) {
                self.broker.max_fetch_sessions = 0;
                self.setup.cut_fetches();
            }
            for _ in 0..d.number(1..=2) {
                let (at, records) = (d.time(secs(1)..=self.trouble), d.number(300..=900));
                self.items.push((at, Item::Flood { records }));
            }
        }
    }

    pub(crate) fn draw_beginnings(&mut self, case: &Case) {
        let (mut trims, mut resets) = (case.dice(10), case.dice(11));
        let (mut times, mut assigns) = (case.dice(12), case.dice(13));
        let before = self.items.len();
        let late = secs(3)..=self.trouble;
        if trims.chance(0.3) {
            for _ in 0..trims.number(1..=4) {
                self.items.push((trims.time(late.clone()), Item::Trim { unread: trims.chance(0.7) }));
            }
        }
        if assigns.chance(0.25) {
            let alone = |(_, item): &(Duration, Item)| matches!(item, Item::Join(Role::Alone { .. }));
            if !self.items.iter().any(alone) {
                self.items
                    .push((assigns.time(Duration::ZERO..=secs(5)), Item::Join(self.alone(&mut assigns))));
            }
            for _ in 0..assigns.number(2..=5) {
                self.items.push((assigns.time(late.clone()), Item::Assign));
            }
        }
        let ago = resets.time(secs(1)..=secs(12));
        let drawn = resets.chance(0.3);
        let reset = resets.pick(&[ResetPolicy::Latest, ResetPolicy::ByDuration(ago), ResetPolicy::None]);
        let times = if times.chance(0.25) { 0.02 } else { 0.0 };
        let checked = drawn || times > 0.0 || self.items.len() > before;
        self.habits.beginnings = Beginnings { reset: drawn.then_some(reset), times, checked };
    }
}
