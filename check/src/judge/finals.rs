//! What is not there when all is read from the start to the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Anomaly, Kind,
    history::{Isolation, Outcome},
};

use super::{
    facts::{At, Facts, Fate, Seen},
    told::place,
    walk::{Final, Walked},
};

/// How many acknowledged records nobody has looked for.
pub(super) fn check<'a>(
    facts: &Facts<'a>,
    walked: &Walked<'a>,
    torn: &BTreeSet<(At<'a>, i64)>,
    found: &mut Vec<Anomaly>,
) -> usize {
    let mut lost = walked.lost.clone();
    lost.extend(torn);
    let mut covered: BTreeMap<At<'a>, i64> = BTreeMap::new();
    for read in &walked.finals {
        let covered = covered.entry(read.at).or_default();
        *covered = (*covered).max(read.to);
        for (offset, seen) in facts.due(read.at, 0..i64::MAX, read.isolation) {
            let missing = match offset {
                // Acknowledged once the read had begun, it may be behind what was read; so may what waits for a transaction.
                offset if offset >= read.to => {
                    let before = seen.acked.is_some_and(|acked| acked.operation.ended() < read.since);
                    (before && read.isolation == Isolation::ReadUncommitted)
                        .then_some("the log ends before it")
                }
                offset if offset < read.from => {
                    Some("the log begins behind it, and nobody said that it was trimmed")
                }
                offset => match read.handed.get(&offset) {
                    None => Some("it is not in the log"),
                    Some(value) => (*value != seen.value).then_some("another value is there"),
                },
            };
            if let Some(why) = missing
                && lost.insert((read.at, offset))
            {
                found.push(is_lost(facts, read, offset, seen, why));
            }
        }
    }
    found.extend(without_offset(facts, walked));
    let unread = |(at, slots): (&At<'a>, &BTreeMap<i64, Vec<Seen<'a>>>)| {
        let from = covered.get(at).copied().unwrap_or_default();
        let of_slot = |(offset, seen): &(&i64, &Vec<Seen<'a>>)| {
            seen.iter().all(|seen| seen.read.is_none()) && !lost.contains(&(*at, **offset))
        };
        slots.range(from..).filter(of_slot).count()
    };
    facts.log.iter().map(unread).sum()
}

fn is_lost<'a>(facts: &Facts<'a>, read: &Final<'a>, offset: i64, seen: &Seen<'a>, why: &str) -> Anomaly {
    let how = if seen.acked.is_some() { "acknowledged" } else { "read" };
    let says = format!("`{}` was {how} at offset {offset}: {why}", seen.value);
    let mut anomaly = facts.anomaly(Kind::Lost, read.at, says);
    place(&mut anomaly, offset, seen.value);
    facts.prove(&mut anomaly, seen.line(), format!("`{}` at offset {offset}", seen.value));
    facts.prove(&mut anomaly, Some(read.line), format!("read from {} to {}", read.from, read.to));
    anomaly
}

/// Records that a broker acknowledged without an offset: it had them from an attempt before.
fn without_offset<'a>(facts: &Facts<'a>, walked: &Walked<'a>) -> Vec<Anomaly> {
    let mut handed: BTreeMap<At<'a>, (&Final<'a>, BTreeSet<&str>)> = BTreeMap::new();
    for read in walked.finals.iter().filter(|read| read.isolation == Isolation::ReadUncommitted) {
        let (last, values) = handed.entry(read.at).or_insert((read, BTreeSet::new()));
        *last = read;
        values.extend(read.handed.values());
    }
    let mut found = Vec::new();
    for ((topic, value), sent) in &facts.sends {
        let (Outcome::Ok, None, Some(partition)) = (sent.outcome, sent.offset, sent.partition) else {
            continue;
        };
        let at = (*topic, partition);
        let Some((read, values)) = handed.get(&at) else { continue };
        let aborted =
            sent.txn.and_then(|txn| facts.txns.get(txn)).is_some_and(|txn| txn.fate != Fate::Committed);
        if values.contains(value) || aborted || sent.done >= read.since || !facts.is_kept(at, i64::MAX) {
            continue;
        }
        let says = format!("`{value}` was acknowledged, without an offset, and is not in the log");
        let mut anomaly = facts.anomaly(Kind::Lost, at, says);
        anomaly.values.push((*value).to_owned());
        facts.prove(&mut anomaly, Some(sent.line), format!("`{value}` was acknowledged"));
        facts.prove(&mut anomaly, Some(read.line), format!("read from {} to {}", read.from, read.to));
        found.push(anomaly);
    }
    found.sort_by(|one, other| one.values.cmp(&other.values));
    found
}
