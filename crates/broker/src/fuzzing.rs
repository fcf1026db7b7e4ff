//! What the targets of `fuzz/` reach of what is this crate's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use ottla_protocol::Now;

use crate::{Cluster, Config, storage};

/// A cluster out of a journal of these bytes, and how many entries were applied; `None` where it is damaged.
pub fn journal(bytes: &[u8], config: Config, now: Now) -> Option<(Cluster, usize)> {
    storage::fuzzing::open(bytes, config, now)
}

/// A journal of these entries, whatever they are.
pub fn framed<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    storage::fuzzing::framed(entries)
}

/// What an entry is written as once it was read.
pub fn entry_again(bytes: &[u8], now: Now) -> Option<Vec<u8>> {
    storage::fuzzing::entry_again(bytes, now)
}
