//! Handlers that run. Each is a process group of its own, so that all that it has started ends with it, and Ctrl-C on a
//! terminal reaches none of them.

use std::{
    collections::BTreeMap,
    io,
    process::ExitStatus,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    sync::Notify,
    time::timeout,
};

/// How long a handler has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// All that run, by their process ids, each with the place of its record.
#[derive(Debug, Clone, Default)]
pub(super) struct Children(Arc<Running>);

#[derive(Debug, Default)]
struct Running {
    places: Mutex<BTreeMap<u32, String>>,
    /// One has ended.
    ended: Notify,
    /// All stops.
    is_stopping: AtomicBool,
    /// The places of records that were left since.
    left: Mutex<Vec<String>>,
}

/// One that runs. Dropped before its end, it is ended: by SIGTERM at once, and by SIGKILL after [`GRACE`].
#[derive(Debug)]
pub(super) struct Handling {
    id: u32,
    /// `None` once it is left to a task of its own.
    child: Option<Child>,
    running: Arc<Running>,
}

/// A record that is with its handler. Dropped before that is told to have ended, and while all stops, it is left.
#[derive(Debug)]
pub(super) struct InHand {
    place: String,
    running: Arc<Running>,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

impl Children {
    /// Starts one for the record at `place`.
    pub(super) fn start(&self, command: &mut Command, place: String) -> io::Result<Handling> {
        #[cfg(unix)]
        command.process_group(0);
        let child = command.kill_on_drop(true).spawn()?;
        let id = child.id().unwrap_or_default();
        self.0.places().insert(id, place);
        Ok(Handling { id, child: Some(child), running: self.0.clone() })
    }

    /// The places of records that are with handlers.
    pub(super) fn places(&self) -> Vec<String> {
        self.0.places().values().cloned().collect()
    }

    /// The record at `place` is with its handler.
    pub(super) fn in_hand(&self, place: String) -> InHand {
        InHand { place, running: self.0.clone(), has_ended: false }
    }

    /// From here on what does not end is left.
    pub(super) fn stopping(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
    }

    /// The places of records that were left.
    pub(super) fn left(&self) -> Vec<String> {
        let mut left = std::mem::take(&mut *self.0.left.lock().unwrap_or_else(PoisonError::into_inner));
        left.sort_unstable();
        left
    }

    /// Kills all of them at once.
    pub(super) fn kill(&self) {
        self.0.places().keys().for_each(|id| send(*id, Signal::Kill));
    }

    /// Waits until all have ended. Those that nobody waits for any more have a task each, which ends them.
    pub(super) async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.places().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Running {
    fn places(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: u32) {
        self.places().remove(&id);
        self.ended.notify_waiters();
    }
}

impl InHand {
    /// Whatever comes of the record, its handler has said so.
    pub(super) fn ended(mut self) {
        self.has_ended = true;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.has_ended && self.running.is_stopping.load(Ordering::Acquire) {
            let place = std::mem::take(&mut self.place);
            self.running.left.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
    }
}

impl Handling {
    /// Its three streams, once.
    pub(super) fn streams(
        &mut self,
    ) -> Option<(tokio::process::ChildStdin, tokio::process::ChildStdout, tokio::process::ChildStderr)> {
        let child = self.child.as_mut()?;
        Some((child.stdin.take()?, child.stdout.take()?, child.stderr.take()?))
    }

    /// Waits until it has ended. What it has started may run on.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => Err(io::Error::other("nobody waits for it any more")),
        }
    }

    /// Kills what is left of it.
    pub(super) fn kill(&self) {
        send(self.id, Signal::Kill);
    }

    /// Ends it with all that it has started.
    pub(super) async fn end(mut self) {
        if let Some(mut child) = self.child.take() {
            end(self.id, &mut child).await;
        }
        self.running.remove(self.id);
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let (id, running) = (self.id, self.running.clone());
        match (child.try_wait(), tokio::runtime::Handle::try_current()) {
            // Not known to have ended, and somebody can wait for it.
            (Ok(None) | Err(_), Ok(runtime)) => {
                // Before the task has its turn, too.
                send(id, Signal::Term);
                runtime.spawn(async move {
                    end(id, &mut child).await;
                    running.remove(id);
                });
            }
            _ => running.remove(id),
        }
    }
}

async fn end(id: u32, child: &mut Child) {
    send(id, Signal::Term);
    // That it cannot be waited for changes nothing: it is killed all the same.
    let _ = timeout(GRACE, child.wait()).await;
    // Of the whole group: it may have ended, and what it started not.
    send(id, Signal::Kill);
    let _ = child.wait().await;
}

/// To the process group of this id. Where nothing of it is left there is nobody to send to: an id is given anew only after many others.
#[cfg(unix)]
fn send(id: u32, signal: Signal) {
    use nix::{
        sys::signal::{Signal as Number, killpg},
        unistd::Pid,
    };
    let number = match signal {
        Signal::Term => Number::SIGTERM,
        Signal::Kill => Number::SIGKILL,
    };
    // Group 0 would be our own.
    if let Some(group) = i32::try_from(id).ok().filter(|group| *group > 0) {
        let _ = killpg(Pid::from_raw(group), number);
    }
}

/// Elsewhere `kill_on_drop` ends the process itself.
#[cfg(not(unix))]
fn send(_: u32, _: Signal) {}
