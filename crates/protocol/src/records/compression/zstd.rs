//! Zstandard (KIP-110): a frame at once, straight to where it belongs, so that its window costs no memory of its own.

use std::io;

use ::zstd::zstd_safe::{
    self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective,
    zstd_sys::{ZSTD_EndDirective, ZSTD_ErrorCode},
};

use super::Failure;

/// 128 KiB from a block of four bytes.
const BEST_RATIO: usize = 32 * 1024;
const TOO_SMALL: usize = (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();

/// How much `input` says it holds, if it does: Java's does not.
pub(super) fn guess(input: &[u8]) -> Option<usize> {
    let declared = zstd_safe::get_frame_content_size(input).ok().flatten();
    let size = declared.and_then(|size| usize::try_from(size).ok())?;
    Some(size.min(input.len().saturating_mul(BEST_RATIO)))
}

#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    /// Fills `out` up to its capacity.
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match self.0.get_or_insert_with(DCtx::create).decompress(out, input) {
            Ok(_) => Ok(()),
            Err(TOO_SMALL) => Err(Failure::Full),
            Err(_) => Err(Failure::Damaged),
        }
    }
}

#[derive(Default)]
pub(super) struct Encoder(Option<CCtx<'static>>);

impl Encoder {
    pub(super) fn compress(&mut self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let context = self.0.get_or_insert_with(CCtx::create);
        let failed = |code| io::Error::other(zstd_safe::get_error_name(code));
        let level = level.unwrap_or(zstd_safe::CLEVEL_DEFAULT);
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        out.reserve(zstd_safe::compress_bound(input.len()));
        let (start, mut input) = (out.len(), InBuffer::around(input));
        let mut out = OutBuffer::around_pos(out, start);
        // There is room for the whole: one call ends the frame.
        match context.compress_stream2(&mut out, &mut input, ZSTD_EndDirective::ZSTD_e_end).map_err(failed)? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}
