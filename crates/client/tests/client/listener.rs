//! What [`RebalanceListener`] guarantees, line by line of its documentation, against the embedded broker.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ottla::{
    ApiKey, CommittedOffset, Consumer, ConsumerBuilder, CooperativeStickyAssignor, ErrorCode, GroupProtocol,
    HandedOut, OffsetReset, OwnedRecord, RangeAssignor, Rebalance, RebalanceListener, TopicPartition,
    error::{CommitErrorKind, RecvErrorKind},
};
use ottla_broker::{Fault, Server};

use crate::common::{PATIENCE, produce, server};

/// The kinds of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Eager,
    Cooperative,
    Consumer,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Eager, Kind::Cooperative, Kind::Consumer];

pub(crate) fn builder(server: &Server, kind: Kind) -> ConsumerBuilder {
    let builder = Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"]);
    let classic = |builder: ConsumerBuilder| builder.heartbeat_interval(Duration::from_millis(100));
    match kind {
        Kind::Eager => classic(builder.assignor(RangeAssignor)),
        Kind::Cooperative => classic(builder.assignor(CooperativeStickyAssignor)),
        Kind::Consumer => builder.group_protocol(GroupProtocol::Consumer),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Lost(Vec<i32>),
    /// A record of this partition was handed out.
    Record(i32),
}

/// What was told, and handed out, in the order of both.
#[derive(Debug, Clone, Default)]
struct Journal {
    told: Arc<Mutex<Vec<Told>>>,
    /// Whether the user is in a call of the consumer's.
    in_call: Arc<Mutex<bool>>,
    /// How long each call takes.
    takes: Duration,
    /// What came of a commit in `on_revoked` and in `on_lost`.
    commits: Arc<Mutex<Vec<Result<(), CommitErrorKind>>>>,
}

impl Journal {
    async fn write(&self, told: Told) {
        assert!(*self.in_call.lock().unwrap(), "{told:?} while the user handles records");
        tokio::time::sleep(self.takes).await;
        assert!(*self.in_call.lock().unwrap(), "{told:?} while the user handles records");
        self.told.lock().unwrap().push(told);
    }

    async fn commit(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            let offsets = partitions.iter().map(|at| (at.clone(), 1));
            let outcome = rebalance.commit_offsets(offsets).await;
            self.commits.lock().unwrap().push(outcome.map(drop).map_err(|error| error.kind()));
        }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// One poll. Its records are handled after it.
    async fn poll(&self, consumer: &mut Consumer) {
        *self.in_call.lock().unwrap() = true;
        let records = consumer.poll(Duration::from_millis(20)).await;
        *self.in_call.lock().unwrap() = false;
        let records = match records {
            // The listener has been told that it was unsubscribed.
            Err(error) if error.kind() == RecvErrorKind::NotSubscribed => return,
            records => records.unwrap(),
        };
        let handed = records.iter().map(|record| Told::Record(record.topic_partition().partition));
        self.told.lock().unwrap().extend(handed);
        tokio::task::yield_now().await;
    }

    async fn close(&self, consumer: Consumer) {
        *self.in_call.lock().unwrap() = true;
        consumer.close().await.unwrap();
        *self.in_call.lock().unwrap() = false;
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|at| at.partition).collect()
}

impl RebalanceListener for Journal {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.write(Told::Assigned(numbers(partitions))).await;
    }

    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        self.commit(rebalance, partitions).await;
        self.write(Told::Revoked(numbers(partitions))).await;
    }

    async fn on_lost(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        self.commit(rebalance, partitions).await;
        self.write(Told::Lost(numbers(partitions))).await;
    }
}

/// To the next heartbeat the coordinator answers that it knows no such member.
fn forget_members(server: &Server, kind: Kind) {
    let api = if kind == Kind::Consumer { ApiKey::ConsumerGroupHeartbeat } else { ApiKey::Heartbeat };
    let forgotten = Fault::Error(ErrorCode::UnknownMemberId);
    server.with_cluster(|cluster| cluster.faults().on(api).then(forgotten));
}

/// A member with its journal.
struct Member {
    consumer: Consumer,
    journal: Journal,
}

impl Member {
    async fn join(server: &Server, kind: Kind) -> Self {
        Self::with(server, kind, Journal::default()).await
    }

    async fn with(server: &Server, kind: Kind, journal: Journal) -> Self {
        let consumer = builder(server, kind).rebalance_listener(journal.clone()).build().await.unwrap();
        Self { consumer, journal }
    }
}

/// Has all of them poll by turns until it is so.
async fn until(members: &mut [&mut Member], what: &str, mut is_so: impl FnMut(&[&mut Member]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(members) {
        let told: Vec<_> = members.iter().map(|member| member.journal.told()).collect();
        assert!(Instant::now() < deadline, "{what}: {told:?}");
        for member in members.iter_mut() {
            member.journal.poll(&mut member.consumer).await;
        }
    }
}

fn owns(member: &Member, count: usize) -> bool {
    member.consumer.assignment().len() == count
}

/// Checks what holds in every journal, whatever happened. The partitions that are still assigned.
fn check(told: &[Told]) -> BTreeSet<i32> {
    let mut assigned = BTreeSet::new();
    for (index, what) in told.iter().enumerate() {
        match what {
            Told::Assigned(new) => {
                for at in new {
                    assert!(assigned.insert(*at), "assigned twice: {told:?}");
                }
            }
            Told::Revoked(gone) | Told::Lost(gone) => {
                for at in gone {
                    assert!(assigned.remove(at), "given up, and never assigned: {told:?}");
                }
            }
            Told::Record(at) => assert!(assigned.contains(at), "a record of nobody's, {index}: {told:?}"),
        }
    }
    assigned
}

#[tokio::test]
async fn what_was_told_as_assigned_is_told_once_as_gone_by_rebalances_unsubscriptions_and_closes() {
    for kind in KINDS {
        let server = server(4);
        for partition in 0..4 {
            produce(&server, partition, 0..20).await;
        }
        let mut first = Member::join(&server, kind).await;
        until(&mut [&mut first], "all", |members| owns(members[0], 4)).await;
        let mut second = Member::join(&server, kind).await;
        let halves = |members: &[&mut Member]| owns(members[0], 2) && owns(members[1], 2);
        until(&mut [&mut first, &mut second], "halves", halves).await;
        first.consumer.unsubscribe();
        let told_all = |members: &[&mut Member]| owns(members[1], 4);
        until(&mut [&mut first, &mut second], "all to the second", |members| {
            told_all(members) && check(&members[0].journal.told()).is_empty()
        })
        .await;
        first.consumer.subscribe(["t"]).unwrap();
        until(&mut [&mut first, &mut second], "halves again", halves).await;
        until(&mut [&mut first, &mut second], "told", |members| {
            members.iter().all(|member| check(&member.journal.told()).len() == 2)
        })
        .await;
        for member in [first, second] {
            member.journal.close(member.consumer).await;
            assert_eq!(check(&member.journal.told()), BTreeSet::new(), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn records_of_partitions_that_stay_may_come_between_and_none_of_what_is_given_up_or_not_told_yet() {
    for kind in [Kind::Cooperative, Kind::Consumer] {
        let server = server(2);
        // Each call takes longer than a fetch: what is handed out meanwhile, or too early, is seen.
        let journal = Journal { takes: Duration::from_millis(150), ..Journal::default() };
        let mut first = Member::with(&server, kind, journal).await;
        until(&mut [&mut first], "all", |members| owns(members[0], 2)).await;
        let mut second = Member::join(&server, kind).await;
        for round in 0.. {
            assert!(round < 200, "{:?}", first.journal.told());
            for partition in 0..2 {
                produce(&server, partition, 0..1).await;
            }
            let both = &mut [&mut first, &mut second];
            let told = both[0].journal.told().len();
            until(both, "a record", |members| members[0].journal.told().len() > told).await;
            if owns(&first, 1) && matches!(first.journal.told().last(), Some(Told::Record(_))) {
                break;
            }
        }
        assert_eq!(check(&first.journal.told()).len(), 1, "{kind:?}");
        check(&second.journal.told());
    }
}

#[tokio::test]
async fn lists_are_empty_only_where_the_documentation_says_so() {
    for kind in KINDS {
        let server = server(1);
        let mut first = Member::join(&server, kind).await;
        let told_its_own = |members: &[&mut Member]| check(&members[0].journal.told()).len() == 1;
        until(&mut [&mut first], "its partition", told_its_own).await;
        let mut second = Member::join(&server, kind).await;
        let told_nothing = Told::Assigned(vec![]);
        let one_has_none = |members: &[&mut Member]| {
            let told = |member: &&mut Member| member.journal.told().contains(&told_nothing);
            members.iter().any(told)
                && members.iter().map(|member| check(&member.journal.told()).len()).sum::<usize>() == 1
        };
        until(&mut [&mut first, &mut second], "one has none", one_has_none).await;
        for member in [first, second] {
            member.journal.close(member.consumer).await;
            let told = member.journal.told();
            assert!(!told.contains(&Told::Lost(vec![])), "{kind:?}: {told:?}");
            // Who has nothing gives up nothing: an eager member is told so with each rebalance, others are not.
            assert!(kind == Kind::Eager || !told.contains(&Told::Revoked(vec![])), "{kind:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn in_on_revoked_a_commit_counts_and_in_on_lost_it_is_refused() {
    for kind in KINDS {
        for is_lost in [false, true] {
            let server = server(1);
            produce(&server, 0, 0..3).await;
            let mut member = Member::join(&server, kind).await;
            let journal = member.journal.clone();
            let handed = |_: &[&mut Member]| journal.told().contains(&Told::Record(0));
            until(&mut [&mut member], "records", handed).await;
            let (told, committed) = match is_lost {
                true => {
                    forget_members(&server, kind);
                    let lost = |_: &[&mut Member]| journal.told().contains(&Told::Lost(vec![0]));
                    until(&mut [&mut member], "lost", lost).await;
                    (Told::Lost(vec![0]), Err(CommitErrorKind::NotMember))
                }
                false => {
                    journal.close(member.consumer).await;
                    (Told::Revoked(vec![0]), Ok(()))
                }
            };
            assert!(journal.told().contains(&told), "{kind:?}: {:?}", journal.told());
            assert_eq!(*journal.commits.lock().unwrap(), [committed], "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_consumer_that_is_dropped_tells_nothing() {
    for kind in KINDS {
        let server = server(1);
        let mut member = Member::join(&server, kind).await;
        until(&mut [&mut member], "its partition", |members| check(&members[0].journal.told()).len() == 1)
            .await;
        let told = member.journal.told();
        drop(member.consumer);
        let mut next = Member::join(&server, kind).await;
        until(&mut [&mut next], "the partition", |members| owns(members[0], 1)).await;
        assert_eq!(member.journal.told(), told, "{kind:?}");
    }
}

/// Has no word for what is lost.
#[derive(Clone, Default)]
struct Brief(Arc<Mutex<Vec<Vec<i32>>>>);

impl RebalanceListener for Brief {
    async fn on_revoked(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().push(numbers(partitions));
    }
}

#[tokio::test]
async fn what_is_lost_is_told_as_revoked_where_the_listener_has_no_word_for_it() {
    let server = server(1);
    let listener = Brief::default();
    let consumer = builder(&server, Kind::Consumer).rebalance_listener(listener.clone());
    let mut consumer = consumer.build().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consumer.assignment().is_empty() {
        assert!(Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    forget_members(&server, Kind::Consumer);
    while listener.0.lock().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "{}", consumer.explain());
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    assert_eq!(*listener.0.lock().unwrap(), [vec![0]]);
}

/// Commits in `on_revoked` what was noted as done, as the example on the trait.
#[derive(Debug, Clone, Default)]
struct Done(Arc<Mutex<HashMap<TopicPartition, CommittedOffset>>>);

impl Done {
    fn note(&self, record: &impl HandedOut) {
        self.0.lock().unwrap().insert(record.topic_partition().clone(), record.to_commit());
    }
}

impl RebalanceListener for Done {
    async fn on_revoked(&self, rebalance: &Rebalance, partitions: &[TopicPartition]) {
        let done: Vec<_> = {
            let mut done = self.0.lock().unwrap();
            partitions.iter().filter_map(|at| done.remove_entry(at)).collect()
        };
        rebalance.commit_offsets(done).await.unwrap();
    }
}

/// Commits in `on_revoked` all that was handed out.
#[derive(Debug)]
struct HandedOutSoFar;

impl RebalanceListener for HandedOutSoFar {
    async fn on_revoked(&self, rebalance: &Rebalance, _: &[TopicPartition]) {
        rebalance.commit().await.unwrap();
    }
}

/// A member with this listener and without auto commit is handed two records, of which the second fails, and closes. What is
/// committed then.
async fn close_on_a_failure<L: RebalanceListener>(
    kind: Kind,
    listener: L,
    done: impl Fn(&OwnedRecord),
) -> Option<i64> {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let builder = builder(&server, kind).enable_auto_commit(false).rebalance_listener(listener);
    let mut consumer = builder.build().await.unwrap();
    done(&consumer.recv().await.unwrap().unwrap());
    let failed = consumer.recv().await.unwrap().unwrap();
    assert_eq!(failed.offset(), 1);
    consumer.close().await.unwrap();
    server.with_cluster(|cluster| cluster.committed("g").get(&("t".to_owned(), 0)).copied())
}

#[tokio::test]
async fn at_a_close_a_listener_that_commits_what_it_noted_leaves_out_the_record_that_failed() {
    for kind in KINDS {
        let done = Done::default();
        let noting = done.clone();
        let committed = close_on_a_failure(kind, done, move |record| noting.note(record)).await;
        assert_eq!(committed, Some(1), "{kind:?}");
    }
}

#[tokio::test]
async fn at_a_close_a_commit_without_offsets_covers_all_that_was_handed_out() {
    for kind in KINDS {
        assert_eq!(close_on_a_failure(kind, HandedOutSoFar, |_| ()).await, Some(2), "{kind:?}");
    }
}
