//! What the user's rebalance listener is to be told, one thing at a time, and whether it has answered.
//!
//! The reader fetches a callback when the user is in a call ([`Consumer::take_callback`]) and says when the listener
//! has returned ([`Consumer::callback_done`]). Until then the group is not joined, a revocation not finished, and no
//! new partition read; heartbeats go on.

use std::collections::VecDeque;

use ottla_protocol::Now;

use super::Consumer;
use crate::ids::TopicPartition;

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

#[derive(Debug, Default)]
pub(super) struct Callbacks {
    /// Whether anybody answers.
    listening: bool,
    due: VecDeque<Callback>,
    /// One is with the listener.
    out: bool,
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
        !self.out && self.due.is_empty()
    }

    /// Nobody answers any more.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

impl<F: Clone> Consumer<F> {
    /// Something for the listener: the reader is to look up.
    pub(super) fn tell(&mut self, callback: Callback) {
        if let Some(group) = self.group.as_mut().filter(|group| group.callbacks.listening) {
            group.callbacks.due.push_back(callback);
            self.lanes.raise_fence();
            self.wake = true;
        }
    }

    /// What the listener is to be told now.
    pub fn take_callback(&mut self) -> Option<Callback> {
        let callbacks = &mut self.group.as_mut()?.callbacks;
        if callbacks.out {
            return None;
        }
        let callback = callbacks.due.pop_front()?;
        callbacks.out = true;
        Some(callback)
    }

    /// The listener has returned.
    pub fn callback_done(&mut self, now: Now) {
        if let Some(group) = &mut self.group {
            group.callbacks.out = false;
        }
        self.reader.touch(now);
        self.changed();
    }
}
