//! The leader epochs of what a member was handed: a commit tells that of the record before it.

use std::collections::BTreeMap;

use ottla_core::TopicPartition;

use crate::handed::Handed;

/// Of each partition, since its position was last moved, the epoch of each record by its offset.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs(BTreeMap<TopicPartition, Since>);

#[derive(Debug, Default)]
struct Since {
    serial: u64,
    epochs: BTreeMap<i64, Option<i32>>,
}

impl LeaderEpochs {
    /// `serial` tells whether the position was moved since the record before.
    pub(crate) fn handed(&mut self, record: &Handed, serial: u64) {
        if !self.0.contains_key(&record.at) {
            self.0.insert(record.at.clone(), Since::default());
        }
        let Some(since) = self.0.get_mut(&record.at) else { return };
        if since.serial != serial {
            *since = Since { serial, epochs: BTreeMap::new() };
        }
        since.epochs.insert(record.offset, record.leader_epoch());
    }

    /// What a commit of this offset has to tell, where the record before it was handed out.
    pub(crate) fn before(&self, at: &TopicPartition, offset: i64, serial: u64) -> Option<i32> {
        let since = self.0.get(at).filter(|since| since.serial == serial)?;
        *since.epochs.get(&(offset - 1))?
    }
}
