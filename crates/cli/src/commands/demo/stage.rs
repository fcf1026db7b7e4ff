//! Where the demo plays: members come and go, records are sent, and lag falls.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::HumanCount;
use ottla::{Admin, admin::OffsetSpec};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    GROUP, TOPIC,
    checker::{Checker, Seen, Verdict},
    load::Load,
    members::{Board, Member},
};
use crate::{failure::Failure, progress::Progress};

/// How long nothing may change while something is waited for.
const STALL: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often lag is shown.
const SHOW: Duration = Duration::from_millis(100);

/// A generation that was seen with all its members in it.
#[derive(Debug)]
struct Generation {
    id: i32,
    members: BTreeSet<usize>,
}

#[derive(Debug)]
pub(super) struct Stage {
    bootstrap: String,
    partitions: u32,
    admin: Admin,
    load: Load,
    checker: Checker,
    reports: mpsc::Sender<Vec<Seen>>,
    board: Arc<Board>,
    members: Vec<Member>,
    joined: usize,
    generations: Vec<Generation>,
    progress: Arc<Progress>,
}

impl Stage {
    pub(super) async fn set(
        bootstrap: &str,
        partitions: u32,
        hidden: Option<Seen>,
        progress: Arc<Progress>,
    ) -> Result<Self, Failure> {
        let admin = Admin::builder().bootstrap_servers([bootstrap]).build().await?;
        let load = Load::new(bootstrap, partitions).await?;
        let (checker, reports) = Checker::spawn(partitions, hidden);
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            partitions,
            admin,
            load,
            checker,
            reports,
            board: Arc::default(),
            members: Vec::new(),
            joined: 0,
            generations: Vec::new(),
            progress,
        })
    }

    /// Another consumer joins.
    pub(super) async fn join(&mut self) -> Result<(), Failure> {
        let id = self.joined;
        self.joined += 1;
        let (board, reports) = (self.board.clone(), self.reports.clone());
        self.members.push(Member::join(id, &self.bootstrap, board, reports).await?);
        self.progress.say(&format!("consumer {id} joins"));
        Ok(())
    }

    /// The first consumer leaves.
    pub(super) async fn leave(&mut self) -> Result<(), Failure> {
        if self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.remove(0);
        let id = member.id;
        member.leave().await?;
        self.progress.say(&format!("consumer {id} has left"));
        Ok(())
    }

    fn ids(&self) -> BTreeSet<usize> {
        self.members.iter().map(|member| member.id).collect()
    }

    /// Waits until all members are in one generation, later than the last.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let members = self.ids();
        let last = self.generations.last().map(|generation| generation.id);
        let deadline = Instant::now() + STALL;
        let id = loop {
            if let Some(id) = self.board.common(&members).filter(|id| Some(*id) > last) {
                break id;
            }
            self.check_members().await?;
            if Instant::now() >= deadline {
                return Err(Failure::failed(format!(
                    "group `{GROUP}` is not stable after {STALL:?}; this is a bug"
                )));
            }
            tokio::time::sleep(LOOK).await;
        };
        self.progress.say(&format!("generation {id} is stable with {} members", members.len()));
        self.generations.push(Generation { id, members });
        Ok(())
    }

    /// Sends records, and waits for their acknowledgements.
    pub(super) async fn produce(&mut self, count: u32) -> Result<(), Failure> {
        self.load.send(count).await
    }

    /// Waits until each member has delivered in the last generation, or nothing is left to be delivered.
    pub(super) async fn until_delivered(&mut self) -> Result<(), Failure> {
        loop {
            let all = self
                .generations
                .last()
                .is_none_or(|generation| self.board.have_delivered(&generation.members, generation.id));
            if all || lag(&self.admin, self.partitions).await? == 0 {
                return Ok(());
            }
            self.check_members().await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the group has committed the end of every partition.
    pub(super) async fn until_read(&mut self) -> Result<(), Failure> {
        let mut last = (u64::MAX, Instant::now());
        loop {
            match lag(&self.admin, self.partitions).await? {
                0 => return Ok(()),
                lag if lag < last.0 => last = (lag, Instant::now()),
                lag if last.1.elapsed() >= STALL => {
                    return Err(Failure::failed(format!("lag stands at {lag} for {STALL:?}; this is a bug")));
                }
                _ => {}
            }
            self.check_members().await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn check_members(&mut self) -> Result<(), Failure> {
        match self.members.iter().position(Member::has_ended) {
            Some(index) => self.members.remove(index).leave().await,
            None => Ok(()),
        }
    }

    /// Lets everybody leave. Returns what was lost or repeated, how many generations count, and the lag that is left.
    pub(super) async fn end(self) -> Result<(Verdict, usize, u64), Failure> {
        for member in self.members {
            member.leave().await?;
        }
        let lag = lag(&self.admin, self.partitions).await?;
        let counts = |generation: &&Generation| self.board.have_delivered(&generation.members, generation.id);
        let rebalances = self.generations.iter().filter(counts).count();
        let acknowledged = self.load.end().await?;
        drop(self.reports);
        let verdict = self.checker.verdict(&acknowledged).await;
        Ok((verdict.ok_or_else(|| Failure::failed("the checker has ended early"))?, rebalances, lag))
    }
}

/// Shows lag while it falls.
#[derive(Debug)]
pub(super) struct Watcher(JoinHandle<()>);

impl Watcher {
    pub(super) fn spawn(stage: &Stage) -> Self {
        let (admin, partitions) = (stage.admin.clone(), stage.partitions);
        Self(tokio::spawn(show(admin, partitions, stage.checker.consumed(), stage.progress.clone())))
    }

    pub(super) async fn end(self) {
        self.0.abort();
        // It says that it was aborted.
        let _ = self.0.await;
    }
}

async fn show(admin: Admin, partitions: u32, consumed: Arc<AtomicU64>, progress: Arc<Progress>) {
    loop {
        if let Ok(lag) = lag(&admin, partitions).await {
            progress.set(consumed.load(Ordering::Relaxed), &format!("consumed, lag {}", HumanCount(lag)));
        }
        tokio::time::sleep(SHOW).await;
    }
}

/// How far what the group has committed is behind the ends of the partitions.
async fn lag(admin: &Admin, partitions: u32) -> Result<u64, Failure> {
    // In this order: an end that is older than the commit would hide lag.
    let committed = admin.committed_offsets(GROUP).await?;
    let all = (0..partitions as i32).map(|number| ((TOPIC, number), OffsetSpec::Latest));
    let mut lag = 0;
    for (at, end) in admin.list_offsets(all).await? {
        let end = end?.map_or(0, |end| end.offset);
        let committed = committed.get(&at).map_or(0, |committed| committed.offset);
        lag += u64::try_from(end - committed).unwrap_or(0);
    }
    Ok(lag)
}
