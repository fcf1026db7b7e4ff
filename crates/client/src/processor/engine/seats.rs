//! Where workers sit: what each runs, how it is told to end that, and which of them are worth waking.

use std::sync::{Arc, Mutex, PoisonError};

use ottla_core::processing::{CancelReason, JobId};
use tokio::sync::Notify;

/// The places of all workers.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Seat>,
    /// How many threads run tasks.
    threads: usize,
    /// How many workers have a thread to themselves.
    busy: usize,
    /// Whether a worker was woken and has not looked for a job yet.
    is_waking: bool,
}

#[derive(Debug, Default)]
struct Seat {
    job: Option<JobId>,
    /// Whether its worker has taken the job, and has not come to where it waits for the handler.
    is_busy: bool,
    cancel: Arc<Cancel>,
}

impl Seats {
    pub(super) fn new(threads: usize) -> Self {
        Self { seats: Vec::new(), threads, busy: 0, is_waking: false }
    }

    /// One more: its number, and how its worker is told.
    pub(super) fn add(&mut self) -> (usize, Arc<Cancel>) {
        let seat = Seat::default();
        let cancel = seat.cancel.clone();
        self.seats.push(seat);
        (self.seats.len() - 1, cancel)
    }

    /// The worker has this job now, or none. What it had has ended.
    pub(super) fn takes(&mut self, number: usize, job: Option<JobId>) {
        self.waits(number);
        let Some(seat) = self.seats.get_mut(number) else { return };
        seat.job = job;
        seat.is_busy = job.is_some();
        self.busy += usize::from(seat.is_busy);
    }

    /// The worker waits for its handler: its thread is free for another.
    pub(super) fn waits(&mut self, number: usize) {
        let was_busy = self.seats.get_mut(number).is_some_and(|seat| std::mem::take(&mut seat.is_busy));
        self.busy -= usize::from(was_busy);
    }

    /// A worker looks for a job, woken or not.
    pub(super) fn looks(&mut self, is_woken: bool) {
        self.is_waking &= !is_woken;
    }

    /// Where there is a job: whether a worker is to be woken for it. One that finds no thread would only take turns with those that have
    /// one, who look for the next job themselves; and one at a time is enough, as it wakes the next.
    pub(super) fn wakes_one(&mut self) -> bool {
        let wakes = !self.is_waking && self.busy < self.threads;
        self.is_waking |= wakes;
        wakes
    }

    /// Whoever runs this job is to end it.
    pub(super) fn tell(&self, job: JobId, reason: CancelReason) {
        if let Some(seat) = self.seats.iter().find(|seat| seat.job == Some(job)) {
            seat.cancel.tell(job, reason);
        }
    }
}

/// What a worker is told while a handler runs.
#[derive(Debug, Default)]
pub(in crate::processor) struct Cancel {
    told: Mutex<Option<(JobId, CancelReason)>>,
    notify: Notify,
}

impl Cancel {
    fn tell(&self, job: JobId, reason: CancelReason) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((job, reason));
        self.notify.notify_one();
    }

    /// Returns when this job is to end. What was told of one before it counts for nothing.
    pub(in crate::processor) async fn cancelled(&self, job: JobId) -> CancelReason {
        loop {
            self.notify.notified().await;
            let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, reason)) = told.filter(|(told, _)| *told == job) {
                return reason;
            }
        }
    }
}
