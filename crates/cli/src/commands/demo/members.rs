//! The consumers of the group, each a task, and what they tell of generations.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ottla::{Closer, Consumer, Event, Happened, OffsetReset, Records};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{GROUP, TOPIC, checker::Seen, load::decode};
use crate::failure::Failure;

/// How soon members hear of a rebalance, and how often they commit: the show is short.
const HEARTBEAT: Duration = Duration::from_millis(100);
const COMMIT: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(20);
const POLL_RECORDS: usize = 5_000;

/// A member of the group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: usize,
    closer: Closer,
    leaving: Arc<AtomicBool>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Member {
    /// Starts one.
    pub(super) async fn join(
        id: usize,
        bootstrap: &str,
        board: Arc<Board>,
        reports: mpsc::Sender<Vec<Seen>>,
    ) -> Result<Self, Failure> {
        let consumer = Consumer::builder()
            .bootstrap_servers([bootstrap])
            .client_id(format!("demo-{id}"))
            .group_id(GROUP)
            .auto_offset_reset(OffsetReset::Earliest)
            .heartbeat_interval(HEARTBEAT)
            .auto_commit_interval(COMMIT)
            .subscribe([TOPIC])
            .build()
            .await?;
        let (closer, leaving) = (consumer.closer(), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(read(id, consumer, leaving.clone(), board, reports));
        Ok(Self { id, closer, leaving, task })
    }

    /// Whether it ended unasked.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets it commit and leave.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        self.leaving.store(true, Ordering::Release);
        self.closer.close();
        self.task.await.map_err(|error| Failure::failed(format!("consumer {}: {error}", self.id)))?
    }
}

async fn read(
    id: usize,
    mut consumer: Consumer,
    leaving: Arc<AtomicBool>,
    board: Arc<Board>,
    reports: mpsc::Sender<Vec<Seen>>,
) -> Result<(), Failure> {
    loop {
        let records = consumer.poll(POLL).max_records(POLL_RECORDS).await?;
        // No generation begins while its members have records in hand: what was joined last is what these are of.
        while let Some(Happened { event, .. }) = consumer.next_event() {
            if let Event::Joined { generation_id, .. } = event {
                board.joined(id, generation_id);
            }
        }
        if records.is_empty() {
            if leaving.load(Ordering::Acquire) {
                break;
            }
            continue;
        }
        board.delivered(id);
        if reports.send(report(&records)?).await.is_err() {
            return Err(Failure::failed("the checker has ended"));
        }
    }
    consumer.close().await?;
    Ok(())
}

fn report(records: &Records) -> Result<Vec<Seen>, Failure> {
    let seen = |record: ottla::Record<'_>| {
        decode(record.value())
            .filter(|(partition, _)| i64::from(*partition) == i64::from(record.partition()))
            .ok_or_else(|| {
                Failure::failed(format!(
                    "{}@{}: not a record that was sent there",
                    record.topic_partition(),
                    record.offset()
                ))
            })
    };
    records.iter().map(seen).collect()
}

/// Which generation each consumer is in, and in which it has delivered.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    generations: BTreeMap<usize, i32>,
    delivered: BTreeMap<i32, BTreeSet<usize>>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn joined(&self, id: usize, generation: i32) {
        self.state().generations.insert(id, generation);
    }

    fn delivered(&self, id: usize) {
        let mut state = self.state();
        if let Some(generation) = state.generations.get(&id).copied() {
            state.delivered.entry(generation).or_default().insert(id);
        }
    }

    /// The generation that all of these are in.
    pub(super) fn common(&self, ids: &BTreeSet<usize>) -> Option<i32> {
        let state = self.state();
        let mut generations = ids.iter().map(|id| state.generations.get(id).copied());
        let first = generations.next()??;
        generations.all(|generation| generation == Some(first)).then_some(first)
    }

    /// Whether each of these has delivered in a generation.
    pub(super) fn have_delivered(&self, ids: &BTreeSet<usize>, generation: i32) -> bool {
        self.state().delivered.get(&generation).is_some_and(|delivered| delivered.is_superset(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_counts_when_each_of_its_members_has_delivered() {
        let (board, both) = (Board::default(), BTreeSet::from([0, 1]));
        board.joined(0, 1);
        assert_eq!(board.common(&both), None);
        board.joined(1, 2);
        assert_eq!(board.common(&both), None, "one is still in the generation before");
        board.joined(0, 2);
        assert_eq!(board.common(&both), Some(2));
        board.delivered(0);
        assert!(!board.have_delivered(&both, 2));
        board.delivered(1);
        assert!(board.have_delivered(&both, 2));
    }
}
