//! Offsets of the log, asked for beside the reading: a partition without a leader, or whose leader cannot be reached,
//! holds up no other.

use std::collections::BTreeMap;

use ottla::{
    Admin, Cause, IsolationLevel, NodeId, Timestamp, TopicPartition,
    admin::OffsetSpec,
    error::{AdminError, AdminErrorKind},
};
use tokio::{sync::mpsc, task::JoinSet};

/// How many results may wait to be taken.
const RESULTS: usize = 64;

/// Which offsets are wanted of each partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) beginning: bool,
    pub(super) end: bool,
    /// Of the first record that is no older.
    pub(super) time: Option<i64>,
}

/// What was found of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) beginning: i64,
    pub(super) end: Option<i64>,
    /// `None` too where no record is that young.
    pub(super) time: Option<i64>,
}

impl Bounds {
    fn set(&mut self, spec: OffsetSpec, offset: Option<i64>) {
        match spec {
            OffsetSpec::Earliest => self.beginning = offset.unwrap_or_default(),
            OffsetSpec::Latest => self.end = offset,
            // Nothing else is asked for.
            _ => self.time = offset,
        }
    }
}

/// Why nothing was.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub(super) message: String,
    /// It may be otherwise the next time.
    pub(super) may_pass: bool,
}

impl From<&AdminError> for Unknown {
    fn from(error: &AdminError) -> Self {
        Self { message: error.to_string(), may_pass: error.kind() == AdminErrorKind::TimedOut }
    }
}

type Found = (TopicPartition, Result<Bounds, Unknown>);

/// Questions under way. They end when this is dropped.
pub(super) struct Lookups {
    admin: Admin,
    /// Whose view of the log is asked for.
    isolation: IsolationLevel,
    wanted: Wanted,
    tasks: JoinSet<()>,
    results: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
}

impl Lookups {
    pub(super) fn new(admin: Admin, isolation: IsolationLevel, wanted: Wanted) -> Self {
        Self { admin, isolation, wanted, tasks: JoinSet::new(), results: mpsc::channel(RESULTS) }
    }

    /// Begins to ask. Each partition has a result of its own.
    pub(super) fn ask(&mut self, partitions: Vec<TopicPartition>) {
        // Those that have ended.
        while self.tasks.try_join_next().is_some() {}
        let (admin, wanted, results) = (self.admin.clone(), self.wanted, self.results.0.clone());
        let isolation = self.isolation;
        self.tasks.spawn(async move {
            let mut groups = JoinSet::new();
            for partitions in by_leader(&admin, partitions).await.into_values() {
                let (admin, results) = (admin.clone(), results.clone());
                groups.spawn(async move {
                    for found in look_up(&admin, isolation, wanted, partitions).await {
                        // Nobody waits for it where the command has ended.
                        let _ = results.send(found).await;
                    }
                });
            }
            groups.join_all().await;
        });
    }

    /// A result that has come.
    pub(super) fn next(&mut self) -> Option<Found> {
        self.results.1.try_recv().ok()
    }

    /// What the questions wait for.
    pub(super) fn waits_for(&self) -> Vec<Cause> {
        self.admin.explain()
    }
}

/// One question for each broker; one for each partition that has none, or of which nothing is known.
async fn by_leader(
    admin: &Admin,
    partitions: Vec<TopicPartition>,
) -> BTreeMap<Result<NodeId, TopicPartition>, Vec<TopicPartition>> {
    let mut names: Vec<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    names.dedup();
    let topics = admin.describe_topics(names).await.unwrap_or_default();
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for at in partitions {
        let topic = topics.get(&at.topic).and_then(|topic| topic.as_ref().ok());
        let leader = topic.and_then(|topic| topic.partitions.get(&at.partition)?.leader);
        groups.entry(leader.ok_or_else(|| at.clone())).or_default().push(at);
    }
    groups
}

async fn look_up(
    admin: &Admin,
    isolation: IsolationLevel,
    wanted: Wanted,
    partitions: Vec<TopicPartition>,
) -> Vec<Found> {
    let mut all: BTreeMap<TopicPartition, Result<Bounds, Unknown>> =
        partitions.iter().map(|at| (at.clone(), Ok(Bounds::default()))).collect();
    let specs = [
        (wanted.beginning, OffsetSpec::Earliest),
        (wanted.end, OffsetSpec::Latest),
        (wanted.time.is_some(), OffsetSpec::Timestamp(Timestamp(wanted.time.unwrap_or_default()))),
    ];
    for (_, spec) in specs.into_iter().filter(|(is_wanted, _)| *is_wanted) {
        let rest: Vec<_> = all.iter().filter(|(_, found)| found.is_ok()).map(|(at, _)| at.clone()).collect();
        let found = admin.list_offsets_for(isolation, rest.iter().cloned().map(|at| (at, spec))).await;
        for at in rest {
            let Some(bounds) = all.get_mut(&at) else { continue };
            let offset = match &found {
                Ok(found) => found.get(&at).map(|found| found.as_ref().map_err(Unknown::from)),
                // What concerns all of them concerns each.
                Err(error) => Some(Err(error.into())),
            };
            match (offset, bounds) {
                (Some(Ok(offset)), Ok(known)) => known.set(spec, offset.map(|offset| offset.offset)),
                (Some(Err(why)), bounds) => *bounds = Err(why),
                _ => {}
            }
        }
    }
    all.into_iter().collect()
}
