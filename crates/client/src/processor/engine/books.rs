//! What is committed in transactions: what handlers have written, with the offsets of the records that it was written for.
//!
//! Both are taken under one lock, so that each transaction has whole records. In whose name it is to be committed is asked behind that,
//! while no listener can be told of anything: who is in another generation by then, and owns the partitions still, has never lost them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use ottla_core::{
    CommittedOffset, GroupMetadata, TopicPartition,
    processing::{CommitEnd, JobId, Ledger, Round},
};
use ottla_protocol::Now;
use tokio::sync::oneshot;

use super::{
    super::transactional::{Outputs, Written},
    Engine, Inner,
};
use crate::producer::ProducerRecord;

/// What is to be committed in a transaction, once it is known in whose name.
#[derive(Debug)]
pub(in crate::processor) struct Draft {
    round: Round,
    outputs: Vec<Output>,
    pub(in crate::processor) offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

/// A transaction that is to be.
#[derive(Debug)]
pub(in crate::processor) struct Entry {
    /// What is told to the machine of its end; `None` of partitions that it does not know any more.
    round: Option<Round>,
    pub(in crate::processor) outputs: Vec<Output>,
    pub(in crate::processor) offsets: BTreeMap<TopicPartition, CommittedOffset>,
    pub(in crate::processor) group: GroupMetadata,
    /// Who waits for it.
    told: Option<oneshot::Sender<()>>,
}

impl Entry {
    /// Whether it is of partitions that are given up: what it does not commit is not committed later.
    pub(in crate::processor) fn is_last(&self) -> bool {
        self.round.is_none()
    }
}

/// What a job, or the post, has written.
type Output = Arc<[ProducerRecord<'static>]>;

#[derive(Debug, Default)]
pub(super) struct Books {
    ledger: Ledger<Output>,
    /// Those that nobody is at yet: one of the pump's at the most, and one for each time that partitions are given up.
    entries: VecDeque<Entry>,
    /// No transaction is committed any more.
    are_closed: bool,
    /// Partitions are about to be given up: no round begins before they are.
    are_held: bool,
    /// The last round was in vain: the next waits until it is due.
    is_in_vain: bool,
    /// How many bytes may wait.
    most: usize,
}

impl Books {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    fn write(&mut self, at: TopicPartition, written: Written) {
        self.ledger.write(at, written.records.into(), written.bytes);
    }

    /// Whether there is so much that it is to be committed, whatever the time.
    fn hurry(&self) -> bool {
        self.may_begin() && !self.is_in_vain && self.ledger.bytes() >= (self.most / 2).max(1)
    }

    fn may_begin(&self) -> bool {
        !self.are_held && !self.are_closed
    }
}

impl Inner {
    /// Records are done: what was written for them is to be committed with their offsets.
    pub(super) fn write(&mut self, outputs: Option<&Outputs>) {
        let Some((books, outputs)) = self.books.as_mut().zip(outputs) else { return };
        if let Some(written) = outputs.take() {
            books.write(outputs.partition().clone(), written);
        }
    }

    /// These partitions are another's, or begin anew.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        if let Some(books) = &mut self.books {
            books.are_held = false;
            books.ledger.forget(partitions);
        }
    }

    /// Whether nothing more may be written before some of it is committed.
    pub(super) fn is_full(&self) -> bool {
        self.books.as_ref().is_some_and(|books| books.ledger.bytes() >= books.most)
    }

    /// Whether partitions that are drained may be given up: no transaction is under way. From here on none begins before they are.
    pub(super) fn are_books_settled(&mut self) -> bool {
        let Some(books) = &mut self.books else { return true };
        books.are_held = true;
        !self.machine.is_committing()
    }

    /// Whether the pump is to commit before it is due.
    pub(super) fn hurries(&self) -> bool {
        self.books.as_ref().is_some_and(Books::hurry)
            && !self.machine.is_committing()
            && !self.machine.is_stopping()
    }

    /// What is due to be committed, if anything is.
    pub(super) fn draft(&mut self, now: Now) -> Option<Draft> {
        let hurries = self.hurries();
        let books = self.books.as_mut().filter(|books| books.may_begin() && !self.machine.is_stopping())?;
        let offsets = if hurries { self.machine.commit_now() } else { self.machine.poll_commit(now) }?;
        let (round, outputs) = books.ledger.take();
        Some(Draft { round, outputs, offsets })
    }

    fn round_ended(&mut self, round: Round, end: CommitEnd, now: Now) {
        if let Some(books) = &mut self.books {
            books.is_in_vain = end != CommitEnd::Committed;
            books.ledger.handle_ended(round, end == CommitEnd::Committed);
        }
        self.machine.handle_committed(end, now);
    }
}

impl Engine {
    /// A record that is given up is written to a topic with the transaction that commits it. Whether it is: not where it is not ours
    /// any more.
    pub(in crate::processor) fn given_to_books(
        &self,
        id: JobId,
        at: TopicPartition,
        letter: ProducerRecord<'_>,
    ) -> bool {
        let mut written = Written::default();
        written.push(letter.into_owned());
        self.with(|inner, now| {
            let is_done = inner.machine.handle_given_away(id, true, now);
            if let Some(books) = inner.books.as_mut().filter(|_| is_done) {
                books.write(at, written);
            }
            is_done
        })
    }

    /// Has this committed in the name of this member. Where it is none, or none of these partitions by now, it is put back.
    pub(in crate::processor) fn enter(&self, draft: Draft, member: Option<GroupMetadata>) {
        let Draft { round, outputs, offsets } = draft;
        self.with(|inner, now| {
            let books = inner.books.as_mut().filter(|books| !books.are_closed);
            match books.zip(member) {
                Some((books, group)) => {
                    let round = Some(round);
                    books.entries.push_back(Entry { round, outputs, offsets, group, told: None });
                }
                None => inner.round_ended(round, CommitEnd::Failed, now),
            }
        });
        self.books.notify_one();
    }

    /// The next transaction.
    pub(in crate::processor) fn next_entry(&self) -> Option<Entry> {
        self.with(|inner, _| inner.books.as_mut()?.entries.pop_front())
    }

    /// Returns when there may be a transaction to be committed, or none will be any more.
    pub(in crate::processor) async fn entered(&self) {
        self.books.notified().await;
    }

    /// A transaction has ended.
    pub(in crate::processor) fn entry_ended(&self, entry: Entry, end: CommitEnd) {
        if let Some(round) = entry.round {
            self.with(|inner, now| inner.round_ended(round, end, now));
        }
        if let Some(told) = entry.told {
            // Who waited may have given up.
            let _ = told.send(());
        }
    }

    /// No transaction is committed any more: who waits for one need not.
    pub(in crate::processor) fn close_books(&self) {
        self.with(|inner, now| {
            let Some(books) = &mut inner.books else { return };
            books.are_closed = true;
            for entry in std::mem::take(&mut books.entries) {
                if let Some(round) = entry.round {
                    inner.round_ended(round, CommitEnd::Failed, now);
                }
            }
            inner.machine.stop();
        });
    }

    /// Gives up partitions that are drained: what is done of them, and was written for it, is committed in a transaction, in the name of
    /// this member. When that has ended; `None` where there is nothing to commit, or it cannot be.
    ///
    /// Nothing of them is committed while another transaction is under way, though its end was waited for: it may have some of what was
    /// written, and their offsets must not be committed without.
    pub(in crate::processor) fn give_up(
        &self,
        partitions: &[TopicPartition],
        member: Option<GroupMetadata>,
    ) -> Option<oneshot::Receiver<()>> {
        let ended = self.with(|inner, _| {
            let is_committing = inner.machine.is_committing();
            let offsets = inner.machine.release(partitions);
            let books = inner.books.as_mut()?;
            books.are_held = false;
            let outputs = books.ledger.take_of(partitions);
            books.ledger.forget(partitions);
            if is_committing || offsets.is_empty() || books.are_closed {
                return None;
            }
            let (told, ended) = oneshot::channel();
            let group = member?;
            books.entries.push_back(Entry { round: None, outputs, offsets, group, told: Some(told) });
            Some(ended)
        });
        self.books.notify_one();
        ended
    }
}
