//! Logs as they are, whatever consumers say of them: which offsets there are, how old their records are, and what a log
//! may have answered whoever asked where to begin.

use std::time::Duration;

use ottla_protocol::records::{BatchHeader, Compression, Decompressor, Record, RecordWalk, walk_headers};

use crate::stage::Stage;

/// What a log is asked for by whoever has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Start,
    End,
    /// The first record that is no older than some time between these two, which are in milliseconds; where there is none,
    /// the end.
    Time {
        least: i64,
        most: i64,
    },
}

/// A partition's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// In order, the first from the beginning on.
    states: Vec<State>,
    /// Of each record that there ever was, by offset.
    timestamps: Vec<i64>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    since: Duration,
    start: i64,
    end: i64,
}

const EMPTY: State = State { since: Duration::ZERO, start: 0, end: 0 };

impl Log {
    fn now(&self) -> State {
        self.states.last().copied().unwrap_or(EMPTY)
    }

    /// It goes from here to there now, and this is what came to it.
    pub(crate) fn becomes(&mut self, since: Duration, (start, end): (i64, i64), batches: &[u8]) {
        self.timestamps.extend(records(batches).into_iter().map(|record| record.timestamp));
        self.states.push(State { since, start, end });
    }

    pub(crate) fn start(&self) -> i64 {
        self.now().start
    }

    pub(crate) fn end(&self) -> i64 {
        self.now().end
    }

    /// The timestamp of a record.
    pub(crate) fn timestamp(&self, offset: i64) -> Option<i64> {
        self.timestamps.get(usize::try_from(offset).ok()?).copied()
    }

    /// How it was at that time, and at every time since.
    fn since(&self, since: Duration) -> impl Iterator<Item = State> {
        let at_that_time = self.states.iter().rposition(|state| state.since < since);
        let first = at_that_time.map_or(EMPTY, |index| self.states[index]);
        let later = self.states[at_that_time.map_or(0, |index| index + 1)..].iter();
        std::iter::once(first).chain(later.copied())
    }

    /// When an offset went below the start, if it has.
    pub(crate) fn lost_since(&self, offset: i64) -> Option<Duration> {
        self.states.iter().find(|state| state.start > offset).map(|state| state.since)
    }

    /// Whether it may have answered this offset at some time since then.
    pub(crate) fn may_answer(&self, wanted: Wanted, since: Duration, offset: i64) -> bool {
        self.since(since).any(|state| match wanted {
            Wanted::Start => state.start == offset,
            Wanted::End => state.end == offset,
            Wanted::Time { least, most } => {
                let none = state.end == offset && self.youngest(state.start, state.end) < most;
                none || self.is_first(state, (least, most), offset)
            }
        })
    }

    /// The least that it may have answered.
    pub(crate) fn least_answer(&self, wanted: Wanted, since: Duration) -> i64 {
        let state = self.since(since).next().unwrap_or(EMPTY);
        match wanted {
            Wanted::Start => state.start,
            Wanted::End => state.end,
            Wanted::Time { least, .. } => (state.start..state.end)
                .find(|offset| self.timestamps[*offset as usize] >= least)
                .unwrap_or(state.end),
        }
    }

    /// Whether a look for the first record that is no older may have found this one, or none, at some time since then.
    pub(crate) fn may_find(&self, timestamp: i64, since: Duration, found: Option<i64>) -> bool {
        self.since(since).any(|state| match found {
            Some(offset) => self.is_first(state, (timestamp, timestamp), offset),
            None => self.youngest(state.start, state.end) < timestamp,
        })
    }

    /// Whether a record is the first that is no older than some time between two.
    fn is_first(&self, state: State, (least, most): (i64, i64), offset: i64) -> bool {
        (state.start..state.end).contains(&offset)
            && least.max(self.youngest(state.start, offset) + 1) <= most.min(self.timestamps[offset as usize])
    }

    /// The largest timestamp between two offsets.
    fn youngest(&self, from: i64, to: i64) -> i64 {
        self.timestamps[from as usize..to as usize].iter().copied().max().unwrap_or(i64::MIN / 2)
    }
}

/// A record of a log.
pub(crate) struct Written {
    pub(crate) offset: i64,
    /// What the producer numbered it.
    pub(crate) id: u64,
    timestamp: i64,
}

/// Every record of a log.
pub(crate) fn records(log: &[u8]) -> Vec<Written> {
    let mut found = Vec::new();
    walk(log, |_, record| {
        let id = record.value.and_then(<[u8]>::first_chunk).expect("it begins with its number");
        let (offset, timestamp) = (record.offset, record.timestamp);
        found.push(Written { offset, id: u64::from_be_bytes(*id), timestamp });
    });
    found
}

/// Shows every record of a log, markers too, with the header of its batch.
pub(crate) fn walk(log: &[u8], mut see: impl FnMut(&BatchHeader, Record<'_>)) {
    let mut decompressor = Decompressor::new();
    for batch in walk_headers(log) {
        let (range, header) = batch.expect("the broker checked it");
        let packed = &log[range.start + BatchHeader::SIZE..range.end];
        let mut unpacked = Vec::new();
        match header.compression().expect("the broker checked it") {
            Compression::None => unpacked.extend_from_slice(packed),
            codec => {
                decompressor.decompress(codec, packed, &mut unpacked, 1 << 24).expect("it was compressed")
            }
        }
        for record in RecordWalk::new(&header, &unpacked) {
            see(&header, record.expect("it was written"));
        }
    }
}

/// The wall clock at some time, in milliseconds, and no later than a client may have read it then.
pub(crate) fn wall_at(time: Duration, stage: &Stage) -> i64 {
    let ago = stage.time.saturating_sub(time);
    stage.now().wall.0 - ago.as_millis() as i64 - 1
}
