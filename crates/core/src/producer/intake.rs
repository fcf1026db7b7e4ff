//! How a record is taken: its topic, its partition, and the batch that it goes into; or why it has to wait.

use std::time::Instant;

use ottla_protocol::{
    ErrorCode, Now, Timestamp,
    records::{BatchBuilder, Header},
};

use super::{
    Producer, SendFailure, Ticket, Topic,
    accumulator::{Batch, PartitionQueue},
    partition_for_key,
    partitioner::{Partitioning, Sticky, Unplaced, ask, by_crc32, by_fnv1a, next_by_load, next_sticky},
};
use crate::{
    cause::Cause,
    ids::{TopicPartition, is_topic_name},
    metadata::Wanted,
};

/// How many bytes a batch adds to its records, and a record to its key, value and headers, at the most.
const BATCH_OVERHEAD: usize = 61;
const RECORD_OVERHEAD: usize = 21;

/// A record to be sent; it is copied.
#[derive(Debug, Clone)]
pub struct Outgoing<'a, H> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition. Where there is none, [`Partitioning`] chooses it.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: H,
    /// The timestamp; the time of the send where there is none.
    pub timestamp: Option<Timestamp>,
}

/// Why a record was not taken.
#[derive(Debug)]
pub enum Refused {
    /// The topic is being looked up, or there is no room. The send is to be tried again after a wake.
    Wait,
    /// The record cannot be taken.
    Failed(Box<SendFailure>),
}

impl From<SendFailure> for Refused {
    fn from(failure: SendFailure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl<F> Producer<F> {
    /// Takes a record, which is then on its way. `since` is when the caller began to try. A producer of transactions
    /// takes records only [into one](Self::send_in).
    pub fn send<'a, H>(
        &mut self,
        record: &Outgoing<'a, H>,
        since: Instant,
        now: Now,
    ) -> Result<Ticket, Refused>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        if self.closing.is_some() {
            return Err(SendFailure::Closed.into());
        }
        if self.transactions.is_some() {
            return Err(SendFailure::NoTransaction.into());
        }
        self.take(record, since, now)
    }

    pub(super) fn take<'a, H>(
        &mut self,
        record: &Outgoing<'a, H>,
        since: Instant,
        now: Now,
    ) -> Result<Ticket, Refused>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let size = self.size_of(record)?;
        let topic = self.resolve(record.topic, since, now)?;
        // Room is checked before a partition is chosen, so that a send that waits changes nothing.
        if self.buffered > 0 && self.buffered + size > self.config.buffer_memory {
            return self.wait_for_room(since, now);
        }
        let partition = match record.partition {
            None => self.place(topic, record)?,
            named => named,
        };
        match partition {
            Some(partition) => {
                let queue = self.queue_of(topic, partition, since, now)?;
                self.append(queue, record, now)
            }
            None => self.append_anywhere(topic, record, now),
        }
        .ok_or_else(|| SendFailure::TooLarge { size, limit: self.config.max_request_size }.into())
    }

    /// The partition of a record that names none; `None` for wherever records without a key go.
    fn place<H>(&mut self, topic: usize, record: &Outgoing<'_, H>) -> Result<Option<i32>, Refused> {
        let count = self.partition_count(topic);
        let Some(topic) = self.topics.get_mut(topic) else { return Err(Refused::Wait) };
        let key = record.key;
        let or_empty = || key.unwrap_or_default();
        Ok(match &self.config.partitioning {
            Partitioning::Murmur2Random if self.config.ignore_keys => None,
            Partitioning::Murmur2Random => key.map(|key| partition_for_key(key, count)),
            Partitioning::Murmur2 => Some(partition_for_key(or_empty(), count)),
            Partitioning::ConsistentRandom => {
                key.filter(|key| !key.is_empty()).map(|key| by_crc32(key, count))
            }
            Partitioning::Consistent => Some(by_crc32(or_empty(), count)),
            Partitioning::Fnv1aRandom => key.map(|key| by_fnv1a(key, count)),
            Partitioning::Fnv1a => Some(by_fnv1a(or_empty(), count)),
            Partitioning::Random => key.map(|_| next_sticky(&topic.led, count, None, &mut self.rng)),
            Partitioning::RoundRobin => {
                let round = topic.rounds;
                topic.rounds = round.wrapping_add(1);
                let led = round.checked_rem(topic.led.len()).and_then(|index| topic.led.get(index).copied());
                led.or_else(|| i32::try_from(round.checked_rem(topic.count)?).ok())
            }
            Partitioning::Own(own) => {
                let Outgoing { topic: name, key, value, .. } = *record;
                let unplaced = Unplaced { topic: name, key, value, partitions: count, available: &topic.led };
                let failure = |why| SendFailure::NotPlaced { topic: name.to_owned(), why };
                ask(&**own, &unplaced).map_err(failure)?
            }
        })
    }

    /// How much waits for each partition that records without a key may go to; `None` where it is all the same.
    fn loads(&self, topic: usize, now: Now) -> Option<Vec<(i32, usize)>> {
        let topic = self.topics.get(topic).filter(|topic| self.config.adaptive && topic.count > 1)?;
        let known = self.hub.metadata.topic(&topic.name)?;
        let takes = |partition: &i32| {
            let leader = known.partitions.get(partition).and_then(|partition| partition.leader);
            let stalled = leader.and_then(|leader| self.stalled.get(&leader));
            stalled.is_none_or(|since| *since + self.config.availability_timeout > now.mono)
        };
        let load =
            |partition: &i32| Some((*partition, self.queues.get(topic.queue_of(*partition)?)?.waiting()));
        let loads: Vec<_> = topic.led.iter().filter(|it| takes(it)).filter_map(load).collect();
        let (_, first) = loads.first()?;
        let all_the_same = loads.len() == topic.led.len() && loads.iter().all(|(_, load)| load == first);
        (!all_the_same).then_some(loads)
    }

    /// The most bytes that the record takes, as Java estimates it.
    fn size_of<'a, H: Iterator<Item = Header<'a>> + Clone>(
        &self,
        record: &Outgoing<'a, H>,
    ) -> Result<usize, Refused> {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let header = |header: Header<'_>| 10 + header.key.len() + length(header.value);
        let headers: usize = record.headers.clone().map(header).sum();
        let size = BATCH_OVERHEAD + RECORD_OVERHEAD + length(record.key) + length(record.value) + headers;
        let limit = self.config.max_request_size.min(self.config.buffer_memory);
        if size > limit { Err(SendFailure::TooLarge { size, limit }.into()) } else { Ok(size) }
    }

    /// The place of a topic that can be sent to.
    fn resolve(&mut self, name: &str, since: Instant, now: Now) -> Result<usize, Refused> {
        let revision = Some(self.hub.metadata.revision());
        if let Some(topic) = self.topics.get(self.recent)
            && topic.name == name
            && topic.revision == revision
        {
            return Ok(self.recent);
        }
        if let Some(index) = self.by_name.get(name).copied() {
            self.recent = index;
            if self.topics.get(index).is_some_and(|topic| topic.revision == revision) || self.sync(index) {
                return Ok(index);
            }
        } else if self.hub.metadata.topic(name).is_some_and(|topic| !topic.partitions.is_empty()) {
            let index = self.topics.len();
            self.by_name.insert(name.to_owned(), index);
            self.topics.push(Topic { name: name.to_owned(), ..Topic::default() });
            self.sync(index);
            return Ok(index);
        }
        self.wait_for_topic(name, since, now)
    }

    /// Brings a topic up to date with the metadata. Returns `false` where it does not exist any more.
    fn sync(&mut self, index: usize) -> bool {
        let Some(topic) = self.topics.get_mut(index) else { return false };
        let Some(news) = self.hub.metadata.topic(&topic.name).filter(|news| !news.partitions.is_empty())
        else {
            return false;
        };
        topic.revision = Some(self.hub.metadata.revision());
        while topic.queues.len() < news.partitions.len() {
            self.queues.push(PartitionQueue::new(index, topic.queues.len() as i32));
            topic.queues.push(self.queues.len() - 1);
        }
        // A queue outlives its partition. A partition that comes back, as after an answer of a broker that lags
        // behind, goes on with its sequence.
        topic.count = news.partitions.len();
        if std::mem::replace(&mut topic.id, news.id) != news.id {
            // The topic was made anew: it may take larger batches, and its logs know nothing of this producer.
            topic.max_batch = None;
            let here = self.queues.iter_mut().filter(|queue| queue.topic == index);
            here.for_each(PartitionQueue::set_unknown);
        }
        let led = news.partitions.iter().filter(|(_, partition)| partition.leader.is_some());
        topic.led = led.map(|(number, _)| *number).collect();
        true
    }

    /// Waits for a topic that is not known. The only place where a name is looked at: that of a known topic is one.
    fn wait_for_topic<T>(&mut self, name: &str, since: Instant, now: Now) -> Result<T, Refused> {
        if !is_topic_name(name) {
            return Err(SendFailure::InvalidTopic { topic: name.to_owned() }.into());
        }
        let error =
            self.hub.metadata.topics().get(name).map(|topic| topic.error).filter(|error| !error.is_ok());
        let waited = now.mono.saturating_duration_since(since);
        let topic = name.to_owned();
        let patience = match error {
            Some(_) => self.config.unknown_topic_grace.min(self.config.max_block),
            None => self.config.max_block,
        };
        let failure = match error {
            Some(error) if !error.is_retriable() => Some(SendFailure::Topic { topic, error }),
            None if let Some(refused) = self.hub.refusal(now) => {
                self.hub.connections.forgive(now);
                Some(SendFailure::Connection { topic, refused })
            }
            _ if waited < patience => None,
            Some(ErrorCode::UnknownTopicOrPartition) => Some(SendFailure::UnknownTopic { topic }),
            Some(error) => Some(SendFailure::Topic { topic, error }),
            None => {
                let cause = Cause::of_metadata(&self.hub.metadata);
                Some(SendFailure::MetadataTimeout { topic, waited, cause })
            }
        };
        if let Some(failure) = failure {
            self.forget_topic(name);
            return Err(failure.into());
        }
        if let Wanted::Topics(wanted) = &mut self.wanted
            && !wanted.contains(name)
        {
            wanted.insert(name.to_owned());
        }
        self.block_until(since + patience);
        Err(Refused::Wait)
    }

    /// Stops asking for a topic that does not exist, unless records for it wait.
    fn forget_topic(&mut self, name: &str) {
        let index = self.by_name.get(name).copied();
        let in_use = self.active.iter().filter_map(|queue| self.queues.get(*queue));
        if in_use.clone().any(|queue| Some(queue.topic) == index) {
            return;
        }
        if let Wanted::Topics(wanted) = &mut self.wanted {
            wanted.remove(name);
        }
        self.hub.metadata.forget(name);
    }

    fn wait_for_room<T>(&mut self, since: Instant, now: Now) -> Result<T, Refused> {
        let waited = now.mono.saturating_duration_since(since);
        if waited >= self.config.max_block {
            return Err(SendFailure::BufferFull { waited, limit: self.config.buffer_memory }.into());
        }
        self.starved = true;
        self.block_until(since + self.config.max_block);
        Err(Refused::Wait)
    }

    pub(super) fn block_until(&mut self, deadline: Instant) {
        self.hub.stir = true;
        self.blocked_until = Some(self.blocked_until.map_or(deadline, |at| at.min(deadline)));
    }

    fn partition_count(&self, topic: usize) -> i32 {
        self.topics.get(topic).map_or(0, |topic| topic.count as i32)
    }

    /// The queue of a partition. A partition that is missing may have been added since the metadata came.
    fn queue_of(&mut self, topic: usize, partition: i32, since: Instant, now: Now) -> Result<usize, Refused> {
        let Some(topic) = self.topics.get(topic) else { return Err(Refused::Wait) };
        if let Some(queue) = topic.queue_of(partition) {
            return Ok(queue);
        }
        let patience = self.config.unknown_topic_grace.min(self.config.max_block);
        if partition < 0 || now.mono.saturating_duration_since(since) >= patience {
            let (at, count) = (TopicPartition::new(topic.name.as_str(), partition), topic.count as i32);
            return Err(SendFailure::UnknownPartition { at, count }.into());
        }
        self.hub.metadata.request_update();
        self.block_until(since + patience);
        Err(Refused::Wait)
    }

    /// A record without a key goes to the same partition as the one before, as long as the batch there takes it.
    fn append_anywhere<'a, H>(&mut self, topic: usize, record: &Outgoing<'a, H>, now: Now) -> Option<Ticket>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let known = self.topics.get(topic)?;
        // A topic made anew may have fewer partitions.
        let open = |sticky: Sticky| Some((known.queue_of(sticky.partition)?, sticky.batch));
        if let Some((queue, batch)) = known.sticky.and_then(open) {
            let open = self.queues.get_mut(queue)?.open().is_some_and(|open| open.id == batch);
            if open && let Some(ticket) = self.append_to_open(queue, record, now) {
                return Some(ticket);
            }
        }
        let count = self.partition_count(topic);
        let loads = self.loads(topic, now);
        let Topic { led, queues, sticky, .. } = self.topics.get_mut(topic)?;
        let partition = match loads.and_then(|loads| next_by_load(&loads, &mut self.rng)) {
            Some(partition) => partition,
            None => next_sticky(led, count, *sticky, &mut self.rng),
        };
        let queue = *queues.get(partition as usize)?;
        let ticket = self.append(queue, record, now)?;
        self.topics.get_mut(topic)?.sticky = Some(Sticky { partition, batch: ticket.outcome.id });
        Some(ticket)
    }

    fn append<'a, H>(&mut self, queue: usize, record: &Outgoing<'a, H>, now: Now) -> Option<Ticket>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        if let Some(ticket) = self.append_to_open(queue, record, now) {
            return Some(ticket);
        }
        self.open_batch(queue, now)?;
        self.append_to_open(queue, record, now)
    }

    /// Appends to the batch that takes records, and closes it where it has no room.
    fn append_to_open<'a, H>(&mut self, queue: usize, record: &Outgoing<'a, H>, now: Now) -> Option<Ticket>
    where
        H: Iterator<Item = Header<'a>> + Clone,
    {
        let at = queue;
        let queue = self.queues.get_mut(at)?;
        let partition = queue.partition;
        let batch = queue.open()?;
        let builder = batch.open.as_mut()?;
        let timestamp = record.timestamp.unwrap_or(now.wall).0;
        let before = builder.size_estimate();
        match builder.append(timestamp, record.key, record.value, record.headers.clone()) {
            Some(index) => {
                self.buffered += builder.size_estimate() - before;
                Some(Ticket { outcome: batch.outcome.clone(), index, partition, timestamp })
            }
            None => {
                queue.close();
                self.stir_for_full(at, before);
                None
            }
        }
    }

    fn open_batch(&mut self, queue: usize, now: Now) -> Option<()> {
        let at = queue;
        let queue = self.queues.get_mut(at)?;
        let known = self.topics.get(queue.topic).and_then(|topic| topic.max_batch);
        let limit = known.unwrap_or(usize::MAX).min(self.config.batch_size);
        // A batch becomes about as large as the one before.
        let size = queue.last_size.next_power_of_two().min(limit);
        let mut builder = BatchBuilder::new(self.config.compression, limit).reserving(size);
        if let Some(level) = self.config.compression_level {
            builder = builder.level(level);
        }
        if self.transactions.is_some() {
            builder.set_transactional();
        }
        self.last_batch.0 += 1;
        let id = self.last_batch;
        self.buffered += builder.size_estimate();
        queue.batches.push_back(Batch::new(id, builder, now.mono));
        self.active.insert(at);
        self.outcomes.begin(id);
        self.stir_for_open(now);
        Some(())
    }
}
