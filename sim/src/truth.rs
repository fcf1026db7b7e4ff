//! What is known from outside of every consumer: what was produced, handed out, done and committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_core::TopicPartition;
use ottla_protocol::TopicId;

use crate::{
    handed::Handed,
    logs::Log,
    role::Role,
    stage::{Stage, Who},
};

#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// The content of each offset, as far as anybody has seen it.
    content: BTreeMap<TopicPartition, BTreeMap<i64, u64>>,
    /// What the producer was told to be appended.
    pub(crate) acknowledged: BTreeMap<TopicPartition, BTreeMap<i64, u64>>,
    pub(crate) logs: BTreeMap<TopicPartition, Log>,
    /// By group, or by whoever reads alone.
    pub(crate) groups: BTreeMap<String, Reading>,
    pub(crate) deliveries: u64,
    /// What was handed out in this step, and by whom.
    pub(crate) fresh: BTreeSet<(Who, TopicPartition)>,
    /// Whose static id was another's.
    pub(crate) refused: Vec<Role>,
    pub(crate) topic_ids: BTreeMap<TopicId, String>,
    /// When each static member sent what the coordinator last took for a sign of life.
    pub(crate) heard: BTreeMap<String, Duration>,
    /// How many topics there have been, but for the one that comes and goes.
    pub(crate) topics: usize,
    /// The last offset handed out of each partition of the topic that comes and goes, since it came last.
    pub(crate) fleeting: BTreeMap<TopicPartition, i64>,
}

/// How far a group has come.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) parts: BTreeMap<TopicPartition, Progress>,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How often each offset was handed out.
    handed: BTreeMap<i64, u32>,
    /// When one was handed out last.
    pub(crate) flowed: Duration,
    /// What users came back from.
    done: BTreeMap<i64, ()>,
    /// What was committed, and since when.
    committed: Vec<(Duration, i64)>,
    /// What stands beside the offset that is committed now.
    beside: String,
    /// Who sought where, and has not committed since.
    sought: Vec<Sought>,
    /// What was sent to be committed and given up unanswered: it may come late.
    late: Vec<i64>,
    /// Nobody need read what lies below: somebody sought forward.
    excused: i64,
}

#[derive(Debug)]
struct Sought {
    who: Who,
    /// The seek's number among all that its user did.
    serial: u64,
    offset: i64,
}

impl Truth {
    /// The content of an offset is what everybody else saw, too.
    pub(crate) fn see(&mut self, at: &TopicPartition, offset: i64, id: u64, stage: &mut Stage) {
        let content = self.content.entry(at.clone()).or_default();
        let known = *content.entry(offset).or_insert(id);
        if known != id {
            stage.violate("a record is what was produced there", || {
                format!("{at} offset {offset} is record {known} for one, {id} for another")
            });
        }
    }

    pub(crate) fn progress(&mut self, group: &str, at: &TopicPartition) -> &mut Progress {
        let reading = self.groups.entry(group.to_owned()).or_default();
        reading.parts.entry(at.clone()).or_default()
    }

    pub(crate) fn handed(&mut self, group: &str, record: &Handed, stage: &mut Stage) {
        self.deliveries += 1;
        self.see(&record.at, record.offset, record.id, stage);
        let progress = self.progress(group, &record.at);
        *progress.handed.entry(record.offset).or_default() += 1;
        progress.flowed = stage.time;
    }

    /// The producer was told that a record is in the log.
    pub(crate) fn acknowledged(&mut self, at: &TopicPartition, offset: i64, id: u64, stage: &mut Stage) {
        self.see(at, offset, id, stage);
        self.acknowledged.entry(at.clone()).or_default().insert(offset, id);
    }

    /// The first acknowledged record that a group has not done, and could do.
    pub(crate) fn missing(&self, group: &str, at: &TopicPartition) -> Option<i64> {
        let progress = self.groups.get(group).and_then(|reading| reading.parts.get(at));
        let acknowledged = self.acknowledged.get(at)?;
        let excused = progress.map_or(0, |progress| progress.excused).max(self.start(at));
        acknowledged
            .keys()
            .copied()
            .find(|offset| *offset >= excused && progress.is_none_or(|p| !p.done.contains_key(offset)))
    }

    /// How many records a group got more than once.
    pub(crate) fn repeated(&self, group: &str) -> u64 {
        let parts = self.groups.get(group).into_iter().flat_map(|reading| reading.parts.values());
        parts.flat_map(|progress| progress.handed.values()).map(|count| u64::from(count - 1)).sum()
    }

    /// The log's start: what lies before it need not be read, as it cannot be.
    pub(crate) fn start(&self, at: &TopicPartition) -> i64 {
        self.logs.get(at).map_or(0, Log::start)
    }

    pub(crate) fn end(&self, at: &TopicPartition) -> i64 {
        self.logs.get(at).map_or(0, Log::end)
    }
}

impl Progress {
    pub(crate) fn done(&mut self, offset: i64) {
        self.done.insert(offset, ());
    }

    /// The committed offset now.
    pub(crate) fn committed(&self) -> Option<i64> {
        self.committed.last().map(|(_, offset)| *offset)
    }

    /// What stands beside an offset that is committed now.
    pub(crate) fn written_beside(&self, offset: i64) -> String {
        if self.committed() == Some(offset) { self.beside.clone() } else { String::new() }
    }

    /// The coordinator has this written beside the committed offset.
    pub(crate) fn note_beside(&mut self, beside: &str) {
        beside.clone_into(&mut self.beside);
    }

    /// Whether an offset was the committed one (`None`: whether there was none) at some time since then.
    pub(crate) fn was_committed(&self, offset: Option<i64>, since: Duration) -> bool {
        self.starts(since).any(|committed| committed == offset)
    }

    /// The committed offset at that time, and each since.
    pub(crate) fn starts(&self, since: Duration) -> impl Iterator<Item = Option<i64>> {
        let at_that_time = self.committed.iter().rposition(|(at, _)| *at < since);
        let first = at_that_time.map(|index| Some(self.committed[index].1)).or(Some(None));
        let later = self.committed[at_that_time.map_or(0, |index| index + 1)..].iter();
        first.into_iter().chain(later.map(|(_, offset)| Some(*offset)))
    }

    /// The largest offset at which a reader may have begun since then.
    pub(crate) fn largest_start(&self, since: Duration) -> i64 {
        self.starts(since).flatten().max().unwrap_or_default()
    }

    /// Somebody sought: one commit of what comes of it may be below the newest.
    pub(crate) fn sought(&mut self, who: Who, serial: u64, offset: i64) {
        self.sought.push(Sought { who, serial, offset });
    }

    /// What came of his seeks until then is committed.
    pub(crate) fn settle(&mut self, who: Who, serial: u64) {
        self.sought.retain(|sought| sought.who != who || sought.serial > serial);
    }

    /// A commit was given up unanswered: it may take the place of a newer one, and a newer one its own.
    pub(crate) fn may_come_late(&mut self, offset: i64) {
        self.late.push(offset);
    }

    /// Whether the committed offset may fall, this once.
    fn may_fall(&mut self, before: i64, offset: i64) -> bool {
        // Commits come in the order of the seeks.
        if let Some(index) = self.sought.iter().position(|sought| sought.offset <= offset) {
            self.sought.remove(index);
            return true;
        }
        let late = self.late.iter().position(|late| *late == offset || *late == before);
        late.map(|index| self.late.remove(index)).is_some()
    }

    /// Somebody sought forward.
    pub(crate) fn excuse_below(&mut self, offset: i64) {
        self.excused = self.excused.max(offset);
    }

    /// The coordinator has this offset now.
    pub(crate) fn commit(&mut self, group: &str, at: &TopicPartition, offset: i64, stage: &mut Stage) {
        let before = self.committed();
        if before == Some(offset) {
            return;
        }
        if let Some(before) = before.filter(|before| offset < *before)
            && !self.may_fall(before, offset)
        {
            stage.violate("the committed offset does not fall", || {
                format!("group {group}, {at}: from {before} to {offset}")
            });
        }
        stage.note(|| format!("committed: {at} = {offset} for {group}"));
        self.committed.push((stage.time, offset));
    }
}
