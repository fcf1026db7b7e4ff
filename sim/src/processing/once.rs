//! What seeds have beside the others whose processors commit in transactions.

use std::time::Duration;

use ottla_core::producer::{ProducerConfig, TransactionConfig};

use crate::dice::secs;

pub(super) const OUTPUT: &str = "made";
pub(super) const LETTERS: &str = "work-dlt";

/// What such seeds have beside the others.
#[derive(Debug)]
pub(super) struct Once {
    pub(super) producer: ProducerConfig,
    pub(super) timeout: Duration,
    /// How many partitions the outputs have.
    pub(super) outputs: u32,
    /// Whether brokers have no `transaction.version` 2.
    pub(super) explicit: bool,
}

impl Once {
    /// Of who has this transactional id.
    pub(super) fn producer(&self, id: usize) -> ProducerConfig {
        let id = format!("processor{id}");
        ProducerConfig {
            max_block: secs(600),
            transactions: Some(TransactionConfig { id, timeout: self.timeout }),
            ..self.producer.clone()
        }
    }
}
