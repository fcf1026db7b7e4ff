//! What stands in the way of records.

use ottla_protocol::Now;

use super::Producer;
use crate::{cause::Cause, connections::Kind};

impl<F> Producer<F> {
    /// The obstacles in the way of records that wait to be acknowledged, or to be taken. Empty where there are none.
    pub fn obstacles(&self, now: Now) -> Vec<Cause> {
        let mut obstacles: Vec<Cause> = Vec::new();
        let queued = self.active.iter().filter_map(|queue| self.obstacle(*queue, now));
        for cause in
            queued.chain(self.transaction_obstacle(now)).chain(Cause::of_metadata(&self.hub.metadata))
        {
            if !obstacles.contains(&cause) {
                obstacles.push(cause);
            }
        }
        obstacles
    }

    /// Why the first batch of a queue is not acknowledged.
    pub(super) fn obstacle(&self, queue: usize, now: Now) -> Option<Cause> {
        let at = self.name_of(queue)?;
        let queue = self.queues.get(queue)?;
        if let Some(cause) = queue.batches.front().and_then(|batch| batch.cause.clone()) {
            return Some(cause);
        }
        match self.leader_of(queue) {
            Some(leader) => {
                Cause::of_link(leader, Kind::Produce, &self.hub.metadata, &self.hub.connections, now.mono)
                    .or_else(|| Cause::of_metadata(&self.hub.metadata))
            }
            None => Some(Cause::NoLeader(at)),
        }
    }
}
