//! gzip members (RFC 1952) around deflate, read with one inflater that is reset instead of made anew.

use std::io;

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Failure, damaged};
use crate::codec::Reader;

/// The most that deflate can make out of a byte.
const BEST_RATIO: usize = 1032;
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RAW: bool = false;
const WINDOW_BITS: u8 = 15;

/// How much `input` says it holds: the last four bytes of a member are its size.
pub(super) fn guess(input: &[u8]) -> usize {
    let declared = input.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    declared.min(input.len().saturating_mul(BEST_RATIO))
}

#[derive(Default)]
pub(super) struct Inflater(Option<Decompress>);

impl Inflater {
    /// Fills `out` up to its capacity.
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut r = Reader::new(input);
        loop {
            skip_header(&mut r)?;
            let start = out.len();
            self.inflate(&mut r, out)?;
            check_trailer(&mut r, out.get(start..).unwrap_or_default())?;
            if r.remaining() == 0 {
                return Ok(());
            }
        }
    }

    fn inflate(&mut self, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let inflater = self.0.get_or_insert_with(|| Decompress::new(RAW));
        inflater.reset(RAW);
        let deflated = r.clone().take(r.remaining()).map_err(damaged)?;
        loop {
            let before = (inflater.total_in(), inflater.total_out());
            let rest = deflated.get(before.0 as usize..).unwrap_or_default();
            match inflater.decompress_vec(rest, out, FlushDecompress::None) {
                Ok(Status::StreamEnd) => break,
                Ok(_) if (inflater.total_in(), inflater.total_out()) != before => {}
                // Without progress: for want of room, or of input.
                Ok(_) if out.len() == out.capacity() => return Err(Failure::Full),
                _ => return Err(Failure::Damaged),
            }
        }
        r.take(inflater.total_in() as usize).map(|_| ()).map_err(damaged)
    }
}

fn skip_header(r: &mut Reader<'_>) -> Result<(), Failure> {
    let [0x1f, 0x8b, 8, flags, ..] = r.array::<10>().map_err(damaged)? else {
        return Err(Failure::Damaged);
    };
    if flags & EXTRA != 0 {
        let size = u16::from_le_bytes(r.array().map_err(damaged)?);
        r.take(size.into()).map_err(damaged)?;
    }
    for text in [NAME, COMMENT] {
        while flags & text != 0 && r.array::<1>().map_err(damaged)? != [0] {}
    }
    if flags & HEADER_CRC != 0 {
        r.take(2).map_err(damaged)?;
    }
    Ok(())
}

fn check_trailer(r: &mut Reader<'_>, content: &[u8]) -> Result<(), Failure> {
    let mut crc = Crc::new();
    crc.update(content);
    let sum = u32::from_le_bytes(r.array().map_err(damaged)?);
    let size = u32::from_le_bytes(r.array().map_err(damaged)?);
    if sum == crc.sum() && size == content.len() as u32 { Ok(()) } else { Err(Failure::Damaged) }
}

#[derive(Default)]
pub(super) struct Deflater(Option<(Compression, Compress)>);

impl Deflater {
    pub(super) fn compress(&mut self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let level = match level {
            Some(level @ 0..=9) => Compression::new(level.cast_unsigned()),
            _ => Compression::default(),
        };
        let deflater = match &mut self.0 {
            Some((made_for, deflater)) if *made_for == level => deflater,
            other => &mut other.insert((level, Compress::new_gzip(level, WINDOW_BITS))).1,
        };
        deflater.reset();
        loop {
            out.reserve(input.len() / 4 + 64);
            let rest = input.get(deflater.total_in() as usize..).unwrap_or_default();
            if deflater.compress_vec(rest, out, FlushCompress::Finish)? == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}
