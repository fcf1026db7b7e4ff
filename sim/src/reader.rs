//! The handle's half of reading, call for call as `ottla::Consumer` does it: cursors over slices, and the order in which
//! they and the core are asked. Only the futures are missing.

use ottla_core::{
    Admission, Consumer, Filter, LaneEpoch, PartIdx, ReadFailure, Slice, Subscription, TopicPartition,
};
use ottla_protocol::{
    DecodeError, Now,
    records::{BatchHeader, Compression, Decompressor, Record, RecordWalk, check_crc},
};

use crate::host::Frame;

/// More than any batch here decompresses to.
const MAX_DECOMPRESSED: usize = 1 << 20;

/// A record in the user's hands.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) at: TopicPartition,
    pub(crate) offset: i64,
    /// What the producer wrote.
    pub(crate) id: u64,
    /// About how many bytes of a batch it is.
    pub(crate) size: usize,
}

#[derive(Debug)]
struct Cursor {
    part: PartIdx,
    epoch: LaneEpoch,
    at: TopicPartition,
    position: i64,
    /// Where the driver sees how far the user has come back.
    slot: i64,
    admission: Admission,
    frame: Frame,
    rest: std::ops::Range<usize>,
    next: i64,
    batch: std::vec::IntoIter<(i64, u64, usize)>,
    batch_end: i64,
    open: bool,
}

/// What came of a look at the core.
pub(crate) enum Step {
    Read,
    Failed(ReadFailure),
    NotSubscribed,
    Closed,
}

/// What came of a poll.
pub(crate) enum Gathered {
    Records(Vec<Handed>),
    Parked,
    Failed(ReadFailure),
    NotSubscribed,
    Closed,
}

#[derive(Default)]
pub(crate) struct Reader {
    cursors: Vec<Cursor>,
    fence_seen: Option<u64>,
    failed: Option<(PartIdx, LaneEpoch, i64, DecodeError)>,
    decompressor: Decompressor,
}

impl Reader {
    /// The next record of the slice at hand, without a look at the core.
    pub(crate) fn at_hand(&mut self, filter: &Filter, core: &Consumer<Frame>) -> Option<Handed> {
        let cursor = self.cursors.first_mut().filter(|cursor| admits(filter, cursor))?;
        cursor.slot = cursor.position;
        if Some(core.fence()) != self.fence_seen || cursor.admission != Admission::Open {
            return None;
        }
        self.advance()
    }

    /// The next record of the first cursor.
    pub(crate) fn advance(&mut self) -> Option<Handed> {
        let cursor = self.cursors.first_mut()?;
        match cursor.next(&mut self.decompressor)? {
            Ok((offset, id, size)) => Some(Handed { at: cursor.at.clone(), offset, id, size }),
            Err(error) => {
                self.failed = Some((cursor.part, cursor.epoch, cursor.position, error));
                None
            }
        }
    }

    /// One look at the core. `None`: nothing now, and the user is parked.
    pub(crate) fn look(&mut self, core: &mut Consumer<Frame>, filter: &Filter, now: Now) -> Option<Step> {
        self.sync(core, true, now);
        if let Some((part, epoch, position, error)) = self.failed.take() {
            core.corrupt(part, epoch, position, error, now);
            self.cursors.retain(|cursor| cursor.part != part);
        }
        if core.is_closing() {
            return Some(Step::Closed);
        }
        if self.take(core, filter) {
            return Some(Step::Read);
        }
        if let Some(failure) = core.take_failure(filter, now) {
            return Some(Step::Failed(failure));
        }
        if *core.subscription() == Subscription::None {
            return Some(Step::NotSubscribed);
        }
        core.park();
        None
    }

    /// Up to `most` records, as soon as there are any.
    pub(crate) fn gather(
        &mut self,
        core: &mut Consumer<Frame>,
        filter: &Filter,
        most: usize,
        now: Now,
    ) -> Gathered {
        let mut records = Vec::new();
        while records.len() < most && (records.is_empty() || self.failed.is_none()) {
            if records.is_empty() {
                // Nothing was handed out in this call yet, so the user is still back from everything: spent slices are
                // let go before he waits, or a revocation would wait for him.
                match self.look(core, filter, now) {
                    None => return Gathered::Parked,
                    Some(Step::Failed(failure)) => return Gathered::Failed(failure),
                    Some(Step::NotSubscribed) => return Gathered::NotSubscribed,
                    Some(Step::Closed) => return Gathered::Closed,
                    Some(Step::Read) => {}
                }
            } else if !self.take(core, filter) {
                break;
            }
            while records.len() < most
                && let Some(record) = self.advance()
            {
                records.push(record);
            }
        }
        Gathered::Records(records)
    }

    /// Brings a cursor that may be read to the front, of a fresh slice if need be.
    fn take(&mut self, core: &mut Consumer<Frame>, filter: &Filter) -> bool {
        for cursor in &mut self.cursors {
            cursor.admission = core.admission(cursor.part, cursor.epoch);
        }
        let open = |cursor: &Cursor| cursor.admission == Admission::Open && !cursor.is_spent();
        if let Some(index) = self.cursors.iter().position(|cursor| open(cursor) && admits(filter, cursor)) {
            self.cursors.swap(0, index);
            return true;
        }
        let Some(slice) = core.take(filter) else { return false };
        let at = core.name_of(slice.part).expect("a slice is of a lane").clone();
        // The user may have records of the lane's slice before, from this very poll: he is not back from them yet.
        let before = self.cursors.iter().position(|cursor| cursor.part == slice.part);
        let before =
            before.map(|index| self.cursors.remove(index)).filter(|cursor| cursor.epoch == slice.epoch);
        let slot = before.map_or(slice.start, |cursor| cursor.slot);
        self.cursors.insert(0, Cursor::new(slice, at, slot));
        true
    }

    /// Tells the core where the reader is, and drops what it may not go on with.
    pub(crate) fn sync(&mut self, core: &mut Consumer<Frame>, back: bool, now: Now) {
        if back {
            core.returned(now);
        }
        self.cursors.retain_mut(|cursor| {
            let spent = cursor.is_spent();
            if back {
                cursor.slot = cursor.position;
            }
            let holds = !back || !spent;
            let admission = core.report(cursor.part, cursor.epoch, cursor.position, back, holds);
            cursor.admission = admission;
            !back || (!spent && admission != Admission::Over)
        });
        self.fence_seen = Some(core.fence());
    }

    /// What the driver does before each step: tells the core how far the user has come back.
    pub(crate) fn read_slots(&self, core: &mut Consumer<Frame>, now: Now) {
        for cursor in &self.cursors {
            core.reader_at(cursor.part, cursor.epoch, cursor.slot, now);
        }
    }

    /// Where each partition's reader is.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.cursors.iter().map(|cursor| (&cursor.at, cursor.position))
    }

    /// The handle is gone.
    pub(crate) fn drop_all(&mut self) {
        self.cursors.clear();
    }
}

fn admits(filter: &Filter, cursor: &Cursor) -> bool {
    match filter {
        Filter::All => true,
        Filter::Only(parts) => parts.contains(&cursor.at),
    }
}

impl Cursor {
    fn new(slice: Slice<Frame>, at: TopicPartition, slot: i64) -> Self {
        Self {
            part: slice.part,
            epoch: slice.epoch,
            at,
            position: slice.start,
            slot,
            admission: Admission::Open,
            frame: slice.frame,
            rest: slice.bytes.start as usize..slice.bytes.end as usize,
            next: slice.next,
            batch: Vec::new().into_iter(),
            batch_end: slice.start,
            open: false,
        }
    }

    fn is_spent(&self) -> bool {
        !self.open && self.rest.is_empty()
    }

    fn next(&mut self, decompressor: &mut Decompressor) -> Option<Result<(i64, u64, usize), DecodeError>> {
        loop {
            if self.open {
                match self.batch.next() {
                    Some((offset, ..)) if offset < self.position => continue,
                    Some((offset, id, size)) => {
                        self.position = offset + 1;
                        return Some(Ok((offset, id, size)));
                    }
                    None => {
                        self.open = false;
                        self.position = self.position.max(self.batch_end);
                    }
                }
            }
            if self.rest.is_empty() {
                self.position = self.position.max(self.next);
                return None;
            }
            if let Err(error) = self.open_batch(decompressor) {
                return Some(Err(error));
            }
        }
    }

    fn open_batch(&mut self, decompressor: &mut Decompressor) -> Result<(), DecodeError> {
        let bytes = &self.frame.bytes()[self.rest.clone()];
        let header = BatchHeader::decode(bytes)?;
        let batch = &bytes[..header.size()];
        check_crc(batch)?;
        let packed = &batch[BatchHeader::SIZE..];
        let mut unpacked = Vec::new();
        let records = match header.compression()? {
            Compression::None => packed,
            codec => {
                decompressor.decompress(codec, packed, &mut unpacked, MAX_DECOMPRESSED)?;
                &unpacked
            }
        };
        let id = |value: &[u8]| value.first_chunk().map_or(u64::MAX, |id| u64::from_be_bytes(*id));
        let size = header.size() / header.record_count.max(1) as usize + 1;
        let read = |record: Record<'_>| (record.offset, id(record.value.unwrap_or_default()), size);
        let records: Result<Vec<_>, _> =
            RecordWalk::new(&header, records).map(|record| record.map(read)).collect();
        self.batch = records?.into_iter();
        self.batch_end = header.next_offset();
        self.open = true;
        self.rest.start += header.size();
        Ok(())
    }
}
