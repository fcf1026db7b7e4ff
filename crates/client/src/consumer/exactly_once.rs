//! What a transaction needs of a consumer: the offsets of what it handed out, with the member's place in its group, as of
//! one moment.

use std::collections::BTreeMap;

use ottla_core::{CommittedOffset, GroupMetadata, TopicPartition};

use super::{Consumer, Records};

impl Consumer {
    /// Whether it commits without being asked to.
    pub(crate) fn commits_by_itself(&self) -> bool {
        self.shared.inspect(|core| core.is_auto_committing())
    }

    /// The offsets to commit once these records are done; `None` where some of the records do not count any more, as the partition
    /// was lost meanwhile. `since` is the member's place in its group when the records were polled, and has to be so still: in a
    /// later generation others may have had the partition in between.
    ///
    /// What is lost after this moment has the group refuse these offsets.
    pub(crate) fn offsets_of(
        &mut self,
        records: &Records,
        since: &GroupMetadata,
    ) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
        let reading = &mut self.reader.reading;
        let next = records.next_offsets();
        self.shared.with(|core, now| {
            reading.sync(core, false, now);
            let same = core.group_metadata().as_ref() == Some(since);
            let holds = |(at, next): (&TopicPartition, &CommittedOffset)| {
                reading.position(at, core).is_some_and(|position| position >= next.offset)
            };
            (same && next.iter().all(holds)).then_some(next)
        })
    }

    /// Where this partition is read next, as far as that is known already.
    pub(crate) fn position_now(&self, at: &TopicPartition) -> Option<i64> {
        let reading = &self.reader.reading;
        self.shared.inspect(|core| reading.position(at, core).or_else(|| core.position(at)))
    }

    /// Partitions of these topics may be committed by who owns that of the same number of the topic beside.
    pub(crate) fn commits_behind(&self, topics: impl IntoIterator<Item = (String, String)>) {
        self.shared.with(|core, _| core.commits_behind(topics));
    }

    /// The member's place in its group, as long as these partitions are its own, and its listener knows of them.
    pub(crate) fn member_for<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Option<GroupMetadata> {
        self.shared.inspect(|core| core.member_for(partitions))
    }

    /// These records are done.
    pub(crate) fn settle(&mut self) {
        let reading = &mut self.reader.reading;
        self.shared.with(|core, now| reading.sync(core, true, now));
    }

    /// These records are to be handed out again, where they are still this consumer's to hand out.
    pub(crate) fn take_back(&mut self, records: &Records) {
        self.go_on_at(first_of(records));
    }

    /// Whether these records are done is not known: the consumer goes on where the group has committed. Where that is not
    /// to be known either, they are handed out again.
    pub(crate) async fn back_to_committed(&mut self, records: &Records) {
        let mut at = first_of(records);
        if let Ok(committed) = self.committed(at.keys().cloned()).await {
            for (at, to) in &mut at {
                if let Some(Some(known)) = committed.get(at) {
                    to.offset = known.offset;
                }
            }
        }
        self.go_on_at(at);
    }

    fn go_on_at(&mut self, offsets: BTreeMap<TopicPartition, CommittedOffset>) {
        let reading = &mut self.reader.reading;
        self.shared.with(|core, now| {
            reading.sync(core, false, now);
            for (at, offset) in &offsets {
                // A partition that was lost, and is back, goes on where the group has committed.
                if reading.position(at, core).is_some() {
                    core.go_back(at, offset, now);
                }
            }
            reading.sync(core, true, now);
        });
    }
}

/// Of each partition the first of these records, and its topic.
fn first_of(records: &Records) -> BTreeMap<TopicPartition, CommittedOffset> {
    let mut offsets = records.next_offsets();
    for (at, mut records) in records.by_partition() {
        if let (Some(to), Some(first)) = (offsets.get_mut(at), records.next()) {
            (to.offset, to.leader_epoch) = (first.offset(), None);
        }
    }
    offsets
}
