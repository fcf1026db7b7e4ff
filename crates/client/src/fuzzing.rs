//! What the targets of `fuzz/` reach of what is this crate's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use std::sync::Arc;

use ottla_protocol::records::{BatchBuilder, BatchHeader, BatchWalk, Compressor};

use crate::{Compression, DetachedRecord, Record, net::frame_pool::Frame};
pub use crate::{
    config::fuzzing::{Jaas, parse_all},
    net::tls::fuzzing::store,
    schema_registry::fuzzing::{answers, know, registry},
};

/// Looks at a record as a poll gives it.
pub fn with_record<T>(record: &DetachedRecord, look: impl FnOnce(&Record<'_>) -> T) -> Option<T> {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20).base_offset(record.offset);
    let headers = record.headers.iter().map(|(key, value)| crate::Header { key, value: value.as_deref() });
    let time = record.timestamp.map_or(-1, |time| time.0);
    builder.append(time, record.key.as_deref(), record.value.as_deref(), headers)?;
    let bytes = builder.finish(&mut Compressor::new());
    let header = BatchHeader::decode(&bytes).ok()?;
    let span = BatchWalk::new(&header, header.records_range(0)).next(&bytes)?.ok()?;
    let block = ottla_core::fuzzing::block::<Arc<Frame>>(record.topic_partition.clone(), bytes);
    Some(look(&Record::fuzzed(&Arc::new(block), &span)))
}
