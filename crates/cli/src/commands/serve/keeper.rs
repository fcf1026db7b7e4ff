//! Keeps what was seen in a folder, and finds it there when it begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ottla::Admin;
use tokio::{task::spawn_blocking, time::timeout};

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
/// How long the cluster's id is waited for, and looks with it. It is asked for again at the next.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Keeper {
    storage: Arc<Storage>,
    board: Arc<Board>,
    admin: Admin,
    /// Of the cluster that is looked at.
    cluster: Option<String>,
    /// It is known which cluster that is. Before, what is there may be of another, and nothing is read or written.
    has_begun: bool,
    written: Option<Instant>,
    /// What could not be done, which is told once for as long as it lasts.
    told: Option<String>,
}

impl Keeper {
    pub(super) fn new(storage: Arc<Storage>, board: Arc<Board>, admin: Admin) -> Self {
        Self { storage, board, admin, cluster: None, has_begun: false, written: None, told: None }
    }

    /// Another thread reads and writes, which may take a while.
    pub(super) async fn turn(&mut self, mut watch: Watch, turn: Turn) -> Watch {
        if !self.has_begun && turn != Turn::End {
            self.begin(&mut watch).await;
        }
        let is_due = match turn {
            Turn::Begin => false,
            Turn::Looked => self.written.is_none_or(|written| written.elapsed() >= OFTEN),
            Turn::End => true,
        };
        if self.has_begun && is_due { self.save(watch).await } else { watch }
    }

    async fn begin(&mut self, watch: &mut Watch) {
        let why = match timeout(PATIENCE, self.admin.describe_cluster()).await {
            Ok(Ok(cluster)) => {
                (self.cluster, self.has_begun) = (cluster.id, true);
                return self.read(watch).await;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        let dir = self.storage.folder().display();
        let why = format!("--data-dir {dir}: the cluster does not tell which it is: {why}");
        self.storage.wait(why.clone());
        self.tell(Some(why));
    }

    async fn read(&mut self, watch: &mut Watch) {
        let (storage, board, cluster) = (self.storage.clone(), self.board.clone(), self.cluster.clone());
        let begun = spawn_blocking(move || {
            let dir = storage.folder().display();
            let unread = |error: redb::Error| format!("--data-dir {dir}: {error}; the history begins anew");
            let was = storage.cluster().map_err(unread)?;
            if let Some(was) = was
                && cluster.as_ref() != Some(&was)
            {
                let is = cluster.as_deref().unwrap_or("one without an id");
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
        let note = match begun.await {
            Ok(Ok((before, note))) => {
                watch.learn(before);
                note
            }
            Ok(Err(why)) => Some(why),
            Err(error) => Some(format!("the history cannot be read: {error}")),
        };
        note.iter().for_each(tell);
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
        self.tell(failure);
        watch
    }

    fn tell(&mut self, failure: Option<String>) {
        if failure.is_some() && failure != self.told {
            failure.iter().for_each(|why| tell(format!("{why}; what is seen meanwhile is in memory alone")));
        }
        self.told = failure;
    }
}
