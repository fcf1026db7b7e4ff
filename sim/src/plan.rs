//! What a seed contains: drawn before it begins.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, time::Duration};

use ottla_broker::Config;
use ottla_core::{TopicPartition, producer::ProducerConfig};

use crate::{
    case::Case,
    dice::{Dice, ms, secs},
    habits::Drawn,
    mode::{Mode, Protocol},
    role::{GroupRole, Role, Wants},
    setup::Setup,
    stage::Weather,
    trouble::Trouble,
    variety::Variety,
};

/// What happens at some time.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Join(Role),
    Close(Goodbye),
    Drop,
    Crash {
        again_after: Option<Duration>,
        keeps_id: bool,
    },
    Unsubscribe,
    /// A member whose listener is to be told something, and has not been, closes or unsubscribes; there is one soon.
    Part {
        unsubscribes: bool,
        tries: u32,
    },
    /// A member subscribes to something else.
    Change(Wants),
    /// A member asks for a rebalance.
    Enforce,
    /// A commit that was sent in an earlier generation arrives late, on a connection that its sender has given up.
    Ghost,
    Trouble(Trouble),
    /// A topic becomes wider.
    Widen {
        by: u32,
    },
    /// The topic that comes and goes comes, or goes.
    Fleet {
        comes: bool,
    },
    /// There is more in it.
    Refill,
    /// Whoever came last closes.
    CloseNewest,
    /// The producer has nothing to send for so long.
    Hush {
        lasts: Duration,
    },
    /// Many records come at once, in every partition.
    Flood {
        records: usize,
    },
    /// A log loses its beginning: only what the group has read, or more.
    Trim {
        unread: bool,
    },
    /// Somebody who reads alone is assigned other partitions.
    Assign,
    /// A topic comes into being: one that is subscribed to, or another.
    Create {
        matches: bool,
    },
}

/// How a user closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goodbye {
    Default,
    Leave,
    Remain,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) broker: Config,
    /// What is produced to, and read by the group.
    pub(crate) topics: Vec<(String, u32)>,
    pub(crate) weather: Weather,
    /// How long the trouble lasts.
    pub(crate) trouble: Duration,
    /// Nobody crashes, nothing fails for long, and everybody commits: then nothing is read twice.
    pub(crate) orderly: bool,
    /// No silence, which a time-out ends, and no long delay: what goes wrong is over at once.
    pub(crate) brisk: bool,
    pub(crate) items: Vec<(Duration, Item)>,
    pub(crate) producer: ProducerConfig,
    /// How often the producer sends, how many records at once, and how large.
    pub(crate) burst_every: RangeInclusive<Duration>,
    pub(crate) burst: RangeInclusive<usize>,
    pub(crate) value: RangeInclusive<usize>,
    pub(crate) large: f64,
    pub(crate) max_poll: Duration,
    pub(crate) habits: Drawn,
    pub(crate) setup: Setup,
    pub(crate) variety: Variety,
    /// Whether there is the topic that comes and goes.
    fleeting: bool,
    protocols: Vec<Protocol>,
    /// Of static members: how many ids there are to choose from.
    ids: usize,
}

/// A topic that everybody subscribes to and that comes and goes, where a seed has it. It is read and committed like any
/// other; what becomes of its records is nobody's to account for.
pub(crate) const FLEETING: &str = "topic_fleeting";

pub(crate) const LARGE: usize = 3000;
const BRISK: u64 = 15;

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
        plan
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

    pub(crate) fn trouble_of_a_request(&self, d: &mut Dice) -> Trouble {
        Trouble::of_a_request(d, self.orderly, self.broker.brokers, &self.protocols)
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

    /// Every member reads everything: then whoever is left at the end reads all that there is.
    pub(crate) fn in_group(&self, d: &mut Dice) -> Role {
        self.who_wants(self.everything(), d)
    }

    fn who_wants(&self, wants: Wants, d: &mut Dice) -> Role {
        // In order, no two have the same.
        let ids = if self.orderly { 1_000_000 } else { self.ids };
        let id = format!("id{}", d.number(1..=ids));
        let instance = (self.mode == Mode::Static && d.chance(0.85)).then_some(id);
        Role::Group(GroupRole { wants, protocol: d.pick(&self.protocols), instance })
    }

    /// What covers every topic that is produced to.
    pub(crate) fn everything(&self) -> Wants {
        match self.mode {
            Mode::Regex => Wants::Pattern("topic.*".to_owned()),
            _ => {
                let fleeting = self.fleeting.then(|| FLEETING.to_owned());
                Wants::Topics(self.topics.iter().map(|(name, _)| name.clone()).chain(fleeting).collect())
            }
        }
    }

    fn some_topics(&self, d: &mut Dice) -> Wants {
        if self.mode == Mode::Regex && d.chance(0.7) {
            return Wants::Pattern(d.pick(&["topic[0-1]", "topic(0|2|4)", "nothing.*", "topic."]).to_owned());
        }
        let some: BTreeSet<String> =
            self.topics.iter().filter(|_| d.chance(0.6)).map(|(name, _)| name.clone()).collect();
        Wants::Topics(if some.is_empty() { [self.topics[0].0.clone()].into() } else { some })
    }

    pub(crate) fn alone(&self, d: &mut Dice) -> Role {
        let mut partitions = self.partitions();
        let kept = d.number(1..=partitions.len());
        while partitions.len() > kept {
            let index = d.number(0..=partitions.len() - 1);
            partitions.swap_remove(index);
        }
        partitions.sort();
        Role::Alone { partitions, group: d.chance(0.5).then(|| "by hand".to_owned()) }
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let of = |(name, count): &(String, u32)| {
            let name = name.clone();
            (0..*count as i32).map(move |number| TopicPartition::new(name.clone(), number))
        };
        self.topics.iter().flat_map(of).collect()
    }

    /// How many bytes of records a consumer may hold: the budget, and of each broker one batch beyond it.
    pub(crate) fn most_held(&self) -> usize {
        let batch = self.producer.batch_size.max(LARGE + 200);
        self.setup.budget + self.broker.brokers as usize * batch
    }

    /// The length of the next value.
    pub(crate) fn value_length(&self, d: &mut Dice) -> usize {
        if d.chance(self.large) { LARGE } else { d.number(self.value.clone()) }
    }

    /// Within this time after the trouble all must be done: a request to join may be lost and is awaited for
    /// [`Self::join_timeout`], a user may be away for long, sessions expire.
    pub(crate) fn bound(&self) -> Duration {
        self.join_timeout() * 2 + self.max_poll * 2 + secs(40)
    }

    /// The same for one partition, where no user is away and nothing is silent: a session expires, the group rebalances,
    /// listeners take their time.
    pub(crate) fn brisk_bound(&self) -> Duration {
        self.setup.session + secs(BRISK)
    }

    fn join_timeout(&self) -> Duration {
        (self.max_poll + secs(5)).max(secs(30))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, broker, topics, orderly, max_poll, trouble, .. } = self;
        write!(
            f,
            "{mode}: {} brokers as {:?}, topics {topics:?}; max.poll.interval {max_poll:.1?}, trouble until \
             {trouble:.1?}, orderly: {orderly}",
            broker.brokers, broker.versions
        )?;
        for (index, (at, item)) in self.items.iter().enumerate() {
            write!(f, "\n           {index:2} at {:9.6} {item:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
