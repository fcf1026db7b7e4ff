//! What the counted programs read.

use ottla_protocol::records::{BatchBuilder, Compression, Compressor};

const BATCH: usize = 16 << 10;

/// So many records with this value and so many keys in turn, if any, in batches of 16 KiB without a codec.
pub(crate) fn batches(records: usize, keys: i64, value: &[u8]) -> Vec<Vec<u8>> {
    let mut compressor = Compressor::new();
    let mut batches = Vec::new();
    let mut batch = BatchBuilder::new(Compression::None, BATCH);
    for timestamp in 0..records as i64 {
        let key = timestamp.checked_rem(keys).map(i64::to_be_bytes);
        let key = key.as_ref().map(<[u8; 8]>::as_slice);
        if batch.append(timestamp, key, Some(value), []).is_none() {
            batches.push(std::mem::replace(&mut batch, next()).finish(&mut compressor));
            // An empty batch takes any record.
            let _ = batch.append(timestamp, key, Some(value), []);
        }
    }
    batches.push(batch.finish(&mut compressor));
    batches
}

fn next() -> BatchBuilder {
    BatchBuilder::new(Compression::None, BATCH)
}

/// 100 bytes.
pub(crate) fn value() -> [u8; 100] {
    [b'v'; 100]
}
