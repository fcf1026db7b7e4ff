//! The floor: what reading a topic costs with no client around it. One blocking fetch at a time, the brokers in turn;
//! each batch's CRC is checked, its records are decompressed and walked. No API, no prefetch, no other thread, and
//! nothing of Ottla's crates: requests, responses and batches are taken apart here, by hand.

mod batch;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ottla_bench_child::{Course, Lap, Log, Meter};

use batch::{Batch, Unpacker};
use wire::{Answer, Connection, Question};

const FETCH: i16 = 1;
/// The last version without tagged fields and topic ids.
const FETCH_VERSION: i16 = 11;
const METADATA: i16 = 3;
/// An old one: the brokers, and who leads.
const METADATA_VERSION: i16 = 1;
const PARTITION_MAX_BYTES: i32 = 1 << 20;

/// Reads the first records of a topic, all partitions from offset 0.
pub fn read(course: &Course) -> Result<Lap> {
    let mut leaders = connect(&course.bootstrap, &course.topic, course.authority.as_deref())?;
    let mut reader = Reader { meter: Meter::new(), log: Log::default(), unpacker: Unpacker::new()? };
    let mut fetched = 0;
    while reader.meter.records < course.records {
        for leader in &mut leaders {
            let question = leader.question(&course.topic, course.fetch_max_bytes);
            let answer = leader.connection.ask(FETCH, FETCH_VERSION, &question)?;
            fetched += answer.len() as u64;
            reader.read(answer, &mut leader.positions)?;
        }
    }
    Ok(Lap { fetched: Some(fetched), log: Some(reader.log), ..reader.meter.end()? })
}

/// What was read so far, and what is needed to read on.
struct Reader {
    meter: Meter,
    log: Log,
    unpacker: Unpacker,
}

impl Reader {
    /// Reads a fetch's answer, and moves the positions behind it.
    fn read(&mut self, mut answer: Answer<'_>, positions: &mut BTreeMap<i32, i64>) -> Result<()> {
        let _throttle_millis = answer.i32()?;
        let error = answer.i16()?;
        ensure!(error == 0, "fetch: error {error}");
        let _session_id = answer.i32()?;
        for _topic in 0..answer.count()? {
            answer.string()?;
            for _partition in 0..answer.count()? {
                let partition = answer.i32()?;
                let error = answer.i16()?;
                ensure!(error == 0, "fetch of partition {partition}: error {error}");
                // The high watermark, the last stable offset, the log's start.
                answer.skip(3 * 8)?;
                let aborted_transactions = answer.count()?;
                answer.skip(aborted_transactions * 2 * 8)?;
                let _preferred_replica = answer.i32()?;
                let mut batches = answer.bytes()?;
                while let Some(batch) = Batch::next(&mut batches)? {
                    self.batch(&batch)?;
                    positions.insert(partition, batch.next_offset());
                }
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.meter.begin()?;
        batch.check_crc()?;
        let records = self.unpacker.unpack(batch)?;
        batch::walk(records, batch.records(), &mut self.meter).context("a record that is none")?;
        let log = &mut self.log;
        log.batches += 1;
        log.bytes += batch.len() as u64;
        log.largest_batch = log.largest_batch.max(batch.len() as u64);
        log.largest_decompressed = log.largest_decompressed.max(records.len() as u64);
        Ok(())
    }
}

/// A leader of some partitions, and where to go on in each.
struct Leader {
    connection: Connection,
    positions: BTreeMap<i32, i64>,
}

impl Leader {
    fn question(&self, topic: &str, max_bytes: i32) -> Question {
        let mut question = Question::default();
        let (no_replica, max_wait_millis, min_bytes) = (-1, 500, 1);
        question.i32(no_replica).i32(max_wait_millis).i32(min_bytes).i32(max_bytes);
        let (read_uncommitted, no_session, no_epoch) = (0, 0, -1);
        question.i8(read_uncommitted).i32(no_session).i32(no_epoch);
        question.i32(1).string(topic).i32(self.positions.len() as i32);
        for (&partition, &offset) in &self.positions {
            let (no_leader_epoch, no_log_start) = (-1, -1);
            question.i32(partition).i32(no_leader_epoch).i64(offset).i64(no_log_start);
            question.i32(PARTITION_MAX_BYTES);
        }
        let (forgotten, no_rack) = (0, "");
        question.i32(forgotten).string(no_rack);
        question
    }
}

/// A connection to each leader.
fn connect(bootstrap: &str, topic: &str, authority: Option<&Path>) -> Result<Vec<Leader>> {
    let mut question = Question::default();
    question.i32(1).string(topic);
    let mut first = Connection::open(bootstrap.split(',').next().unwrap_or_default(), authority)?;
    let mut answer = first.ask(METADATA, METADATA_VERSION, &question)?;
    let mut addresses = BTreeMap::new();
    for _broker in 0..answer.count()? {
        let (id, host, port) = (answer.i32()?, answer.string()?, answer.i32()?);
        let _rack = answer.string()?;
        addresses.insert(id, format!("{host}:{port}"));
    }
    let _controller = answer.i32()?;
    let mut leaders: BTreeMap<i32, BTreeMap<i32, i64>> = BTreeMap::new();
    for _topic in 0..answer.count()? {
        let (error, name, _internal) = (answer.i16()?, answer.string()?, answer.i8()?);
        ensure!(error == 0, "topic {name}: error {error}");
        for _partition in 0..answer.count()? {
            let (error, partition, leader) = (answer.i16()?, answer.i32()?, answer.i32()?);
            ensure!(error == 0, "partition {partition}: error {error}");
            let replicas = answer.count()?;
            answer.skip(replicas * 4)?;
            let in_sync = answer.count()?;
            answer.skip(in_sync * 4)?;
            leaders.entry(leader).or_default().insert(partition, 0);
        }
    }
    let connect = |(leader, positions)| {
        let address = addresses.get(&leader).with_context(|| format!("no leader {leader}"))?;
        Ok(Leader { connection: Connection::open(address, authority)?, positions })
    };
    leaders.into_iter().map(connect).collect()
}
