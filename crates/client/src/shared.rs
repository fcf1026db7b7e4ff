//! What the users of a client and its driver share: the machine, under one lock, and who is woken by what.
//!
//! There is no command channel: a handle changes the machine under the lock ([`Shared::with`]), which wakes the driver only
//! where that left something to do, and waits for what comes of it ([`Shared::wait`]). Connections feed the machine
//! ([`Shared::feed`]), which always wakes the driver.

use std::{
    sync::{Arc, PoisonError},
    task::Waker,
};

use ottla_core::Machine;
use ottla_protocol::Now;

use crate::{
    net::{clock::Reading, frame_pool::FramePool},
    sync::{AtomicBool, Mutex, MutexGuard, Notify, Ordering},
};

/// What a machine's users and its driver share.
#[derive(Debug)]
pub(crate) struct Shared<M> {
    machine: Mutex<Timed<M>>,
    driver: Arc<Notify>,
    data: Notify,
    ended: AtomicBool,
    frames: FramePool,
    /// The client's span, which says whose the machine's events are.
    span: tracing::Span,
    /// The same span; none for a client whose users call often, where no event comes of a call.
    span_of_calls: tracing::Span,
    /// Whether the machine was locked, each time that a request was about to be compressed.
    #[cfg(test)]
    locked: Mutex<Vec<bool>>,
}

/// A machine, and when its clocks were read.
#[derive(Debug)]
struct Timed<M> {
    machine: M,
    clock: Reading,
}

/// The driver is no more: nothing moves the machine, so nothing that is waited for will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

impl<M> Shared<M> {
    /// With a pool that keeps `frame_pool` bytes of buffers.
    pub(crate) fn new(
        machine: M,
        frame_pool: usize,
        span: tracing::Span,
        span_of_calls: tracing::Span,
    ) -> Self {
        let driver = Arc::new(Notify::new());
        let frames = FramePool::new(frame_pool, driver.clone());
        Self {
            machine: Mutex::new(Timed { machine, clock: Reading::new() }),
            driver,
            data: Notify::new(),
            ended: AtomicBool::new(false),
            frames,
            span,
            span_of_calls,
            #[cfg(test)]
            locked: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn compressing(&self) {
        let is_locked = matches!(self.machine.try_lock(), Err(std::sync::TryLockError::WouldBlock));
        self.locked.lock().unwrap().push(is_locked);
    }

    #[cfg(test)]
    pub(crate) fn was_locked(&self) -> Vec<bool> {
        self.locked.lock().unwrap().clone()
    }

    /// Looks at the machine, changing nothing.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.lock().machine)
    }

    /// Whether the driver is no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The buffers of the machine's connections.
    pub(crate) fn frames(&self) -> &FramePool {
        &self.frames
    }

    /// Whether a call has panicked under the lock: the machine may be in the middle of a change.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.machine.is_poisoned()
    }

    /// The client's span, which says whose the machine's events are.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    fn lock(&self) -> MutexGuard<'_, Timed<M>> {
        // Whoever asks gets an answer instead of a second panic. The driver ends when it sees the poison.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everybody who waits look again.
    pub(crate) fn wake(&self) {
        self.data.notify_waiters();
    }

    /// Returns when the driver has something to do.
    pub(crate) async fn stirred(&self) {
        self.driver.notified().await;
    }

    /// Returns when the driver is no more.
    pub(crate) async fn ended(&self) {
        let mut notified = std::pin::pin!(self.data.notified());
        loop {
            notified.as_mut().enable();
            if self.is_ended() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.data.notified());
        }
    }
}

impl<M: Machine> Shared<M> {
    /// The driver is no more: everybody is told.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let mut timed = self.lock();
        timed.machine.handle_driver_gone();
        let wakers = timed.machine.take_wakers();
        drop(timed);
        self.wake_all(wakers);
    }

    fn wake_all(&self, wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
        self.data.notify_waiters();
    }

    /// Unlocks the machine, and wakes those who wait where something came about.
    fn release(&self, mut timed: MutexGuard<'_, Timed<M>>) {
        let machine = &mut timed.machine;
        let wakers = machine.take_wake().then(|| machine.take_wakers());
        drop(timed);
        if let Some(wakers) = wakers {
            self.wake_all(wakers);
        }
    }

    /// Something came from outside: the driver carries out what follows.
    pub(crate) fn feed(&self, change: impl FnOnce(&mut M, Now)) {
        let _span = self.span.enter();
        self.change(change);
        self.driver.notify_one();
    }

    /// A user's call: the driver is woken where the machine says that this left something to do.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut M, Now) -> T) -> T {
        let _span = self.span_of_calls.enter();
        self.change(change)
    }

    /// The driver's own turn, told how many bytes its frames have released: only users are woken.
    pub(crate) fn turn<T>(&self, turn: impl FnOnce(&mut M, usize, Now) -> T) -> T {
        let _span = self.span.enter();
        let mut timed = self.lock();
        let Timed { machine, clock } = &mut *timed;
        let now = clock.now();
        let value = turn(machine, self.frames.take_released(), now);
        self.release(timed);
        value
    }

    fn change<T>(&self, change: impl FnOnce(&mut M, Now) -> T) -> T {
        let mut driver = NotifyOnDrop { driver: &self.driver, due: true };
        let mut timed = self.lock();
        let Timed { machine, clock } = &mut *timed;
        // The clock is read under the lock, so that a machine never sees the time go back.
        let value = change(machine, clock.now());
        let stir = machine.take_stir();
        self.release(timed);
        driver.due = stir;
        value
    }

    /// Waits until `ready` has a value; it is asked again each time that something came about.
    ///
    /// Cancel-safe: nothing is awaited between the value and the return.
    pub(crate) async fn wait<T>(&self, mut ready: impl FnMut(&mut M, Now) -> Option<T>) -> Result<T, Ended> {
        let mut notified = std::pin::pin!(self.data.notified());
        loop {
            // Enabled before the look: what comes about in between is not missed.
            notified.as_mut().enable();
            let ended = self.is_ended();
            if let Some(value) = self.with(&mut ready) {
                return Ok(value);
            }
            if ended {
                return Err(Ended);
            }
            notified.as_mut().await;
            notified.set(self.data.notified());
        }
    }
}

/// Wakes the driver behind a change where that is due, as it is behind one that a panic cut short: then the driver ends.
struct NotifyOnDrop<'a> {
    driver: &'a Notify,
    due: bool,
}

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        if self.due {
            self.driver.notify_one();
        }
    }
}
