//! Who asks for a schema that somebody asks for already waits for the same answer; what came is kept.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use ottla_core::{caught, wire_format::SchemaId};
use tokio::sync::watch;

use super::{Schema, SchemaRegistryError, SchemaRegistryErrorKind as Kind, fetching::Fetcher};

/// How many schemas are asked for at once: each has a thread, which mostly waits.
const FLIGHTS_MAX: usize = 64;
/// The texts that are kept.
const BYTES_MAX: usize = 64 << 20;

type Fetched = Result<Arc<Schema>, SchemaRegistryError>;

#[derive(Debug)]
pub(super) struct Flights {
    fetcher: Fetcher,
    schemas_max: usize,
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<SchemaId, watch::Receiver<Option<Fetched>>>,
    kept: HashMap<SchemaId, Arc<Schema>>,
    /// Those that are kept, the oldest first.
    order: VecDeque<SchemaId>,
    bytes: usize,
    is_closed: bool,
}

impl State {
    fn keep(&mut self, id: SchemaId, schema: &Arc<Schema>, most: usize) {
        self.bytes += schema.size();
        self.kept.insert(id, schema.clone());
        self.order.push_back(id);
        while self.order.len() > most || (self.bytes > BYTES_MAX && self.order.len() > 1) {
            let oldest = self.order.pop_front().and_then(|id| self.kept.remove(&id));
            self.bytes -= oldest.map_or(0, |schema| schema.size());
        }
    }
}

impl Flights {
    pub(super) fn new(fetcher: Fetcher, schemas_max: usize) -> Self {
        Self { fetcher, schemas_max, state: Mutex::default(), closing: Condvar::new() }
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.fetcher.http.urls
    }

    pub(super) fn known(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.state().kept.get(&id).cloned()
    }

    #[cfg(ottla_fuzzing)]
    pub(super) fn know(&self, id: SchemaId, schema: Schema) {
        let mut state = self.state();
        *state = State::default();
        state.keep(id, &Arc::new(schema), self.schemas_max);
    }

    /// Nobody asks any more: threads that wait to ask again end. One that waits for an answer ends with it, and nobody waits for
    /// that, as it may take as long as a request may.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.closing.notify_all();
    }

    /// The schema as it is kept, or as the flight brings it that is under way, or that begins now. The flight goes on when nobody
    /// waits for it any more.
    pub(super) async fn ask(self: Arc<Self>, id: SchemaId) -> Fetched {
        let mut landing = match self.take_off(id)? {
            Asked::Kept(schema) => return Ok(schema),
            Asked::UnderWay(landing) => landing,
        };
        // A panic apart, a flight ends with something.
        let lost = || self.failed(Kind::Unavailable, "the request was given up");
        let landed = landing.wait_for(Option::is_some).await.map_err(|_| lost())?;
        landed.clone().unwrap_or_else(|| Err(lost()))
    }

    fn take_off(self: &Arc<Self>, id: SchemaId) -> Result<Asked, SchemaRegistryError> {
        let mut state = self.state();
        if let Some(schema) = state.kept.get(&id) {
            return Ok(Asked::Kept(schema.clone()));
        }
        if let Some(landing) = state.under_way.get(&id) {
            return Ok(Asked::UnderWay(landing.clone()));
        }
        if state.under_way.len() >= FLIGHTS_MAX {
            return Err(self.failed(Kind::Busy, "too many schemas are being asked for"));
        }
        let (tell, landing) = watch::channel(None);
        let flights = self.clone();
        let flight = move || {
            let fetched = caught(|| flights.fetcher.fetch(id, &|time| flights.wait(time)));
            let fetched = fetched
                .unwrap_or_else(|panic| Err(flights.failed(Kind::Malformed, &format!("a panic: {panic}"))))
                .map(Arc::new);
            let mut state = flights.state();
            state.under_way.remove(&id);
            if let Ok(schema) = &fetched {
                state.keep(id, schema, flights.schemas_max);
            }
            drop(state);
            tell.send_replace(Some(fetched));
        };
        // Not one of tokio's threads: who may block may have no runtime.
        let started = thread::Builder::new().name("ottla-schema".to_owned()).spawn(flight);
        started.map_err(|why| self.failed(Kind::Busy, &format!("no thread to ask in: {why}")))?;
        state.under_way.insert(id, landing.clone());
        Ok(Asked::UnderWay(landing))
    }

    /// Waits for so long, or until nobody asks any more: then false.
    fn wait(&self, time: Duration) -> bool {
        let waited = self.closing.wait_timeout_while(self.state(), time, |state| !state.is_closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn failed(&self, kind: Kind, why: &str) -> SchemaRegistryError {
        SchemaRegistryError::new(kind, self.urls().first().map_or("", String::as_str), why)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Asked {
    Kept(Arc<Schema>),
    UnderWay(watch::Receiver<Option<Fetched>>),
}

/// Waits in this thread, within a runtime or without one.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    // Within a task whose budget is spent, tokio would answer "later" for ever.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}
