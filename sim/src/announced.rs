//! What a member's listener was told, and has returned from.

use std::collections::BTreeSet;

use ottla_core::{Callback, TopicPartition};

use crate::{
    holdings::Holdings,
    stage::{Stage, Who},
};

/// The invariant of listeners.
const TOLD_IN_PAIRS: &str = "a listener hears of a partition once as assigned and once as gone";

#[derive(Debug, Default)]
pub(super) struct Announced {
    /// What is new, and the listener has not returned.
    unannounced: BTreeSet<TopicPartition>,
    /// What the listener was told to be given up, and is not yet.
    parted: BTreeSet<TopicPartition>,
    /// What the listener was told to be assigned, and not to be revoked or lost.
    announced: BTreeSet<TopicPartition>,
    /// What the listener is told to be revoked, and has not returned.
    parting: BTreeSet<TopicPartition>,
    /// What was lost while the listener was told that it is revoked: that is told on top.
    late: BTreeSet<TopicPartition>,
}

impl Announced {
    /// These come. `listens`: there is a listener to be told.
    pub(super) fn comes(&mut self, partitions: &[TopicPartition], listens: bool) {
        // Told of as lost, and back before anything else was.
        self.parted.retain(|at| !partitions.contains(at));
        if listens {
            self.unannounced.extend(partitions.iter().cloned());
        }
    }

    pub(super) fn forget_others_than(&mut self, owned: &Holdings) {
        self.unannounced.retain(|at| owned.contains(at));
        self.parted.retain(|at| owned.contains(at));
    }

    /// Whether it is new, and the listener has not returned.
    pub(super) fn is_new(&self, at: &TopicPartition) -> bool {
        self.unannounced.contains(at)
    }

    /// Whether the listener was told that it is being given up.
    pub(super) fn is_going(&self, at: &TopicPartition) -> bool {
        self.parted.contains(at)
    }

    /// The listener is called: each partition is told to be gone once for each time that it was told to be assigned.
    /// `ends`: its user has closed it, or has unsubscribed.
    pub(super) fn is_called(&mut self, who: Who, callback: &Callback, ends: bool, stage: &mut Stage) {
        if ends && matches!(callback, Callback::Assigned(_)) {
            stage.violate("nothing is told as assigned once a close or an unsubscription has begun", || {
                format!("{who}: {callback:?}")
            });
        }
        let (Callback::Assigned(all) | Callback::Revoked(all) | Callback::Lost(all)) = callback;
        for at in all {
            let in_turn = match callback {
                Callback::Assigned(_) => self.announced.insert(at.clone()),
                Callback::Revoked(_) => {
                    self.parting.insert(at.clone());
                    self.announced.remove(at)
                }
                Callback::Lost(_) => self.announced.remove(at) || self.late.remove(at),
            };
            if !in_turn {
                stage
                    .violate(TOLD_IN_PAIRS, || format!("{who} is called out of turn for {at}: {callback:?}"));
            }
        }
    }

    /// It returns.
    pub(super) fn returns(&mut self, callback: &Callback) {
        match callback {
            Callback::Assigned(partitions) => self.unannounced.retain(|at| !partitions.contains(at)),
            Callback::Revoked(partitions) => {
                self.parting.clear();
                self.parted.extend(partitions.iter().cloned());
            }
            Callback::Lost(_) => {}
        }
    }

    /// These are lost.
    pub(super) fn loses(&mut self, partitions: &[TopicPartition]) {
        self.late.extend(partitions.iter().filter(|at| self.parting.contains(at)).cloned());
    }

    /// These are given up. Returns whether the listener has been told of all before.
    pub(super) fn gives_up(&mut self, partitions: &[TopicPartition]) -> bool {
        let told = partitions.iter().all(|at| self.parted.contains(at));
        self.parted.retain(|at| !partitions.contains(at));
        told
    }

    /// It is closed: the listener has been told what became of everything.
    pub(super) fn ends(&self, who: Who, stage: &mut Stage) {
        if let Some(at) = self.announced.first() {
            stage.violate(TOLD_IN_PAIRS, || format!("{who} is closed, and was not told what became of {at}"));
        }
    }
}
