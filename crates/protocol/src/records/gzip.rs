//! gzip members (RFC 1952) around deflate, read with one inflater that is reset instead of made anew.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::compression::reserve;
use crate::codec::{DecodeErrorKind, Reader};

/// The most that deflate can make out of a byte.
const BEST_RATIO: usize = 1032;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const HEADER_CRC: u8 = 1 << 1;

/// An inflater, made when it is first needed.
#[derive(Default)]
pub(super) struct Inflater(Option<Decompress>);

impl Inflater {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeErrorKind> {
        // The last four bytes are the size, in all but hostile cases.
        let declared = input.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
        reserve(out, declared.min(input.len().saturating_mul(BEST_RATIO)).min(limit), limit)?;
        let mut r = Reader::new(input);
        loop {
            self.member(&mut r, out, limit)?;
            if r.remaining() == 0 {
                return Ok(());
            }
        }
    }

    fn member(
        &mut self,
        r: &mut Reader<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeErrorKind> {
        skip_header(r)?;
        let start = out.len();
        self.inflate(r, out, limit)?;
        let content = out.get(start..).unwrap_or_default();
        let mut crc = Crc::new();
        crc.update(content);
        let sum = u32::from_le_bytes(r.array().map_err(damaged)?);
        let size = u32::from_le_bytes(r.array().map_err(damaged)?);
        if sum == crc.sum() && size == content.len() as u32 { Ok(()) } else { Err(DecodeErrorKind::Decompression) }
    }

    fn inflate(
        &mut self,
        r: &mut Reader<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeErrorKind> {
        const RAW: bool = false;
        let inflater = match &mut self.0 {
            Some(inflater) => {
                inflater.reset(RAW);
                inflater
            }
            none => none.insert(Decompress::new(RAW)),
        };
        let deflated = r.clone().take(r.remaining()).map_err(damaged)?;
        loop {
            let before = (inflater.total_in(), inflater.total_out());
            let rest = deflated.get(before.0 as usize..).unwrap_or_default();
            match inflater.decompress_vec(rest, out, FlushDecompress::None) {
                Ok(Status::StreamEnd) => break,
                Ok(_) if (inflater.total_in(), inflater.total_out()) != before => {}
                // Without progress: for want of room, or of input.
                Ok(_) if out.len() == out.capacity() => {
                    reserve(out, (limit - out.len()).clamp(1, 4096), limit)?;
                }
                _ => return Err(DecodeErrorKind::Decompression),
            }
        }
        r.take(inflater.total_in() as usize).map(|_| ()).map_err(damaged)
    }
}

fn skip_header(r: &mut Reader<'_>) -> Result<(), DecodeErrorKind> {
    let [0x1f, 0x8b, 8, flags, ..] = r.array::<10>().map_err(damaged)? else {
        return Err(DecodeErrorKind::Decompression);
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

fn damaged<E>(_: E) -> DecodeErrorKind {
    DecodeErrorKind::Decompression
}
