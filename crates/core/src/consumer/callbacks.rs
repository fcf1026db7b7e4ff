//! The calls of the user's rebalance listener: which are due, one at a time, and whether the last one has returned.
//!
//! A reader takes a callback when its user is in a call ([`Callbacks::take`]) and says when the listener has returned
//! ([`Callbacks::returned`]). Until then the member does not join, a revocation is not finished, and no new partition
//! is read. Heartbeats go on.
//!
//! However rebalances, closes and unsubscriptions meet, the listener hears of a partition in pairs: for each time
//! that it is told that the partition is assigned, it is told once that it is revoked or lost. There is one
//! exception: a partition that is lost while `on_revoked` still runs for it is told as lost, too, as a commit of
//! that call may have come too late.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    ids::TopicPartition,
    planted::{Planted, Plot},
    reader::Fence,
};

/// A call of the user's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// These partitions are new. The listener may move their positions before the first record is read.
    Assigned(Vec<TopicPartition>),
    /// These partitions are to be given up. The listener may still commit their offsets.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone. Nothing of them can be committed any more.
    Lost(Vec<TopicPartition>),
}

impl Callback {
    fn revokes(&self, at: &TopicPartition) -> bool {
        matches!(self, Self::Revoked(gone) if gone.contains(at))
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    /// Whether there is a listener.
    listening: bool,
    due: VecDeque<Callback>,
    /// The partitions that were told as assigned, or are about to be, and not as revoked or lost since.
    owed: BTreeSet<TopicPartition>,
    /// The callback that the listener has not returned from.
    out: Option<Callback>,
    /// There are callbacks that waiting users have not been woken for.
    fresh: bool,
    pub(super) plot: Plot,
}

impl Callbacks {
    pub(crate) fn new(listening: bool) -> Self {
        Self { listening, ..Self::default() }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Whether the listener has been told everything, and has answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.is_none() && self.due.is_empty()
    }

    /// Queues a callback, where there is a listener. The fence makes readers look, so that one of them takes it.
    pub(crate) fn tell(&mut self, callback: Callback, fence: &Fence) {
        if self.listening && self.push(callback) {
            fence.raise();
            self.fresh = true;
        }
    }

    /// Whether any were queued since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// The callback that the listener is to be told now.
    pub(crate) fn take(&mut self) -> Option<Callback> {
        if self.out.is_some() {
            return None;
        }
        self.out = self.due.pop_front();
        self.out.clone()
    }

    /// The listener has returned.
    pub(crate) fn returned(&mut self) {
        self.out = None;
    }

    /// Queues a callback. Returns `false` where it leaves the listener nothing to be told.
    fn push(&mut self, mut callback: Callback) -> bool {
        let is_lost = matches!(callback, Callback::Lost(_));
        match &mut callback {
            Callback::Assigned(new) => self.owed.extend(new.iter().cloned()),
            Callback::Revoked(gone) | Callback::Lost(gone)
                if !gone.is_empty() && !self.plot.has(Planted::ListenerIsToldTwice) =>
            {
                let late =
                    |at: &TopicPartition| is_lost && self.out.as_ref().is_some_and(|out| out.revokes(at));
                gone.retain(|at| self.owed.remove(at) || late(at));
                if gone.is_empty() {
                    return false;
                }
            }
            // An eager member tells that it gives partitions up even where it has none.
            Callback::Revoked(_) | Callback::Lost(_) => {}
        }
        self.due.push_back(callback);
        true
    }

    /// Nothing is taken over any more: partitions that are yet to be told as assigned are not told of at all.
    pub(crate) fn take_back_assigned(&mut self) {
        if self.plot.has(Planted::AssignedIsNotTakenBack) {
            return;
        }
        let mut untold = BTreeSet::new();
        for callback in std::mem::take(&mut self.due) {
            let told = |gone: Vec<TopicPartition>, untold: &mut BTreeSet<_>| {
                gone.into_iter().filter(|at| !untold.remove(at)).collect::<Vec<_>>()
            };
            let callback = match callback {
                Callback::Assigned(new) => {
                    untold.extend(new);
                    continue;
                }
                Callback::Revoked(gone) => Callback::Revoked(told(gone, &mut untold)),
                Callback::Lost(gone) => Callback::Lost(told(gone, &mut untold)),
            };
            let (Callback::Assigned(parts) | Callback::Revoked(parts) | Callback::Lost(parts)) = &callback;
            if !parts.is_empty() {
                self.due.push_back(callback);
            }
        }
        self.owed.retain(|at| !untold.contains(at));
    }

    /// There is no listener any more.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}
