//! What the judge holds against commits: what is done is committed, all of it, and nothing else.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::{CommittedOffset, TopicPartition};

use super::{
    judge::{Judge, Life},
    told::Told,
};
use crate::stage::Stage;

impl Judge {
    /// A commit is asked for: of what is owned, or of what was given up just now.
    pub(super) fn commit(
        &mut self,
        life: Life,
        commit: &BTreeMap<TopicPartition, CommittedOffset>,
        of_released: bool,
        stage: &mut Stage,
    ) {
        if of_released {
            return self.life(life).owed.retain(|at, _| !commit.contains_key(at));
        }
        self.check(life, commit, stage);
        let worker = self.life(life);
        let mut under_way = Vec::new();
        for at in commit.keys() {
            if let Some(tenure) = worker.tenures.get_mut(at) {
                tenure.owed_since = None;
                under_way.push((at.clone(), tenure.serial));
            }
        }
        if worker.under_way.replace(under_way).is_some() {
            stage.violate("one commit is under way at once", || format!("w{life}"));
        }
    }

    /// The commit that was under way has ended.
    pub(super) fn committed(&mut self, life: Life, is_done: bool, refused: bool, now: Duration) {
        self.counts.failed_commits += u64::from(!is_done);
        let worker = self.life(life);
        let under_way = worker.under_way.take().unwrap_or_default();
        (worker.last_commit, worker.refused) = (now, worker.refused | refused);
        for (at, serial) in under_way.into_iter().filter(|_| !is_done) {
            if let Some(tenure) = worker.tenures.get_mut(&at).filter(|tenure| tenure.serial == serial) {
                tenure.owed_since.get_or_insert(now);
            }
        }
    }

    /// What is to be committed is what is done.
    pub(super) fn check(
        &mut self,
        life: Life,
        commit: &BTreeMap<TopicPartition, CommittedOffset>,
        stage: &mut Stage,
    ) {
        for (at, offset) in commit {
            let worker = &self.lives[&life];
            let Some(tenure) = worker.tenures.get(at) else {
                stage.violate("only what is owned is committed", || format!("w{life}: {at}"));
                continue;
            };
            let told = match Told::read(offset.offset, &offset.metadata) {
                Ok(told) if offset.metadata.len() < 4096 => told,
                _ => {
                    return stage
                        .violate("a text beside an offset can be read", || format!("{at}: {offset:?}"));
                }
            };
            if worker.refused && !offset.metadata.is_empty() {
                stage.violate("no text is sent again that is not taken", || {
                    format!("w{life} {at} {offset:?}")
                });
            }
            let log = self.logs.of(at);
            let began = tenure.begun_with.as_ref();
            let first = began.map(|told| told.offset).into_iter().chain(tenure.first).min().unwrap_or(0);
            let is_done = |record: i64| tenure.done.contains(&record) || tenure.is_told(record);
            for record in log.range(first..).map(|(record, _)| *record) {
                match (told.covers(record), is_done(record)) {
                    // One that was deleted before it came is none of its.
                    (true, false) if record < tenure.next && !tenure.items.contains_key(&record) => {}
                    (true, false) => stage.violate("what is not done is not committed", || {
                        format!("w{life} commits {at} {offset:?}, and {record} is not done")
                    }),
                    (false, true) if !worker.refused => stage
                        .violate("all that is done is committed", || {
                            format!("w{life} commits {at} {offset:?}, and {record} is done")
                        }),
                    _ => {}
                }
            }
            let undone = log.range(offset.offset..).next();
            if let Some((record, written)) =
                undone.filter(|(_, written)| offset.leader_epoch > Some(written.leader_epoch))
            {
                stage.violate("the leader epoch is that of the record before", || {
                    format!("w{life} commits {at} {offset:?}, and {record} is of {}", written.leader_epoch)
                });
            }
        }
    }

    /// What the group has committed of a partition is another offset, or has another text.
    pub(super) fn holds(
        &mut self,
        at: &TopicPartition,
        offset: i64,
        text: &str,
        start: i64,
        stage: &mut Stage,
    ) {
        let told = match Told::read(offset, text) {
            Ok(told) => told,
            Err(text) => return stage.violate("a text beside an offset can be read", || text),
        };
        let before = self.committed.insert(at.clone(), offset).unwrap_or_default();
        if self.is_transactional && offset < before {
            stage.violate("committed offsets do not go back", || format!("{at}: {offset} after {before}"));
        }
        let done = self.done.entry(at.clone()).or_default();
        let log = self.logs.of(at).range(start..).map(|(record, _)| *record);
        if let Some(record) = log.filter(|record| told.covers(*record)).find(|record| !done.contains(record))
        {
            stage.violate("what is not done is not committed", || {
                format!("{at} is committed at {told:?}, and {record} is not done")
            });
        }
    }

    /// The offset that the group has committed.
    pub(super) fn committed_at(&self, at: &TopicPartition) -> i64 {
        self.committed.get(at).copied().unwrap_or_default()
    }
}
