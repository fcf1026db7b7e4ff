//! The values that a reader and its consumer see of each other without a lock.

use std::{ops::Add, sync::Arc};

use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// Moves when a reader must look at the consumer again before it hands out another record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fence(Arc<AtomicU64>);

impl Fence {
    pub(crate) fn raise(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Where the reader that holds a lane leaves how far its user has come. The consumer reads it before it commits, and
/// before it takes the user for gone.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<AtomicI64>);

impl Slot {
    pub(crate) fn new(position: i64) -> Self {
        Self(Arc::new(AtomicI64::new(position)))
    }

    /// The user has come back from every record before `position`.
    #[inline]
    pub(crate) fn store(&self, position: i64) {
        self.0.store(position, Ordering::Release);
    }

    pub(crate) fn load(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What a reader has decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Add for Decoded {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            batches: self.batches + other.batches,
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Where a reader leaves what it has decoded, batch by batch: of a slice it may take a slow user long to the next look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// One more batch. The reader alone counts: nobody else writes between its look and its store.
    pub(super) fn add_batch(&self, records: u64, bytes: u64) {
        let add = |count: &AtomicU64, more| {
            count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.0.batches, 1);
        add(&self.0.records, records);
        add(&self.0.bytes, bytes);
    }

    pub(crate) fn get(&self) -> Decoded {
        Decoded {
            batches: self.0.batches.load(Ordering::Relaxed),
            records: self.0.records.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }
}
