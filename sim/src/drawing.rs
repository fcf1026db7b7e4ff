//! How a plan is drawn from a seed.

use std::time::Duration;

use crate::{
    case::Case,
    dice::{Dice, ms, secs},
    habits::Drawn,
    mode::{Mode, Protocol},
    plan::{Goodbye, Item, Plan},
    role::Role,
    security::Security,
    setup::Setup,
    stage::Weather,
    trouble::Trouble,
    variety::Variety,
};

impl Plan {
    pub(crate) fn draw(case: &Case) -> Self {
        let mut dice = Dice::new(case.seed ^ case.mode.salt());
        let d = &mut dice;
        let orderly = d.chance(0.12);
        let brokers = d.number(1..=3) as u32;
        let topic = |d: &mut Dice, n: usize| (format!("topic{n}"), d.number(1..=8) as u32);
        let topics: Vec<(String, u32)> = (0..d.number(1..=3)).map(|n| topic(d, n)).collect();
        let trouble = d.time(secs(18)..=secs(35));
        let protocols = Protocol::menu(case.mode, d);
        let setup = Setup::draw(d, brokers);
        let weather = Weather {
            latency: d.time(Duration::from_micros(200)..=ms(15)),
            jitter: d.time(Duration::ZERO..=ms(20)),
            spikes: if orderly { 0.0 } else { d.pick(&[0.0, 0.002, 0.01]) },
            spike: d.time(ms(200)..=secs(6)),
        };
        let new_protocol = protocols.iter().any(|protocol| matches!(protocol, Protocol::Consumer(_)));
        let mut plan = Self {
            mode: case.mode,
            broker: setup.broker(d, brokers, new_protocol),
            topics,
            weather,
            trouble,
            orderly,
            brisk: false,
            items: Vec::new(),
            producer: setup.producer(d),
            burst_every: ms(20)..=d.time(ms(100)..=ms(500)),
            burst: 1..=d.number(8..=25),
            value: 8..=d.number(16..=300),
            large: d.pick(&[0.0, 0.01]),
            max_poll: d.time(secs(6)..=secs(40)),
            habits: Drawn::draw(d, orderly),
            setup,
            variety: Variety::default(),
            security: None,
            fleeting: false,
            protocols,
            ids: d.number(3..=6),
        };
        let mut fleeting = case.dice(3);
        plan.fleeting = !orderly && fleeting.chance(0.3);
        plan.draw_items(d);
        if plan.fleeting {
            plan.draw_fleeting(&mut fleeting);
        }
        if !orderly {
            plan.draw_partings(&mut case.dice(4));
            plan.draw_beginnings(case);
        }
        plan.draw_variety(case);
        plan.draw_security(&mut case.dice(15));
        plan
    }

    /// Clients authenticate. Where they do by a password, it may be the wrong one for a while.
    fn draw_security(&mut self, d: &mut Dice) {
        let Some(mut security) = Security::draw(d) else { return };
        if self.orderly {
            // A join that comes late may miss a generation, and what was owned with it.
            security.hold();
            security.calm();
        }
        self.broker.sasl = Some(security.broker());
        self.producer.connections.sasl = Some(security.client());
        if security.has_password() && !self.orderly && d.chance(0.4) {
            let item = Item::Lock { lasts: d.time(ms(300)..=secs(6)) };
            self.items.push((d.time(secs(3)..=self.trouble), item));
        }
        self.brisk &= self.items.iter().all(|(_, item)| !matches!(item, Item::Lock { .. }));
        self.security = Some(security);
    }

    /// When members are to join, from then on.
    pub(crate) fn group_joins(&self, from: Duration) -> Vec<Duration> {
        let joins = |(at, item): &(Duration, Item)| matches!(item, Item::Join(Role::Group(_))).then_some(*at);
        self.items.iter().filter_map(joins).filter(|at| *at >= from).collect()
    }

    /// Members close, or unsubscribe, in the midst of rebalances that others cause.
    fn draw_partings(&mut self, d: &mut Dice) {
        for at in self.group_joins(secs(3)) {
            if !d.chance(0.3) {
                continue;
            }
            let item = Item::Part { unsubscribes: d.chance(0.3), tries: 60 };
            self.items.push((at + d.time(ms(5)..=ms(900)), item));
        }
    }

    /// Comes, goes, and may come and go again.
    fn draw_fleeting(&mut self, d: &mut Dice) {
        let mut at = d.time(Duration::ZERO..=secs(8));
        let times = d.number(2..=5);
        for comes in [true, false, true, false, true].into_iter().take(times) {
            self.items.push((at, Item::Fleet { comes }));
            if !comes {
                // Some has just been read, and is not committed, and partitions change hands.
                self.items.push((at.saturating_sub(d.time(ms(20)..=ms(400))), Item::Refill));
                let item =
                    if d.chance(0.5) { Item::Close(Goodbye::Default) } else { Item::Join(self.in_group(d)) };
                self.items.push((at + d.time(Duration::ZERO..=ms(300)), item));
            }
            // So soon that some do not notice, or late.
            at += if d.chance(0.3) { d.time(ms(1)..=ms(300)) } else { d.time(secs(2)..=secs(9)) };
        }
    }

    fn draw_items(&mut self, d: &mut Dice) {
        let mut items = Vec::new();
        for _ in 0..d.number(1..=3) {
            items.push((d.time(Duration::ZERO..=secs(2)), Item::Join(self.in_group(d))));
        }
        if d.chance(0.35) {
            items.push((d.time(Duration::ZERO..=secs(5)), Item::Join(self.alone(d))));
        }
        let late = |d: &mut Dice| d.time(secs(3)..=self.trouble);
        items.push((late(d), Item::Join(self.in_group(d))));
        items.push((late(d), Item::Ghost));
        for _ in 0..d.number(2..=6) {
            items.push((late(d), self.deed(d)));
        }
        let faults = if self.orderly { 1..=3 } else { 1..=8 };
        for _ in 0..d.number(faults) {
            items.push((late(d), Item::Trouble(self.trouble_of_a_request(d))));
        }
        for _ in 0..d.number(0..=5) {
            items.push((late(d), Item::Trouble(Trouble::of_the_world(d, self.orderly, self.broker.brokers))));
        }
        let grows = if self.mode == Mode::Regex { 1..=3 } else { 0..=2 };
        for _ in 0..d.number(grows) {
            let item = match self.mode == Mode::Regex && d.chance(0.7) {
                true => Item::Create { matches: d.chance(0.7) },
                false => Item::Widen { by: d.number(1..=3) as u32 },
            };
            items.push((late(d), item));
        }
        let brisk = |item: &Item| !matches!(item, Item::Trouble(trouble) if !trouble.is_brisk());
        self.brisk = self.weather.spikes == 0.0 && items.iter().all(|(_, item)| brisk(item));
        self.items = items;
    }

    /// Something that a member, or its user, does.
    fn deed(&self, d: &mut Dice) -> Item {
        match d.number(0..=12) {
            0 if self.mode == Mode::Regex && !self.orderly => {
                Item::Join(self.who_wants(self.some_topics(d), d))
            }
            0..=2 => Item::Join(self.in_group(d)),
            3 | 4 => {
                Item::Close(d.pick(&[Goodbye::Default, Goodbye::Default, Goodbye::Leave, Goodbye::Remain]))
            }
            5 => Item::Enforce,
            6..=8 if !self.orderly => Item::Crash {
                again_after: d.chance(0.7).then(|| d.time(ms(100)..=secs(8))),
                keeps_id: d.chance(0.7),
            },
            9 if !self.orderly => Item::Drop,
            10 if !self.orderly => Item::Unsubscribe,
            11 | 12 if !self.orderly => Item::Change(self.some_topics(d)),
            _ => Item::Join(self.in_group(d)),
        }
    }
}
