//! A state as the entries that make it.

use std::io;

use ottla_protocol::records::BatchHeader;

use super::{Entry, Journal};
use crate::Cluster;

/// How many bytes a journal may have beside twice what is in the logs.
const SPARE: u64 = 1024 * 1024;

impl Cluster {
    /// Rewrites a journal of which more than half is of no use any more. Where that fails it stays as it is.
    pub(super) fn tidy(&self, journal: &mut Journal) {
        let partitions = self.topics.iter().flat_map(|(_, topic)| &topic.partitions);
        let logs: u64 =
            partitions.map(|it| it.log.bytes_between(it.log.start_offset(), it.log.end_offset())).sum();
        let before = journal.size();
        if before <= 2 * logs + SPARE {
            return;
        }
        match journal.rewrite(|write| self.snapshot(write)) {
            Ok(()) => tracing::info!(before, after = journal.size(), "the journal is rewritten"),
            Err(error) => tracing::warn!(%error, "the journal cannot be rewritten, and goes on as it is"),
        }
    }

    fn snapshot(&self, write: &mut dyn FnMut(&Entry) -> io::Result<()>) -> io::Result<()> {
        write(&Entry::Opened { cluster_id: self.id.clone(), times: self.times_opened })?;
        write(&Entry::ProducerIds { next: self.transactions.producer_ids })?;
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort_by_key(|(_, topic)| topic.shift);
        for (name, topic) in topics {
            write(&Entry::TopicCreated {
                name: name.to_owned(),
                id: topic.id,
                log_append_time: topic.log_append_time,
                replication_factor: i32::try_from(topic.replication_factor).unwrap_or(i32::MAX),
                shift: topic.shift as i64,
                replicas: topic.partitions.iter().map(|partition| partition.replicas.clone()).collect(),
            })?;
            for (partition, it) in (0..).zip(&topic.partitions) {
                let topic = topic.id;
                let first = it.log.batches().next().and_then(|batch| BatchHeader::decode(batch).ok());
                write(&Entry::Partition {
                    topic,
                    partition,
                    leader: it.leader,
                    leader_epoch: it.leader_epoch,
                    leader_epochs: it.leader_epochs.clone(),
                    producers: it.producers.clone(),
                    isolation: it.isolation.clone(),
                    first_offset: first.map_or(it.log.end_offset(), |first| first.base_offset),
                })?;
                for batch in it.log.batches() {
                    write(&Entry::Copied { topic, partition, bytes: batch.to_vec() })?;
                }
                write(&Entry::LogStart { topic, partition, offset: it.log.start_offset() })?;
            }
        }
        let producer_ids = self.transactions.producer_ids;
        for (id, transaction) in self.transactions.iter() {
            let transaction = transaction.clone();
            write(&Entry::Transaction { id: id.to_owned(), transaction, producer_ids })?;
        }
        for (id, group) in self.groups.iter() {
            for (producer_id, at, committed) in group.commits() {
                write(&Entry::Offset {
                    group: id.to_owned(),
                    at: at.clone(),
                    producer_id: producer_id.unwrap_or(-1),
                    committed: committed.clone(),
                })?;
            }
        }
        Ok(())
    }
}
