//! The five ways in which a batch's records may be compressed, with contexts that are used again and again.
//!
//! What arrives is not trusted. A codec is given room for what it should need, which is never more than its input can
//! possibly hold, nor than the limit; where that was too little it starts again with twice as much. What a batch merely
//! declares is believed up to a few MiB: the memory of a large one is taken only as its bytes show that it is large.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::{fmt, io, str::FromStr};

use crate::codec::{DecodeError, DecodeErrorKind};

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
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
    pub const ALL: &[Self] = &[Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

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
        Self::ALL
            .iter()
            .copied()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// Why an attempt to decompress failed.
enum Failure {
    /// The output needs more room than there was.
    Full,
    /// The input is not what it should be.
    Damaged,
}

/// Room that is given to a batch for its word alone.
const BELIEVED: usize = 4 << 20;

/// Decompresses the records of batches; keep one, its contexts are reused.
#[derive(Default)]
pub struct Decompressor {
    gzip: gzip::Inflater,
    snappy: snap::raw::Decoder,
    zstd: zstd::Decoder,
    expected: Expected,
}

/// What a batch should need whose codec does not say it: as the batches before did.
struct Expected {
    /// So many bytes for each [`Expected::UNIT`] of input.
    ratio: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self { ratio: 4 * Self::UNIT }
    }
}

impl Expected {
    const UNIT: usize = 16;
    const MOST: usize = 32 * Self::UNIT;

    fn of(&self, input: &[u8]) -> usize {
        input.len().saturating_mul(self.ratio) / Self::UNIT
    }

    /// Up at once and with a quarter to spare, as a guess too low costs a second attempt; down slowly.
    fn learn(&mut self, input: usize, output: usize) {
        let found = output.saturating_mul(Self::UNIT + Self::UNIT / 4) / input.max(1) + 1;
        self.ratio = found.max(self.ratio - self.ratio / 8).min(Self::MOST);
    }
}

impl Decompressor {
    /// Contexts are made when a codec is first met.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what `out` holds by what `input` decompresses to, which may be `limit` bytes at the most.
    ///
    /// `out` never gets a capacity beyond the limit, nor, but for a few MiB, beyond 32 times the input and twice what it
    /// holds; give it again for the next batch, and nothing is allocated. After an error it holds anything.
    pub fn decompress(
        &mut self,
        codec: Compression,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeError> {
        let bad = |kind| Err(DecodeError { field: "records", offset: 0, kind });
        if out.capacity() > limit {
            *out = Vec::new();
        }
        let guess = match codec {
            Compression::None => input.len(),
            Compression::Gzip => gzip::guess(input),
            Compression::Snappy => snappy::guess(input),
            Compression::Lz4 => self.expected.of(input),
            Compression::Zstd => zstd::guess(input).unwrap_or_else(|| self.expected.of(input)),
        };
        let believed = self.expected.of(input).max(BELIEVED);
        let mut room = guess.min(believed).min(limit);
        loop {
            // LZ4 writes over what is there, and zeroes room beyond that.
            if codec != Compression::Lz4 {
                out.clear();
                room = room.max(out.capacity());
            }
            if out.capacity() < room {
                // Not grown but made anew: two at once could be more than the limit.
                *out = Vec::new();
                out.reserve_exact(room);
            }
            let attempt = match codec {
                Compression::None => append(input, out, room),
                Compression::Gzip => self.gzip.decompress(input, out),
                Compression::Snappy => snappy::decompress(&mut self.snappy, input, out, room),
                Compression::Lz4 => lz4::decompress(input, out, room),
                Compression::Zstd => self.zstd.decompress(input, out),
            };
            match attempt {
                Ok(()) if out.len() <= limit => {
                    self.expected.learn(input.len(), out.len());
                    return Ok(());
                }
                Err(Failure::Full) if room < limit => room = room.saturating_mul(2).max(1024).min(limit),
                Ok(()) | Err(Failure::Full) => return bad(DecodeErrorKind::TooLarge { limit }),
                Err(Failure::Damaged) => return bad(DecodeErrorKind::Decompression),
            }
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// Appends bytes as they are, where that makes no more than `room`.
fn append(bytes: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Failure> {
    if bytes.len() > room.saturating_sub(out.len()) {
        return Err(Failure::Full);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn damaged<E>(_: E) -> Failure {
    Failure::Damaged
}

/// Compresses the records of batches; keep one, its contexts are reused.
#[derive(Default)]
pub struct Compressor {
    gzip: gzip::Deflater,
    snappy: snappy::Encoder,
    lz4: lz4::Encoder,
    zstd: zstd::Encoder,
}

impl Compressor {
    /// Contexts are made when a codec is first used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what `input` compresses to. Without a level the codec's default holds, as in Java: gzip's own, and 3 for
    /// zstd. Snappy has no levels, and LZ4 has but the fast one here. On an error `out` may have got a part.
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
            Compression::Gzip => self.gzip.compress(level, input, out),
            Compression::Snappy => self.snappy.compress(input, out),
            Compression::Lz4 => self.lz4.compress(input, out),
            Compression::Zstd => self.zstd.compress(level, input, out),
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
