//! LZ4 frames around LZ4 blocks. Frames are taken apart here rather than by a stream decoder: that would copy twice, and
//! allocate what a frame merely declares.
//!
//! The frame's own checksums are passed over: the CRC of the batch covers the same bytes.

use std::io;

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

use super::{Failure, damaged};
use crate::codec::Reader;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// What Java writes too: blocks of 64 KiB, independent, no checksums; the last byte is the header's own.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
/// How far back a block may refer.
const WINDOW: usize = 64 * 1024;
/// In a block's size: it is not compressed.
const STORED: u32 = 1 << 31;
/// Replaces what `out` holds: written over, as what is there need not be zeroed again.
pub(super) fn decompress(input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Failure> {
    let mut r = Reader::new(input);
    let mut written = 0;
    loop {
        written = frame(&mut r, out, written, room)?;
        if r.remaining() == 0 {
            out.truncate(written);
            return Ok(());
        }
    }
}

/// Writes what one frame holds to `out` from `start` on; returns where that ends.
fn frame(r: &mut Reader<'_>, out: &mut Vec<u8>, start: usize, room: usize) -> Result<usize, Failure> {
    let blocks = Blocks::read(r)?;
    let mut end = start;
    loop {
        let size = u32::from_le_bytes(r.array().map_err(damaged)?);
        if size == 0 {
            break;
        }
        let input = r.take((size & !STORED) as usize).map_err(damaged)?;
        if blocks.checksums {
            r.take(4).map_err(damaged)?;
        }
        end += if size & STORED == 0 {
            let history = if blocks.linked { end - start } else { 0 };
            block(input, history.min(WINDOW), out, end, blocks.largest, room)?
        } else {
            place(out, end, input.len(), room)
                .1
                .get_mut(..input.len())
                .ok_or(Failure::Full)?
                .copy_from_slice(input);
            input.len()
        };
    }
    if blocks.content_checksum {
        r.take(4).map_err(damaged)?;
    }
    Ok(end)
}

/// What is before `end`, and room for `size` bytes behind it, or for less where there is less.
fn place(out: &mut Vec<u8>, end: usize, size: usize, room: usize) -> (&[u8], &mut [u8]) {
    let behind = room.min(end.saturating_add(size));
    if out.len() < behind {
        out.resize(behind, 0);
    }
    let (before, place) = out.split_at_mut_checked(end).unwrap_or_default();
    (before, place.get_mut(..behind.saturating_sub(end)).unwrap_or_default())
}

/// Decompresses one block, which may refer to so much history before it, and is `largest` at the most; returns its size.
fn block(
    input: &[u8],
    history: usize,
    out: &mut Vec<u8>,
    end: usize,
    largest: usize,
    room: usize,
) -> Result<usize, Failure> {
    let (before, place) = place(out, end, largest, room);
    let short = place.len() < largest;
    let history = before.get(end - history..).unwrap_or_default();
    let written = if history.is_empty() {
        decompress_into(input, place)
    } else {
        decompress_into_with_dict(input, place, history)
    };
    written.map_err(|error| match error {
        DecompressError::OutputTooSmall { .. } if short => Failure::Full,
        _ => Failure::Damaged,
    })
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
