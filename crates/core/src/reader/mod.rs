//! A reader: it walks the records that a consumer has fetched, and tells the consumer how far its user has come.
//!
//! A consumer has one reader or several. Each reader owns the slices that it walks, so that a record costs no lock.
//! It looks at the consumer, under whatever lock the consumer lies, at the end of a slice and when the fence has
//! moved. A partition is with one reader at a time, from the moment at which the reader takes a slice of it until
//! its user has come back from the slice's last record. So each partition is read in order, and a revocation knows
//! which readers it waits for.
//!
//! The order of calls: [`Reader::next_at_hand`] as long as it has something; then [`Reader::look`] until it returns
//! something; after [`Look::Read`] comes [`Reader::advance`], or for several records [`Reader::fill`] and
//! [`Reader::take_more`], which hand out the records that the look has found.

mod block;
mod cursor;
mod inflated;
mod records;
mod shared;

use std::{collections::BTreeMap, sync::Arc};

use ottla_protocol::{
    DecodeError, Now,
    records::{Decompressor, RecordSpan},
};

pub use block::{Block, HoldsBytes};
pub use records::{Records, RecordsIntoIter, RecordsIter};
pub(crate) use shared::{Decoded, Fence, Slot, Tally};

use crate::{
    consumer::{Callback, Consumer, ReadFailure},
    ids::{LaneEpoch, PartIdx, ReaderId, TopicPartition},
    lanes::{Admission, Filter},
};
use block::Bytes;
use cursor::{Cursor, Unpacker};
use inflated::InflatedPool;

/// How batches are read.
#[derive(Debug, Clone, Copy)]
pub struct ReaderConfig {
    /// `check.crcs`.
    pub check_crcs: bool,
    /// The most bytes that a batch may decompress to.
    pub max_decompressed: usize,
}

/// One of the readers of a consumer. `F` keeps the bytes of fetched records alive.
#[derive(Debug)]
pub struct Reader<F> {
    id: ReaderId,
    /// At most one for each partition; the first one is being read.
    cursors: Vec<Cursor<F>>,
    /// Those of which nothing is left to hand out, and whose last records the user may have in hand. They are set aside, as he may
    /// have records of very many partitions in hand at once: to find more records costs the same then.
    spent: BTreeMap<PartIdx, Cursor<F>>,
    unpacker: Unpacker,
    fence: Fence,
    fence_seen: u64,
    looks_at_each: bool,
    tells: bool,
    /// Damage that was found in a slice. The next look tells the consumer.
    failed: Option<Damage>,
}

#[derive(Debug)]
struct Damage {
    part: PartIdx,
    epoch: LaneEpoch,
    position: i64,
    error: DecodeError,
}

/// A record: the block that its bytes are in, and its place there.
#[derive(Debug)]
pub struct Handed<F> {
    /// The block that its bytes are in.
    pub block: Arc<Block<F>>,
    /// Its place in the block.
    pub span: RecordSpan,
}

impl<F: HoldsBytes> Handed<F> {
    /// The record at this place of a block as a copy of its own bytes: it keeps nothing of the block, and counts in no budget.
    pub fn copied(block: &Block<F>, span: &RecordSpan) -> Self {
        let (bytes, span) = span.copied(block.bytes());
        Self { block: Arc::new(block.with(Bytes::Own(bytes))), span }
    }
}

impl<F> Clone for Handed<F> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), span: self.span }
    }
}

/// The outcome of a look at the consumer.
#[derive(Debug)]
pub enum Look {
    /// The listener is to be told this first.
    Tell(Callback),
    /// There is something to hand out.
    Read,
    /// The user is to be told this failure.
    Failed(ReadFailure),
    /// Nothing is subscribed to, nor assigned.
    NotSubscribed,
    /// The consumer is closed, or about to be.
    Closed,
}

impl<F: HoldsBytes + Clone> Reader<F> {
    /// Opens one more reader of a consumer.
    pub fn new(core: &mut Consumer<F>, config: ReaderConfig, now: Now) -> Self {
        let (id, fence, tally) = core.open_reader(now);
        let unpacker = Unpacker {
            decompressor: Decompressor::new(),
            pool: InflatedPool::default(),
            check_crcs: config.check_crcs,
            max_decompressed: config.max_decompressed,
            tally,
        };
        Self {
            id,
            cursors: Vec::new(),
            spent: BTreeMap::new(),
            unpacker,
            fence,
            fence_seen: u64::MAX,
            looks_at_each: false,
            tells: true,
            failed: None,
        }
    }

    /// From now on each record needs a look at the consumer: none is handed out in passing.
    pub fn look_at_each(&mut self) {
        self.looks_at_each = true;
    }

    /// From now on no look of this reader has the listener told: another's has to.
    pub fn leave_callbacks(&mut self) {
        self.tells = false;
    }

    /// Whether looks of this reader have the listener told.
    pub fn tells(&self) -> bool {
        self.tells
    }

    /// The reader's name among those of its consumer.
    pub fn id(&self) -> ReaderId {
        self.id
    }

    /// The next record of the slice at hand, without a look at the consumer; nearly every record comes this way.
    /// `None` where a look is needed. The call itself says that the user is back from the record before.
    #[inline]
    pub fn next_at_hand(&mut self) -> Option<Handed<F>> {
        let cursor = self.cursors.first_mut()?;
        cursor.acknowledge();
        let looks = cursor.admission != Admission::Open || cursor.position >= cursor.look_at;
        if self.fence.get() != self.fence_seen || looks {
            return None;
        }
        self.advance()
    }

    /// Whether the slice at hand is of one of these partitions.
    pub fn has_at_hand(&self, filter: &Filter) -> bool {
        self.cursors.first().is_some_and(|cursor| filter.admits(cursor.at()))
    }

    /// The next record of the slice that a look has found. `None` at the end of the slice, and where it is damaged.
    /// It is inlined with all that it calls for each record; otherwise a span would be written and at once read
    /// again in wider pieces, which stalls (a tenth of the time of a `recv`).
    #[inline(always)]
    pub fn advance(&mut self) -> Option<Handed<F>> {
        let cursor = self.cursors.first_mut()?;
        match cursor.next(&mut self.unpacker)? {
            Ok(span) => Some(Handed { block: cursor.block().clone(), span }),
            Err(error) => {
                self.failed = Some(Damage::at(cursor, error));
                None
            }
        }
    }

    /// Adds records of the slice that a look has found, until there are `most` in all.
    pub fn fill(&mut self, records: &mut Records<F>, most: usize) {
        let Some(cursor) = self.cursors.first_mut() else { return };
        if let Err(error) = cursor.fill(&mut self.unpacker, records, most) {
            self.failed = Some(Damage::at(cursor, error));
        }
        records.end_slice(cursor.block(), cursor.position);
    }

    /// Whether more records may be added to these. Damage is told once the records before it are out of the user's hands.
    pub fn has_room(&self, records: &Records<F>, most: usize) -> bool {
        records.has_room(most) && (records.is_empty() || self.failed.is_none())
    }

    /// Looks at the consumer: tells it where the reader is, and finds out what comes next. The user must be back
    /// from all that was handed out. `None` where nothing is there now, and the user waits.
    pub fn look(&mut self, core: &mut Consumer<F>, filter: &Filter, now: Now) -> Option<Look> {
        self.sync(core, true, now);
        if let Some(Damage { part, epoch, position, error }) = self.failed.take() {
            core.corrupt(part, epoch, position, error, now);
            self.cursors.retain(|cursor| cursor.part != part);
        }
        if core.is_stopped() {
            return Some(Look::Closed);
        }
        if self.tells
            && let Some(callback) = core.take_callback()
        {
            return Some(Look::Tell(callback));
        }
        if let Some(refused) = core.take_refusal(true, now) {
            return Some(Look::Failed(ReadFailure::Connection(refused)));
        }
        if self.take_more(core, filter) {
            return Some(Look::Read);
        }
        if let Some(failure) = core.take_failure(filter, now) {
            return Some(Look::Failed(failure));
        }
        if core.reads_nothing() {
            return Some(Look::NotSubscribed);
        }
        core.park(self.id);
        None
    }

    /// Finds more records to hand out, in another slice if need be. Records that were handed out before are still
    /// in the user's hands.
    pub fn take_more(&mut self, core: &mut Consumer<F>, filter: &Filter) -> bool {
        self.set_spent_aside();
        for cursor in &mut self.cursors {
            cursor.admission = core.admission(cursor.part, cursor.epoch);
        }
        let open = |cursor: &Cursor<F>| cursor.admission == Admission::Open;
        let index = self.cursors.iter().position(|cursor| open(cursor) && filter.admits(cursor.at()));
        if let Some(index) = index {
            self.cursors.swap(0, index);
            return true;
        }
        let Some((slice, slot)) = core.take(self.id, filter) else { return false };
        let Some(at) = core.name_of(slice.part).cloned() else { return false };
        // The lane's slice before is spent or over, and this one goes on where it ended.
        self.spent.remove(&slice.part);
        self.cursors.retain(|cursor| cursor.part != slice.part);
        let before = self.cursors.len();
        self.cursors.push(Cursor::new(slice, at, slot));
        self.cursors.swap(0, before);
        self.look_in_time(core);
        true
    }

    fn set_spent_aside(&mut self) {
        for cursor in self.cursors.extract_if(.., |cursor| cursor.is_spent()) {
            self.spent.insert(cursor.part, cursor);
            // Who goes on in another slice is back from these, too: a look tells so.
            self.fence_seen = u64::MAX;
        }
    }

    /// Tells the consumer where the reader is, and drops the slices that it may not go on with. `back` says that
    /// the user has come back from everything that was handed out.
    pub fn sync(&mut self, core: &mut Consumer<F>, back: bool, now: Now) {
        if back {
            core.returned(self.id, now);
        }
        let mut tell = |cursor: &mut Cursor<F>| {
            // Nothing is passed behind damage, which is still to be told.
            if self.failed.as_ref().is_none_or(|damage| damage.part != cursor.part) {
                cursor.pass_hidden(&mut self.unpacker);
            }
            let spent = cursor.is_spent();
            if back {
                cursor.acknowledge();
            }
            let holds = !back || !spent;
            let admission = core.report(cursor.part, cursor.epoch, cursor.position, back, holds);
            cursor.admission = admission;
            !back || (!spent && admission != Admission::Over)
        };
        self.spent.retain(|_, cursor| tell(cursor));
        self.cursors.retain_mut(tell);
        self.look_in_time(core);
        self.fence_seen = self.fence.get();
    }

    /// Sets where to look at the consumer again although nothing has happened.
    fn look_in_time(&mut self, core: &Consumer<F>) {
        let left = if self.looks_at_each { Some(0) } else { core.records_until_commit() };
        for cursor in &mut self.cursors {
            cursor.look_at = left.map_or(i64::MAX, |left| cursor.position.saturating_add(left));
        }
    }

    /// Closes the reader. Its partitions go to the others, and go on behind the last record that its user has come
    /// back from.
    pub fn close(&mut self, core: &mut Consumer<F>, now: Now) {
        self.cursors.clear();
        self.spent.clear();
        core.close_reader(self.id, now);
    }

    /// The reader's position in a partition, which is ahead of the one that the consumer has been told; `None`
    /// where the reader has no slice of it.
    pub fn position(&self, at: &TopicPartition, core: &Consumer<F>) -> Option<i64> {
        let cursor = self.all().find(|cursor| cursor.at() == at)?;
        let admission = core.admission(cursor.part, cursor.epoch);
        (admission != Admission::Over).then_some(cursor.position)
    }

    /// Whether the consumer still has the partition that the user has records of in hand: it was not taken away meanwhile.
    pub fn has(&self, at: &TopicPartition, core: &Consumer<F>) -> bool {
        core.is_with(self.id, at)
    }

    /// Where the reader is in each partition that it holds.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.all().map(|cursor| (cursor.at(), cursor.position))
    }

    fn all(&self) -> impl Iterator<Item = &Cursor<F>> {
        self.cursors.iter().chain(self.spent.values())
    }
}

impl Damage {
    fn at<F>(cursor: &Cursor<F>, error: DecodeError) -> Self {
        Self { part: cursor.part, epoch: cursor.epoch, position: cursor.position, error }
    }
}
