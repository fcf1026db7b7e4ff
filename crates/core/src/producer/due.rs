//! When a batch goes out: what is due, what waits for company, and when the driver has to look.

use ottla_protocol::Now;

use super::{Batch, Producer, idempotence::IdentityState};
use crate::ids::NodeId;

impl<F> Producer<F> {
    /// Whether a batch waits for no more records.
    pub(super) fn is_ready(&self, batch: &Batch, now: Now) -> bool {
        !batch.is_open() || self.is_due(batch, now)
    }

    /// Whether a batch is to go out although it is not full.
    fn is_due(&self, batch: &Batch, now: Now) -> bool {
        let hurry = self.starved || self.closing.is_some();
        let aged = batch.created + self.config.linger <= now.mono;
        hurry || aged || batch.id <= self.flush_upto
    }

    /// Whether a batch that waits for no more records waits for its leader.
    pub(super) fn is_waiting(&self, queue: usize, now: Now) -> bool {
        let first = self.queues.get(queue).and_then(|queue| queue.unsent().next());
        first.is_some_and(|batch| self.is_ready(batch, now))
    }

    /// Whether what could be sent to a leader had better wait for batches that fill meanwhile, and go with them: while it has a
    /// request to answer, and there is little, none of it in a hurry, as a request costs more than a batch. The answer brings the
    /// next turn, or the batch's linger is over.
    pub(super) fn holds(&self, leader: NodeId, queues: &[usize], now: Now) -> bool {
        if self.in_flight_to(leader) == 0 {
            return false;
        }
        let mut size = 0;
        for index in queues {
            let Some(queue) = self.queues.get(*index) else { continue };
            let mut waiting = queue.unsent();
            let Some(first) = waiting.next() else { continue };
            if first.is_open() && !self.is_due(first, now) {
                continue;
            }
            let another = waiting.next().is_some_and(|batch| !batch.is_open());
            if another || !self.has_company(*index) || first.attempts > 0 || self.is_due(first, now) {
                return false;
            }
            size += first.size();
        }
        size < self.enough()
    }

    /// Whether batches of other partitions may go with those of this queue.
    fn has_company(&self, queue: usize) -> bool {
        let topic = self.queues.get(queue).and_then(|queue| self.topics.get(queue.topic));
        topic.is_some_and(|topic| topic.led.len() > 1)
    }

    /// So many bytes are worth a request while another is on its way.
    const fn enough(&self) -> usize {
        self.config.max_request_size / 8
    }

    /// A batch is full. The driver has to look at it, unless it is held anyway until there is an answer to one before.
    pub(super) fn stir_for_full(&mut self, queue: usize, size: usize) {
        self.filled += size;
        let leader = self.queues.get(queue).filter(|queue| queue.waiting() < 2);
        let leader = leader.and_then(|queue| self.leader_of(queue));
        let holds = leader.is_some_and(|leader| self.in_flight_to(leader) > 0)
            && self.has_company(queue)
            && self.filled < self.enough();
        self.hub.stir |= !holds;
    }

    /// A batch was opened. The driver has to know when it is due, unless it looks before, and sees to an identity first. One that
    /// should have looked by now is not counted on: where a clock was set on, its timer is late by as much.
    pub(super) fn stir_for_open(&mut self, now: Now) {
        let due = now.mono + self.config.linger;
        let looks = self.looks_at.get().is_some_and(|at| (now.mono..=due).contains(&at));
        let ready = self.transactions.is_none()
            && matches!(self.identity, IdentityState::Absent | IdentityState::Known(_));
        if !(looks && ready) {
            self.hub.stir = true;
            self.looks_at.set(Some(due));
        }
    }
}
