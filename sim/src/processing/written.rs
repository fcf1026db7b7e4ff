//! What the logs hold: records as producers left them, with offsets missing between them as compaction and the ends of
//! transactions leave them.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::Cluster;
use ottla_core::TopicPartition;
use ottla_protocol::records::{self, BatchBuilder, Compression, Compressor, ControlType, EndTxnMarker};

use super::plan::Habits;
use crate::{
    dice::{Dice, ms},
    stage::Stage,
};

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) key: Option<u8>,
    pub(super) nature: Nature,
    /// It is not to be handled before, in the simulation's time.
    pub(super) due: Option<Duration>,
    /// Of the leader that appended it.
    pub(super) leader_epoch: i32,
}

/// How a record's handlers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Easy,
    /// So many attempts fail.
    Fails(u32),
    /// The first attempt does not end by itself.
    Hangs,
    /// No attempt can succeed, and its handler says so.
    Hopeless,
}

/// Every partition's records by their offsets.
#[derive(Debug, Default)]
pub(super) struct Logs(BTreeMap<TopicPartition, BTreeMap<i64, Written>>);

/// About how many bytes of room a record takes.
pub(super) const SIZE: usize = 20;

impl Logs {
    pub(super) fn new(all: &[TopicPartition]) -> Self {
        Self(all.iter().map(|at| (at.clone(), BTreeMap::new())).collect())
    }

    pub(super) fn of(&self, at: &TopicPartition) -> &BTreeMap<i64, Written> {
        &self.0[at]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &BTreeMap<i64, Written>)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Appends some records to a partition, if it has a leader.
    pub(super) fn write(
        &mut self,
        at: &TopicPartition,
        count: usize,
        habits: &Habits,
        d: &mut Dice,
        cluster: &mut Cluster,
        stage: &Stage,
    ) {
        let now = stage.now();
        let mut left = count;
        while left > 0 {
            let some = if d.chance(habits.gaps) { d.number(1..=3.min(left)) } else { left };
            left -= some;
            let drawn: Vec<_> = (0..some).map(|_| draw(habits, d)).collect();
            let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
            for (key, _) in &drawn {
                let key = key.map(|key| [key]);
                builder.append(now.wall.0, key.as_ref().map(|key| &key[..]), Some(b"work"), []);
            }
            let mut batch = builder.finish(&mut Compressor::new());
            if d.chance(habits.gaps) {
                let missing = if d.chance(0.9) { d.number(1..=habits.gap.min(2_000)) } else { habits.gap };
                widen(&mut batch, (some + missing - 1) as i32);
            }
            let Some((_, leader_epoch)) = cluster.leader(&at.topic, at.partition) else { return };
            let Some(base) = cluster.append_as_it_is(&at.topic, at.partition, &batch, now) else { return };
            let log = self.0.get_mut(at).expect("there is one of each partition");
            for (offset, (key, nature)) in (base..).zip(drawn) {
                let waits = d.chance(habits.defers).then(|| d.time(Duration::ZERO..=ms(700)));
                let due = waits.map(|wait| stage.time + wait);
                log.insert(offset, Written { key, nature, due, leader_epoch });
            }
            if d.chance(habits.gaps / 2.0) {
                let control_type = ControlType::Commit;
                let marker =
                    EndTxnMarker { control_type, producer_id: 7, producer_epoch: 0, coordinator_epoch: 0 };
                cluster.append_as_it_is(&at.topic, at.partition, &marker.batch(0, now.wall.0), now);
            }
        }
    }
}

fn draw(habits: &Habits, d: &mut Dice) -> (Option<u8>, Nature) {
    let key = d.chance(0.85).then(|| d.number(0..=habits.keys - 1) as u8);
    if !d.chance(habits.fails) {
        return (key, Nature::Easy);
    }
    let nature = match d.number(0..=19) {
        0..=11 => Nature::Fails(d.number(1..=3) as u32),
        12..=15 => Nature::Hangs,
        16..=18 => Nature::Fails(u32::MAX),
        _ => Nature::Hopeless,
    };
    (key, nature)
}

/// Leaves offsets behind a batch's records, as compaction does: its header keeps the offset of its last record.
fn widen(batch: &mut [u8], last_offset_delta: i32) {
    const LAST_OFFSET_DELTA: std::ops::Range<usize> = 23..27;
    batch[LAST_OFFSET_DELTA].copy_from_slice(&last_offset_delta.to_be_bytes());
    let header = records::BatchHeader::decode(batch).expect("it is whole");
    // This writes the checksum, too.
    records::set_log_append_time(batch, header.max_timestamp).expect("it is whole");
}
