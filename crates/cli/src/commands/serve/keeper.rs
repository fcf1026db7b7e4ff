//! Keeps what was seen in a folder, and finds it there when it begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ottla::Admin;
use tokio::task::spawn_blocking;

use super::board::Board;
use crate::{
    commands::{
        lag::Watch,
        looks::{Now, Storage, Turn},
    },
    epoch,
    failure::tell,
};

/// How often it is written: a process that is killed loses no more.
const OFTEN: Duration = Duration::from_secs(60);

pub(super) struct Keeper {
    storage: Arc<Storage>,
    board: Arc<Board>,
    admin: Admin,
    /// Of the cluster that is looked at.
    cluster: Option<String>,
    written: Option<Instant>,
    /// What could not be done, which is told once for as long as it lasts.
    told: Option<String>,
}

impl Keeper {
    pub(super) fn new(storage: Arc<Storage>, board: Arc<Board>, admin: Admin) -> Self {
        Self { storage, board, admin, cluster: None, written: None, told: None }
    }

    /// Another thread reads and writes, which may take a while.
    pub(super) async fn turn(&mut self, watch: Watch, turn: Turn) -> Watch {
        match turn {
            Turn::Begin => self.begin().await,
            Turn::Looked if self.written.is_some_and(|written| written.elapsed() < OFTEN) => watch,
            Turn::Looked | Turn::End => self.save(watch).await,
        }
    }

    async fn begin(&mut self) -> Watch {
        self.cluster = self.admin.describe_cluster().await.ok().and_then(|cluster| cluster.id);
        let (storage, board, cluster) = (self.storage.clone(), self.board.clone(), self.cluster.clone());
        let begun = spawn_blocking(move || {
            let dir = storage.folder().display();
            let unread = |error: redb::Error| format!("--data-dir {dir}: {error}; the history begins anew");
            let was = storage.cluster().map_err(unread)?;
            if let (Some(was), Some(is)) = (was, cluster)
                && was != is
            {
                let why = format!(
                    "--data-dir {dir}: it has what was seen of cluster {was}, and this one is {is}: nothing is kept; give it a folder of its own"
                );
                storage.leave(why.clone());
                return Err(why);
            }
            let before = storage.before(epoch::now(), board.looks.interval()).map_err(unread)?;
            board.looks.begin(before.trends);
            board.events.begin(&before.events);
            let back = before.is_back.map(|by| {
                format!(
                    "--data-dir {dir}: the clock is {} s behind what is there; what lies ahead of it is left out",
                    by / 1_000
                )
            });
            Ok((before.watch, back))
        });
        let (watch, note) = match begun.await {
            Ok(Ok((watch, note))) => (watch, note),
            Ok(Err(why)) => (Watch::default(), Some(why)),
            Err(error) => (Watch::default(), Some(format!("the history cannot be read: {error}"))),
        };
        note.iter().for_each(tell);
        watch
    }

    async fn save(&mut self, watch: Watch) -> Watch {
        self.written = Some(Instant::now());
        let (storage, board, cluster) = (self.storage.clone(), self.board.clone(), self.cluster.clone());
        let saved = spawn_blocking(move || {
            let (events, cluster) = (board.events.kept(), cluster.as_deref());
            let (at, interval, board) = (watch.at(), board.looks.interval(), &board.looks);
            let now = Now { at, interval, cluster, watch: &watch, board, events: &events };
            let saved = storage.save(&now);
            (watch, saved)
        });
        let (watch, failure) = match saved.await {
            Ok((watch, saved)) => (watch, saved.err().map(|failure| failure.to_string())),
            Err(error) => (Watch::default(), Some(format!("the history is not kept: {error}"))),
        };
        if failure.is_some() && failure != self.told {
            failure.iter().for_each(|why| tell(format!("{why}; what is seen meanwhile is in memory alone")));
        }
        self.told = failure;
        watch
    }
}
