//! The reading half of a consumer: its cursors, and the order in which they and the core are asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ottla_core::{
    Admission, Callback, Filter, GroupFailure, LaneEpoch, LaneFailure, PartIdx, ReadFailure, Subscription,
    TopicPartition,
};
use ottla_protocol::{DecodeError, ErrorCode, Now, codec::DecodeErrorKind, records::Decompressor};

use super::{
    OwnedRecord, Records,
    cursor::{Cursor, Unpacker},
    inflated::InflatedPool,
    listener::Listening,
    state::State,
};
use crate::{
    config::ConsumerConfig,
    driver::Shared,
    error::{RecvError, RecvErrorKind},
};

#[derive(Debug)]
pub(super) struct Reader {
    /// The one being read first. At most one a partition.
    cursors: Vec<Cursor>,
    unpacker: Unpacker,
    fence: Arc<AtomicU64>,
    fence_seen: u64,
    /// Damage found in a slice: told to the core with the next look.
    failed: Option<(PartIdx, LaneEpoch, i64, DecodeError)>,
    group: Option<String>,
    pub(super) listening: Listening,
}

/// What came of a look at the core.
enum Step {
    /// The listener is to be told something first.
    Tell(Callback),
    /// The first cursor has something.
    Read,
    Failed(RecvError),
    Closed,
}

impl Reader {
    pub(super) fn new(config: &ConsumerConfig, fence: Arc<AtomicU64>) -> Self {
        let unpacker = Unpacker {
            decompressor: Decompressor::new(),
            pool: InflatedPool::default(),
            check_crcs: config.check_crcs,
            max_decompressed: config.max_decompressed_batch_bytes,
        };
        let group = config.group.as_ref().map(|group| group.id.clone());
        let listening = Listening::new(config.listener.clone());
        Self { cursors: Vec::new(), unpacker, fence, fence_seen: u64::MAX, failed: None, group, listening }
    }

    /// The next record of the slice at hand, without a look at the core: the way of nearly every record.
    #[inline]
    pub(super) fn next_at_hand(&mut self) -> Option<OwnedRecord> {
        let cursor = self.cursors.first_mut()?;
        cursor.acknowledge();
        if self.fence.load(Ordering::Acquire) != self.fence_seen || cursor.admission != Admission::Open {
            return None;
        }
        self.advance()
    }

    /// Whether what is at hand is of one of these partitions.
    pub(super) fn has_at_hand(&self, filter: &Filter) -> bool {
        self.cursors.first().is_some_and(|cursor| admits(filter, cursor))
    }

    /// The next record, as soon as there is one. `None` when the consumer is closed.
    pub(super) async fn next(
        &mut self,
        shared: &Arc<Shared<State>>,
        filter: &Filter,
    ) -> Result<Option<OwnedRecord>, RecvError> {
        let parking = Parking(shared);
        let next = loop {
            self.listening.finish(shared).await;
            match shared.wait(|state, now| self.look(state, filter, now)).await? {
                Step::Tell(callback) => self.listening.begin(shared, callback),
                Step::Failed(error) => break Err(error),
                Step::Closed => break Ok(None),
                Step::Read => {
                    if let Some(record) = self.advance() {
                        break Ok(Some(record));
                    }
                }
            }
        };
        parking.leave();
        next
    }

    /// Up to `most` records, as soon as there are any; none when the time is over, or the consumer closed.
    pub(super) async fn gather(
        &mut self,
        shared: &Arc<Shared<State>>,
        filter: &Filter,
        most: usize,
        timeout: Duration,
    ) -> Result<Records, RecvError> {
        let mut records = Records::default();
        let parking = Parking(shared);
        let deadline = tokio::time::Instant::now() + timeout;
        // Damage is told once the records before it are out of the user's hands.
        while records.has_room(most) && (records.is_empty() || self.failed.is_none()) {
            let step = if records.is_empty() {
                let look = async {
                    self.listening.finish(shared).await;
                    shared.wait(|state, now| self.look(state, filter, now)).await
                };
                match tokio::time::timeout_at(deadline, look).await {
                    Ok(step) => step?,
                    Err(_) => break,
                }
            } else {
                // What was gathered is in hand: only what can be had at once is added.
                match shared.with(|state, _| self.take(state, filter)) {
                    true => Step::Read,
                    false => break,
                }
            };
            match step {
                Step::Tell(callback) => self.listening.begin(shared, callback),
                Step::Failed(error) => return Err(error),
                Step::Closed => break,
                Step::Read => {
                    if let Some(cursor) = self.cursors.first_mut()
                        && let Err(error) = cursor.fill(&mut self.unpacker, &mut records, most)
                    {
                        self.failed = Some((cursor.part, cursor.epoch, cursor.position, error));
                    }
                }
            }
        }
        if !records.is_empty() {
            parking.leave();
        }
        Ok(records)
    }

    /// The next record of the first cursor. Inlined with all that it calls for each record: a span that is written and
    /// at once read again, in wider pieces, stalls (a tenth of `recv`'s time).
    #[inline(always)]
    fn advance(&mut self) -> Option<OwnedRecord> {
        let cursor = self.cursors.first_mut()?;
        match cursor.next(&mut self.unpacker)? {
            Ok(span) => Some(OwnedRecord { block: cursor.block().clone(), span }),
            Err(error) => {
                self.failed = Some((cursor.part, cursor.epoch, cursor.position, error));
                None
            }
        }
    }

    /// One look at the core: where the reader is, and what it may read. `None`: nothing now.
    fn look(&mut self, state: &mut State, filter: &Filter, now: Now) -> Option<Step> {
        self.sync(state, true, now);
        if let Some((part, epoch, position, error)) = self.failed.take() {
            state.core.corrupt(part, epoch, position, error, now);
            self.cursors.retain(|cursor| cursor.part != part);
        }
        if state.stopping || state.core.is_closing() {
            return Some(Step::Closed);
        }
        if let Some(callback) = state.core.take_callback() {
            return Some(Step::Tell(callback));
        }
        if self.take(state, filter) {
            return Some(Step::Read);
        }
        if let Some(failure) = state.core.take_failure(filter, now) {
            return Some(Step::Failed(self.error(failure)));
        }
        if *state.core.subscription() == Subscription::None {
            return Some(Step::Failed(RecvError::new(RecvErrorKind::NotSubscribed)));
        }
        state.core.park();
        None
    }

    /// Brings a cursor that may be read to the front, of a fresh slice if need be.
    fn take(&mut self, state: &mut State, filter: &Filter) -> bool {
        for cursor in &mut self.cursors {
            cursor.admission = state.core.admission(cursor.part, cursor.epoch);
        }
        let open = |cursor: &Cursor| cursor.admission == Admission::Open && !cursor.is_spent();
        if let Some(index) = self.cursors.iter().position(|cursor| open(cursor) && admits(filter, cursor)) {
            self.cursors.swap(0, index);
            return true;
        }
        let Some(slice) = state.core.take(filter) else { return false };
        let Some(at) = state.core.name_of(slice.part).cloned() else { return false };
        let slot = state.open_slot(&slice);
        let before =
            self.cursors.iter().find(|cursor| (cursor.part, cursor.epoch) == (slice.part, slice.epoch));
        if let Some(before) = before {
            // The user may still have the slice before in hand: to take the next acknowledges nothing.
            slot.store(before.slot.load(Ordering::Acquire), Ordering::Release);
        }
        // The lane's slice before is spent or over: this one goes on where it ended.
        self.cursors.retain(|cursor| cursor.part != slice.part);
        self.cursors.insert(0, Cursor::new(slice, at, slot));
        true
    }

    /// Tells the core where the reader is, and drops what it may not go on with. `back`: the user has come back from
    /// everything that was handed out.
    pub(super) fn sync(&mut self, state: &mut State, back: bool, now: Now) {
        if back {
            state.core.returned(now);
        }
        self.cursors.retain_mut(|cursor| {
            let spent = cursor.is_spent();
            if back {
                cursor.acknowledge();
            }
            let holds = !back || !spent;
            let admission = state.core.report(cursor.part, cursor.epoch, cursor.position, back, holds);
            cursor.admission = admission;
            !back || (!spent && admission != Admission::Over)
        });
        self.fence_seen = state.core.fence();
    }

    /// The position of a partition's cursor, which is ahead of what the core has been told.
    pub(super) fn position(&self, at: &TopicPartition, state: &State) -> Option<i64> {
        let cursor = self.cursors.iter().find(|cursor| cursor.at() == at)?;
        let admission = state.core.admission(cursor.part, cursor.epoch);
        (admission != Admission::Over).then_some(cursor.position)
    }

    /// Where each partition's reader is.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.cursors.iter().map(|cursor| (cursor.at(), cursor.position))
    }

    fn error(&self, failure: ReadFailure) -> RecvError {
        let group = |error: RecvError| match &self.group {
            Some(group) => error.group(group.clone()),
            None => error,
        };
        match failure {
            ReadFailure::Group(GroupFailure::MaxPollExceeded(interval)) => {
                group(RecvError::new(RecvErrorKind::MaxPollExceeded)).detail(format!("{interval:.1?}"))
            }
            ReadFailure::Group(GroupFailure::Refused(code)) => {
                group(RecvError::new(RecvErrorKind::Group)).broker(code).detail(refusal(code))
            }
            ReadFailure::Group(_) => group(RecvError::new(RecvErrorKind::Group)),
            ReadFailure::Lane(at, failure) => match failure {
                LaneFailure::Corrupt { offset, error } => {
                    let kind = match error.kind {
                        DecodeErrorKind::TooLarge { .. } => RecvErrorKind::TooLarge,
                        _ => RecvErrorKind::Corrupt,
                    };
                    RecvError::new(kind).partition(at).offset(offset).because(error)
                }
                LaneFailure::OutOfRange { offset } => {
                    RecvError::new(RecvErrorKind::OutOfRange).partition(at).offset(offset)
                }
                LaneFailure::NoOffset => RecvError::new(RecvErrorKind::NoOffset).partition(at),
                LaneFailure::Broker(code) => RecvError::new(RecvErrorKind::Broker).partition(at).broker(code),
            },
        }
    }
}

/// What a coordinator means, where its code alone does not say what to change.
fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InconsistentGroupProtocol => {
            "its members are of another kind, or share no assignor with this one: use another group"
        }
        ErrorCode::InvalidSessionTimeout => "session.timeout.ms is outside of what the broker allows",
        ErrorCode::GroupMaxSizeReached => "it has as many members as the broker allows",
        ErrorCode::FencedInstanceId => "another member came with this group.instance.id: each needs its own",
        ErrorCode::UnreleasedInstanceId => {
            "a member with this group.instance.id is there: each needs its own, or let its session end"
        }
        ErrorCode::UnsupportedAssignor => "the broker has no such group.remote.assignor",
        ErrorCode::InvalidRegularExpression => "the broker cannot read the pattern subscribed to (RE2/J)",
        _ => "",
    }
}

fn admits(filter: &Filter, cursor: &Cursor) -> bool {
    match filter {
        Filter::All => true,
        Filter::Only(parts) => parts.contains(cursor.at()),
    }
}

/// Undoes the core's belief that the user waits in a call, when the call is given up.
pub(super) struct Parking<'a>(&'a Shared<State>);

impl<'a> Parking<'a> {
    /// The user waits in a call, however long it takes.
    pub(super) fn begin(shared: &'a Shared<State>) -> Self {
        shared.with(|state, _| state.core.park());
        Self(shared)
    }

    /// The call ends with a look at the core, which knows by that.
    fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        self.0.with(|state, now| state.core.unpark(now));
    }
}
