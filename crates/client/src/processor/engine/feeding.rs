//! Records on their way into the machine: copied, those of retry topics with their wait, and without those that are too old.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use ottla_core::{TopicPartition, log, processing::Arrival};
use ottla_protocol::Timestamp;

use super::{
    super::{
        ProcessorEvent,
        plan::{follows, wait},
    },
    Engine, Link,
};
use crate::consumer::{HandedOut as _, Iter, OwnedRecord, Reader, Record, Records};

/// How many records are copied at once: more would be a piece of memory for whose end the allocator tidies up all others.
const SOME: usize = 256;

/// A record, and its copy.
struct Copied<'a> {
    record: Record<'a>,
    wait: Option<Duration>,
    patience: Option<Duration>,
    work: OwnedRecord,
    bytes: usize,
}

impl<'a> Copied<'a> {
    fn arrival(self, now: Instant) -> Arrival<'a, OwnedRecord> {
        let Self { record, wait, patience, work, bytes } = self;
        Arrival {
            due: wait.map(|wait| now + wait),
            patience,
            offset: record.offset(),
            leader_epoch: record.leader_epoch(),
            key: record.key(),
            bytes,
            work,
        }
    }
}

impl Engine {
    /// Records have been received. The machine gets copies: a record that waits, or whose handler hangs, would else keep the whole
    /// response that it came in, and a few of them all of `buffer_memory`; nothing more would be fetched for any other. So what is in
    /// hand is bounded by the [room](ottla_core::processing::Room) alone.
    ///
    /// Those of a partition that was taken away meanwhile are left out: of several readers one may have it again already.
    pub(in crate::processor) fn feed(&self, records: &Records, reader: &Reader) {
        self.feed_of(records, reader, None);
    }

    /// The same, of partitions behind: of these alone, as long as they are of the chains that they were.
    pub(in crate::processor) fn feed_behind(
        &self,
        records: &Records,
        reader: &Reader,
        links: &BTreeMap<TopicPartition, Link>,
    ) {
        self.feed_of(records, reader, Some(links));
    }

    fn feed_of(&self, records: &Records, reader: &Reader, links: Option<&BTreeMap<TopicPartition, Link>>) {
        let mut next = records.next_offsets();
        let wall = SystemTime::now().into();
        for (at, mut rest) in records.by_partition() {
            let link = links.and_then(|links| links.get(at));
            if links.is_some() && link.is_none() {
                continue;
            }
            // The tenure comes first: it is that of the records if the reader still has the partition then.
            let mut tenure = self.with(|inner, _| inner.machine.tenure(at));
            if !reader.has(at) {
                continue;
            }
            if self.oldest.is_some() {
                self.tell_old(at, rest.clone().filter(|record| !is_young(record, wall, self.oldest)));
            }
            let high_watermark = self.batches.and_then(|_| reader.high_watermark(at));
            while let Some((copies, last)) = self.copies(at, &mut rest, wall) {
                let is_all = rest.clone().next().is_none();
                let next = if is_all { next.remove(at) } else { None };
                let is_taken = self.with(|inner, now| {
                    let is_ours = link.is_none_or(|link| inner.is_current(link));
                    if !is_ours || inner.machine.tenure(at) != tenure {
                        return false;
                    }
                    if let Some(high_watermark) = high_watermark {
                        inner.high_watermarks.insert(at.clone(), high_watermark);
                    }
                    let arrivals = copies.into_iter().map(|copied| copied.arrival(now.mono));
                    inner.machine.handle_arrived(at, arrivals, next.unwrap_or_else(|| last.to_commit()), now);
                    tenure = inner.machine.tenure(at);
                    true
                });
                if !is_taken {
                    break;
                }
            }
        }
    }

    /// Copies of some of a partition's records, but for those that are too old, made before a lock is taken; and the last of them all.
    fn copies<'a>(
        &self,
        at: &TopicPartition,
        rest: &mut Iter<'a>,
        wall: Timestamp,
    ) -> Option<(Vec<Copied<'a>>, Record<'a>)> {
        let retry = self.plan.as_ref().and_then(|plan| plan.retry_topic(&at.topic));
        let mut copies = Vec::with_capacity(rest.size_hint().1.unwrap_or(SOME).min(SOME));
        let mut last = None;
        for record in rest.by_ref().take(SOME) {
            last = Some(record);
            if is_young(&record, wall, self.oldest) {
                let (work, bytes) = record.copied();
                let wait = retry.and_then(|retry| wait(&work, retry, wall));
                let patience = retry.filter(|_| follows(&work)).map(|retry| retry.delay());
                copies.push(Copied { record, wait, patience, work, bytes });
            }
        }
        last.map(|last| (copies, last))
    }

    /// Tells of records that are not handled, as they are too old. The machine sees none of them: to it they are offsets without a
    /// record, which a commit passes.
    fn tell_old<'a>(&self, at: &TopicPartition, mut old: impl Iterator<Item = Record<'a>>) {
        let Some(first) = old.next() else { return };
        let (offset, records) = (first.offset(), 1 + old.count());
        Self::count(&self.elsewhere.too_old, records);
        tracing::info!(target: log::PROCESSING, partition = %at, offset, records, "records are too old");
        self.watchers.tell(|| ProcessorEvent::Skipped { at: at.clone(), offset, records });
    }
}

/// Whether a record is to be handled, by its age.
fn is_young(record: &Record<'_>, wall: Timestamp, oldest: Option<Duration>) -> bool {
    let age = oldest.zip(record.timestamp()).map(|(oldest, at)| (oldest, wall.0.saturating_sub(at.0)));
    age.is_none_or(|(oldest, age)| u128::try_from(age).is_ok_and(|age| age <= oldest.as_millis()) || age < 0)
}
