//! Entries in a file.
//!
//! ```text
//! file   "OTTLA" 0 "J" 1       8 bytes; the last is the version of what follows
//!        frame ...
//! frame  length of the entry   u32, big endian
//!        CRC-32C of the entry  u32
//!        CRC-32C of the above  u32
//!        the entry
//! ```
//!
//! A process that is killed leaves the beginning of a frame at the end of its file, and never anything else: such a *torn*
//! frame is cut off. Its length can be believed, as it has a checksum of its own; so a frame whose length says that it goes on
//! behind the end of the file is torn, and one that is all there and has a wrong checksum is damaged, wherever it lies. Damage
//! is an error: it may have hit what was acknowledged.

use std::io::{self, Read};

/// What a file begins with.
pub(super) const MAGIC: &[u8; 8] = b"OTTLA\0J\x01";
const HEAD: usize = 12;

/// Appends the frame of an entry, which `encode` writes.
pub(super) fn put(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    encode(out);
    let entry = out.get(start + HEAD..).unwrap_or_default();
    // No request is as long as a length could not say.
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_be_bytes();
    let crc = crc32c::crc32c(entry).to_be_bytes();
    let head = crc32c::crc32c_append(crc32c::crc32c(&length), &crc).to_be_bytes();
    let parts = length.into_iter().chain(crc).chain(head);
    out.iter_mut().skip(start).zip(parts).for_each(|(byte, part)| *byte = part);
}

/// Reads the entries of a file, one after the other.
#[derive(Debug)]
pub(super) struct Frames<R> {
    file: R,
    /// Where the next frame begins.
    at: u64,
    /// Where the file ends.
    length: u64,
    entry: Vec<u8>,
}

/// Why there is no next entry.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file cannot be read.
    Io(io::Error),
    /// The bytes from here on are not what was written.
    Damaged(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: Read> Frames<R> {
    /// Of a file of `length` bytes.
    pub(super) fn new(file: R, length: u64) -> Self {
        Self { file, at: 0, length, entry: Vec::new() }
    }

    /// The end of what was read: where a torn frame begins, or a damaged one.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Whether the file begins as it should. Not where it was not written so far; it is as good as empty then.
    pub(super) fn begin(&mut self) -> Result<bool, Stop> {
        let there = usize::try_from(self.length).unwrap_or(usize::MAX).min(MAGIC.len());
        let mut magic = [0; MAGIC.len()];
        let begun = magic.get_mut(..there).unwrap_or_default();
        self.file.read_exact(begun)?;
        if !MAGIC.starts_with(begun) {
            return Err(Stop::Damaged("it does not begin as a journal that this version knows"));
        }
        let whole = there == MAGIC.len();
        self.at = if whole { MAGIC.len() as u64 } else { 0 };
        Ok(whole)
    }

    /// The next entry; none where the last whole one ends.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Stop> {
        let Some(behind) = self.length.saturating_sub(self.at).checked_sub(HEAD as u64) else {
            return Ok(None);
        };
        let mut head = [0; HEAD];
        self.file.read_exact(&mut head)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, h0, h1, h2, h3] = head;
        if crc32c::crc32c(&[l0, l1, l2, l3, c0, c1, c2, c3]) != u32::from_be_bytes([h0, h1, h2, h3]) {
            return Err(Stop::Damaged("the head of an entry is not what was written"));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if u64::from(length) > behind {
            return Ok(None);
        }
        self.entry.resize(length as usize, 0);
        self.file.read_exact(&mut self.entry)?;
        if crc32c::crc32c(&self.entry) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(Stop::Damaged("an entry is not what was written"));
        }
        self.at += HEAD as u64 + u64::from(length);
        Ok(Some(&self.entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [&[u8]; 4] = [b"the first", b"", b"a third, which is longer than the others", b"last"];

    fn file() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        ENTRIES.iter().for_each(|entry| put(&mut file, |out| out.extend_from_slice(entry)));
        file
    }

    /// The entries of a file, and what stands behind them.
    fn read(file: &[u8]) -> (Vec<Vec<u8>>, Result<u64, u64>) {
        let mut frames = Frames::new(file, file.len() as u64);
        let mut entries = Vec::new();
        if frames.begin().is_err() {
            return (entries, Err(frames.at()));
        }
        loop {
            match frames.next() {
                Ok(Some(entry)) => entries.push(entry.to_vec()),
                Ok(None) => return (entries, Ok(frames.at())),
                Err(_) => return (entries, Err(frames.at())),
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_at_any_byte_holds_the_entries_that_are_whole() {
        let file = file();
        let mut ends = vec![MAGIC.len()];
        ENTRIES.iter().for_each(|entry| ends.push(ends.last().unwrap() + HEAD + entry.len()));
        assert_eq!(ends.last(), Some(&file.len()));
        for cut in 0..=file.len() {
            let whole = ends.iter().skip(1).filter(|end| **end <= cut).count();
            let end = ends.iter().filter(|end| **end <= cut).max().copied().unwrap_or(0);
            let (entries, stopped) = read(&file[..cut]);
            assert_eq!(entries, ENTRIES[..whole], "cut at {cut}");
            assert_eq!(stopped, Ok(end as u64), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_whole_entries_is_damage_where_its_entry_begins() {
        let file = file();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                let (entries, stopped) = read(&flipped);
                let Err(offset) = stopped else { panic!("byte {at}, bit {bit}: not noticed") };
                let sizes = ENTRIES[..entries.len()].iter().map(|entry| HEAD + entry.len());
                let begins = if at < MAGIC.len() { 0 } else { MAGIC.len() + sizes.sum::<usize>() };
                assert_eq!(offset, begins as u64, "byte {at}");
                assert!(begins <= at, "byte {at} is in the entry that is named");
                assert_eq!(entries, ENTRIES[..entries.len()], "nothing that is damaged is handed out");
            }
        }
    }

    #[test]
    fn a_length_that_the_file_does_not_hold_allocates_nothing() {
        let mut file = MAGIC.to_vec();
        let (length, crc) = (u32::MAX.to_be_bytes(), [0; 4]);
        file.extend(length.into_iter().chain(crc));
        file.extend(crc32c::crc32c(&file[MAGIC.len()..]).to_be_bytes());
        let mut frames = Frames::new(file.as_slice(), file.len() as u64);
        assert!(frames.begin().is_ok_and(|begun| begun));
        assert!(matches!(frames.next(), Ok(None)));
        assert_eq!(frames.entry.capacity(), 0);
    }
}
