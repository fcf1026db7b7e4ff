//! Processing: every record is handled, in order where order matters, in parallel where it does not, and what is committed is
//! what is done.
//!
//! [`Processing`] is told what arrives ([`handle_arrived`](Processing::handle_arrived)), hands out jobs
//! ([`take`](Processing::take)), is told how each ended ([`handle_ended`](Processing::handle_ended)), and answers what is to be
//! committed and which partitions are to be paused. Who drives it keeps this contract:
//!
//! 1. every job that was taken is ended once, whatever has become of its partition;
//! 2. behind each call that says so ([`take_stir`](Processing::take_stir)), and when
//!    [`poll_timeout`](Processing::poll_timeout) is over, call [`handle_timeout`](Processing::handle_timeout) and drain the
//!    `poll_*`;
//! 3. at most one commit of [`poll_commit`](Processing::poll_commit) is under way.

mod assigning;
mod batches;
mod books;
mod committing;
mod held;
mod items;
mod ledger;
mod lines;
mod notices;
mod partition;
mod policy;
#[cfg(not(ottla_fuzzing))]
mod saved;
#[cfg(ottla_fuzzing)]
pub(crate) mod saved;
#[cfg(test)]
mod tests;
mod working;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

pub use self::batches::Batch;
pub use self::books::{Attempted, Books, Draft, Entry, GivenUp, Parting};
pub use self::committing::CommitEnd;
pub use self::held::Following;
pub use self::ledger::{Ledger, Round};
pub use self::notices::{Counts, Notice};
pub use self::policy::{FailureClass, OnHopeless, Order, RetryPolicy, WhyHopeless};
use self::{
    committing::Committing,
    lines::{Lines, Place},
    partition::{Incarnation, Partition},
};
use crate::{
    ids::TopicPartition,
    planted::{Planted, Plot},
};

/// Room is little where it is less than one of so many parts of all.
const LITTLE: usize = 8;

/// What a [`Processing`] goes by.
#[derive(Debug, Clone)]
pub struct ProcessingConfig {
    /// Which records wait for which.
    pub order: Order,
    /// How many jobs there may be at once. At least 1.
    pub concurrency: usize,
    /// How records are tried again.
    pub retries: RetryPolicy,
    /// What becomes of those that are not tried any more.
    pub on_hopeless: OnHopeless,
    /// How long a handler may take before it is told to end; `None` for ever.
    pub handler_timeout: Option<Duration>,
    /// How much may have arrived and not be done.
    pub room: Room,
    /// The time between commits.
    pub commit_interval: Duration,
    /// Of what is drawn: the jitter of retries, and the hash of keys.
    pub seed: u64,
}

/// A bound on what has arrived and is not done, of all partitions together. Each assigned partition has an equal share of it,
/// and is paused when that is used up, until half of it is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many records.
    pub records: usize,
    /// How many bytes, as [`Arrival::bytes`] counts them.
    pub bytes: usize,
}

/// A record that arrives.
#[derive(Debug)]
pub struct Arrival<'a, W> {
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that appended it, where the log tells it.
    pub leader_epoch: Option<i32>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// How many bytes of the [`Room`] it takes.
    pub bytes: usize,
    /// It is not handed out before, and holds up who waits for it; at once where none is given.
    pub due: Option<Instant>,
    /// Where it is not tried any more, it waits for so long in its place, once, and is tried anew.
    pub patience: Option<Duration>,
    /// What is handed out.
    pub work: W,
}

/// The time of a partition from its assignment, or from where its position was moved back, to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure(Option<Incarnation>);

/// One attempt at one record. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    partition: Incarnation,
    offset: i64,
    attempt: u32,
}

/// A record to be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<W> {
    /// To be told when it has ended.
    pub id: JobId,
    /// Which attempt it is: the first is 1.
    pub attempt: u32,
    /// The record.
    pub work: W,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<E> {
    /// The record is done.
    Done,
    /// It failed. What a panic and a time-out count as is up to who drives.
    Failed(FailureClass, E),
    /// Its time has not come: it is handed out again after so long, and this counts as no attempt. It keeps its place, and those behind it
    /// in its line wait.
    Deferred(Duration),
    /// It was [told to end](Processing::poll_cancel) because its partition is gone, and has.
    Cancelled,
}

/// Why a job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// It has taken as long as [`ProcessingConfig::handler_timeout`]. It counts as failed.
    TimedOut,
    /// Its partition is another's, or is read anew from elsewhere, or the time to drain is over.
    Gone,
}

/// A record that is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hopeless<W, E> {
    /// Its partition.
    pub at: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// The record.
    pub work: W,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it is not tried any more.
    pub why: WhyHopeless,
    /// What its last attempt failed with.
    pub error: E,
}

/// A record that somebody else is to take over, who tells [`Processing::handle_given_away`] what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAway<W, E> {
    /// To be told with what became of it.
    pub id: JobId,
    /// The record.
    pub hopeless: Hopeless<W, E>,
}

/// Records of partitions, on their way from their arrival to the commit. `W` is a record, to be cloned for each attempt; `E`
/// is what a handler fails with.
#[derive(Debug)]
pub struct Processing<W, E> {
    config: ProcessingConfig,
    rng: fastrand::Rng,
    partitions: BTreeMap<Incarnation, Partition<W>>,
    named: BTreeMap<TopicPartition, Incarnation>,
    last: u32,
    lines: Lines,
    /// How many jobs are taken and not ended.
    running: usize,
    /// Records that have arrived and are not done.
    in_hand: usize,
    /// Nothing is asked for until there is more room, or less to hand out.
    is_sated: bool,
    /// Records that wait for their next attempt.
    retries: BTreeMap<Instant, Vec<Place>>,
    /// Those that are taken and not ended.
    batches: BTreeMap<JobId, batches::Taken>,
    /// When handlers have to be done.
    deadlines: BTreeSet<(Instant, JobId)>,
    cancels: VecDeque<(JobId, CancelReason)>,
    pauses: VecDeque<(TopicPartition, bool)>,
    given_away: VecDeque<GivenAway<W, E>>,
    following: VecDeque<Following<W>>,
    held: held::Held,
    /// Nothing is handed out any more.
    is_stopping: bool,
    /// What it stops for.
    stopped_for: Option<Hopeless<W, E>>,
    committing: Committing,
    notices: notices::Notices,
    stir: bool,
    plot: Plot,
}

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// One without partitions.
    pub fn new(config: ProcessingConfig) -> Self {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        Self {
            lines: Lines::new(config.order, rng.u64(..)),
            rng,
            partitions: BTreeMap::new(),
            named: BTreeMap::new(),
            last: 0,
            running: 0,
            in_hand: 0,
            is_sated: false,
            retries: BTreeMap::new(),
            batches: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            cancels: VecDeque::new(),
            pauses: VecDeque::new(),
            given_away: VecDeque::new(),
            following: VecDeque::new(),
            held: held::Held::default(),
            is_stopping: false,
            stopped_for: None,
            committing: Committing::new(config.commit_interval),
            notices: notices::Notices::default(),
            stir: false,
            plot: Plot::default(),
            config,
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: Planted) {
        self.plot = Plot(Some(bug));
        self.lines.plot = self.plot;
    }

    /// Hands out nothing any more. What is in a handler goes on.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        self.stir = true;
    }

    /// Whether nothing is handed out any more.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// The record that it stops for, where it is one. Told once.
    pub fn take_stopped_for(&mut self) -> Option<Hopeless<W, E>> {
        self.stopped_for.take()
    }

    /// The time of a partition that has begun last, for who receives records of it in one place and is told of rebalances in another:
    /// what was received in one time must not arrive in the next.
    pub fn tenure(&self, at: &TopicPartition) -> Tenure {
        Tenure(self.named.get(at).copied())
    }

    /// How many records have arrived and are not done.
    pub fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// How many jobs are taken and not ended, those of partitions that are gone included.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many records may be asked for now; `None` for none before the next [stir](Self::take_stir): there is little room, and
    /// something to hand out. To ask for a few costs about as much as to ask for many. Otherwise at least one, as partitions that have no
    /// room are paused.
    pub fn room(&mut self) -> Option<usize> {
        self.hungers();
        self.is_sated |= self.has_enough();
        (!self.is_sated).then_some(self.free().max(1))
    }

    fn free(&self) -> usize {
        let in_hand = if self.plot.has(Planted::RoomIsOverlooked) { 0 } else { self.in_hand };
        self.config.room.records.saturating_sub(in_hand)
    }

    fn has_enough(&self) -> bool {
        self.free() < self.config.room.records / LITTLE && !self.lines.is_empty()
    }

    /// Records were taken, or are done: whoever asks for more asks again where there is a reason to.
    fn hungers(&mut self) {
        if self.is_sated && !self.has_enough() {
            self.is_sated = false;
            self.stir = true;
        }
    }

    /// Whether something came about, since this was last asked, for whoever drives this to look at.
    pub fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.stir)
    }

    /// When to call [`Processing::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let draining = self.partitions.values().filter_map(Partition::drains_until).min();
        let retry = self.retries.keys().next().copied();
        let timeout = self.deadlines.first().map(|(at, _)| *at);
        // Who stops commits what it gives up, and nothing before.
        let commit = self.committing.due().filter(|_| !self.is_stopping);
        let own = [draining, self.batches_drain_until(), retry, timeout, commit, self.notices.stalls_at()];
        own.into_iter().flatten().min()
    }

    /// The next job that is to end. Whoever runs it tells when it has.
    pub fn poll_cancel(&mut self) -> Option<(JobId, CancelReason)> {
        self.cancels.pop_front()
    }

    /// The next partition that is to be paused (`true`) or resumed.
    pub fn poll_pause(&mut self) -> Option<(TopicPartition, bool)> {
        self.pauses.pop_front()
    }

    /// Whether there are records that somebody else is to take over, or to write [behind](Self::poll_following).
    pub fn has_given_away(&self) -> bool {
        !self.given_away.is_empty() || !self.following.is_empty()
    }

    /// The next record that somebody else is to take over.
    pub fn poll_given_away(&mut self) -> Option<GivenAway<W, E>> {
        self.given_away.pop_front()
    }
}
