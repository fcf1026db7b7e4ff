//! Records on their way into the machine: copied, those of retry topics with their wait, and without those that are too old.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
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
use crate::consumer::{Record, Records};

impl Engine {
    /// Records have been received. The machine gets copies: a record that waits, or whose handler hangs, would else keep the whole
    /// response that it came in, and a few of them all of `buffer_memory`; nothing more would be fetched for any other. So what is in
    /// hand is bounded by the [room](ottla_core::processing::Room) alone.
    pub(in crate::processor) fn feed(
        &self,
        records: &Records,
        high_watermark: impl Fn(&TopicPartition) -> Option<i64>,
    ) {
        self.feed_of(records, high_watermark, None);
    }

    /// The same, of partitions behind: of these alone, as long as they are of the chains that they were.
    pub(in crate::processor) fn feed_behind(
        &self,
        records: &Records,
        high_watermark: impl Fn(&TopicPartition) -> Option<i64>,
        links: &BTreeMap<TopicPartition, Link>,
    ) {
        self.feed_of(records, high_watermark, Some(links));
    }

    fn feed_of(
        &self,
        records: &Records,
        high_watermark: impl Fn(&TopicPartition) -> Option<i64>,
        links: Option<&BTreeMap<TopicPartition, Link>>,
    ) {
        let mut next = records.next_offsets();
        // Copied before the lock is taken.
        let wall = SystemTime::now().into();
        let is_young = |record: &Record<'_>| is_young(record, wall, self.oldest);
        let mut copies = Vec::new();
        for (at, records) in records.by_partition() {
            if links.is_some_and(|links| !links.contains_key(at)) {
                continue;
            }
            if self.oldest.is_some() {
                self.tell_old(at, records.clone().filter(|record| !is_young(record)));
            }
            let retry = self.plan.as_ref().and_then(|plan| plan.retry_topic(&at.topic));
            // With room for all of them: a filter does not tell how many pass.
            let mut copied = Vec::with_capacity(records.size_hint().1.unwrap_or_default());
            copied.extend(records.filter(is_young).map(|record| {
                let (work, bytes) = record.copied();
                let wait = retry.and_then(|retry| wait(&work, retry, wall));
                let patience = retry.filter(|_| follows(&work)).map(|retry| retry.delay());
                (record, wait, patience, work, bytes)
            }));
            copies.push((at, copied));
        }
        let known = self.batches.map(|_| copies.iter().map(|(at, _)| (*at, high_watermark(at))));
        let known: Vec<_> = known.into_iter().flatten().collect();
        self.with(|inner, now| {
            for (at, high_watermark) in known {
                if let Some(high_watermark) = high_watermark {
                    inner.high_watermarks.insert(at.clone(), high_watermark);
                }
            }
            for (at, records) in copies {
                let link = links.and_then(|links| links.get(at));
                if link.is_some_and(|link| !inner.is_current(link)) {
                    continue;
                }
                let arrivals = records.into_iter().map(|(record, wait, patience, work, bytes)| Arrival {
                    patience,
                    due: wait.map(|wait| now.mono + wait),
                    offset: record.offset(),
                    leader_epoch: record.leader_epoch(),
                    key: record.key(),
                    bytes,
                    work,
                });
                if let Some(next) = next.remove(at) {
                    inner.machine.handle_arrived(at, arrivals, next, now);
                }
            }
        });
    }

    /// Tells of records that are not handled, as they are too old. The machine sees none of them: to it they are offsets without a
    /// record, which a commit passes.
    fn tell_old<'a>(&self, at: &TopicPartition, mut old: impl Iterator<Item = Record<'a>>) {
        let Some(first) = old.next() else { return };
        let (offset, records) = (first.offset(), 1 + old.count());
        tracing::info!(target: log::PROCESSING, partition = %at, offset, records, "records are too old");
        self.watchers.tell(|| ProcessorEvent::Skipped { at: at.clone(), offset, records });
    }
}

/// Whether a record is to be handled, by its age.
fn is_young(record: &Record<'_>, wall: Timestamp, oldest: Option<Duration>) -> bool {
    let age = oldest.zip(record.timestamp()).map(|(oldest, at)| (oldest, wall.0.saturating_sub(at.0)));
    age.is_none_or(|(oldest, age)| u128::try_from(age).is_ok_and(|age| age <= oldest.as_millis()) || age < 0)
}
