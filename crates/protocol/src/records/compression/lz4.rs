//! LZ4 frames around LZ4 blocks. Frames are taken apart here rather than by a stream decoder: that would copy twice, and
//! allocate what a frame merely declares.
//!
//! The frame's own checksums are passed over: the CRC of the batch covers the same bytes.

use std::io;

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

use super::{Failure, append, damaged};
use crate::codec::Reader;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// What Java writes too: blocks of 64 KiB, independent, no checksums; the last byte is the header's own.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
/// How far back a block may refer.
const WINDOW: usize = 64 * 1024;
/// In a block's size: it is not compressed.
const STORED: u32 = 1 << 31;
/// What is expected of a block or a frame, which do not say it.
const USUAL_RATIO: usize = 8;

/// How much `input` seems to hold.
pub(super) const fn guess(input: &[u8]) -> usize {
    input.len().saturating_mul(USUAL_RATIO)
}

pub(super) fn decompress(input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Failure> {
    let mut r = Reader::new(input);
    loop {
        frame(&mut r, out, room)?;
        if r.remaining() == 0 {
            return Ok(());
        }
    }
}

fn frame(r: &mut Reader<'_>, out: &mut Vec<u8>, room: usize) -> Result<(), Failure> {
    let blocks = Blocks::read(r)?;
    let start = out.len();
    loop {
        let size = u32::from_le_bytes(r.array().map_err(damaged)?);
        if size == 0 {
            break;
        }
        let input = r.take((size & !STORED) as usize).map_err(damaged)?;
        if blocks.checksums {
            r.take(4).map_err(damaged)?;
        }
        if size & STORED == 0 {
            let history = if blocks.linked { out.len() - start } else { 0 };
            block(input, history.min(WINDOW), out, blocks.largest, room)?;
        } else {
            append(input, out, room)?;
        }
    }
    if blocks.content_checksum {
        r.take(4).map_err(damaged)?;
    }
    Ok(())
}

/// Appends what one block decompresses to. It may refer to so much history before it, and is `largest` at the most.
fn block(
    input: &[u8],
    history: usize,
    out: &mut Vec<u8>,
    largest: usize,
    room: usize,
) -> Result<(), Failure> {
    let start = out.len();
    let most = largest.min(room - start);
    // Only as much as needed: what is not written is zeroed for nothing.
    let mut size = input.len().saturating_mul(USUAL_RATIO).min(most);
    loop {
        out.resize(start + size, 0);
        let (before, place) = out.split_at_mut_checked(start).unwrap_or_default();
        let history = before.get(start - history..).unwrap_or_default();
        let written = if history.is_empty() {
            decompress_into(input, place)
        } else {
            decompress_into_with_dict(input, place, history)
        };
        match written {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(DecompressError::OutputTooSmall { .. }) if size < most => size = (size * 4).min(most),
            Err(DecompressError::OutputTooSmall { .. }) if most < largest => return Err(Failure::Full),
            Err(_) => return Err(Failure::Damaged),
        }
    }
}

/// What a frame's header says of its blocks.
struct Blocks {
    largest: usize,
    linked: bool,
    checksums: bool,
    content_checksum: bool,
}

impl Blocks {
    fn read(r: &mut Reader<'_>) -> Result<Self, Failure> {
        let magic: [u8; 4] = r.array().map_err(damaged)?;
        let [flags, descriptor] = r.array().map_err(damaged)?;
        let has = |bit: u8| flags >> bit & 1 == 1;
        let (version, dictionary) = (flags >> 6, has(0));
        let content_size = if has(3) { 8 } else { 0 };
        let header_checksum = 1;
        r.take(content_size + header_checksum).map_err(damaged)?;
        let largest = match descriptor >> 4 & 0b111 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err(Failure::Damaged),
        };
        if magic != MAGIC || version != 1 || dictionary {
            return Err(Failure::Damaged);
        }
        Ok(Self { largest, linked: !has(5), checksums: has(4), content_checksum: has(2) })
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    table: Option<CompressTable>,
    block: Vec<u8>,
}

impl Encoder {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let table = self.table.get_or_insert_with(CompressTable::large);
        self.block.resize(get_maximum_output_size(BLOCK), 0);
        out.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK) {
            let size = compress_into_with_table(block, &mut self.block, table).map_err(io::Error::other)?;
            let (size, bytes) = match self.block.get(..size) {
                Some(smaller) if size < block.len() => (size as u32, smaller),
                _ => (block.len() as u32 | STORED, block),
            };
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }
}
