//! What is counted beside the machine.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use ottla_core::{
    ConsumerStats, Stall,
    processing::{Ended, Notice},
    stall_of_handlers,
};
use ottla_protocol::Now;

use super::{
    super::monitor::{HandlerStats, ProcessorStats},
    Engine, Inner,
};

/// Where records went that are not handled where they are.
#[derive(Debug, Default)]
pub(in crate::processor) struct Elsewhere {
    pub(in crate::processor) to_retry_topics: AtomicU64,
    pub(in crate::processor) dead_letters: AtomicU64,
    pub(in crate::processor) followed: AtomicU64,
    pub(in crate::processor) too_old: AtomicU64,
}

/// How handlers ended, and how long they took: where somebody looks.
#[derive(Debug, Default)]
pub(super) struct Handled {
    stats: HandlerStats,
    /// When the job in each seat began.
    begun: Vec<Option<Instant>>,
}

impl Handled {
    /// The worker in this seat has a job now, or none.
    pub(super) fn begins(&mut self, seat: usize, has_job: bool, now: Now) {
        if self.begun.len() <= seat {
            self.begun.resize(seat + 1, None);
        }
        if let Some(begun) = self.begun.get_mut(seat) {
            *begun = has_job.then_some(now.mono);
        }
    }

    /// What it had has ended.
    pub(super) fn ends<E>(&mut self, seat: usize, ended: &Ended<E>, now: Now) {
        let Some(begun) = self.begun.get_mut(seat).and_then(Option::take) else { return };
        let took = now.mono.saturating_duration_since(begun);
        let stats = &mut self.stats;
        let count = match ended {
            Ended::Done => &mut stats.done,
            Ended::Failed(..) => &mut stats.failed,
            Ended::Deferred(_) => &mut stats.deferred,
            Ended::Cancelled => &mut stats.cancelled,
        };
        *count += 1;
        stats.time += took;
        stats.longest = stats.longest.max(took);
    }
}

impl Engine {
    /// One more of these.
    pub(in crate::processor) fn count(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// What was done since it began.
    pub(in crate::processor) fn stats(&self, consumer: ConsumerStats) -> ProcessorStats {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let handled = inner.handled.as_ref().map(|handled| handled.stats).unwrap_or_default();
        let counts = inner.machine.counts();
        ProcessorStats {
            consumer,
            handlers: HandlerStats { running: inner.machine.running() as u64, ..handled },
            in_hand: inner.machine.in_hand() as u64,
            retries: counts.retried,
            hopeless: counts.hopeless,
            to_retry_topics: get(&self.elsewhere.to_retry_topics),
            dead_letters: get(&self.elsewhere.dead_letters),
            followed: get(&self.elsewhere.followed),
            too_old: get(&self.elsewhere.too_old),
        }
    }

    /// The handlers of which none has ended for a while, if that is so.
    pub(in crate::processor) fn stall(&self) -> Option<Stall> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { machine, clock, .. } = &mut *inner;
        match machine.stall(clock.now())? {
            Notice::Stalled { at, offset, attempts, after, in_hand } => {
                Some(stall_of_handlers(at, offset, attempts, in_hand, after))
            }
            _ => None,
        }
    }
}
