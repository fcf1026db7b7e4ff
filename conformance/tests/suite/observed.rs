//! What brokers answer to transactional producers and to readers of what is committed: each row of
//! `docs/transactions-observed.md` that real brokers were seen to answer is asked of them again.

use std::net::TcpStream;

use ottla_conformance::targets::{Target, unique};
use ottla_protocol::messages::*;
use ottla_protocol::{ApiKey, ErrorCode as E, RequestHeader};

use crate::cases::{Case, Outcome};
use crate::kit::holds;
use crate::raw::{At, Raw};
use crate::raw_transactions::{Flow, NOBODY, Producer, now};

const NONE: E = E::None;
const EPOCH: E = E::InvalidProducerEpoch;
const FENCED: E = E::ProducerFenced;
const STATE: E = E::InvalidTxnState;
const MAPPING: E = E::InvalidProducerIdMapping;

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run).and_kafka_3_9();
    vec![
        Case::kafka(
            "observed::versions_for_transactions_are_on_offer_and_a_newer_one_ends_the_connection",
            on_offer,
        )
        .and_kafka_4_3(),
        everywhere("observed::transactions_end_as_each_flow_has_it", ends),
        everywhere("observed::a_zombie_is_told_by_each_request", zombies),
        everywhere("observed::after_a_time_out_each_request_is_told", time_is_up),
    ]
}

fn on_offer(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "offered")?;
    let Target::Kafka(_) = target else { return Err("another target".into()) };
    let newest = raw.offered(ApiKey::TxnOffsetCommit);
    raw.row("TxnOffsetCommit", newest == 5 || newest == 6, true);
    for (api, version) in [
        (ApiKey::Produce, 13),
        (ApiKey::InitProducerId, 5),
        (ApiKey::AddPartitionsToTxn, 5),
        (ApiKey::AddOffsetsToTxn, 4),
        (ApiKey::EndTxn, 5),
        (ApiKey::Fetch, 18),
        (ApiKey::ListOffsets, 11),
        (ApiKey::OffsetFetch, 10),
        (ApiKey::OffsetCommit, 10),
    ] {
        let offered = raw.offered(api);
        raw.row(&format!("the newest {api:?}"), offered, version);
    }
    let who = raw.producer("batched")?;
    for version in [4, 5] {
        let added = raw.add(version, &who, &[0])?;
        raw.row("a client adds partitions as a broker does", added, vec![NONE]);
    }
    let (key, version) = (ApiKey::InitProducerId, 5);
    let header = RequestHeader { key, version, correlation_id: 1, client_id: None };
    let request = InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
    let mut frame = header.encode(&request.into());
    // What is new in it follows the rest: who knows version 6 misses it, who does not looks no further than its number.
    frame[7] = 6;
    let mut stream = TcpStream::connect(target.bootstrap().split(',').next().unwrap_or_default())?;
    std::io::Write::write_all(&mut stream, &frame)?;
    let answered = std::io::Read::read(&mut stream, &mut [0; 4]);
    holds(&format!("the connection ends: {answered:?}"), matches!(answered, Ok(0) | Err(_)))?;
    raw.finish()
}

fn ends(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "ends")?;
    for flow in raw.flows() {
        end_in(&mut raw, *flow)?;
    }
    // Time-outs, and ids.
    let id = unique("limits");
    raw.next(&id, 60_000)?;
    for (timeout_ms, told) in [
        (900_000, Ok(1)),
        (900_001, Err(E::InvalidTransactionTimeout)),
        (0, Err(E::InvalidTransactionTimeout)),
    ] {
        let answer = raw.init_epoch(4, &id, None, timeout_ms)?;
        raw.row(&format!("a time-out of {timeout_ms} ms"), answer, told);
    }
    let request = InitProducerIdRequest {
        transactional_id: Some(String::new()),
        transaction_timeout_ms: 1000,
        ..Default::default()
    };
    let empty = raw.ask(At::Any, 4, request)?.error_code;
    raw.row("an empty transactional id", empty, E::InvalidRequest);
    raw.finish()
}

fn end_in(raw: &mut Raw, flow: Flow) -> Outcome {
    let (v1, end) = (flow == Flow::V1, flow.end());
    let row = |what: &str| format!("{flow:?}: {what}");
    let of = |first: E, second: E, epoch: i16| if v1 { (first, -1) } else { (second, epoch) };
    let mut who = raw.producer("ends")?;
    raw.row(&row("a new id has epoch 0"), who.epoch, 0);
    let told = raw.end(end, &who, true)?;
    raw.row(&row("commit with nothing in it"), told, (STATE, -1));
    let told = raw.end(end, &who, false)?;
    raw.row(&row("abort with nothing in it"), told, of(STATE, NONE, 1));
    if !v1 {
        who = who.in_epoch(told.1);
    }
    if v1 {
        let told = raw.write(11, &who, 0, 0)?;
        raw.row(&row("a write to what was not added"), told, E::TransactionAbortable);
        let group = unique("not-added");
        let told = raw.commit(4, &who, &group, NOBODY, 0, 5)?;
        raw.row(&row("offsets of a group that was not added"), told, E::TransactionAbortable);
    } else {
        let group = unique("implicit");
        let told = raw.commit(5, &who, &group, NOBODY, 0, 5)?;
        raw.row(&row("offsets of a group that was not added"), told, NONE);
    }
    for (committed, sequence) in [(true, 0), (false, 1)] {
        let other = !committed;
        raw.transact(flow, &who, 0, if v1 { sequence } else { 0 })?;
        let epoch = who.epoch + 1;
        let before = who.clone();
        let told = raw.end(end, &before, committed)?;
        raw.row(&row("an end"), told, of(NONE, NONE, epoch));
        raw.is_complete(&who.transactional_id)?;
        let told = raw.end(end, &before, committed)?;
        raw.row(&row("the same end again"), told, of(NONE, NONE, epoch));
        let told = raw.end(end, &before, other)?;
        raw.row(&row("the other end after an end"), told, (STATE, -1));
        if !v1 {
            who = who.in_epoch(epoch);
            let told = raw.end(end, &who, true)?;
            raw.row(&row("commit with nothing in it, in the new epoch"), told, (STATE, -1));
        }
    }
    if !v1 {
        let told = raw.write(12, &who, 0, 1)?;
        raw.row(&row("a sequence that does not begin anew"), told, E::OutOfOrderSequenceNumber);
        let told = raw.write(12, &who, 0, 0)?;
        raw.row(&row("a sequence that does"), told, NONE);
        let old = who.in_epoch(who.epoch - 2);
        let told = raw.end(5, &old, true)?;
        raw.row(&row("an epoch two back"), told, (FENCED, -1));
        who = raw.finish_transaction(flow, &who, true)?;
        writes_at_once(raw, who)?;
        return Ok(());
    }
    // Twice more: the epoch that it has is two back.
    let id = who.transactional_id.clone();
    for epoch in [1, 2] {
        let told = raw.init_epoch(4, &id, None, 60_000)?;
        raw.row(&row("it begins again over an idle id"), told, Ok(epoch));
    }
    let told = raw.end(end, &who, true)?;
    raw.row(&row("an epoch two back"), told, (FENCED, -1));
    let over = raw.producer("open")?;
    raw.transact(flow, &over, 1, 0)?;
    let told = raw.init_epoch(4, &over.transactional_id, None, 60_000)?;
    raw.row(&row("it begins again over an open transaction"), told, Err(E::ConcurrentTransactions));
    let told = raw.next(&over.transactional_id, 60_000)?.epoch;
    raw.row(&row("and then"), told, 2);
    Ok(())
}

/// A write at once after an end is taken, or told to come again while the marker is not written: real brokers wait a little
/// themselves.
fn writes_at_once(raw: &mut Raw, mut who: Producer) -> Outcome {
    for _ in 0..5 {
        raw.transact(Flow::V2, &who, 1, 0)?;
        let (code, epoch) = raw.end(5, &who, true)?;
        raw.row("a commit", code, NONE);
        who = who.in_epoch(epoch);
        let told = raw.write_at(12, Some(&who), 1, 0, now())?;
        raw.row("a record written at once", told == NONE || told == E::ConcurrentTransactions, true);
        raw.transact(Flow::V2, &who, 1, 0)?;
        who = raw.finish_transaction(Flow::V2, &who, true)?;
    }
    Ok(())
}

fn zombies(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "zombies")?;
    let newest = |api, known: i16| -> i16 { known.min(api) };
    let (produce, commit, end) = (
        newest(raw.offered(ApiKey::Produce), 12),
        newest(raw.offered(ApiKey::TxnOffsetCommit), 5),
        newest(raw.offered(ApiKey::EndTxn), 5),
    );
    let flow = if end == 5 { Flow::V2 } else { Flow::V1 };
    let group = unique("zombies");
    let old = raw.producer("zombie")?;
    raw.transact(flow, &old, 0, 0)?;
    let new = raw.next(&old.transactional_id, 60_000)?;
    let id = old.transactional_id.clone();
    let another = Producer { id: new.id + 100_000, ..new.clone() };
    for (zombie, writes, first, later, begins) in [
        (&old, EPOCH, EPOCH, FENCED, FENCED),
        (&new.in_epoch(9), EPOCH, EPOCH, FENCED, FENCED),
        (&another, MAPPING, MAPPING, MAPPING, FENCED),
    ] {
        let named = |what: &str, version: i16| format!("{what} {version} in epoch {}", zombie.epoch);
        for version in 11..=produce {
            for (partition, sequence) in [(0, 1), (1, 0)] {
                let told = raw.write(version, zombie, partition, sequence)?;
                raw.row(&named("Produce", version), told, writes);
            }
        }
        for version in 2..=commit {
            let told = raw.commit(version, zombie, &group, NOBODY, 0, 5)?;
            raw.row(&named("TxnOffsetCommit", version), told, writes);
        }
        for version in 1..=3 {
            let told = raw.add(version, zombie, &[0])?;
            raw.row(
                &named("AddPartitionsToTxn", version),
                told,
                vec![if version < 2 { first } else { later }],
            );
        }
        for version in 3..=4 {
            let told = raw.add_offsets(version, zombie, &group)?;
            raw.row(&named("AddOffsetsToTxn", version), told, later);
        }
        for version in 1..=end {
            let told = raw.end(version, zombie, true)?;
            let code = if version < 2 { first } else { later };
            raw.row(&named("EndTxn", version), told, (code, -1));
        }
        for version in 3..=5 {
            let told = raw.init_epoch(version, &id, Some(zombie), 60_000)?;
            let code = if version < 4 { EPOCH } else { begins };
            raw.row(&named("InitProducerId", version), told, Err(code));
        }
    }
    let stranger = Producer { transactional_id: unique("unknown"), ..new.clone() };
    let told = (
        raw.add(3, &stranger, &[0])?,
        raw.add_offsets(4, &stranger, &group)?,
        raw.end(end, &stranger, true)?.0,
        raw.write(produce, &stranger, 0, 0)?,
        raw.commit(commit, &stranger, &group, NOBODY, 0, 5)?,
    );
    raw.row(
        "a transactional id that is not known",
        told,
        (vec![MAPPING], MAPPING, MAPPING, MAPPING, MAPPING),
    );
    // The new one has a transaction open.
    raw.transact(flow, &new, 1, 0)?;
    let told = raw.init_epoch(4, &id, Some(&old), 60_000)?;
    raw.row("a zombie begins again over an open transaction", told, Err(E::ConcurrentTransactions));
    raw.is_complete(&id)?;
    let told = raw.state(&id)?;
    raw.row("the open transaction is aborted", told.as_str(), "CompleteAbort");
    let told = raw.init_epoch(4, &id, Some(&old), 60_000)?;
    raw.row("the zombie once more", told, Err(FENCED));
    let told = raw.write(produce, &new, 1, 1)?;
    raw.row("the epoch of the new one has passed", told, EPOCH);
    raw.finish()
}

fn time_is_up(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "late")?;
    let (flows, group) = (raw.flows(), unique("late"));
    let mut late = Vec::new();
    for flow in flows {
        let who = raw.next(&unique("late"), 2_000)?;
        raw.transact(*flow, &who, 0, 0)?;
        late.push((*flow, who));
    }
    for (flow, who) in late {
        let v1 = flow == Flow::V1;
        let row = |what: &str| format!("{flow:?}, after a time-out: {what}");
        raw.is_complete(&who.transactional_id)?;
        let told = raw.state(&who.transactional_id)?;
        raw.row(&row("it is aborted"), told.as_str(), "CompleteAbort");
        let told = raw.write(flow.produce(), &who, 0, 1)?;
        raw.row(&row("Produce"), told, EPOCH);
        let told = raw.commit(flow.commit(), &who, &group, NOBODY, 0, 5)?;
        raw.row(&row("TxnOffsetCommit"), told, EPOCH);
        if v1 {
            let told = raw.add(3, &who, &[0])?;
            raw.row(&row("AddPartitionsToTxn"), told, vec![FENCED]);
        }
        let told = raw.end(flow.end(), &who, true)?;
        raw.row(&row("commit"), told, if v1 { (FENCED, -1) } else { (STATE, -1) });
        let told = raw.end(flow.end(), &who, false)?;
        raw.row(&row("abort"), told, if v1 { (FENCED, -1) } else { (NONE, 1) });
        let told = raw.init_epoch(4, &who.transactional_id, Some(&who), 60_000)?;
        // An older broker knows the epoch before the last no more.
        let (has_both, fenced) = (raw.flows().len() == 2, Err(FENCED));
        raw.row(&row("InitProducerId"), told, if has_both { Ok(1) } else { fenced });
    }
    raw.finish()
}
