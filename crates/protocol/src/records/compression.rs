//! The five ways in which a batch's records may be compressed, with contexts that are used again and again.
//!
//! What arrives is not trusted: output grows as it comes, from what the input can hold and never beyond the limit.

use std::{fmt, io, str::FromStr};

use flate2::{Compress, FlushCompress, Status};
use zstd::zstd_safe::{
    self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective,
    zstd_sys::{ZSTD_EndDirective, ZSTD_ErrorCode},
};

use super::{gzip, lz4, snappy};
use crate::codec::{DecodeError, DecodeErrorKind};

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the framing of Java's snappy library ("xerial").
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its number in a batch's attributes.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The one with this number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its name as the value of `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no compression has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCompression(String);

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown compression `{}`: none, gzip, snappy, lz4 or zstd", self.0)
    }
}

impl std::error::Error for UnknownCompression {}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// Decompresses the records of batches; keep one, its contexts are reused.
#[derive(Default)]
pub struct Decompressor {
    gzip: gzip::Inflater,
    snappy: snap::raw::Decoder,
    zstd: Option<DCtx<'static>>,
}

impl Decompressor {
    /// Contexts are made when a codec is first met.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what `out` holds by what `input` decompresses to, which may be `limit` bytes at the most.
    ///
    /// `out` never gets a capacity beyond the limit; give it again for the next batch, and nothing is allocated. After
    /// an error it holds anything.
    pub fn decompress(
        &mut self,
        codec: Compression,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeError> {
        out.clear();
        out.shrink_to(limit);
        match codec {
            Compression::None => reserve(out, input.len(), limit).map(|()| out.extend_from_slice(input)),
            Compression::Gzip => self.gzip.decompress(input, out, limit),
            Compression::Snappy => snappy::decompress(&mut self.snappy, input, out, limit),
            Compression::Lz4 => lz4::decompress(input, out, limit),
            Compression::Zstd => {
                decompress_zstd(self.zstd.get_or_insert_with(DCtx::create), input, out, limit)
            }
        }
        .map_err(|kind| DecodeError { field: "records", offset: 0, kind })
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// Makes room for `more` bytes, within the limit.
pub(super) fn reserve(out: &mut Vec<u8>, more: usize, limit: usize) -> Result<(), DecodeErrorKind> {
    let needed = out.len().saturating_add(more);
    if needed > limit {
        return Err(DecodeErrorKind::TooLarge { limit });
    }
    if needed > out.capacity() {
        let capacity = needed.max(out.capacity().saturating_mul(2)).min(limit);
        out.reserve_exact(capacity - out.len());
    }
    Ok(())
}

/// A whole frame at once, straight to where it belongs: so a frame's window costs no memory of its own. Java writes
/// frames without the size of their content, thus a guess that is made larger when it was wrong.
fn decompress_zstd(
    context: &mut DCtx<'_>,
    input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecodeErrorKind> {
    const TOO_SMALL: usize = (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();
    const GUESS: usize = 8;
    // 128 KiB in a block of four bytes.
    const BEST_RATIO: usize = 32 * 1024;
    let declared = zstd_safe::get_frame_content_size(input).ok().flatten();
    let guess = match declared.map(usize::try_from) {
        Some(Ok(size)) => size.min(input.len().saturating_mul(BEST_RATIO)),
        _ => input.len().saturating_mul(GUESS),
    };
    reserve(out, guess.min(limit), limit)?;
    loop {
        match context.decompress(out, input) {
            Ok(size) if size <= limit => return Ok(()),
            Err(TOO_SMALL) if out.capacity() < limit => {
                out.clear();
                let larger = out.capacity().saturating_mul(4).max(1024);
                reserve(out, larger.min(limit), limit)?;
            }
            Ok(_) | Err(TOO_SMALL) => return Err(DecodeErrorKind::TooLarge { limit }),
            Err(_) => return Err(DecodeErrorKind::Decompression),
        }
    }
}

/// Compresses the records of batches; keep one, its contexts are reused.
#[derive(Default)]
pub struct Compressor {
    gzip: Option<(flate2::Compression, Compress)>,
    snappy: Option<snap::raw::Encoder>,
    lz4: lz4::BlockEncoder,
    zstd: Option<CCtx<'static>>,
}

impl Compressor {
    /// Contexts are made when a codec is first used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what `input` compresses to. Without a level the codec's default holds, as in Java: gzip's own (6) and 3
    /// for zstd; Snappy has none, and LZ4 has but the fast one here. On an error `out` may have got a part.
    pub fn compress(
        &mut self,
        codec: Compression,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match codec {
            Compression::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Compression::Gzip => self.compress_gzip(level, input, out),
            Compression::Snappy => {
                snappy::compress(self.snappy.get_or_insert_with(snap::raw::Encoder::new), input, out)
            },
            Compression::Lz4 => self.lz4.compress(input, out),
            Compression::Zstd => self.compress_zstd(level, input, out),
        }
    }

    fn compress_gzip(&mut self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        const WINDOW_BITS: u8 = 15;
        let level = match level {
            Some(level @ 0..=9) => flate2::Compression::new(level.cast_unsigned()),
            _ => flate2::Compression::default(),
        };
        let context = match &mut self.gzip {
            Some((made_for, context)) if *made_for == level => {
                context.reset();
                context
            }
            other => &mut other.insert((level, Compress::new_gzip(level, WINDOW_BITS))).1,
        };
        loop {
            out.reserve(input.len() / 4 + 64);
            let rest = input.get(context.total_in() as usize..).unwrap_or_default();
            if context.compress_vec(rest, out, FlushCompress::Finish)? == Status::StreamEnd {
                return Ok(());
            }
        }
    }

    fn compress_zstd(&mut self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let context = self.zstd.get_or_insert_with(CCtx::create);
        let failed = |code| io::Error::other(zstd_safe::get_error_name(code));
        let level = level.unwrap_or(zstd_safe::CLEVEL_DEFAULT);
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        out.reserve(zstd_safe::compress_bound(input.len()));
        let (start, mut input) = (out.len(), InBuffer::around(input));
        let mut out = OutBuffer::around_pos(out, start);
        // There is room for the whole: one call ends the frame.
        let end = ZSTD_EndDirective::ZSTD_e_end;
        match context.compress_stream2(&mut out, &mut input, end).map_err(failed)? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
