//! What a seed contains, once it is drawn.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, time::Duration};

use ottla_broker::Config;
use ottla_core::{TopicPartition, producer::ProducerConfig};

use crate::{
    dice::{Dice, secs},
    habits::Drawn,
    mode::{Mode, Protocol},
    role::{GroupRole, Role, Wants},
    security::Security,
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
    /// The password that clients know is the wrong one for so long.
    Lock {
        lasts: Duration,
    },
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
    pub(crate) security: Option<Security>,
    /// Whether there is the topic that comes and goes.
    pub(crate) fleeting: bool,
    pub(crate) protocols: Vec<Protocol>,
    /// Of static members: how many ids there are to choose from.
    pub(crate) ids: usize,
}

/// A topic that everybody subscribes to and that comes and goes, where a seed has it. It is read and committed like any
/// other; what becomes of its records is nobody's to account for.
pub(crate) const FLEETING: &str = "topic_fleeting";

pub(crate) const LARGE: usize = 3000;
const BRISK: u64 = 15;

impl Plan {
    pub(crate) fn trouble_of_a_request(&self, d: &mut Dice) -> Trouble {
        Trouble::of_a_request(d, self.orderly, self.broker.brokers, &self.protocols)
    }

    /// Every member reads everything: then whoever is left at the end reads all that there is.
    pub(crate) fn in_group(&self, d: &mut Dice) -> Role {
        self.who_wants(self.everything(), d)
    }

    pub(crate) fn who_wants(&self, wants: Wants, d: &mut Dice) -> Role {
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

    pub(crate) fn some_topics(&self, d: &mut Dice) -> Wants {
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
