//! What all forms of a record have in common: its place.

use ottla_core::{CommittedOffset, TopicPartition};

use super::{DetachedRecord, OwnedRecord, Poison, Record, TypedRecord};

/// A record that was handed out, in whatever form: a [`Record`], an [`OwnedRecord`], a [`DetachedRecord`], a
/// [`TypedRecord`], or [`Poison`]. With it [`commit_through`](super::Consumer::commit_through) is called.
pub trait HandedOut {
    /// Its topic and partition.
    fn topic_partition(&self) -> &TopicPartition;

    /// Its offset in the partition.
    fn offset(&self) -> i64;

    /// The offset behind it: what to commit once it, and all before it in its partition, are done.
    fn next_offset(&self) -> i64 {
        self.offset() + 1
    }

    /// The epoch of the leader that appended it, where the log tells it (KIP-320).
    fn leader_epoch(&self) -> Option<i32>;

    /// The [next offset](Self::next_offset), with the [leader epoch](Self::leader_epoch) beside it: what
    /// [`commit_offsets`](super::Consumer::commit_offsets) takes once this record is done. Of all but a [`DetachedRecord`] it
    /// knows which topic the record is of: to one that was made anew under that name since it is not committed.
    fn to_commit(&self) -> CommittedOffset {
        CommittedOffset::new(self.next_offset()).with_leader_epoch(self.leader_epoch())
    }
}

impl HandedOut for DetachedRecord {
    fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }
}

/// As a record's own methods say, or those of the record that it is made of.
macro_rules! handed_out {
    ($([$($param:ident),*] $form:ty $(, $of:ident)?;)*) => {$(
        impl<$($param),*> HandedOut for $form {
            fn topic_partition(&self) -> &TopicPartition {
                self$(.$of)?.topic_partition()
            }

            fn offset(&self) -> i64 {
                self$(.$of)?.offset()
            }

            fn leader_epoch(&self) -> Option<i32> {
                self$(.$of)?.leader_epoch()
            }

            fn to_commit(&self) -> CommittedOffset {
                self$(.$of)?.committed()
            }
        }
    )*};
}
handed_out! {
    [] Record<'_>;
    [] OwnedRecord;
    [K, V] TypedRecord<K, V>, record;
    [] Poison, raw;
}
