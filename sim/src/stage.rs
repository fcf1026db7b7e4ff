//! What all of a simulation share: the time, what is to come, the network between clients and brokers, the journal, and
//! the first invariant that was found broken.

mod network;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    fmt,
    time::{Duration, Instant},
};

use ottla_core::{ConnId, Disconnected, Done};
use ottla_protocol::{Now, Timestamp};

use crate::{dice::Dice, security::Security};

/// The wall clock at the start: some time in 2026.
const EPOCH_MS: i64 = 1_780_000_000_000;

/// A client: the producer or one life of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who(pub(crate) usize);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("producer"),
            n => write!(f, "c{n}"),
        }
    }
}

/// One connection, in the network's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) u64);

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A machine's deadline.
    Alarm(Who),
    /// A user's next step, unless he has done another since.
    User(Who, u64),
    /// The same of the user of one of its other readers.
    Helper(Who, usize, u64),
    /// A connection comes about, or not.
    Connect(LinkId),
    Refuse(LinkId),
    /// A frame reaches the broker.
    Up(LinkId, Vec<u8>),
    /// A frame reaches the client.
    Down(LinkId, Vec<u8>),
    /// An end of a connection learns that it is over.
    TellClient(LinkId, Disconnected),
    TellBroker(LinkId),
    /// The cluster's deadline.
    Cluster,
    /// The plan's next item.
    Plan(usize),
    /// The producer sends.
    Burst,
    /// A broker is reachable again.
    Restore(i32),
    /// A broker's metadata follows the others' again.
    Follow(i32),
    /// The driver is back from an errand.
    Done(Who, ConnId, Done),
    /// The password that clients know is right again.
    Unlock,
    /// The trouble is over.
    Quiet,
    /// Looks whether all is done.
    Look,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    Open,
    /// Swallows everything, and nobody is told.
    Dark,
    /// Swallows what the client sends, and nobody is told.
    Mute,
    /// Swallows what the broker sends, and nobody is told.
    Deaf,
    /// The client is gone, and the broker not told yet.
    ClientGone,
    /// The broker closed it: what it sent before still arrives.
    BrokerGone,
    Cut,
}

impl LinkState {
    /// Whether it swallows something.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::Dark | Self::Mute | Self::Deaf)
    }

    /// Whether both ends take it for a connection.
    pub(crate) fn stands(self) -> bool {
        self == Self::Open || self.is_silent()
    }

    pub(crate) fn reaches_broker(self) -> bool {
        matches!(self, Self::Open | Self::ClientGone | Self::Deaf)
    }

    pub(crate) fn reaches_client(self) -> bool {
        matches!(self, Self::Open | Self::BrokerGone | Self::Mute)
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) who: Who,
    pub(crate) conn: ConnId,
    pub(crate) node: i32,
    pub(crate) broker: Option<ottla_broker::ConnId>,
    pub(crate) state: LinkState,
    /// When the last frame in each direction arrives: later ones arrive later.
    up: Duration,
    down: Duration,
}

/// What a broker that cannot be reached does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    Refuses,
    Swallows,
}

/// How the network behaves.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    /// How often a frame takes much longer, and how long at most.
    pub(crate) spikes: f64,
    pub(crate) spike: Duration,
}

#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) links: BTreeMap<LinkId, Link>,
    by_broker: BTreeMap<ottla_broker::ConnId, LinkId>,
    pub(crate) outages: BTreeMap<i32, Outage>,
    /// Who reaches nobody, and until when.
    pub(crate) cut_off: Option<(Who, Duration)>,
    pub(crate) weather: Weather,
    opened: u64,
}

/// A line of the journal.
#[derive(Debug, Clone)]
pub struct Line {
    /// When, and what.
    pub text: String,
    /// Whether it belongs to a short account, too: everything but the traffic.
    pub is_story: bool,
}

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// When, since the start.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s: {}: {}", self.at.as_secs_f64(), self.invariant, self.detail)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Stage {
    start: Instant,
    pub(crate) time: Duration,
    queue: BinaryHeap<Entry>,
    sequence: u64,
    pub(crate) dice: Dice,
    pub(crate) net: Net,
    /// Lines for a person to read; `None` where nobody does.
    pub(crate) journal: Option<Vec<Line>>,
    pub(crate) violation: Option<Violation>,
    /// What the drivers' errands bring.
    pub(crate) security: Option<Security>,
    /// Until when the password that clients know is the wrong one, or an answer may be under way that says so.
    pub(crate) barred_until: Duration,
    /// Whether the trouble is over, and since when.
    pub(crate) quiet: bool,
    pub(crate) quiet_since: Duration,
}

impl Stage {
    pub(crate) fn new(dice: Dice, weather: Weather, journal: bool) -> Self {
        Self {
            start: Instant::now(),
            time: Duration::ZERO,
            queue: BinaryHeap::new(),
            sequence: 0,
            dice,
            net: Net {
                links: BTreeMap::new(),
                by_broker: BTreeMap::new(),
                outages: BTreeMap::new(),
                cut_off: None,
                weather,
                opened: 0,
            },
            journal: journal.then(Vec::new),
            violation: None,
            security: None,
            barred_until: Duration::ZERO,
            quiet: false,
            quiet_since: Duration::ZERO,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.start + self.time, wall: Timestamp(EPOCH_MS + self.time.as_millis() as i64) }
    }

    /// A deadline as a time of the simulation.
    pub(crate) fn time_of(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.start)
    }

    pub(crate) fn schedule(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Entry { at: at.max(self.time), sequence: self.sequence, event });
    }

    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.schedule(self.time + wait, event);
    }

    /// Moves the time to what comes next.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let Entry { at, event, .. } = self.queue.pop()?;
        self.time = at;
        Some(event)
    }

    /// Writes a line about the traffic, where somebody reads it.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        self.write(false, line);
    }

    /// Writes a line of the story.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.write(true, line);
    }

    fn write(&mut self, is_story: bool, line: impl FnOnce() -> String) {
        let at = self.time.as_secs_f64();
        if let Some(journal) = &mut self.journal {
            journal.push(Line { text: format!("{at:10.6} {}", line()), is_story });
        }
    }

    /// An invariant is broken. The first counts.
    pub(crate) fn violate(&mut self, invariant: &'static str, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let violation = Violation { invariant, detail: detail(), at: self.time };
            self.tell(|| format!("!! {invariant}: {}", violation.detail));
            self.violation = Some(violation);
        }
    }
}
