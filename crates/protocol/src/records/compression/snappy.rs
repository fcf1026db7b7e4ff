//! Snappy in the framing of Java's snappy library ("xerial"): a magic, two versions, then blocks with their length in
//! front. Some producers write one bare block; reading takes that too.

use std::io;

use snap::raw::{Decoder, decompress_len, max_compress_len};

use super::{Failure, damaged};
use crate::codec::Reader;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The version of the framing, and the oldest that can read it.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK: usize = 32 * 1024;
/// More than Snappy can make out of a byte: 64 bytes from a copy of three.
const BEST_RATIO: usize = 22;

/// How much the blocks say they hold.
pub(super) fn guess(input: &[u8]) -> usize {
    let mut size = 0usize;
    _ = for_each_block(input, |block| {
        size = size.saturating_add(block_size(block)?);
        Ok(())
    });
    size
}

pub(super) fn decompress(
    decoder: &mut Decoder,
    input: &[u8],
    out: &mut Vec<u8>,
    room: usize,
) -> Result<(), Failure> {
    for_each_block(input, |block| {
        let (start, size) = (out.len(), block_size(block)?);
        if size > room - start {
            return Err(Failure::Full);
        }
        out.resize(start + size, 0);
        decoder.decompress(block, out.get_mut(start..).unwrap_or_default()).map(|_| ()).map_err(damaged)
    })
}

fn for_each_block(input: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    if !input.starts_with(&MAGIC) {
        return each(input);
    }
    let mut r = Reader::new(input);
    r.take(MAGIC.len() + VERSIONS.len()).map_err(damaged)?;
    while r.remaining() > 0 {
        let size = u32::from_be_bytes(r.array().map_err(damaged)?);
        each(r.take(size as usize).map_err(damaged)?)?;
    }
    Ok(())
}

/// What a block says it holds, if that is possible.
fn block_size(block: &[u8]) -> Result<usize, Failure> {
    let size = decompress_len(block).map_err(damaged)?;
    if size > block.len().saturating_mul(BEST_RATIO) { Err(Failure::Damaged) } else { Ok(size) }
}

#[derive(Default)]
pub(super) struct Encoder(Option<snap::raw::Encoder>);

impl Encoder {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let encoder = self.0.get_or_insert_with(snap::raw::Encoder::new);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSIONS);
        for block in input.chunks(BLOCK) {
            let length_at = out.len();
            let start = length_at + size_of::<u32>();
            out.resize(start + max_compress_len(block.len()), 0);
            let size = encoder.compress(block, out.get_mut(start..).unwrap_or_default())?;
            out.truncate(start + size);
            if let Some(length) = out.get_mut(length_at..).and_then(<[u8]>::first_chunk_mut) {
                *length = (size as u32).to_be_bytes();
            }
        }
        Ok(())
    }
}
