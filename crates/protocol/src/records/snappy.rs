//! Snappy in the framing of Java's snappy library ("xerial"): a magic, two versions, then blocks with their length in
//! front. Some producers write one bare block; reading takes that too.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::compression::reserve;
use crate::codec::{DecodeErrorKind, Reader};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The version of the framing, and the oldest that can read it.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK: usize = 32 * 1024;
/// More than Snappy can make out of a byte: 64 bytes from a copy of three.
const BEST_RATIO: usize = 22;

pub(super) fn decompress(
    decoder: &mut Decoder,
    input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecodeErrorKind> {
    let damaged = |_| DecodeErrorKind::Decompression;
    if !input.starts_with(&MAGIC) {
        return block(decoder, input, out, limit);
    }
    let mut r = Reader::new(input);
    r.take(MAGIC.len() + VERSIONS.len()).map_err(damaged)?;
    while r.remaining() > 0 {
        let size = u32::from_be_bytes(r.array().map_err(damaged)?);
        block(decoder, r.take(size as usize).map_err(damaged)?, out, limit)?;
    }
    Ok(())
}

fn block(
    decoder: &mut Decoder,
    input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecodeErrorKind> {
    let size = decompress_len(input).map_err(|_| DecodeErrorKind::Decompression)?;
    if size > input.len().saturating_mul(BEST_RATIO) {
        return Err(DecodeErrorKind::Decompression);
    }
    reserve(out, size, limit)?;
    let start = out.len();
    out.resize(start + size, 0);
    let place = out.get_mut(start..).unwrap_or_default();
    decoder.decompress(input, place).map(|_| ()).map_err(|_| DecodeErrorKind::Decompression)
}

pub(super) fn compress(encoder: &mut Encoder, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
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
