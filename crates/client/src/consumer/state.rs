//! What the consumer's handle and its driver share: the core's machine, and the slots in which a reader leaves its
//! position without asking for the lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use ottla_core::{
    ConnId, Consumer as Core, Disconnected, LaneEpoch, Machine, Outbound, PartIdx, Reply, Slice,
};
use ottla_protocol::Now;

use crate::net::frame_pool::Frame;

#[derive(Debug)]
pub(crate) struct State {
    pub(super) core: Core<Arc<Frame>>,
    slots: Vec<Slot>,
    /// The core's fence, where a reader can see it without the lock.
    fence: Arc<AtomicU64>,
    /// A `Closer` wants the reader to end.
    pub(super) stopping: bool,
}

#[derive(Debug)]
struct Slot {
    part: PartIdx,
    epoch: LaneEpoch,
    position: Arc<AtomicI64>,
}

impl State {
    pub(super) fn new(core: Core<Arc<Frame>>) -> Self {
        Self { core, slots: Vec::new(), fence: Arc::default(), stopping: false }
    }

    pub(super) fn fence(&self) -> &Arc<AtomicU64> {
        &self.fence
    }

    /// Ends what readers wait for.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.core.stop();
    }

    /// A slot for a slice that a reader has taken.
    pub(super) fn open_slot(&mut self, slice: &Slice<Arc<Frame>>) -> Arc<AtomicI64> {
        // A reader that has dropped its cursor has no use for the slot either.
        self.slots.retain(|slot| Arc::strong_count(&slot.position) > 1);
        let position = Arc::new(AtomicI64::new(slice.start));
        self.slots.push(Slot { part: slice.part, epoch: slice.epoch, position: position.clone() });
        position
    }

    /// Tells the core how far readers have come since: it may be about to commit, or to take the user for gone.
    fn read_slots(&mut self, now: Now) {
        for slot in &self.slots {
            let position = slot.position.load(Ordering::Acquire);
            self.core.reader_at(slot.part, slot.epoch, position, now);
        }
    }
}

impl Machine for State {
    type Frame = Arc<Frame>;

    fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.core.handle_connected(conn, now);
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) {
        self.core.handle_disconnected(conn, why, now);
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<Arc<Frame>>, now: Now) {
        self.core.handle_reply(conn, reply, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.core.handle_timeout(now);
    }

    fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.read_slots(now);
        self.core.poll_send(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    fn handle_released(&mut self, bytes: usize) {
        self.core.handle_released(bytes);
    }

    fn take_wake(&mut self) -> bool {
        self.fence.store(self.core.fence(), Ordering::Release);
        self.core.take_wake()
    }

    fn take_stir(&mut self) -> bool {
        self.core.take_stir()
    }

    fn is_closed(&self) -> bool {
        self.core.is_closed()
    }
}
