//! One transactional id, as its coordinator sees it: whose it is, and where its transaction stands.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ottla_protocol::{DecodeError, ErrorCode, Now, Timestamp, codec::Reader, records::ControlType};

use crate::{
    planted::{Planted, Plot},
    storage::Kept,
};

/// The producer that writes in transactions: what it was told by InitProducerId, or by the end of its last transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// Which rules hold (KIP-890). The version of each request decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Partitions and groups are added by requests of their own; the epoch stays.
    V1,
    /// They are added by what is written to them; each end raises the epoch.
    V2,
}

/// Where a transaction stands.
///
/// ```text
///             a partition or        it is ended, or its time       every marker
///             group is added        is up                          is written
///    Empty ──────────────▶ Ongoing ───────────────▶ Prepare ─────────────────▶ Complete
///      ▲  │                   ▲                  Commit, Abort              Commit, Abort
///      │  │                   │   added again          ▲                          │ │ │
///      │  │                   └────────────────────────┼──────────────────────────┘ │ │
///      │  └────────────────────────────────────────────┴────────────────────────────┘ │
///      │             aborted with nothing in it (V2)                                  │
///      └──────────────────────────────────────────────────────────────────────────────┘
///                                InitProducerId
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl State {
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// What the transaction ended in, or is about to.
    const fn outcome(self) -> Option<ControlType> {
        match self {
            Self::Empty | Self::Ongoing => None,
            Self::PrepareCommit | Self::CompleteCommit => Some(ControlType::Commit),
            Self::PrepareAbort | Self::CompleteAbort => Some(ControlType::Abort),
        }
    }

    const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A topic and a partition of it. Groups stand here as the partitions of the topic that keeps their offsets.
pub(crate) type Place = (String, i32);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) state: State,
    pub(crate) identity: Identity,
    pub(crate) places: BTreeSet<Place>,
    pub(crate) timeout: Duration,
    /// When the last one began.
    pub(crate) started: Option<Now>,
    flow: Flow,
    /// The epoch before the present one, where who bears it is the same producer, and may ask again; else -1.
    last_epoch: i16,
    /// The id before the present one.
    last_id: i64,
    /// The id from the transaction's end on, where the epochs of the present one are used up.
    next_id: Option<i64>,
    /// The markers that are not written, and when each is due.
    unwritten: Vec<(Instant, Place)>,
}

/// Who has this epoch has the last one.
const LAST_EPOCH: i16 = i16::MAX - 1;

impl Transaction {
    /// Of nobody yet: the first InitProducerId makes the epoch 0.
    pub(crate) fn new(id: i64) -> Self {
        Self {
            state: State::Empty,
            identity: Identity { id, epoch: -1 },
            places: BTreeSet::new(),
            timeout: Duration::ZERO,
            started: None,
            flow: Flow::V1,
            last_epoch: -1,
            last_id: -1,
            next_id: None,
            unwritten: Vec::new(),
        }
    }

    /// InitProducerId, by a producer that says who it was or by one that is new. A transaction that is open is aborted, and
    /// the producer has to ask again. `new_id` is another producer id, if one is needed.
    pub(crate) fn init(
        &mut self,
        was: Option<Identity>,
        timeout: Duration,
        plot: Plot,
        new_id: impl FnOnce() -> i64,
    ) -> Result<Identity, ErrorCode> {
        let Identity { id, epoch } = self.identity;
        let is_ours =
            |was: Identity| epoch < 0 || was.id == id || (was.id == self.last_id && was.epoch >= LAST_EPOCH);
        if !was.is_none_or(is_ours) {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::PrepareCommit | State::PrepareAbort => return Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing if plot.has(Planted::OpenTransactionInherited) => {}
            State::Ongoing => {
                self.fence();
                return Err(ErrorCode::ConcurrentTransactions);
            }
            State::Empty | State::CompleteCommit | State::CompleteAbort => {}
        }
        let goes_on = was.is_some_and(|was| epoch < 0 || was.epoch == epoch);
        let asks_again = was.is_some_and(|was| was.epoch == self.last_epoch);
        if was.is_some() && !goes_on && !asks_again {
            return Err(ErrorCode::ProducerFenced);
        }
        if (was.is_none() || goes_on) && !self.keeps_epoch(plot) {
            self.last_epoch = if goes_on { epoch } else { -1 };
            self.identity = match epoch {
                LAST_EPOCH.. => {
                    self.last_id = id;
                    Identity { id: new_id(), epoch: 0 }
                }
                _ => Identity { id, epoch: epoch + 1 },
            };
        }
        (self.state, self.timeout, self.started) = (State::Empty, timeout, None);
        Ok(self.identity)
    }

    /// Whether a new producer gets the epoch of the one before.
    fn keeps_epoch(&self, plot: Plot) -> bool {
        self.identity.epoch >= 0 && plot.has(Planted::EpochNotBumped)
    }

    /// Whether this is the producer, and no end is under way.
    fn check(&self, asks: Identity, plot: Plot) -> Result<(), ErrorCode> {
        if asks.id != self.identity.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_zombie = asks.epoch < self.identity.epoch && plot.has(Planted::ZombieNotFenced);
        if asks.epoch != self.identity.epoch && !is_zombie {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.state.is_prepared() { Err(ErrorCode::ConcurrentTransactions) } else { Ok(()) }
    }

    /// Adds partitions, and begins the transaction with the first.
    pub(crate) fn add(
        &mut self,
        asks: Identity,
        places: impl IntoIterator<Item = Place>,
        flow: Flow,
        plot: Plot,
        now: Now,
    ) -> Result<(), ErrorCode> {
        self.check(asks, plot)?;
        if self.state != State::Ongoing {
            (self.state, self.started) = (State::Ongoing, Some(now));
        }
        self.flow = flow;
        self.places.extend(places);
        Ok(())
    }

    /// Whether a partition has been added.
    pub(crate) fn verify(&self, asks: Identity, place: &Place, plot: Plot) -> Result<(), ErrorCode> {
        self.check(asks, plot)?;
        if self.places.contains(place) { Ok(()) } else { Err(ErrorCode::TransactionAbortable) }
    }

    /// EndTxn: who the producer is from now on. The markers are due then.
    pub(crate) fn end(
        &mut self,
        asks: Identity,
        outcome: ControlType,
        flow: Flow,
        new_id: impl FnOnce() -> i64,
    ) -> Result<Identity, ErrorCode> {
        let bumped = flow == Flow::V2
            && self.flow == Flow::V2
            && asks.epoch.checked_add(1) == Some(self.identity.epoch);
        let rotated = asks.id == self.last_id && asks.epoch == LAST_EPOCH && self.identity.epoch == 0;
        let asks_again = match flow {
            // The epoch does not tell a repeated request from the next.
            Flow::V1 => self.state.outcome() == Some(outcome),
            Flow::V2 => bumped || rotated,
        };
        if asks.id != self.identity.id && !(flow == Flow::V2 && rotated) {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let knows_epoch = match (flow, self.state) {
            (Flow::V1, _) | (Flow::V2, State::Empty | State::Ongoing) => asks.epoch == self.identity.epoch,
            (Flow::V2, State::PrepareCommit | State::PrepareAbort) => bumped,
            (Flow::V2, State::CompleteCommit | State::CompleteAbort) => {
                asks_again || asks.epoch == self.identity.epoch
            }
        };
        if !knows_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::Ongoing => {}
            State::PrepareCommit | State::PrepareAbort if self.state.outcome() == Some(outcome) => {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            State::CompleteCommit | State::CompleteAbort if asks_again => {
                let same = self.state.outcome() == Some(outcome);
                return if same { Ok(self.identity) } else { Err(ErrorCode::InvalidTxnState) };
            }
            State::Empty | State::CompleteCommit | State::CompleteAbort
                if flow == Flow::V2 && outcome == ControlType::Abort => {}
            _ => return Err(ErrorCode::InvalidTxnState),
        }
        self.flow = flow;
        self.state = match outcome {
            ControlType::Commit => State::PrepareCommit,
            _ => State::PrepareAbort,
        };
        if flow == Flow::V2 {
            let Identity { id, epoch } = self.identity;
            self.next_id = (epoch >= LAST_EPOCH).then(new_id);
            self.last_epoch = epoch;
            self.identity = Identity { id, epoch: epoch.saturating_add(1) };
        }
        Ok(self.next_id.map_or(self.identity, |id| Identity { id, epoch: 0 }))
    }

    /// Aborts the open transaction, and passes the epoch of who has it.
    pub(crate) fn fence(&mut self) {
        let Identity { id, epoch } = self.identity;
        self.state = State::PrepareAbort;
        self.last_epoch = epoch;
        self.identity = Identity { id, epoch: epoch.saturating_add(1) };
    }

    /// When the open transaction is aborted, or the next marker is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Ongoing => self.started.map(|started| started.mono + self.timeout),
            _ => self.unwritten.iter().map(|(due, _)| *due).min(),
        }
    }

    /// Whether its time is up.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.state == State::Ongoing && self.next_timeout().is_some_and(|deadline| deadline <= now)
    }

    /// What its end is, where that is not written everywhere.
    pub(crate) fn prepared(&self) -> Option<ControlType> {
        self.state.outcome().filter(|_| self.state.is_prepared())
    }

    /// The end is decided: each partition's marker is due when `due` says.
    pub(crate) fn schedule(&mut self, mut due: impl FnMut() -> Instant) {
        self.unwritten = self.places.iter().map(|place| (due(), place.clone())).collect();
    }

    /// The places whose markers are due.
    pub(crate) fn due(&self, now: Instant) -> Vec<Place> {
        self.unwritten.iter().filter(|(due, _)| *due <= now).map(|(_, place)| place.clone()).collect()
    }

    /// A marker is written.
    pub(crate) fn written(&mut self, place: &Place) {
        self.unwritten.retain(|(_, unwritten)| unwritten != place);
    }

    /// A marker could not be written.
    pub(crate) fn postpone(&mut self, place: &Place, until: Instant) {
        self.unwritten.iter_mut().filter(|(_, it)| it == place).for_each(|(due, _)| *due = until);
    }

    /// Completes the end, where all markers are written.
    pub(crate) fn complete(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        self.state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            State::PrepareAbort => State::CompleteAbort,
            _ => return,
        };
        self.places.clear();
        if let Some(id) = self.next_id.take() {
            self.last_id = self.identity.id;
            self.identity = Identity { id, epoch: 0 };
        }
    }
}

impl Kept for Transaction {
    fn put(&self, out: &mut Vec<u8>) {
        let state = State::ALL.iter().position(|state| *state == self.state).unwrap_or_default();
        (state as i8).put(out);
        (self.identity.id, self.identity.epoch).put(out);
        self.places.put(out);
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX).put(out);
        self.started.map(|started| started.wall.0).put(out);
        (self.flow == Flow::V2).put(out);
        (self.last_epoch, self.last_id).put(out);
        self.next_id.put(out);
        self.unwritten.iter().map(|(_, place)| place.clone()).collect::<Vec<_>>().put(out);
    }

    /// Markers are due at once. Time that passed since it began has passed.
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        let state = usize::try_from(i8::read(r, now)?).ok();
        let state = state.and_then(|at| State::ALL.get(at)).copied().unwrap_or(State::Empty);
        let (id, epoch) = Kept::read(r, now)?;
        let places = Kept::read(r, now)?;
        let timeout = u64::try_from(i32::read(r, now)?).map_or(Duration::ZERO, Duration::from_millis);
        let began = |wall: i64| {
            let since = Duration::from_millis(u64::try_from(now.wall.0.saturating_sub(wall)).unwrap_or(0));
            Now { mono: now.mono.checked_sub(since).unwrap_or(now.mono), wall: Timestamp(wall) }
        };
        let started = Option::<i64>::read(r, now)?.map(began);
        let flow = if bool::read(r, now)? { Flow::V2 } else { Flow::V1 };
        let (last_epoch, last_id) = Kept::read(r, now)?;
        let next_id = Kept::read(r, now)?;
        let unwritten = Vec::<Place>::read(r, now)?.into_iter().map(|place| (now.mono, place)).collect();
        let identity = Identity { id, epoch };
        Ok(Self { state, identity, places, timeout, started, flow, last_epoch, last_id, next_id, unwritten })
    }
}
