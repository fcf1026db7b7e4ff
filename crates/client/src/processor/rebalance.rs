//! What happens to records in hand when partitions come and go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ottla_core::{Callback, CommittedOffset, TopicPartition, log};
use ottla_protocol::ErrorCode;

use super::{GRACE, ProcessorEvent, engine::Engine, pump::CLOSE};
use crate::consumer::{Committed, Listener, Rebalance, RebalanceListener};

/// Tells the machine, and whoever the program named as its own listener.
pub(super) struct Rebalancing {
    pub(super) engine: Arc<Engine>,
    pub(super) drain: Duration,
    pub(super) theirs: Option<Listener>,
}

impl RebalanceListener for Rebalancing {
    async fn on_assigned(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        // Theirs comes first: it may move positions.
        self.tell(rebalance, Callback::Assigned(partitions.to_vec())).await;
        if partitions.is_empty() {
            return;
        }
        let committed = self.committed(rebalance, partitions).await;
        for at in partitions {
            self.engine.assigned(at, committed.get(at).and_then(Option::as_ref));
            // It may have been paused when it was here before.
            rebalance.resume(at);
        }
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        self.engine.watchers.tell(|| ProcessorEvent::Rebalancing(partitions.to_vec()));
        self.engine.drained(partitions, self.drain, GRACE).await;
        match self.engine.is_transactional() {
            true => self.commit_in_transaction(rebalance, partitions).await,
            false => self.commit(rebalance, partitions).await,
        }
        self.tell(rebalance, Callback::Revoked(partitions.to_vec())).await;
    }

    async fn on_lost(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        self.engine.lost(partitions);
        self.tell(rebalance, Callback::Lost(partitions.to_vec())).await;
    }
}

fn saves(commit: &Committed) -> bool {
    commit.values().any(|commit| !commit.metadata.is_empty())
}

impl Rebalancing {
    /// What is committed of these partitions, as far as that is to be known.
    async fn committed(
        &self,
        rebalance: &Rebalance,
        partitions: &[TopicPartition],
    ) -> BTreeMap<TopicPartition, Option<CommittedOffset>> {
        loop {
            let error = match rebalance.committed(partitions).await {
                Ok(committed) => return committed,
                Err(error) => error,
            };
            tracing::warn!(target: log::PROCESSING, %error, "what was done is not known");
            // What is done beyond an offset would be done again. Where its outputs are committed already, they would be there twice: a
            // transaction that a process has left open may keep offsets from being told for longer than a call waits.
            if !self.engine.is_transactional() || !error.is_retriable() {
                return BTreeMap::new();
            }
        }
    }

    /// Gives these partitions up, and commits what is done of them.
    async fn commit(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        let mut done = self.engine.release(partitions);
        // Twice at the most: the broker may take no text that long beside offsets.
        while !done.is_empty() {
            match rebalance.commit_offsets(done.clone()).await {
                Err(error) if error.code() == Some(ErrorCode::OffsetMetadataTooLarge) && saves(&done) => {
                    done.values_mut().for_each(|commit| commit.metadata.clear());
                }
                Ok(committed) => {
                    self.engine.watchers.tell(|| super::events::committed(&committed));
                    break;
                }
                // The consumer has logged it. What was done since the last commit is done again.
                Err(_) => break,
            }
        }
    }

    /// The same, with what was written for it.
    async fn commit_in_transaction(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        // Asked before they are given up: in a later generation others may have had them.
        let member = rebalance.member_for(partitions);
        if let Some(ended) = self.engine.give_up(partitions, member)
            && tokio::time::timeout(CLOSE, ended).await.is_err()
        {
            // The group refuses it once others have the partitions, or they wait for its end.
            tracing::warn!(target: log::PROCESSING, "transaction goes on");
        }
    }

    async fn tell(&self, rebalance: &Rebalance, callback: Callback) {
        if let Some(theirs) = &self.theirs {
            theirs.tell(rebalance.clone(), callback).await;
        }
    }
}
