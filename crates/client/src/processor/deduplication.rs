//! Records that come twice, and are handled once.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Handler, HandlerError, Handling, Message, Processor};

/// How long a record waits while another of its id is with a handler.
const WAIT: Duration = Duration::from_millis(100);

/// What a [`Deduplication`] returns.
pub type Known<'a, T> = Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send + 'a>>;

/// Knows the ids of records that were handled: for [`Processor::deduplicate`]. [`RecentIds`] is one in memory; one that is to know them
/// after a restart, or for all members of a group, keeps them elsewhere.
///
/// Where a method fails, the record has failed, and is tried again as after any failure.
pub trait Deduplication: Send + Sync + 'static {
    /// Whether a record of this id was handled.
    fn is_known<'a>(&'a self, id: &'a [u8]) -> Known<'a, bool>;

    /// A record of this id was handled. Called after its handler has returned `Ok`, and before the record counts as done: a crash
    /// between has it handled again.
    fn note<'a>(&'a self, id: &'a [u8]) -> Known<'a, ()>;
}

impl<D: Deduplication + ?Sized> Deduplication for Arc<D> {
    fn is_known<'a>(&'a self, id: &'a [u8]) -> Known<'a, bool> {
        (**self).is_known(id)
    }

    fn note<'a>(&'a self, id: &'a [u8]) -> Known<'a, ()> {
        (**self).note(id)
    }
}

/// The newest ids, in memory: so many, and none of an earlier run.
#[derive(Debug)]
pub struct RecentIds {
    most: usize,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    known: HashSet<Arc<[u8]>>,
    /// The oldest first.
    order: VecDeque<Arc<[u8]>>,
}

impl RecentIds {
    /// Keeps the newest `most` ids, at least one.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), ids: Mutex::default() }
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deduplication for RecentIds {
    fn is_known<'a>(&'a self, id: &'a [u8]) -> Known<'a, bool> {
        let is_known = self.ids().known.contains(id);
        Box::pin(std::future::ready(Ok(is_known)))
    }

    fn note<'a>(&'a self, id: &'a [u8]) -> Known<'a, ()> {
        let mut ids = self.ids();
        let id: Arc<[u8]> = id.into();
        if ids.known.insert(id.clone()) {
            ids.order.push_back(id);
        }
        if ids.order.len() > self.most
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.known.remove(&oldest);
        }
        drop(ids);
        Box::pin(std::future::ready(Ok(())))
    }
}

type By = dyn Fn(&Message) -> Option<Vec<u8>> + Send + Sync;

/// What [`Processor::deduplicate`] was told.
#[derive(Clone)]
pub(super) struct Deduplicated {
    by: Arc<By>,
    store: Arc<dyn Deduplication>,
}

impl Deduplicated {
    pub(super) fn around(self, handler: impl Handler) -> impl Handler {
        Once { what: self, under_way: Mutex::default(), handler }
    }
}

impl fmt::Debug for Deduplicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicated").finish_non_exhaustive()
    }
}

/// A handler that is called once for each id.
struct Once<H> {
    what: Deduplicated,
    /// The ids of records that are with the handler.
    under_way: Mutex<HashSet<Vec<u8>>>,
    handler: H,
}

impl<H> Once<H> {
    fn under_way(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that is under way until this is dropped.
struct UnderWay<'a, H>(&'a Once<H>, &'a [u8]);

impl<H> Drop for UnderWay<'_, H> {
    fn drop(&mut self) {
        self.0.under_way().remove(self.1);
    }
}

impl<H: Handler> Handler for Once<H> {
    fn handle(&self, message: Message) -> Handling<'_> {
        let Some(id) = (self.what.by)(&message) else { return self.handler.handle(message) };
        Box::pin(async move {
            if !self.under_way().insert(id.clone()) {
                return Err(HandlerError::defer_until(SystemTime::now() + WAIT));
            }
            let _under_way = UnderWay(self, &id);
            if self.what.store.is_known(&id).await? {
                return Ok(());
            }
            self.handler.handle(message).await?;
            self.what.store.note(&id).await
        })
    }
}

impl Processor {
    /// Has a record handled only if none with the same id was, as far as the store knows. `by` gives the id, as from a header or the
    /// value; a record without one is always handled. For messages with async handlers; not for batches, nor those that block.
    ///
    /// What is known counts as done without a call of the handler. Two records of one id are never with handlers at once in this process.
    /// An id is known once its handler has succeeded and the store has noted it: a crash between has the record handled again, and so
    /// has, with a store in memory, any restart. Where that must not be, the handler's effect and the id belong in one transaction of the
    /// same database.
    pub fn deduplicate(
        mut self,
        by: impl Fn(&Message) -> Option<Vec<u8>> + Send + Sync + 'static,
        store: impl Deduplication,
    ) -> Self {
        self.deduplicated = Some(Deduplicated { by: Arc::new(by), store: Arc::new(store) });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_for_the_newest() {
        let ids = RecentIds::new(2);
        let is_known = |id: &[u8]| ids.ids().known.contains(id);
        for id in [b"a", b"b", b"b", b"c"] {
            drop(ids.note(id));
        }
        assert!(!is_known(b"a") && is_known(b"b") && is_known(b"c"));
    }
}
