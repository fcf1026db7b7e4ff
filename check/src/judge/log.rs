//! What a log says by itself: one value at an offset, one offset of a value, and values that somebody sent.

use std::collections::{BTreeSet, HashMap};

use crate::{Anomaly, Kind};

use super::{
    facts::{At, Facts, Seen},
    told::{named, place},
};

/// Where a value is.
type Found<'f, 'a> = (At<'a>, i64, &'f Seen<'a>);

pub(super) fn check<'a>(facts: &Facts<'a>, found: &mut Vec<Anomaly>) {
    let written_to: BTreeSet<&str> = facts.sends.keys().map(|(topic, _)| *topic).collect();
    let mut places: HashMap<(&str, &str), Vec<Found<'_, 'a>>> = HashMap::new();
    for (at, slots) in &facts.log {
        for (offset, values) in slots {
            if values.len() > 1 {
                let says = format!("offset {offset} has {} values", values.len());
                let mut anomaly = facts.anomaly(Kind::InconsistentOffset, *at, says);
                for seen in values {
                    place(&mut anomaly, *offset, seen.value);
                    facts.prove(&mut anomaly, seen.line(), said(seen, *at, *offset));
                }
                found.push(anomaly);
            }
            for seen in values {
                if facts.sent(at.0, seen.value).is_some() {
                    places.entry((at.0, seen.value)).or_default().push((*at, *offset, seen));
                } else if written_to.contains(at.0) {
                    let says = format!("`{}` at offset {offset} was sent by nobody", seen.value);
                    let mut anomaly = facts.anomaly(Kind::NeverSent, *at, says);
                    place(&mut anomaly, *offset, seen.value);
                    facts.prove(&mut anomaly, seen.read, said(seen, *at, *offset));
                    found.push(anomaly);
                }
            }
        }
    }
    let mut twice: Vec<_> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    twice.sort_by_key(|((topic, value), _)| (*topic, *value));
    for ((topic, value), places) in twice {
        let (Some(sent), Some((first, ..))) = (facts.sent(topic, value), places.first()) else { continue };
        if !sent.idempotent {
            continue;
        }
        let says = format!("`{value}` was sent once and is at {} places", places.len());
        let mut anomaly = facts.anomaly(Kind::Duplicate, *first, says);
        facts.prove(&mut anomaly, Some(sent.line), format!("sent `{value}`"));
        for (at, offset, seen) in places {
            place(&mut anomaly, offset, value);
            facts.prove(&mut anomaly, seen.line(), said(seen, at, offset));
        }
        found.push(anomaly);
    }
}

fn said(seen: &Seen<'_>, at: At<'_>, offset: i64) -> String {
    let how = if seen.acked.is_some() { "acknowledged as" } else { "was handed" };
    match seen.acked {
        Some(_) => format!("`{}` {how} offset {offset} of {}", seen.value, named(at)),
        None => format!("{how} `{}` at offset {offset} of {}", seen.value, named(at)),
    }
}
