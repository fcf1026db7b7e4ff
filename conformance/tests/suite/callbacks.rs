//! What rebalance listeners are told while a whole group moves, and when it closes all at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::{
    Consumer, CooperativeStickyAssignor, GroupProtocol, Rebalance, RebalanceListener, TopicPartition,
};
use ottla_conformance::targets::{Target, unique};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, consumer, create, holds, numbers, wait, within};

const MEMBERS: usize = 4;
const PARTITIONS: i32 = 8;
/// How many groups go the whole way, unless `OTTLA_CONFORMANCE_REPEATS` says otherwise; and how many at a time.
const GROUPS: usize = 3;
const AT_A_TIME: usize = 5;

pub(crate) fn cases() -> Vec<Case> {
    let name = "each_partition_is_revoked_once_an_assignment_while_a_group_moves_and_closes";
    vec![Case::both(name, moves_and_closes)]
}

type Entries = Vec<(Told, Vec<i32>)>;

/// What a member was told, in order.
#[derive(Debug, Clone, Default)]
struct Diary(Arc<Mutex<Entries>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Assigned,
    Revoked,
    Lost,
}

impl Diary {
    fn write(&self, told: Told, partitions: &[TopicPartition]) {
        let numbers = partitions.iter().map(|at| at.partition).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((told, numbers));
    }

    /// Assigned and given up in turn, and nothing left at the end.
    fn check(&self) -> Outcome {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut owned = BTreeSet::new();
        for (what, partitions) in &told {
            for partition in partitions {
                let fits = match what {
                    Told::Assigned => owned.insert(*partition),
                    Told::Revoked | Told::Lost => owned.remove(partition),
                };
                holds(&format!("{what:?} {partition} in its turn: {told:?}"), fits)?;
            }
        }
        holds(&format!("nothing is left to be revoked: {told:?}"), owned.is_empty())
    }
}

impl RebalanceListener for Diary {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.write(Told::Assigned, partitions);
    }

    async fn on_revoked(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.write(Told::Revoked, partitions);
    }

    async fn on_lost(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.write(Told::Lost, partitions);
    }
}

/// A consumer that polls in a task of its own until it is told to close.
struct Polling {
    diary: Diary,
    assigned: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Outcome>,
}

impl Polling {
    async fn start(
        target: &Target,
        topic: &str,
        group: &str,
        protocol: GroupProtocol,
    ) -> Result<Self, Failed> {
        let diary = Diary::default();
        let builder = consumer(target).group_id(group).subscribe([topic]).group_protocol(protocol);
        let builder = builder.rebalance_listener(diary.clone());
        let builder = match protocol {
            GroupProtocol::Classic => {
                builder.assignor(CooperativeStickyAssignor).heartbeat_interval(Duration::from_millis(500))
            }
            _ => builder,
        };
        let consumer = builder.build().await?;
        let (stop, stopped) = watch::channel(false);
        let (tell, assigned) = watch::channel(0);
        let task = tokio::spawn(poll_until_stopped(consumer, stopped, tell));
        Ok(Self { diary, assigned, stop, task })
    }

    async fn end(self) -> Outcome {
        self.stop.send_replace(true);
        within("a close", self.task).await???;
        self.diary.check()
    }
}

async fn poll_until_stopped(
    mut consumer: Consumer,
    mut stopped: watch::Receiver<bool>,
    assigned: watch::Sender<usize>,
) -> Outcome {
    while !*stopped.borrow_and_update() {
        drop(consumer.poll(Duration::from_millis(20)).await?);
        assigned.send_replace(consumer.assignment().len());
    }
    consumer.close().await?;
    Ok(())
}

/// Until each has its share.
async fn settled(members: &[Polling]) -> Outcome {
    let start = Instant::now();
    let share = PARTITIONS as usize / members.len();
    while members.iter().any(|member| *member.assigned.borrow() != share) {
        let shares: Vec<usize> = members.iter().map(|member| *member.assigned.borrow()).collect();
        holds(&format!("shares of {share}, in time: {shares:?}"), start.elapsed() < PATIENCE)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn moves_and_closes(target: &Target) -> Outcome {
    let asked = std::env::var("OTTLA_CONFORMANCE_REPEATS").ok().and_then(|text| text.parse().ok());
    let groups: Vec<usize> = (0..asked.unwrap_or(GROUPS)).collect();
    for some in groups.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let groups: Vec<_> = some.iter().map(|_| scope.spawn(|| wait(one_group(target)))).collect();
            groups.into_iter().try_for_each(|group| match group.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
    }
    eprintln!("{} groups: each partition revoked once an assignment", groups.len());
    Ok(())
}

/// From cooperative-sticky to the consumer protocol by a rolling restart, and to its end.
async fn one_group(target: &Target) -> Outcome {
    let (topic, group) = (unique("moving"), unique("moving"));
    create(target, &topic, PARTITIONS).await?;
    numbers(target, &topic, PARTITIONS, 0..100).await?;
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(Polling::start(target, &topic, &group, GroupProtocol::Classic).await?);
    }
    settled(&members).await?;
    for _ in 0..MEMBERS {
        members.remove(0).end().await?;
        members.push(Polling::start(target, &topic, &group, GroupProtocol::Consumer).await?);
        settled(&members).await?;
    }
    // All at once.
    members.iter().for_each(|member| _ = member.stop.send_replace(true));
    for member in members {
        member.end().await?;
    }
    Ok(())
}
