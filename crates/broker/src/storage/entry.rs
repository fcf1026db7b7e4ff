//! What is kept, and how it is written: an entry's kind, then its fields one after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_protocol::{
    DecodeError, Now, TopicId,
    codec::{Reader, Version, Wire},
    records::{ControlType, EndTxnMarker},
};

use crate::{
    groups::Committed,
    leader_epochs::LeaderEpochs,
    producers::Producers,
    transactions::{Isolation, Place, Transaction},
};

/// Kafka's primitives, with lengths that take one byte where they are short.
const FORM: Version = Version { number: 0, flexible: true, nullable: false };

/// A value that stands in an entry.
pub(crate) trait Kept: Sized {
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value. What waits for a time waits from `now` on.
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError>;
}

/// A structure is written as its fields. The entries are an enumeration of such.
macro_rules! kept {
    ($name:ident { $($field:ident),* $(,)? } $(.. $rest:expr)?) => {
        impl $crate::storage::Kept for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $( $crate::storage::Kept::put(&self.$field, out); )*
            }
            fn read(
                r: &mut ottla_protocol::codec::Reader<'_>,
                now: ottla_protocol::Now,
            ) -> Result<Self, ottla_protocol::DecodeError> {
                Ok(Self { $( $field: $crate::storage::Kept::read(r, now)?, )* $( ..$rest )? })
            }
        }
    };
}
pub(crate) use kept;

macro_rules! entries {
    ($( $(#[$doc:meta])* $kind:literal = $name:ident { $( $(#[$field_doc:meta])* $field:ident: $ty:ty ),* $(,)? } )*) => {
        /// One thing that happened.
        #[derive(Debug)]
        pub(crate) enum Entry {
            $( $(#[$doc])* $name { $( $(#[$field_doc])* $field: $ty ),* }, )*
        }

        impl Entry {
            pub(crate) fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$name { $( $field ),* } => {
                        out.push($kind);
                        $( $field.put(out); )*
                    } )*
                }
            }

            /// Reads what `encode` wrote, and nothing behind it; none for a kind that is not known here.
            pub(crate) fn decode(bytes: &[u8], now: Now) -> Result<Option<Self>, DecodeError> {
                let mut r = Reader::new(bytes);
                let [kind] = r.array()?;
                let entry = match kind {
                    $( $kind => Self::$name { $( $field: Kept::read(&mut r, now)? ),* }, )*
                    _ => return Ok(None),
                };
                r.finish()?;
                Ok(Some(entry))
            }
        }
    };
}

entries! {
    /// A process opened the directory, the how-manieth.
    1 = Opened { cluster_id: String, times: i32 }
    2 = TopicCreated {
        name: String,
        id: TopicId,
        log_append_time: bool,
        replication_factor: i32,
        /// Where its first leader stands among the brokers.
        shift: i64,
        /// By partition; the first of each leads.
        replicas: Vec<Vec<i32>>,
    }
    /// A topic has these partitions more.
    3 = TopicWidened { topic: TopicId, replicas: Vec<Vec<i32>> }
    4 = TopicDeleted { name: String }
    /// A producer's batch, which gets its offsets and its leader epoch when it is applied.
    5 = Batch { topic: TopicId, partition: i32, bytes: Vec<u8> }
    6 = LogStart { topic: TopicId, partition: i32, offset: i64 }
    /// Another broker leads, or none.
    7 = Leader { topic: TopicId, partition: i32, node: i32 }
    /// With a producer's id where it counts only once that one's transaction is committed; else -1.
    8 = Offset { group: String, at: (String, i32), producer_id: i64, committed: Committed }
    9 = OffsetForgotten { group: String, at: (String, i32) }
    /// The next producer id that nobody has.
    10 = ProducerIds { next: i64 }
    /// What became of a transactional id, and the next producer id.
    11 = Transaction { id: String, transaction: Transaction, producer_ids: i64 }
    /// A transaction's end is written to one of its places: by the coordinator of the id, or without one by an administrator.
    12 = Marker { id: String, place: Place, marker: EndTxnMarker, timestamp: i64 }
    /// Of a snapshot: a partition but for its batches, which follow. The first has this offset.
    13 = Partition {
        topic: TopicId,
        partition: i32,
        leader: i32,
        leader_epoch: i32,
        leader_epochs: LeaderEpochs,
        producers: Producers,
        isolation: Isolation,
        first_offset: i64,
    }
    /// Of a snapshot: a batch of which everything but its bytes is known.
    14 = Copied { topic: TopicId, partition: i32, bytes: Vec<u8> }
    /// The batches that end behind the offset are lost, as by an unclean election.
    15 = LogCut { topic: TopicId, partition: i32, offset: i64 }
    16 = GroupDeleted { group: String }
}

macro_rules! as_on_the_wire {
    ($($ty:ty),*) => {$(
        impl Kept for $ty {
            fn put(&self, out: &mut Vec<u8>) {
                self.encode(out, FORM);
            }
            fn read(r: &mut Reader<'_>, _: Now) -> Result<Self, DecodeError> {
                Wire::decode(r, FORM)
            }
        }
    )*};
}
as_on_the_wire!(bool, i8, i16, i32, i64, String, TopicId, Vec<u8>);

impl<A: Kept, B: Kept> Kept for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        Ok((A::read(r, now)?, B::read(r, now)?))
    }
}

impl<T: Kept> Kept for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        bool::read(r, now)?.then(|| T::read(r, now)).transpose()
    }
}

/// A count, then the elements. Nothing is allocated for a count: each element takes a byte at least.
macro_rules! collections {
    ($($ty:ty, $element:ty $(, $generic:ident: $bound:ident $(+ $more:ident)?)*;)*) => {$(
        impl<$($generic: $bound $(+ $more)?),*> Kept for $ty {
            fn put(&self, out: &mut Vec<u8>) {
                i32::try_from(self.len()).unwrap_or(i32::MAX).put(out);
                self.iter().for_each(|element| put_element(element, out));
            }
            fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
                let count = i32::read(r, now)?;
                (0..count).map(|_| <$element>::read(r, now)).collect()
            }
        }
    )*};
}
collections! {
    Vec<T>, T, T: Kept;
    VecDeque<T>, T, T: Kept;
    BTreeSet<T>, T, T: Kept + Ord;
    BTreeMap<K, V>, (K, V), K: Kept + Ord, V: Kept;
}

/// What collections hand out: their elements, or pairs of references.
trait Element {
    fn put_element(self, out: &mut Vec<u8>);
}
impl<T: Kept> Element for &T {
    fn put_element(self, out: &mut Vec<u8>) {
        self.put(out);
    }
}
impl<K: Kept, V: Kept> Element for (&K, &V) {
    fn put_element(self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
}
fn put_element(element: impl Element, out: &mut Vec<u8>) {
    element.put_element(out);
}

impl Kept for ControlType {
    fn put(&self, out: &mut Vec<u8>) {
        self.id().put(out);
    }
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        Ok(match i16::read(r, now)? {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        })
    }
}

kept!(EndTxnMarker { control_type, producer_id, producer_epoch, coordinator_epoch });
