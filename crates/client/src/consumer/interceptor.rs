//! The user's interceptors: told of each record that is handed out, and of offsets that are committed.

use std::{fmt, sync::Arc};

use super::{Committed, Record};
use crate::interceptors::Guarded;

/// Is told of each record before it is handed out, and of offsets once they are committed: for counts, traces and audits. Java's
/// `ConsumerInterceptor`, but that it changes no records and leaves none out: what a program handles is what the log has.
///
/// It is called inside `recv`, `poll`, `commit` and [`close`](super::Consumer::close), in the task that called them, and so with
/// several [readers](super::Consumer::reader) from several threads. It holds the call up for as long as it takes: it should only
/// note what it is told. Heartbeats go on meanwhile.
///
/// Where none is set, a record costs nothing for it. Where one is, `recv` looks at the consumer's state for each record, and takes
/// its lock; `poll` does so once.
///
/// **Panics** are caught, and the consumer goes on, as Java's does. The first one of each interceptor is logged.
///
/// ```no_run
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// use ottla::{Consumer, ConsumerInterceptor, Record};
///
/// #[derive(Clone, Default)]
/// struct Count(Arc<AtomicU64>);
///
/// impl ConsumerInterceptor for Count {
///     fn on_consume(&self, _record: Record<'_>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let count = Count::default();
/// let builder = Consumer::builder().bootstrap_servers("localhost:9092").group_id("billing");
/// let consumer = builder.interceptor(count.clone()).subscribe("orders").build().await?;
/// # Ok(())
/// # }
/// ```
pub trait ConsumerInterceptor: Send + Sync + 'static {
    /// The record is about to be handed out. A future of `recv` or `poll` that is dropped then loses no record, and so each is
    /// told once, unless it is read again after a rebalance or a seek.
    fn on_consume(&self, _record: Record<'_>) {}

    /// These offsets are committed: of each partition the next one to read. It is told of all commits, automatic ones, too, by
    /// the next call that may tell it; of a partition that was committed several times since the last call, the newest. A
    /// consumer that is dropped tells nothing.
    fn on_commit(&self, _offsets: &Committed) {}
}

/// All interceptors, in the order in which they are told.
#[derive(Clone, Default)]
pub(crate) struct Interceptors(Vec<Guarded<dyn ConsumerInterceptor>>);

impl Interceptors {
    pub(crate) fn add(&mut self, interceptor: impl ConsumerInterceptor) {
        self.0.push(Guarded::new(Arc::new(interceptor)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn on_consume(&self, record: Record<'_>) {
        for interceptor in &self.0 {
            interceptor.tell("on_consume", |told| told.on_consume(record));
        }
    }

    pub(super) fn on_commit(&self, offsets: &Committed) {
        for interceptor in &self.0 {
            interceptor.tell("on_commit", |told| told.on_commit(offsets));
        }
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}
