//! Loom's atomics for core, and the bugs that can be planted in them: a slot or a fence that does less than it is there for.

use std::cell::Cell;

pub use loom::sync::atomic::Ordering;

/// A bug in the atomics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A slot orders nothing: who reads it need not see what its user did before.
    SlotIsRelaxed,
    /// A fence that is raised stays where it was.
    FenceStays,
}

thread_local! {
    // Loom's threads are coroutines of the one that runs the model.
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug, or takes it out, for the models that this thread runs.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

fn at_most(ordering: Ordering) -> Ordering {
    if has(Bug::SlotIsRelaxed) { Ordering::Relaxed } else { ordering }
}

#[derive(Debug, Default)]
pub(crate) struct AtomicI64(loom::sync::atomic::AtomicI64);

impl AtomicI64 {
    pub(crate) fn new(value: i64) -> Self {
        Self(loom::sync::atomic::AtomicI64::new(value))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> i64 {
        self.0.load(at_most(ordering))
    }

    pub(crate) fn store(&self, value: i64, ordering: Ordering) {
        self.0.store(value, at_most(ordering));
    }
}

#[derive(Debug, Default)]
pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        self.0.store(value, ordering);
    }

    pub(crate) fn fetch_add(&self, by: u64, ordering: Ordering) {
        self.0.fetch_add(if has(Bug::FenceStays) { 0 } else { by }, ordering);
    }
}
