//! What the threads of a day share.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::{Admin, admin::Topic};
use ottla_conformance::kafka::{Certificates, Cluster};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::cast::{Actor, Stage};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// How long it takes until all has come where it belongs, once nothing goes wrong any more.
pub(crate) const SETTLE: Duration = Duration::from_secs(120);

/// All that threads share.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) certificates: Certificates,
    pub(crate) stage: Arc<Stage>,
    pub(crate) actors: Vec<Mutex<Actor>>,
    pub(crate) is_over: AtomicBool,
    /// No other fault is to begin, and all is to come to its end.
    pub(crate) is_called_off: AtomicBool,
}

impl Scene {
    pub(crate) fn actor(&self, index: usize) -> Option<MutexGuard<'_, Actor>> {
        Some(self.actors.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Actor>> {
        self.actors.iter().map(|actor| actor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn is_called_off(&self) -> bool {
        self.is_called_off.load(Ordering::Relaxed)
    }

    /// Calls the day off when SIGTERM comes.
    pub(crate) fn heed_signals(&self) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let mut terminated = signal(SignalKind::terminate())?;
            while !self.is_over() {
                if timeout(Duration::from_millis(500), terminated.recv()).await.is_ok() {
                    println!("called off: what has begun has its end");
                    self.is_called_off.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        })
    }

    /// An admin client, of a runtime of one's own.
    pub(crate) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(Admin::builder().bootstrap_servers(self.cluster.bootstrap().split(',')).build().await?)
    }

    /// Until each partition is in sync on all nodes: then one of them may go.
    pub(crate) async fn in_sync(&self, admin: &Admin) -> Result<(), Failure> {
        let deadline = Instant::now() + SETTLE;
        let is_whole = |topic: &Topic| topic.partitions.values().all(|at| at.isr.len() == 3);
        while !admin.list_topics().await.is_ok_and(|topics| topics.values().all(is_whole)) {
            if Instant::now() > deadline {
                return Err(format!("not all replicas were in sync within {SETTLE:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
