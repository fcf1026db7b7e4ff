//! How many bytes of record batches a consumer fetches and holds, against what it hands out.

use crate::stage::{Stage, Who};

#[derive(Debug)]
pub(super) struct Volume {
    who: Who,
    /// How many bytes of records it may hold.
    most_held: usize,
    /// Bytes of record batches that were fetched, and of those that were handed out.
    received: usize,
    handed: usize,
    /// How often something may have been fetched in vain.
    detours: usize,
}

impl Volume {
    pub(super) fn new(who: Who, most_held: usize) -> Self {
        Self { who, most_held, received: 0, handed: 0, detours: 2 }
    }

    /// Something may have been fetched in vain.
    pub(super) fn detour(&mut self) {
        self.detours += 1;
    }

    pub(super) fn hands_out(&mut self, size: usize) {
        self.handed += size;
    }

    pub(super) fn receives(&mut self, size: usize, stage: &mut Stage) {
        self.received += size;
        let most = self.handed * 2 + self.detours * self.most_held;
        if self.received > most {
            let Self { who, received, handed, .. } = *self;
            stage.violate("little is fetched in vain", || {
                format!(
                    "{who} fetched {received} bytes of records and handed out {handed}; {most} were expected"
                )
            });
        }
    }

    pub(super) fn holds(&self, held: usize, stage: &mut Stage) {
        let Self { who, most_held: most, .. } = *self;
        if held > most {
            stage.violate("no more is held than the budget and a batch", || {
                format!("{who} holds {held} bytes of records; {most} is the most")
            });
        }
    }
}
