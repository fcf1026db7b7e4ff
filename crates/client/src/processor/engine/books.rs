//! What is committed in transactions: core's books beside its machine, under the same lock, and who is woken by what.

use std::sync::Arc;

use ottla_core::{
    GroupMetadata, TopicPartition,
    processing::{Attempted, JobId, Parting},
};
use ottla_protocol::Now;
use tokio::sync::oneshot;

use super::{
    super::transactional::{Outputs, Written},
    Engine, Inner, timeout_at,
};
use crate::producer::ProducerRecord;

/// What a job, or the post, has written.
type Output = Arc<[ProducerRecord<'static>]>;

pub(super) type Books = ottla_core::processing::Books<Output>;
pub(in crate::processor) type Draft = ottla_core::processing::Draft<Output>;
pub(in crate::processor) type Entry = ottla_core::processing::Entry<Output>;

impl Inner {
    fn books(&mut self, at: TopicPartition, written: Written) {
        if let Some(books) = &mut self.books {
            books.write(at, written.records.into(), written.bytes);
        }
    }

    /// Records are done: what was written for them is to be committed with their offsets.
    pub(super) fn write(&mut self, outputs: Option<&Outputs>) {
        if let Some(outputs) = outputs
            && let Some(written) = outputs.take()
        {
            self.books(outputs.partition().clone(), written);
        }
    }

    /// These partitions are another's, or begin anew.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        if let Some(books) = &mut self.books {
            books.forget(partitions);
        }
    }

    /// Whether nothing more may be written before some of it is committed.
    pub(super) fn is_full(&self) -> bool {
        self.books.as_ref().is_some_and(Books::is_full)
    }

    /// Whether partitions that are drained may be given up: no transaction is under way.
    pub(super) fn are_books_settled(&mut self) -> bool {
        self.books.as_mut().is_none_or(|books| books.hold(&self.machine))
    }

    /// Whether the pump is to commit before it is due.
    pub(super) fn hurries(&self) -> bool {
        self.books.as_ref().is_some_and(|books| books.hurries(&self.machine))
    }

    /// What is due to be committed, if anything is.
    pub(super) fn draft(&mut self, now: Now) -> Option<Draft> {
        self.books.as_mut()?.draft(&mut self.machine, now)
    }

    /// Tells who waits for what is over.
    fn tell_parted(&mut self) {
        while let Some(parting) = self.books.as_mut().and_then(Books::poll_parted) {
            if let Some(told) = self.partings.remove(&parting) {
                // Who waited may have given up.
                let _ = told.send(());
            }
        }
    }

    fn await_parting(&mut self, parting: Parting) -> oneshot::Receiver<()> {
        let (told, ended) = oneshot::channel();
        self.partings.insert(parting, told);
        ended
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
            if is_done {
                inner.books(at, written);
            }
            is_done
        })
    }

    /// Has this committed in the name of this member. Where it is none, or none of these partitions by now, it is put back.
    pub(in crate::processor) fn enter(&self, draft: Draft, member: Option<GroupMetadata>) {
        self.with(|inner, now| {
            if let Some(books) = &mut inner.books {
                books.enter(draft, member, &mut inner.machine, now);
            }
        });
        self.books.notify_one();
    }

    /// The next transaction.
    pub(in crate::processor) fn next_entry(&self) -> Option<Entry> {
        self.with(|inner, now| {
            let books = inner.books.as_mut()?;
            books.handle_timeout(&mut inner.machine, now);
            let entry = books.poll_entry();
            inner.tell_parted();
            entry
        })
    }

    /// Returns when there may be a transaction to be committed, or none will be any more.
    pub(in crate::processor) async fn entered(&self) {
        match self.with(|inner, _| inner.books.as_ref().and_then(Books::poll_timeout)) {
            Some(until) => _ = timeout_at(until, self.books.notified()).await,
            None => self.books.notified().await,
        }
    }

    /// Whether no transaction will come to be committed any more.
    pub(in crate::processor) fn are_books_done(&self) -> bool {
        let rests = self.with(|inner, _| inner.books.as_ref().and_then(Books::poll_timeout).is_some());
        self.is_ended() && !rests
    }

    /// Whether a partition of this was lost since: it must not be committed.
    pub(in crate::processor) fn is_lost(&self, entry: &Entry) -> bool {
        self.with(|inner, _| inner.books.as_ref().is_some_and(|books| books.is_lost(entry)))
    }

    /// What came of a transaction.
    pub(in crate::processor) fn attempted(&self, entry: Entry, attempted: Attempted) {
        self.with(|inner, now| {
            if let Some(books) = &mut inner.books {
                books.handle_attempted(entry, attempted, &mut inner.machine, now);
            }
            inner.tell_parted();
        });
    }

    /// Gives up partitions that are drained: what is done of them, and was written for it, is committed in a transaction, in the name of
    /// this member. When that has ended; `None` where there is nothing to commit, or it cannot be.
    pub(in crate::processor) fn give_up(
        &self,
        partitions: &[TopicPartition],
        member: Option<GroupMetadata>,
    ) -> Option<oneshot::Receiver<()>> {
        let ended = self.with(|inner, _| {
            let books = inner.books.as_mut()?;
            let given_up = books.give_up(partitions, member, &mut inner.machine);
            given_up.parting.map(|parting| inner.await_parting(parting))
        });
        self.books.notify_one();
        ended
    }
}
