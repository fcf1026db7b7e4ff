//! Outcomes in the order in which they were read, as far as the input of one of them is not known yet.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use crate::line::Id;

#[derive(Debug)]
struct Outcome {
    id: Id,
    /// Its input's offset, once that is known.
    offset: Option<i64>,
    since: Instant,
    text: String,
}

/// By the partition of their inputs. One whose input is known stays behind those before it.
#[derive(Debug, Default)]
pub(super) struct Early(BTreeMap<i32, VecDeque<Outcome>>);

impl Early {
    /// Those whose input is not known.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (i32, Id)> {
        let all = self.0.iter().flat_map(|(partition, of)| of.iter().map(|outcome| (*partition, outcome)));
        all.filter(|(_, outcome)| outcome.offset.is_none())
            .map(|(partition, outcome)| (partition, outcome.id))
    }

    pub(super) fn is_waiting(&self, partition: i32, id: Id) -> bool {
        let of = self.0.get(&partition);
        of.is_some_and(|of| of.iter().any(|outcome| outcome.id == id && outcome.offset.is_none()))
    }

    pub(super) fn push(&mut self, partition: i32, id: Id, offset: Option<i64>, text: String, since: Instant) {
        self.0.entry(partition).or_default().push_back(Outcome { id, offset, since, text });
    }

    /// The input is known: whether its outcome waited for it.
    pub(super) fn found(&mut self, partition: i32, id: Id, offset: i64) -> bool {
        let Some(of) = self.0.get_mut(&partition) else { return false };
        let waiting = of.iter_mut().find(|outcome| outcome.id == id && outcome.offset.is_none());
        waiting.is_some_and(|outcome| outcome.offset.replace(offset).is_none())
    }

    /// Takes the first one, with its input's offset, where that is known.
    pub(super) fn next(&mut self, partition: i32) -> Option<(i64, String)> {
        let of = self.0.get_mut(&partition)?;
        let offset = of.front()?.offset?;
        Some((offset, of.pop_front()?.text))
    }

    /// Takes those that have waited for too long.
    pub(super) fn overdue(&mut self, is_overdue: impl Fn(Instant) -> bool) -> Vec<(i32, Id)> {
        let mut overdue = Vec::new();
        for (partition, of) in &mut self.0 {
            of.retain(|outcome| {
                let is_gone = outcome.offset.is_none() && is_overdue(outcome.since);
                if is_gone {
                    overdue.push((*partition, outcome.id));
                }
                !is_gone
            });
        }
        overdue
    }
}
