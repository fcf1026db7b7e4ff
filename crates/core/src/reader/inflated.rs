//! The memory of decompressed batches, which is used again when the last record of a batch is dropped. Otherwise
//! every batch would take memory fresh from the system, which costs a fault for each page and is in no cache.
//!
//! There is a lock here, though this is core, as users drop records in whatever thread they like. It is held for a
//! push or a pop, and no decision depends on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes are kept at the most: decompressed batches are outside the byte budget.
const KEPT_MAX: usize = 4 << 20;

/// The free buffers of one reader.
#[derive(Debug, Clone, Default)]
pub(super) struct InflatedPool(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    /// The buffer that was used last comes last.
    buffers: Vec<Vec<u8>>,
    capacity: usize,
}

/// A buffer that goes back to its pool.
#[derive(Debug)]
pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    pool: InflatedPool,
}

impl InflatedPool {
    /// A buffer with any contents.
    pub(super) fn take(&self) -> Inflated {
        let mut free = self.lock();
        let bytes = free.buffers.pop().unwrap_or_default();
        free.capacity -= bytes.capacity();
        Inflated { bytes, pool: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        // Nothing under this lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inflated {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.pool.lock();
        if bytes.capacity() > 0 && free.capacity + bytes.capacity() <= KEPT_MAX {
            free.capacity += bytes.capacity();
            free.buffers.push(bytes);
        }
    }
}
