//! The atomics by which a reader and its consumer meet. `models/` compiles core with loom's in their place.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
