//! What of a partition is done beyond the offset that is committed, as text beside that offset.
//!
//! The text is `ottla1r` or `ottla1b`, and behind it Base64 (standard, without padding) of numbers. Each number is written
//! seven bits a byte, the lowest first, with the highest bit set in all bytes but its last:
//!
//! 1. the offset that it stands beside;
//! 2. the newest leader epoch of the records that are done, and 1; 0 where none is known;
//! 3. `r`: lengths of runs from that offset on, by turns of offsets that are not done and that are, beginning with those
//!    that are not, of which there may be 0;
//!    `b`: a bit an offset, from that offset on, the lowest of each byte first: 1 is done.
//!
//! The shorter of the two is written. `docs/processing.md` has vectors.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ottla_protocol::codec::{Reader, put_unsigned_varlong};

const RUNS: &str = "ottla1r";
const BITS: &str = "ottla1b";

/// The longest text: less than `offset.metadata.max.bytes` of a broker, 4096 by default.
const LONGEST: usize = 4095;

/// How many bytes make so much Base64.
const MOST_BYTES: usize = (LONGEST - RUNS.len()) / 4 * 3;

/// The two numbers in front take no more: 10 bytes and 5.
const FRONT: usize = 15;

/// So many offsets always fit as bits.
pub(super) const BITS_FIT: i64 = (8 * (MOST_BYTES - FRONT)) as i64;

/// So many gaps always fit as runs: one of offsets that are not done in 2 bytes, as no partition has 16,384 records in one run
/// of them and in flight, and one of offsets that are done in 5.
pub(super) const GAPS_FIT: usize = (MOST_BYTES - FRONT) / 7;

/// What is done beyond a committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The committed offset.
    pub(crate) base: i64,
    /// The newest leader epoch of the records that are done. A record that a later leader has appended is none of them.
    pub(crate) leader_epoch: Option<i32>,
    /// Offsets that are done, in order and apart from each other, none before `base`.
    pub(crate) done: Vec<Range<i64>>,
}

impl Saved {
    /// As text; empty where nothing is done. What does not fit is left out, from its end.
    pub(crate) fn encode(&self) -> String {
        if self.done.is_empty() {
            return String::new();
        }
        let (runs, bits) = (self.runs(), self.bits());
        // Of two that are whole the shorter one, else the one that keeps more.
        let rank = |told: &Told| (std::cmp::Reverse(told.done), told.bytes.len());
        let (prefix, told) = if rank(&bits) < rank(&runs) { (BITS, bits) } else { (RUNS, runs) };
        match told.done {
            0 => String::new(),
            _ => format!("{prefix}{}", BASE64.encode(told.bytes)),
        }
    }

    /// What stands beside the committed offset `base`; `None` where others wrote it, or nothing of use.
    pub(crate) fn decode(base: i64, text: &str) -> Option<Self> {
        let (is_runs, text) = match text.strip_prefix(RUNS) {
            Some(text) => (true, text),
            None => (false, text.strip_prefix(BITS)?),
        };
        let bytes = BASE64.decode(text).ok()?;
        let mut numbers = Reader::new(&bytes);
        // Copied to another offset, as tools that translate offsets do, it says nothing.
        if i64::try_from(numbers.unsigned_varlong().ok()?).ok()? != base {
            return None;
        }
        let leader_epoch = match numbers.unsigned_varlong().ok()? {
            0 => None,
            epoch => Some(i32::try_from(epoch - 1).ok()?),
        };
        let done = match is_runs {
            true => done_of_runs(base, numbers)?,
            false => done_of_bits(base, numbers.take(numbers.remaining()).ok()?),
        };
        (!done.is_empty()).then_some(Self { base, leader_epoch, done })
    }

    fn front(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        put_unsigned_varlong(&mut bytes, self.base as u64);
        put_unsigned_varlong(
            &mut bytes,
            self.leader_epoch.map_or(0, |epoch| epoch.unsigned_abs().into())
                + u64::from(self.leader_epoch.is_some()),
        );
        bytes
    }

    fn runs(&self) -> Told {
        let (mut bytes, mut end, mut count) = (self.front(), self.base, 0);
        for range in &self.done {
            let len = bytes.len();
            put_unsigned_varlong(&mut bytes, range.start.abs_diff(end));
            put_unsigned_varlong(&mut bytes, range.end.abs_diff(range.start));
            if bytes.len() > MOST_BYTES {
                bytes.truncate(len);
                break;
            }
            end = range.end;
            count += range.end - range.start;
        }
        Told { bytes, done: count }
    }

    fn bits(&self) -> Told {
        let mut bytes = self.front();
        let front = bytes.len();
        let room = ((MOST_BYTES - front) * 8) as i64;
        let mut count = 0;
        for range in &self.done {
            for bit in range.start - self.base..(range.end - self.base).min(room) {
                let byte = front + (bit / 8) as usize;
                if bytes.len() <= byte {
                    bytes.resize(byte + 1, 0);
                }
                if let Some(byte) = bytes.get_mut(byte) {
                    *byte |= 1 << (bit % 8);
                }
                count += 1;
            }
        }
        Told { bytes, done: count }
    }
}

/// An encoding, and how many offsets that are done it tells.
struct Told {
    bytes: Vec<u8>,
    done: i64,
}

fn done_of_runs(base: i64, mut numbers: Reader<'_>) -> Option<Vec<Range<i64>>> {
    let (mut done, mut end) = (Vec::new(), base);
    let mut run = || i64::try_from(numbers.unsigned_varlong().ok()?).ok();
    while let Some(undone) = run() {
        let start = end.checked_add(undone)?;
        if start == end && !done.is_empty() {
            return None;
        }
        end = start.checked_add(run().filter(|len| *len > 0)?)?;
        done.push(start..end);
    }
    Some(done)
}

fn done_of_bits(base: i64, bytes: &[u8]) -> Vec<Range<i64>> {
    let mut done: Vec<Range<i64>> = Vec::new();
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    for (offset, _) in (base..i64::MAX).zip(bits).filter(|(_, is_done)| *is_done) {
        match done.last_mut().filter(|range| range.end == offset) {
            Some(range) => range.end += 1,
            None => done.push(offset..offset + 1),
        }
    }
    done
}
