//! The values that a reader and its consumer see of each other without a lock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

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
