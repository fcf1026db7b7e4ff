//! Lines that are held: a record of theirs waits in a partition *behind* their own, so that those that come later follow it there.
//!
//! Partitions stand in a chain: that of a topic, behind it that of its first retry topic, and so on. All of a chain are of one owner,
//! and each line of one goes on, in the same order, in those behind it:
//!
//! - a record begins only where none of its line is left in any partition behind its own;
//! - where one is left, it is written to the next partition, and counts as done once it is there;
//! - a line's next record is looked at only when the one before is done, or is written.
//!
//! So what is left of a line in a partition behind always comes before what is left in front of it. What was left by an earlier
//! owner has to be told before anything of a chain begins: until then its partitions are *blind*.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use ottla_protocol::Now;

use super::{
    JobId, Processing,
    lines::{LineId, Place},
    partition::{Incarnation, State},
};
use crate::{ids::TopicPartition, offsets::CommittedOffset};

/// A record that is to be written behind, as others of its line are there. Who writes it tells
/// [`Processing::handle_behind`], or [`Processing::handle_given_away`] that it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following<W> {
    /// To be told with what became of it.
    pub id: JobId,
    /// Its partition.
    pub at: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// The record.
    pub work: W,
}

/// What is known of lines that go on behind.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The partition behind each that has one.
    behind: BTreeMap<TopicPartition, TopicPartition>,
    /// Of each partition that is behind another, the lines of which something is left.
    lines: BTreeMap<TopicPartition, HashMap<LineId, Left>>,
    /// Those that somebody writes though their partition is read anew since, with where they were.
    strays: BTreeMap<JobId, (TopicPartition, Option<LineId>)>,
}

/// What is left of a line in a partition.
#[derive(Debug, Default)]
struct Left {
    /// How many are being written.
    on_way: usize,
    /// The last that is known to be there.
    last: Option<i64>,
    /// The last that is done. Those of a line are done in order, so all before it are.
    done: Option<i64>,
}

impl Left {
    /// Whether nothing is, where all before `base` is done or was no record.
    fn is_nothing(&self, base: Option<i64>) -> bool {
        self.on_way == 0 && (self.last <= self.done || self.last < base)
    }
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }

    fn chain(&mut self, partitions: &[TopicPartition]) {
        self.strays.retain(|_, (of, _)| !partitions.contains(of));
        for (at, behind) in partitions.iter().zip(partitions.iter().skip(1)) {
            self.behind.insert(at.clone(), behind.clone());
            self.lines.insert(behind.clone(), HashMap::new());
        }
    }

    /// Of a partition that is not ours any more nothing is known.
    pub(super) fn forget(&mut self, at: &TopicPartition) {
        self.behind.remove(at);
        self.lines.remove(at);
        self.strays.retain(|_, (of, _)| of != at);
    }

    /// Whether somebody writes a record of this partition that is not in hand any more.
    pub(super) fn has_strays(&self, at: &TopicPartition) -> bool {
        self.strays.values().any(|(of, _)| of == at)
    }

    /// What came of one of those: where it is written behind, its offset there.
    pub(super) fn returns(&mut self, id: JobId, written: Option<i64>) {
        let Some((at, line)) = self.strays.remove(&id) else { return };
        if let Some(offset) = written {
            self.written(&at, line, offset);
        }
        self.ends(&at, line);
    }

    fn left_behind(&mut self, at: &TopicPartition, line: Option<LineId>) -> Option<&mut Left> {
        let lines = self.lines.get_mut(self.behind.get(at)?)?;
        Some(lines.entry(line?).or_default())
    }

    /// A record of this partition is given to somebody, who perhaps writes it behind.
    pub(super) fn begins(&mut self, at: &TopicPartition, line: Option<LineId>) {
        if let Some(left) = self.left_behind(at, line) {
            left.on_way += 1;
        }
    }

    /// Nobody writes it any more.
    pub(super) fn ends(&mut self, at: &TopicPartition, line: Option<LineId>) {
        let Some(left) = self.left_behind(at, line) else { return };
        left.on_way = left.on_way.saturating_sub(1);
        if left.is_nothing(None)
            && let Some((behind, line)) = self.behind.get(at).zip(line)
            && let Some(lines) = self.lines.get_mut(behind)
        {
            lines.remove(&line);
        }
    }

    /// It is written behind, there at this offset.
    fn written(&mut self, at: &TopicPartition, line: Option<LineId>, offset: i64) {
        if let Some(left) = self.left_behind(at, line) {
            left.last = left.last.max(Some(offset));
        }
    }

    /// A record of a partition that is behind another is done.
    pub(super) fn done(&mut self, at: &TopicPartition, line: Option<LineId>, offset: i64) {
        let Some((lines, line)) = self.lines.get_mut(at).zip(line) else { return };
        let Some(left) = lines.get_mut(&line) else { return };
        left.done = left.done.max(Some(offset));
        if left.is_nothing(None) {
            lines.remove(&line);
        }
    }
}

impl<W: Clone, E: fmt::Display> Processing<W, E> {
    /// A partition is assigned, as by [`handle_assigned`](Self::handle_assigned), and with it the partitions behind it, one behind the
    /// other, with what is committed of each. Nothing of them is handed out before [`handle_known`](Self::handle_known).
    ///
    /// They are revoked, released and lost together.
    pub fn handle_chain_assigned(
        &mut self,
        chain: impl IntoIterator<Item = (TopicPartition, Option<CommittedOffset>)>,
    ) {
        let mut partitions = Vec::new();
        for (at, committed) in chain {
            let id = self.begin(at.clone(), committed.as_ref());
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.is_blind = true;
            }
            partitions.push(at);
        }
        self.held.chain(&partitions);
        self.share_room();
    }

    /// What is committed of a partition that is behind another, where that was not known when [their chain was
    /// assigned](Self::handle_chain_assigned).
    pub fn handle_behind_assigned(&mut self, at: TopicPartition, committed: Option<&CommittedOffset>) {
        let before = self.named.get(&at).and_then(|id| Some(self.partitions.get(id)?.phase));
        let id = self.begin(at, committed);
        // Its chain may be revoked already.
        if let Some((partition, phase)) = self.partitions.get_mut(&id).zip(before) {
            partition.phase = phase;
        }
        self.share_room();
    }

    /// These records, by key and offset, were in a partition that is behind another when it was assigned.
    pub fn handle_left<'a>(
        &mut self,
        at: &TopicPartition,
        records: impl IntoIterator<Item = (Option<&'a [u8]>, i64)>,
    ) {
        for (key, offset) in records {
            if let Some(line) = self.lines.line_of(key)
                && let Some(lines) = self.held.lines.get_mut(at)
            {
                let left = lines.entry(line).or_default();
                left.last = left.last.max(Some(offset));
            }
        }
    }

    /// Whatever was left in the partitions behind this one has been [told](Self::handle_left): its records, and theirs, are handed out.
    pub fn handle_known(&mut self, first: &TopicPartition) {
        let mut at = Some(first.clone());
        while let Some(this) = at {
            let known = self.named.get(&this).copied();
            if let Some((id, partition)) = known.and_then(|id| Some((id, self.partitions.get_mut(&id)?))) {
                partition.is_blind = false;
                for offset in std::mem::take(&mut partition.unseen) {
                    self.lines.again((id, offset));
                }
            }
            at = self.held.behind.get(&this).cloned();
        }
        self.stir = true;
    }

    /// What is committed of a partition is to be committed once more, as the broker forgets it after a while.
    pub fn handle_commit_ages(&mut self, at: &TopicPartition, now: Now) {
        let known = self.named.get(at).and_then(|id| self.partitions.get_mut(id));
        if let Some(partition) = known {
            partition.commits_again();
            self.stir |= self.committing.is_due_from(now);
        }
    }

    /// Whether a record that was given away, or follows, is still to be told of.
    pub fn is_given_away(&self, id: JobId) -> bool {
        let partition = self.partitions.get(&id.partition);
        let item = partition.and_then(|it| it.items.get(id.offset));
        item.is_some_and(|item| item.is_given_away_as(id)) || self.held.strays.contains_key(&id)
    }

    /// A partition is read anew. Its records that somebody writes behind may be there in the end, so their lines wait for that.
    pub(super) fn stray(&mut self, id: Incarnation) {
        let Some(partition) = self.partitions.get(&id).filter(|_| !self.held.is_empty()) else { return };
        let waiting = self.given_away.iter().map(|given| given.id);
        let waiting: BTreeSet<JobId> =
            waiting.chain(self.following.iter().map(|following| following.id)).collect();
        for (offset, item) in partition.items.iter().filter(|(_, item)| item.state == State::GivenAway) {
            let job = JobId { partition: id, offset, attempt: item.attempts };
            if !waiting.contains(&job) {
                self.held.begins(&partition.at, item.line);
                self.held.strays.insert(job, (partition.at.clone(), item.line));
            }
        }
    }

    /// The next record that is to be written behind.
    pub fn poll_following(&mut self) -> Option<Following<W>> {
        self.following.pop_front()
    }

    /// A record that was [given away](Self::poll_given_away), or [follows](Self::poll_following), is written: it is in the partition
    /// behind its own, at this offset. Whether it is done by that: not where its partition is gone.
    pub fn handle_behind(&mut self, id: JobId, offset: i64, now: Now) -> bool {
        let known = self.partitions.get_mut(&id.partition);
        if let Some(partition) = known
            && let Some(item) = partition.items.get(id.offset)
            && item.is_given_away_as(id)
        {
            self.held.written(&partition.at, item.line, offset);
        }
        self.held.returns(id, Some(offset));
        self.handle_given_away(id, true, now)
    }

    /// Whether a record of this line and partition has to follow others.
    pub(super) fn is_held(&mut self, (id, offset): Place) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let Some(partition) = self.partitions.get(&id) else { return false };
        let Some(line) = partition.items.get(offset).and_then(|item| item.line) else { return false };
        let mut at = &partition.at;
        while let Some(behind) = self.held.behind.get(at) {
            let lines = self.held.lines.get_mut(behind);
            if let Some(lines) = lines
                && let Some(left) = lines.get(&line)
            {
                let known = self.named.get(behind).and_then(|id| self.partitions.get(id));
                if !left.is_nothing(known.and_then(|partition| partition.base())) {
                    return true;
                }
                // What retention took of it is not waited for.
                lines.remove(&line);
            }
            at = behind;
        }
        false
    }

    /// A record is to be written behind. It had no attempt by that.
    pub(super) fn follow(&mut self, (id, offset): Place) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some(item) = partition.items.get_mut(offset) else { return };
        item.state = State::GivenAway;
        item.attempts += 1;
        item.uncounted += 1;
        self.held.begins(&partition.at, item.line);
        let job = JobId { partition: id, offset, attempt: item.attempts };
        let (at, work) = (partition.at.clone(), item.work.clone());
        self.following.push_back(Following { id: job, at, offset, work });
        self.stir = true;
    }
}
