//! Processes that read, transform and write in transactions: each record that they committed has its output once.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Anomaly, Kind, history::Isolation};

use super::{
    facts::{At, Facts, Fate},
    told::{named, place},
};

/// Of one group and one partition that it reads.
#[derive(Debug, Default)]
struct Input<'a> {
    /// By offset, the transactions with output of it.
    outputs: BTreeMap<i64, BTreeSet<&'a str>>,
    /// What committed transactions have committed: the highest, and which.
    committed: Option<(i64, &'a str)>,
}

pub(super) fn check<'a>(facts: &Facts<'a>, found: &mut Vec<Anomaly>) {
    let mut inputs: BTreeMap<(&str, At<'a>), Input<'a>> = BTreeMap::new();
    for (name, txn) in &facts.txns {
        let Some(group) = txn.group else { continue };
        for from in txn.sends.iter().filter_map(|(topic, value)| facts.sent(topic, value)?.from) {
            let input = inputs.entry((group, (&from.topic, from.partition))).or_default();
            input.outputs.entry(from.offset).or_default().insert(name);
        }
        if txn.fate == Fate::Committed {
            for to in txn.offsets {
                let input = inputs.entry((group, (&to.topic, to.partition))).or_default();
                input.committed = input.committed.max(Some((to.offset, name)));
            }
        }
    }
    for ((_, at), Input { outputs, committed }) in inputs {
        for (offset, txns) in &outputs {
            let committed =
                |name: &&&str| facts.txns.get(**name).is_some_and(|txn| txn.fate == Fate::Committed);
            let committed: Vec<&str> = txns.iter().filter(committed).copied().collect();
            if committed.len() > 1 {
                let says = format!(
                    "offset {offset} was committed with its output in {} transactions",
                    committed.len()
                );
                let mut anomaly = facts.anomaly(Kind::ExactlyOnce, at, says);
                anomaly.offsets.push(*offset);
                for name in committed {
                    let line = facts.txns.get(name).map(|txn| txn.line);
                    facts.prove(&mut anomaly, line, format!("committed `{name}`"));
                }
                found.push(anomaly);
            }
        }
        let (Some((first, _)), Some((end, by))) = (outputs.first_key_value(), committed) else { continue };
        for (offset, seen) in facts.due(at, *first..end, Isolation::ReadCommitted) {
            let has_output = outputs.get(&offset).is_some_and(|txns| {
                txns.iter()
                    .filter_map(|name| facts.txns.get(name))
                    .any(|txn| matches!(txn.fate, Fate::Committed | Fate::MaybeCommitted))
            });
            if !has_output {
                let says =
                    format!("offset {offset} is committed, and no committed transaction has its output");
                let mut anomaly = facts.anomaly(Kind::ExactlyOnce, at, says);
                place(&mut anomaly, offset, seen.value);
                facts.prove(&mut anomaly, seen.line(), format!("`{}` is the input", seen.value));
                let line = facts.txns.get(by).map(|txn| txn.line);
                facts.prove(&mut anomaly, line, format!("committed {} up to {end} with `{by}`", named(at)));
                found.push(anomaly);
            }
        }
    }
}
