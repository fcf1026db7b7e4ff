//! Record batches: how a producer packs records, a broker keeps them, and a consumer walks them.
//!
//! Batches are the only data that is never copied out of a frame: [`walk_headers`] finds them, [`check_crc`] and
//! [`Decompressor`] make them readable, [`BatchWalk`] yields where their records lie. [`BatchBuilder`] is the way back.
//! Source: KIP-98 (the format), KIP-32 (timestamps), KIP-82 (headers), KIP-110 (zstd).

mod batch;
mod compression;
mod control;
mod encode;
mod fields;
mod record;

pub use batch::{
    BatchHeader, HeaderWalk, TimestampType, check_crc, set_base_offset, set_log_append_time,
    set_partition_leader_epoch, walk_headers,
};
pub use compression::{Compression, Compressor, Decompressor, UnknownCompression};
pub use control::{ControlType, EndTxnMarker};
pub use encode::{BatchBuilder, ClosedBatch};
pub use record::{BatchWalk, Header, Headers, Record, RecordSpan, RecordWalk, Span};
