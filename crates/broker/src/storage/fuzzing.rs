//! Journals that are in memory.

use std::path::Path;

use ottla_protocol::Now;

use super::{
    Entry,
    frames::{self, Frames},
    journal,
};
use crate::{Cluster, Config};

/// A cluster out of a journal of these bytes, and how many entries were applied; `None` where it is damaged.
pub(crate) fn open(bytes: &[u8], config: Config, now: Now) -> Option<(Cluster, usize)> {
    let mut cluster = Cluster::empty(config);
    let mut applied = 0;
    let frames = Frames::new(bytes, bytes.len() as u64);
    let apply = |entry| {
        let fits = cluster.apply(entry).is_some();
        applied += usize::from(fits);
        fits
    };
    journal::replay(Path::new("journal"), frames, now, apply).ok()?;
    cluster.elect(now);
    Some((cluster, applied))
}

/// A journal of these entries, whatever they are.
pub(crate) fn framed<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut file = frames::MAGIC.to_vec();
    for entry in entries {
        frames::put(&mut file, |out| out.extend_from_slice(entry));
    }
    file
}

/// What an entry is written as once it was read.
pub(crate) fn entry_again(bytes: &[u8], now: Now) -> Option<Vec<u8>> {
    let entry = Entry::decode(bytes, now).ok()??;
    let mut again = Vec::new();
    entry.encode(&mut again);
    Some(again)
}
