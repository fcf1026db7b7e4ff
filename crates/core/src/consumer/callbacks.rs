//! What the user's rebalance listener is to be told, one thing at a time, and whether it has answered.
//!
//! The reader fetches a callback when the user is in a call ([`Consumer::take_callback`]) and says when the listener
//! has returned ([`Consumer::callback_done`]). Until then the group is not joined, a revocation not finished, and no
//! new partition read; heartbeats go on.
//!
//! However rebalances, closes and unsubscriptions meet, the listener hears of a partition in pairs: it is told once that
//! the partition is revoked or lost for each time that it was told that it is assigned. Only what is lost while `on_revoked`
//! still runs is told as lost on top: what that call did may not have been in time.

use std::collections::{BTreeSet, VecDeque};

use ottla_protocol::Now;

use super::Consumer;
use crate::{
    ids::{ReaderId, TopicPartition},
    planted::{Planted, Plot},
};

/// A call of the user's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// These are new. Positions may be moved before the first record is read.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up: what was done may still be committed.
    Revoked(Vec<TopicPartition>),
    /// These are gone: nothing of them can be committed.
    Lost(Vec<TopicPartition>),
}

impl Callback {
    fn revokes(&self, at: &TopicPartition) -> bool {
        matches!(self, Self::Revoked(gone) if gone.contains(at))
    }
}

#[derive(Debug, Default)]
pub(super) struct Callbacks {
    /// Whether anybody answers.
    listening: bool,
    due: VecDeque<Callback>,
    /// What was told as assigned, or is about to be, and not as revoked or lost.
    owed: BTreeSet<TopicPartition>,
    /// The one that is with the listener.
    out: Option<Callback>,
    pub(super) plot: Plot,
}

impl Callbacks {
    pub(super) fn new(listening: bool) -> Self {
        Self { listening, ..Self::default() }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Whether the listener has been told everything, and has answered.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_none() && self.due.is_empty()
    }

    /// Whether there is anything to be told.
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
            // An eager member tells that it gives up even nothing.
            Callback::Revoked(_) | Callback::Lost(_) => {}
        }
        self.due.push_back(callback);
        true
    }

    /// Nothing is taken over any more: what would be told as assigned is not told at all.
    pub(super) fn take_back_assigned(&mut self) {
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

    /// Nobody answers any more.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

impl<F: Clone> Consumer<F> {
    /// Something for the listener: the reader is to look up.
    pub(super) fn tell(&mut self, callback: Callback) {
        let group = self.group.as_mut().filter(|group| group.callbacks.listening);
        if group.is_some_and(|group| group.callbacks.push(callback)) {
            self.lanes.fence().raise();
            self.wake = true;
        }
    }

    /// What the listener is to be told now.
    pub fn take_callback(&mut self) -> Option<Callback> {
        let callbacks = &mut self.group.as_mut()?.callbacks;
        if callbacks.out.is_none() {
            callbacks.out = callbacks.due.pop_front();
            return callbacks.out.clone();
        }
        None
    }

    /// The listener has returned, in a call of this reader's.
    pub fn callback_done(&mut self, reader: ReaderId, now: Now) {
        if let Some(group) = &mut self.group {
            group.callbacks.out = None;
        }
        self.readers.touch(reader, now);
        self.changed();
    }
}
