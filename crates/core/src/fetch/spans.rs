//! Where the batches of a Fetch response lie, found out before it is shared.

use std::ops::Range;

use ottla_protocol::{
    DecodeError, Response,
    codec::{DecodeErrorKind, RecordData},
    records::{BatchHeader, walk_headers},
};

use super::{
    aborted::{Aborted, Markers},
    stamps::{Stamping, Stamps},
};

/// The whole batches of one partition in a Fetch response: nearly always of one leader epoch, so that there is one span.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    first: Option<Span>,
    more: Vec<Span>,
    /// What of it was aborted; `None` where nothing was.
    aborted: Option<Aborted>,
    stamps: Stamps,
}

/// Neighbouring batches that one leader has appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where they begin in the frame.
    pub start: u32,
    /// Where the last whole one ends.
    pub end: u32,
    /// The offset behind the last whole one.
    pub next: i64,
    /// The leader epoch; -1 where the log does not tell it.
    pub leader_epoch: i32,
}

impl Spans {
    fn add(&mut self, batch: Span) {
        match self.more.last_mut().or(self.first.as_mut()) {
            Some(last) if last.leader_epoch == batch.leader_epoch => {
                (last.end, last.next) = (batch.end, batch.next);
            }
            Some(_) => self.more.push(batch),
            None => self.first = Some(batch),
        }
    }

    /// How many bytes they are.
    pub fn size(&self) -> usize {
        self.iter().map(|span| (span.end - span.start) as usize).sum()
    }

    /// What of it was aborted.
    pub(super) fn aborted(&self) -> Option<&Aborted> {
        self.aborted.as_ref()
    }

    /// When their batches were written.
    pub(super) fn take_stamps(&mut self) -> Stamps {
        std::mem::take(&mut self.stamps)
    }

    /// The same, if they lead on from this offset. Batches that all end before what was asked for would be asked for, and come,
    /// without end.
    pub(super) fn leading_on(self, offset: i64) -> Result<Self, DecodeError> {
        match self.iter().last().is_some_and(|last| last.next <= offset) {
            true => Err(inconsistent("the batches end before the offset that was asked for", 0)),
            false => Ok(self),
        }
    }

    /// In the log's order.
    pub fn iter(&self) -> impl Iterator<Item = Span> {
        self.first.iter().chain(&self.more).copied()
    }
}

/// Walks the batch headers of a Fetch response, outside any lock, so that the machine knows where to go on.
pub fn spans(response: &Response, frame: &[u8]) -> Vec<Result<Spans, DecodeError>> {
    let Response::Fetch(response) = response else { return Vec::new() };
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            let Some(records) = &partition.records else { return Ok(Spans::default()) };
            let bytes = records.bytes(frame);
            let start = match records {
                RecordData::InFrame(range) => range.start,
                RecordData::Owned(_) | RecordData::Closed(_) => 0,
            };
            let mut spans = Spans::default();
            let mut markers = Markers::of(partition.aborted_transactions.as_deref());
            let mut stamping = Stamping::new();
            let mut next = 0;
            for batch in walk_headers(bytes) {
                let (range, header) = match batch.and_then(|batch| rising(batch, next)) {
                    Ok(batch) => batch,
                    // What comes before damage is whole, and is read first. The next fetch begins at the damage.
                    Err(_) if spans.first.is_some() => break,
                    Err(error) => return Err(error),
                };
                next = header.next_offset();
                if let Some(markers) = &mut markers {
                    markers.see(&header);
                }
                stamping.see(&header);
                spans.add(Span {
                    start: start + range.start as u32,
                    end: start + range.end as u32,
                    next,
                    leader_epoch: header.partition_leader_epoch,
                });
            }
            spans.aborted = markers.map(Markers::found);
            spans.stamps = stamping.found();
            Ok(spans)
        })
        .collect()
}

/// A batch, if it begins no earlier than the one before has ended. Otherwise the position would go back, for ever.
fn rising(
    (range, header): (Range<usize>, BatchHeader),
    next: i64,
) -> Result<(Range<usize>, BatchHeader), DecodeError> {
    match header.base_offset >= next {
        true => Ok((range, header)),
        false => Err(inconsistent("offsets go back from one batch to the next", range.start)),
    }
}

/// Offsets that lead nowhere.
pub(super) fn inconsistent(what: &'static str, offset: usize) -> DecodeError {
    DecodeError { field: "base_offset", offset, kind: DecodeErrorKind::Inconsistent(what) }
}
