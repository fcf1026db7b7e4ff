//! Transactions: what brokers are told of them, in both flows, and how they end.

use ottla_protocol::{
    ApiKey,
    messages::{
        AddOffsetsToTxnResponse, AddPartitionsToTxnPartitionResponse, AddPartitionsToTxnResponse,
        AddPartitionsToTxnTopicResponse, EndTxnResponse, FindCoordinatorCoordinator, FindCoordinatorResponse,
        TxnOffsetCommitPartitionResponse, TxnOffsetCommitResponse, TxnOffsetCommitTopicResponse,
    },
};

use super::*;
use crate::producer::transactions::SETTLING;

impl Coordinator {
    /// `None` where it does not answer.
    pub(super) fn answer(&mut self, version: i16, request: Request) -> Option<Response> {
        self.asked.push((version, request.clone()));
        let key = request.key();
        if self.silent == Some(key) {
            return None;
        }
        let error_code = self.refuses.get_mut(&key).and_then(VecDeque::pop_front).unwrap_or_default();
        Some(match request {
            Request::FindCoordinator(asked) => {
                let found = |key: &String| FindCoordinatorCoordinator {
                    key: key.clone(),
                    node_id: 1,
                    host: "broker".to_owned(),
                    port: 1,
                    error_code,
                    ..Default::default()
                };
                let coordinators = asked.coordinator_keys.iter().map(found).collect();
                FindCoordinatorResponse { coordinators, ..Default::default() }.into()
            }
            Request::InitProducerId(_) => {
                self.epoch += 1;
                InitProducerIdResponse {
                    error_code,
                    producer_id: ID,
                    producer_epoch: self.epoch,
                    ..Default::default()
                }
                .into()
            }
            Request::AddPartitionsToTxn(asked) => {
                let partition = |index: &i32| AddPartitionsToTxnPartitionResponse {
                    partition_index: *index,
                    partition_error_code: error_code,
                };
                let topic = |it: &ottla_protocol::messages::AddPartitionsToTxnTopic| {
                    AddPartitionsToTxnTopicResponse {
                        name: it.name.clone(),
                        results_by_partition: it.partitions.iter().map(partition).collect(),
                    }
                };
                let results_by_topic_v3_and_below = asked.v3_and_below_topics.iter().map(topic).collect();
                AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }.into()
            }
            Request::AddOffsetsToTxn(_) => {
                AddOffsetsToTxnResponse { error_code, ..Default::default() }.into()
            }
            Request::TxnOffsetCommit(asked) => {
                let named = |id| version < 6 && id == TopicId::ZERO || version >= 6 && id != TopicId::ZERO;
                assert!(asked.topics.iter().all(|topic| named(topic.topic_id)), "{asked:?}");
                let topics = asked.topics.into_iter().map(|topic| TxnOffsetCommitTopicResponse {
                    name: if version < 6 { topic.name } else { String::new() },
                    topic_id: topic.topic_id,
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|it| TxnOffsetCommitPartitionResponse {
                            partition_index: it.partition_index,
                            error_code,
                        })
                        .collect(),
                });
                TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }.into()
            }
            Request::EndTxn(_) if version >= 5 && error_code.is_ok() => {
                self.epoch += 1;
                EndTxnResponse { producer_id: ID, producer_epoch: self.epoch, ..Default::default() }.into()
            }
            Request::EndTxn(_) => EndTxnResponse { error_code, ..Default::default() }.into(),
            other => panic!("{other:?}"),
        })
    }

    pub(super) fn refuse(&mut self, key: ApiKey, errors: impl IntoIterator<Item = ErrorCode>) {
        self.refuses.entry(key).or_default().extend(errors);
    }
}

impl World {
    /// A producer of transactions that has claimed its id and knows topic `t`.
    pub(super) fn transactional(level: i16) -> Self {
        let who = TransactionConfig { id: "x".to_owned(), timeout: Duration::from_secs(10) };
        let mut world = Self::new(ProducerConfig { transactions: Some(who), ..config() });
        world.coordinator.level = level;
        world.pass(Duration::from_secs(1));
        let begun = world.begin();
        assert!(matches!(world.send_in(begun, "x"), Err(Refused::Wait)));
        world.pass(Duration::from_secs(1));
        world.producer.abort(begun);
        world.pump();
        world.coordinator.asked.clear();
        world
    }

    /// With a record of a transaction that began as soon as the one before had ended.
    fn right_behind_another() -> (Self, TransactionNumber) {
        let mut world = Self::transactional(2);
        let first = world.begin();
        world.written(first, "a");
        assert_eq!(world.commit(first), Some(Ok(End::Commit)));
        let second = world.begin_at_once();
        _ = world.write(second, "b");
        (world, second)
    }

    pub(super) fn try_begin(&mut self) -> Option<Result<TransactionNumber, TransactionFailure>> {
        let begun = self.producer.begin(self.now.mono, self.now);
        self.pump();
        begun
    }

    pub(super) fn begin_at_once(&mut self) -> TransactionNumber {
        self.try_begin().expect("not yet").unwrap()
    }

    /// A transaction, when the end of the one before has had its time.
    pub(super) fn begin(&mut self) -> TransactionNumber {
        let begun = self.begin_at_once();
        self.pass(SETTLING);
        begun
    }

    pub(super) fn send_in(&mut self, of: TransactionNumber, value: &str) -> Result<Ticket, Refused> {
        self.producer.send_in(of, &record(value), self.now.mono, self.now)
    }

    /// Sends a record and lets its batch go out.
    pub(super) fn write(&mut self, of: TransactionNumber, value: &str) -> Ticket {
        let ticket = self.send_in(of, value).unwrap();
        self.producer.flush();
        self.pump();
        ticket
    }

    pub(super) fn commit(&mut self, of: TransactionNumber) -> Option<Result<End, TransactionFailure>> {
        self.producer.commit(of);
        self.pump();
        self.ended(of)
    }

    pub(super) fn ended(&mut self, of: TransactionNumber) -> Option<Result<End, TransactionFailure>> {
        self.producer.ended(of, self.now.mono, self.now)
    }

    /// A record, acknowledged.
    pub(super) fn written(&mut self, of: TransactionNumber, value: &str) -> Produced {
        _ = self.write(of, value);
        let produced = self.take();
        self.acknowledge(&produced, 0);
        produced
    }

    /// What the coordinator was asked since the last look.
    pub(super) fn asked(&mut self) -> Vec<(ApiKey, i16)> {
        self.coordinator.asked.drain(..).map(|(version, request)| (request.key(), version)).collect()
    }
}

#[test]
fn the_id_is_claimed_before_the_first_transaction() {
    let who = TransactionConfig { id: "x".to_owned(), timeout: Duration::from_secs(10) };
    let mut world = World::new(ProducerConfig { transactions: Some(who), ..config() });
    assert!(world.try_begin().is_none());
    world.pass(Duration::from_secs(1));
    let claimed = world.coordinator.asked.iter().find_map(|(_, request)| match request {
        Request::InitProducerId(asked) => Some(asked.clone()),
        _ => None,
    });
    let claimed = claimed.expect("not claimed");
    assert_eq!(claimed.transactional_id.as_deref(), Some("x"));
    assert_eq!(
        (claimed.transaction_timeout_ms, claimed.producer_id, claimed.producer_epoch),
        (10_000, -1, -1)
    );
    world.begin();
}

#[test]
fn a_record_outside_a_transaction_is_refused() {
    let mut world = World::transactional(2);
    let none = |sent| matches!(sent, Err(Refused::Failed(failure)) if *failure == SendFailure::NoTransaction);
    assert!(none(world.try_send(&record("a"))));
    let first = world.begin();
    world.written(first, "a");
    assert_eq!(world.commit(first), Some(Ok(End::Commit)));
    assert!(none(world.send_in(first, "b")), "it is over");
    world.begin();
    assert!(none(world.send_in(first, "b")), "another is open");
}

#[test]
fn where_brokers_add_partitions_by_themselves_the_end_raises_the_epoch() {
    let mut world = World::transactional(2);
    let first = world.begin();
    let produced = world.written(first, "a");
    assert_eq!(world.asked(), [], "the partition is added by the write");
    assert_eq!(produced.request.transactional_id.as_deref(), Some("x"));
    assert!(produced.version >= 12 && produced.header().is_transactional());
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (1, 0));
    world.written(first, "b");
    assert_eq!(world.commit(first), Some(Ok(End::Commit)));
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 5)]);
    let second = world.begin();
    let produced = world.written(second, "c");
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (2, 0));
}

#[test]
fn the_next_transaction_is_written_once_the_end_of_the_one_before_has_had_its_time() {
    let (mut world, _) = World::right_behind_another();
    world.pass(SETTLING - Duration::from_millis(1));
    assert!(world.produced.is_empty(), "a broker would put it aside for 20 ms");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.take().values(), ["b"]);
}

#[test]
fn offsets_that_are_taken_tell_that_the_transaction_before_has_ended() {
    let (mut world, second) = World::right_behind_another();
    assert!(world.produced.is_empty());
    _ = world.send_offsets(second);
    assert_eq!(world.take().values(), ["b"]);
}

#[test]
fn elsewhere_a_partition_is_added_before_it_is_written_to() {
    let mut world = World::transactional(1);
    let first = world.begin();
    let produced = world.written(first, "a");
    assert_eq!(world.asked(), [(ApiKey::AddPartitionsToTxn, 3)]);
    assert_eq!(produced.version, 11, "a later version would add the partition");
    world.written(first, "b");
    assert_eq!(world.commit(first), Some(Ok(End::Commit)));
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 4)], "a later version would raise the epoch");
    let second = world.begin();
    let produced = world.written(second, "c");
    assert_eq!(world.asked(), [(ApiKey::AddPartitionsToTxn, 3)], "once a transaction");
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (1, 2), "they go on");
}

#[test]
fn the_flow_of_a_first_transaction_is_known_although_the_connection_is_lost_before_it() {
    let who = TransactionConfig { id: "x".to_owned(), timeout: Duration::from_secs(10) };
    let mut world = World::new(ProducerConfig { transactions: Some(who), ..config() });
    world.coordinator.level = 2;
    world.pass(Duration::from_secs(1));
    world.unreachable = true;
    world.break_all_links();
    let first = world.begin_at_once();
    world.unreachable = false;
    assert!(matches!(world.send_in(first, "x"), Err(Refused::Wait)));
    world.pass(Duration::from_secs(1));
    world.coordinator.asked.clear();
    world.written(first, "a");
    assert_eq!(world.asked(), [], "the partition is added by the write");
}

/// The end of the last transaction may still be being written, in the epoch that the next would have.
#[test]
fn where_brokers_add_partitions_by_themselves_from_now_on_the_epoch_is_raised_first() {
    let mut world = World::transactional(1);
    let first = world.begin();
    world.coordinator.level = 2;
    world.break_all_links();
    world.pass(Duration::from_secs(1));
    world.written(first, "a");
    assert_eq!(world.commit(first), Some(Ok(End::Commit)));
    assert_eq!(world.asked(), [(ApiKey::AddPartitionsToTxn, 3), (ApiKey::EndTxn, 4)], "as it began");
    assert_eq!(world.try_begin(), None);
    assert_eq!(world.asked().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [ApiKey::InitProducerId]);
    let second = world.begin();
    let produced = world.written(second, "b");
    assert_eq!(world.asked(), [], "the partition is added by the write");
    assert_eq!((produced.header().producer_epoch, produced.header().base_sequence), (2, 0));
    assert_eq!(world.commit(second), Some(Ok(End::Commit)));
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 5)]);
}

#[test]
fn a_batch_waits_until_its_partition_is_added() {
    let mut world = World::transactional(1);
    world.coordinator.silent = Some(ApiKey::AddPartitionsToTxn);
    let first = world.begin();
    _ = world.write(first, "a");
    assert!(world.produced.is_empty());
    assert_eq!(world.asked(), [(ApiKey::AddPartitionsToTxn, 3)]);
}

#[test]
fn a_commit_waits_for_every_record() {
    let mut world = World::transactional(2);
    let first = world.begin();
    _ = world.write(first, "a");
    _ = world.send_in(first, "b").unwrap();
    assert_eq!(world.commit(first), None);
    let a = world.take();
    world.acknowledge(&a, 0);
    assert_eq!(world.ended(first), None);
    assert_eq!(world.asked(), [], "the second record is on its way");
    let b = world.take();
    assert_eq!(b.values(), ["b"], "which was not held back by the linger");
    world.acknowledge(&b, 1);
    assert_eq!(world.ended(first), Some(Ok(End::Commit)));
}

#[test]
fn an_empty_transaction_is_told_to_nobody() {
    for level in [1, 2] {
        let mut world = World::transactional(level);
        let first = world.begin();
        assert_eq!(world.commit(first), Some(Ok(End::Commit)));
        let second = world.begin();
        world.producer.abort(second);
        world.pump();
        assert_eq!(world.ended(second), Some(Ok(End::Abort)));
        assert_eq!(world.asked(), []);
    }
}

#[test]
fn an_abort_drops_what_was_not_sent_and_awaits_what_was() {
    let mut world = World::transactional(1);
    let first = world.begin();
    let sent = world.write(first, "a");
    let unsent = world.send_in(first, "b").unwrap();
    world.asked();
    world.producer.abort(first);
    world.pump();
    assert_eq!(world.result(&unsent), Some(Err(SendFailure::Aborted)));
    assert_eq!((world.result(&sent), world.ended(first)), (None, None));
    assert_eq!(world.asked(), [], "a write behind the end would be left hanging");
    let a = world.take();
    world.acknowledge(&a, 0);
    assert_eq!(world.offset(&sent), Some(0));
    assert_eq!(world.ended(first), Some(Ok(End::Abort)));
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 4)]);
    let second = world.begin();
    assert_eq!(world.written(second, "c").header().base_sequence, 1, "no number is missing");
}

#[test]
fn a_transaction_that_nobody_ended_is_aborted_before_the_next() {
    let mut world = World::transactional(2);
    let first = world.begin();
    world.written(first, "a");
    assert!(world.try_begin().is_none());
    assert_eq!(world.asked(), [(ApiKey::EndTxn, 5)]);
    assert_eq!(world.ended(first), Some(Ok(End::Abort)));
    world.begin();
}

#[test]
fn a_commit_that_nobody_waits_for_is_carried_through_before_the_next() {
    let mut world = World::transactional(2);
    let first = world.begin();
    _ = world.write(first, "a");
    world.producer.commit(first);
    assert!(world.try_begin().is_none(), "the record is on its way");
    let a = world.take();
    world.acknowledge(&a, 0);
    world.begin();
    assert_eq!(world.ended(first), Some(Ok(End::Commit)));
}

#[test]
fn a_producer_that_closes_aborts_what_is_open_and_carries_a_commit_through() {
    for (commits, end) in [(true, true), (false, false)] {
        let mut world = World::transactional(2);
        let first = world.begin();
        world.written(first, "a");
        _ = world.write(first, "b");
        if commits {
            world.producer.commit(first);
        }
        world.producer.close(world.now.mono + Duration::from_secs(5));
        world.pump();
        let b = world.take();
        world.acknowledge(&b, 1);
        let ended = world.coordinator.asked.iter().find_map(|(_, request)| match request {
            Request::EndTxn(asked) => Some(asked.committed),
            _ => None,
        });
        assert_eq!(ended, Some(end));
        assert!(world.producer.is_closed());
    }
}
