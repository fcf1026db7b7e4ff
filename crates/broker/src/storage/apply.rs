//! What an entry does to the state: when it is kept, and again when it is read.

use ottla_protocol::{TopicId, records::ControlType};

use super::{Entry, Unkept};
use crate::{
    Cluster,
    log::{Log, whole},
    partition::Partition,
    topics::Topic,
    transactions::{OFFSETS, offsets_of},
};

impl Cluster {
    /// Has something happen that survives the process, or, where it cannot be written, not happen.
    pub(crate) fn keep(&mut self, entry: Entry) -> Result<(), Unkept> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(&entry))?;
        // What was decided makes sense to the state that it was decided for.
        let _ = self.apply(entry);
        Ok(())
    }

    /// Has something happen that the broker decides by itself. Where it cannot be written now, it will be in front of what is
    /// written next: nobody is told of anything that came after it, unless it is there too.
    pub(crate) fn keep_late(&mut self, entry: Entry) {
        self.journal.iter_mut().for_each(|journal| journal.owe(&entry));
        let _ = self.apply(entry);
    }

    /// None for what makes no sense: it is about something that is not there, or a batch that is none.
    pub(super) fn apply(&mut self, entry: Entry) -> Option<()> {
        self.logs_changed = true;
        match entry {
            Entry::Opened { cluster_id, times } => self.opened(cluster_id, times),
            Entry::TopicCreated { name, id, log_append_time, replication_factor, shift, replicas } => {
                let topic = Topic {
                    id,
                    log_append_time,
                    partitions: replicas.into_iter().map(Partition::new).collect(),
                    shift: usize::try_from(shift).ok().filter(|shift| *shift < MOST)?,
                    replication_factor: usize::try_from(replication_factor).ok()?,
                };
                self.topics.create(name, topic);
            }
            Entry::TopicWidened { topic, replicas } => self.topics.widen(topic, replicas)?,
            Entry::TopicDeleted { name } => {
                self.groups.forget_topic(&name);
                self.topics.delete(&name)?;
            }
            Entry::Batch { topic, partition, bytes } => self.partition(topic, partition)?.append(bytes)?,
            Entry::LogStart { topic, partition, offset } => {
                self.partition(topic, partition)?.delete_before(offset);
            }
            Entry::LogCut { topic, partition, offset } => {
                self.partition(topic, partition)?.truncate(offset);
            }
            Entry::Leader { topic, partition, node } => {
                let plot = self.plot;
                self.partition(topic, partition)?.lead(node, plot);
            }
            Entry::Offset { group, at, producer_id, committed } => {
                let producer_id = (producer_id >= 0).then_some(producer_id);
                self.groups.create(&group).commit(at, committed, producer_id, self.plot);
            }
            // Of a group that only had members no entry tells, so it may not be there when this is read.
            Entry::GroupDeleted { group } => _ = self.groups.delete(&group),
            Entry::OffsetForgotten { group, at } => {
                self.groups.find_mut(&group).into_iter().for_each(|group| group.forget(|it| *it == at));
            }
            Entry::ProducerIds { next } => self.transactions.producer_ids = counted(next)?,
            Entry::Transaction { id, mut transaction, producer_ids } => {
                // Where nothing was in it there is no marker to wait for.
                transaction.complete();
                self.transactions.producer_ids = counted(producer_ids)?;
                self.transactions.put(id, transaction);
            }
            Entry::Marker { id, place, marker, timestamp } => {
                let (name, index) = &place;
                if name == OFFSETS {
                    let commit = marker.control_type == ControlType::Commit;
                    self.groups
                        .end_transaction(marker.producer_id, commit, |group| offsets_of(group) == place);
                } else {
                    let partition = self.topics.find_mut(name)?.partition_mut(*index)?;
                    partition.end_transaction(&marker, self.plot, timestamp);
                }
                if !id.is_empty() {
                    let transaction = self.transactions.find_mut(&id)?;
                    transaction.written(&place);
                    transaction.complete();
                }
            }
            Entry::Partition {
                topic,
                partition,
                leader,
                leader_epoch,
                leader_epochs,
                producers,
                isolation,
                first_offset,
            } => {
                let log = Log::starting_at(counted(first_offset)?);
                counted(leader_epoch.checked_mul(2)?.into())?;
                let found = self.partition(topic, partition)?;
                (found.leader, found.leader_epoch, found.leader_epochs) =
                    (leader, leader_epoch, leader_epochs);
                (found.log, found.producers, found.isolation) = (log, producers, isolation);
            }
            Entry::Copied { topic, partition, bytes } => {
                let header = whole(&bytes)?;
                let log = &mut self.partition(topic, partition)?.log;
                log.append(bytes, &header, header.partition_leader_epoch);
            }
        }
        Some(())
    }

    /// The members of groups are gone, and every partition begins a leader epoch, as it would where a broker comes back.
    fn opened(&mut self, cluster_id: String, times: i32) {
        self.id = cluster_id;
        self.times_opened = times;
        self.groups.begin(times);
        let plot = self.plot;
        self.topics.partitions_mut().for_each(|partition| partition.lead(partition.leader, plot));
    }

    fn partition(&mut self, topic: TopicId, index: i32) -> Option<&mut Partition> {
        self.topics.partition_mut(topic, index)
    }
}

/// No offset and no counter comes near this, so that none that is read can be counted beyond its type.
const MOST: usize = 1 << 48;

fn counted(number: i64) -> Option<i64> {
    (0..MOST as i64).contains(&number).then_some(number)
}
