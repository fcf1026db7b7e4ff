//! Transactions as the final reads of one process show them: all of each, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Anomaly, Kind, history::Isolation};

use super::{
    facts::{At, Facts, Fate},
    told::place,
    walk::{Final, Walked},
};

/// Offsets whose values are missing of torn transactions.
pub(super) fn check<'a>(
    facts: &Facts<'a>,
    walked: &Walked<'a>,
    found: &mut Vec<Anomaly>,
) -> BTreeSet<(At<'a>, i64)> {
    let mut readers: BTreeMap<&str, BTreeMap<At<'a>, &Final<'a>>> = BTreeMap::new();
    for read in walked.finals.iter().filter(|read| read.isolation == Isolation::ReadCommitted) {
        readers.entry(&read.line.operation.process).or_default().insert(read.at, read);
    }
    let mut torn = BTreeSet::new();
    let ended =
        facts.txns.iter().filter(|(_, txn)| matches!(txn.fate, Fate::Committed | Fate::MaybeCommitted));
    for (name, txn) in ended {
        for reads in readers.values() {
            let (mut there, mut missing) = (Vec::new(), Vec::new());
            for (topic, value) in &txn.sends {
                let Some(sent) = facts.sent(topic, value) else { continue };
                let (Some(partition), Some(offset)) = (sent.partition, sent.offset) else { continue };
                let at = (*topic, partition);
                let Some(read) = reads.get(&at) else { continue };
                // Behind the last stable offset the transaction may have been open when it was read.
                if (read.from..read.to).contains(&offset) && facts.is_kept(at, offset) {
                    let is_there = read.handed.get(&offset) == Some(value);
                    let side = if is_there { &mut there } else { &mut missing };
                    side.push((at, offset, *value, sent.line, read.line));
                }
            }
            let (Some(_), Some((at, ..))) = (there.first(), missing.first()) else { continue };
            let says = format!(
                "transaction `{name}`: {} of its values are in the log, {} are not",
                there.len(),
                missing.len()
            );
            let mut anomaly = facts.anomaly(Kind::TornTransaction, *at, says);
            anomaly.partition = None;
            facts.prove(&mut anomaly, Some(txn.line), format!("ended `{name}`"));
            for (_, offset, value, sent, _) in there.iter().take(3) {
                facts.prove(&mut anomaly, Some(sent), format!("sent `{value}`, which is at offset {offset}"));
            }
            for (at, offset, value, sent, read) in &missing {
                place(&mut anomaly, *offset, value);
                facts.prove(
                    &mut anomaly,
                    Some(sent),
                    format!("sent `{value}`, which is not at offset {offset}"),
                );
                facts.prove(&mut anomaly, Some(read), "read all of that partition");
                torn.insert((*at, *offset));
            }
            found.push(anomaly);
        }
    }
    torn
}
