//! What readers are told of transactions: the rows of `docs/transactions-observed.md` about Fetch, ListOffsets and
//! DeleteRecords.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::targets::Target;
use ottla_conformance::wait::until_some;
use ottla_protocol::messages::*;
use ottla_protocol::records::walk_headers;
use ottla_protocol::{ApiKey, ErrorCode as E};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, topic, wait};
use crate::raw::{At, Raw};
use crate::raw_transactions::{Flow, Producer, is_not_ready, now};

const NONE: E = E::None;

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run).and_kafka_3_9();
    vec![
        everywhere("observed::readers_are_told_where_a_log_is_stable_and_what_was_aborted", reading),
        everywhere("observed::ends_and_times_of_a_log_stop_at_what_is_open", listing),
        everywhere(
            "observed::topics_named_beside_ids_are_no_part_of_what_is_told_of_topics",
            names_beside_ids,
        ),
    ]
}

/// What a fetch of partition 0 brings.
#[derive(Debug)]
struct Fetched {
    code: E,
    /// The high watermark, the last stable offset, and where the log starts.
    offsets: (i64, i64, i64),
    /// Where each begins, its length in bytes, its epoch if it is a marker's.
    batches: Vec<(i64, usize, Option<i16>)>,
    aborted: Option<Vec<(i64, i64)>>,
    bytes: Vec<u8>,
    took: Duration,
}

impl Raw {
    fn fetch(
        &mut self,
        offset: i64,
        committed: bool,
        wait_ms: i32,
        max_bytes: i32,
    ) -> Result<Fetched, Failed> {
        let partition =
            FetchPartition { fetch_offset: offset, partition_max_bytes: max_bytes, ..Default::default() };
        let topic =
            FetchTopic { topic: self.topic.clone(), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: 1,
            isolation_level: i8::from(committed),
            topics: vec![topic],
            ..Default::default()
        };
        let start = Instant::now();
        let mut answer = self.ask(At::Leader(0), 12, request)?;
        let took = start.elapsed();
        let part = answer.responses.remove(0).partitions.remove(0);
        let bytes = part.records.as_ref().map(|it| it.bytes(&[]).to_vec()).unwrap_or_default();
        let batches = walk_headers(&bytes)
            .map(|it| {
                let (at, header) = it?;
                Ok((header.base_offset, at.len(), header.is_control().then_some(header.producer_epoch)))
            })
            .collect::<Result<_, Failed>>()?;
        let aborted = part.aborted_transactions.map(|list| {
            list.into_iter().map(|it| (it.producer_id, it.first_offset)).collect() //
        });
        let offsets = (part.high_watermark, part.last_stable_offset, part.log_start_offset);
        Ok(Fetched { code: part.error_code, offsets, batches, aborted, bytes, took })
    }

    /// All that there is, at once.
    fn read(&mut self, offset: i64, committed: bool) -> Result<Fetched, Failed> {
        self.fetch(offset, committed, 500, 1 << 20)
    }

    fn delete_before(&mut self, offset: i64) -> Result<(E, i64), Failed> {
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
        let topics = vec![DeleteRecordsTopic { name: self.topic.clone(), partitions }];
        let answer = self.ask(At::Leader(0), 2, DeleteRecordsRequest { topics, timeout_ms: 10_000 })?;
        let partition = &answer.topics[0].partitions[0];
        Ok((partition.error_code, partition.low_watermark))
    }
}

fn reading(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "reading")?;
    let flow = *raw.flows().last().ok_or("a flow")?;
    let (a, b) = (raw.producer("a")?, raw.producer("b")?);
    let written = until_some(PATIENCE, "a broker that is ready to write", || {
        let told = raw.write_at(9, None, 0, 0, now()).ok()?;
        (!is_not_ready(told)).then_some(told)
    })?;
    raw.row("a record in no transaction", written, NONE);
    raw.transact(flow, &a, 0, 0)?;
    raw.transact(flow, &b, 0, 0)?;
    raw.transact(flow, &a, 0, 1)?;

    for committed in [false, true] {
        let told = raw.read(0, committed)?;
        raw.row("both are told the last stable offset", (told.code, told.offsets), (NONE, (4, 1, 0)));
        let (batches, aborted) = if committed { (1, Some(vec![])) } else { (4, None) };
        raw.row("how far an isolation reads", (told.batches.len(), told.aborted), (batches, aborted));
        let past = raw.read(5, committed)?;
        raw.row("past the end", (past.code, past.offsets), (E::OffsetOutOfRange, (-1, -1, -1)));
    }
    // Where it is stable to it waits, and past that it does not.
    let told = raw.fetch(1, true, 700, 1 << 20)?;
    let waited = told.took >= Duration::from_millis(600);
    raw.row("at the last stable offset", (told.code, told.batches.len(), waited), (NONE, 0, true));
    for offset in 2..=4 {
        let told = raw.fetch(offset, true, 20_000, 1 << 20)?;
        let at_once = told.took < Duration::from_secs(10);
        let found = (told.code, told.offsets, told.batches.len(), at_once);
        raw.row(&format!("past what is stable, at {offset}"), found, (NONE, (4, 1, 0), 0, true));
    }

    // The later one ends first.
    let b = raw.finish_transaction(flow, &b, false)?;
    let told = raw.read(0, true)?.offsets;
    raw.row("stable to the earliest that is open", told, (5, 1, 0));
    let a = raw.finish_transaction(flow, &a, false)?;
    raw.ends_at(0, 6)?;
    let list = [(b.id, 2), (a.id, 1)];
    for (offset, listed) in [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 1), (6, 0)] {
        let told = raw.read(offset, true)?;
        let expected = Some(list[2 - listed..].to_vec());
        raw.row(
            &format!("what is listed from {offset}"),
            (told.offsets, told.aborted),
            ((6, 6, 0), expected),
        );
    }
    let told = raw.fetch(0, true, 500, 1)?;
    raw.row("the list goes past the records", (told.batches.len(), told.aborted), (1, Some(list.to_vec())));
    markers(&mut raw, flow, &a)?;

    // One that adds the partition and writes nothing is not listed, and a commit is not.
    let mut a = a;
    if flow == Flow::V1 {
        let added = raw.add(3, &a, &[0])?;
        raw.row("it is added", added, vec![NONE]);
        a = raw.finish_transaction(flow, &a, false)?;
        let told = raw.read(5, true)?.aborted;
        raw.row("an abort of nothing", told, Some(vec![(a.id, 1)]));
    }
    let end = raw.list_offsets(0, -1, false)?.1;
    raw.transact(flow, &a, 0, if flow == Flow::V1 { 2 } else { 0 })?;
    let a = raw.finish_transaction(flow, &a, true)?;
    let told = raw.read(end, true)?;
    raw.row("after a commit", (told.offsets, told.aborted), ((end + 2, end + 2, 0), Some(vec![])));

    // Deleting goes up to the high watermark, the open transaction included.
    raw.transact(flow, &a, 0, if flow == Flow::V1 { 3 } else { 0 })?;
    let (end, told) = (end + 3, raw.delete_before(-1)?);
    raw.row("DeleteRecords", told, (NONE, end));
    let told = raw.read(end, true)?.offsets;
    raw.row("after DeleteRecords", told, (end, end, end));
    raw.finish_transaction(flow, &a, false)?;
    raw.finish()
}

/// The last one is the abort of a producer.
fn markers(raw: &mut Raw, flow: Flow, of: &Producer) -> Outcome {
    let told = raw.read(5, false)?;
    // The producer has the epoch that was answered to it: in the second flow, the one that was raised.
    raw.row("a marker", told.batches, vec![(5, 78, Some(of.epoch))]);
    raw.row("an epoch", of.epoch, if flow == Flow::V1 { 0 } else { 1 });
    // Length, attributes, time and offset deltas; the key's length and bytes, the value's, no headers.
    let record = told.bytes.get(61..).unwrap_or_default();
    raw.row("the key of an abort", record.get(4..9), Some(&[8, 0, 0, 0, 0][..]));
    raw.row("its value's length and version", record.get(9..12), Some(&[12, 0, 0][..]));
    raw.row("no headers", record.get(16..), Some(&[0][..]));
    let count = told.bytes.get(57..61);
    raw.row("one record in it", count, Some(&[0, 0, 0, 1][..]));
    raw.row("its base sequence", told.bytes.get(53..57), Some(&[0xff; 4][..]));
    Ok(())
}

fn listing(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "listing")?;
    let flow = *raw.flows().last().ok_or("a flow")?;
    let who = raw.producer("a")?;
    let time = now() - 10_000;
    if flow == Flow::V1 {
        let added = raw.add(3, &who, &[0])?;
        raw.row("it is added", added, vec![NONE]);
    }
    for (sequence, after) in [(0, 0), (1, 20), (2, 10)] {
        let told = until_some(PATIENCE, "a broker that is ready to write", || {
            let told = raw.write_at(flow.produce(), Some(&who), 0, sequence, time + after).ok()?;
            (!is_not_ready(told)).then_some(told)
        })?;
        raw.row("a record", told, NONE);
    }
    let mut rows = vec![
        ("latest", -1, 3, 0),
        ("earliest", -2, 0, 0),
        ("earliest local", -4, 0, 0),
        ("the largest timestamp", -3, 1, -1),
        ("a time", time, 0, -1),
        ("latest tiered", -5, -1, -1),
    ];
    if raw.offered(ApiKey::ListOffsets) >= 11 {
        rows.push(("earliest pending upload", -6, -1, -1));
    }
    for (what, timestamp, uncommitted, committed) in rows {
        for (isolation, seen) in [(false, uncommitted), (true, committed)] {
            let told = raw.list_offsets(0, timestamp, isolation)?;
            raw.row(&format!("{what}, committed: {isolation}"), told, (NONE, seen));
        }
    }
    raw.finish_transaction(flow, &who, true)?;
    raw.finish()
}

/// Who asks for metadata by names and by ids at once is told of the ids alone.
fn names_beside_ids(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "named")?;
    let other = wait(topic(target, "by-id", 1))?;
    let (id, _) = raw.find(&other)?;
    let named = MetadataRequestTopic { name: Some(raw.topic.clone()), ..Default::default() };
    let by_id = MetadataRequestTopic { topic_id: id, name: None };
    for (row, topics) in
        [("the name first", vec![named.clone(), by_id.clone()]), ("the id first", vec![by_id, named])]
    {
        let request = MetadataRequest { topics: Some(topics), ..Default::default() };
        let told = raw.ask(At::Any, 12, request)?.topics.into_iter();
        let told: Vec<_> = told.map(|topic| (topic.name, topic.error_code)).collect();
        raw.row(row, told, vec![(Some(other.clone()), NONE)]);
    }
    raw.finish()
}
