//! What the client's files take from `crate::sync`, made of loom's.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, LockResult},
    task::{Context, Poll, Wake, Waker},
};

pub(crate) use loom::sync::{
    MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Loom's mutex, which is never poisoned: a panic ends the model.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.0.lock()
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        false
    }
}

/// Tokio's own, each of whose calls is a step between which loom changes threads: of what is in them it sees nothing, and tokio has
/// models of that.
#[derive(Debug)]
pub(crate) struct Notify {
    inner: tokio::sync::Notify,
    steps: AtomicUsize,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self { inner: tokio::sync::Notify::new(), steps: AtomicUsize::new(0) }
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn notify_one(&self) {
        self.step();
        self.inner.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        self.step();
        self.inner.notify_waiters();
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        self.step();
        Notified { inner: Box::pin(self.inner.notified()), of: self }
    }
}

pub(crate) struct Notified<'a> {
    inner: Pin<Box<tokio::sync::futures::Notified<'a>>>,
    of: &'a Notify,
}

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        self.of.step();
        self.inner.as_mut().enable()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.of.step();
        self.inner.as_mut().poll(context)
    }
}

/// A thread that waits for a future. Loom's own wakers are counted by loom, which would change threads within a call of tokio's.
struct Parked(loom::sync::Notify);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let parked = Arc::new(Parked(loom::sync::Notify::new()));
    let waker = Waker::from(parked.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        parked.0.wait();
    }
}
