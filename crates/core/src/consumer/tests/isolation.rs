use ottla_protocol::records::{BatchHeader, ControlType, Decompressor, EndTxnMarker};

use super::*;
use crate::{
    Filter, IsolationLevel, Look,
    reader::{HoldsBytes, Reader, ReaderConfig},
};

impl HoldsBytes for Rc<Vec<u8>> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A consumer with one partition, and its reader.
pub(super) struct Log {
    pub(super) world: World,
    reader: Reader<Frame>,
}

impl Log {
    pub(super) fn read(isolation: IsolationLevel, from: i64) -> Self {
        let fetch = FetchConfig { isolation, ..FetchConfig::default() };
        let mut world = World::new(ConsumerConfig { fetch, ..group_config() });
        let config = ReaderConfig { check_crcs: true, max_decompressed: 1 << 20 };
        let reader = Reader::new(&mut world.consumer, config, world.now);
        world.consumer.assign([at(0)], world.now).unwrap();
        world.run();
        world.consumer.seek(&at(0), SeekTo::Offset(from), world.now);
        world.run();
        Self { world, reader }
    }

    fn asked(&self) -> &FetchRequest {
        match &self.world.fetches.back().unwrap().request {
            Request::Fetch(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Answers the fetch under way: with these batches, the aborted transactions, and the ends of the log.
    pub(super) fn brings(&mut self, batches: &[Vec<u8>], aborted: &[(i64, i64)], stable: i64, high: i64) {
        let fetch = self.world.fetches.pop_front().expect("a fetch is under way");
        let frame: Frame = Rc::new(batches.concat());
        let told = |(producer_id, first_offset): &(i64, i64)| FetchAbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        };
        let partition = FetchPartitionResponse {
            high_watermark: high,
            last_stable_offset: stable,
            aborted_transactions: Some(aborted.iter().map(told).collect()),
            records: Some(RecordData::InFrame(0..frame.len() as u32)),
            ..Default::default()
        };
        let topic = FetchTopicResponse {
            topic_id: TopicId([1; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let response = FetchResponse { session_id: 5, responses: vec![topic], ..Default::default() }.into();
        let fetched = Fetched { size: frame.len(), spans: spans(&response, &frame), frame };
        let reply = Reply { id: fetch.id, response, fetched: Some(fetched) };
        self.world.consumer.handle_reply(fetch.conn, reply, self.world.now);
        self.world.run();
    }

    /// The next record's offset, as `recv` finds it.
    fn next(&mut self) -> Option<i64> {
        loop {
            if let Some(record) = self.reader.next_at_hand() {
                return Some(record.span.offset);
            }
            let look = self.reader.look(&mut self.world.consumer, &Filter::All, self.world.now);
            self.world.run();
            match look {
                Some(Look::Read) => {}
                None => return None,
                other => panic!("{other:?}"),
            }
            if let Some(record) = self.reader.advance() {
                return Some(record.span.offset);
            }
        }
    }

    fn all(&mut self) -> Vec<i64> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Records of a producer's transaction.
fn sent(producer: i64, offsets: std::ops::Range<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::Lz4, 1 << 20).base_offset(offsets.start);
    builder.set_producer(producer, 0, 0);
    builder.set_transactional();
    for _ in offsets {
        let headers: [ottla_protocol::records::Header<'_>; 0] = [];
        builder.append(1, None, Some(b"value"), headers).expect("room");
    }
    builder.finish(&mut Compressor::new())
}

fn end(control_type: ControlType, producer_id: i64, offset: i64) -> Vec<u8> {
    EndTxnMarker { control_type, producer_id, producer_epoch: 0, coordinator_epoch: 0 }.batch(offset, 1)
}

/// Aborted 0 to 4, marker 5, committed 6 to 8, marker 9.
fn log() -> Vec<Vec<u8>> {
    vec![sent(1, 0..5), end(ControlType::Abort, 1, 5), sent(1, 6..9), end(ControlType::Commit, 1, 9)]
}

#[test]
fn what_was_aborted_is_read_by_those_alone_who_read_uncommitted() {
    for (isolation, seen) in [
        (IsolationLevel::ReadCommitted, vec![6, 7, 8]),
        (IsolationLevel::ReadUncommitted, vec![0, 1, 2, 3, 4, 6, 7, 8]),
    ] {
        let mut log_of = Log::read(isolation, 0);
        assert_eq!(log_of.asked().isolation_level, i8::from(isolation == IsolationLevel::ReadCommitted));
        log_of.brings(&log(), &[(1, 0)], 10, 10);
        assert_eq!(log_of.all(), seen, "{isolation}");
    }
}

#[test]
fn who_has_read_the_last_record_commits_the_offset_behind_the_marker_and_has_no_lag() {
    let mut log_of = Log::read(IsolationLevel::ReadCommitted, 0);
    log_of.brings(&log(), &[(1, 0)], 10, 10);
    assert_eq!([log_of.next(), log_of.next(), log_of.next()], [Some(6), Some(7), Some(8)]);
    log_of.reader.sync(&mut log_of.world.consumer, true, log_of.world.now);
    let position = log_of.world.consumer.position(&at(0)).unwrap();
    assert_eq!((position, log_of.world.consumer.lag(&at(0), position)), (10, Some(0)));
}

#[test]
fn reading_from_within_an_aborted_transaction_or_from_its_marker_shows_nothing_of_it() {
    for from in [3, 5] {
        let mut log_of = Log::read(IsolationLevel::ReadCommitted, from);
        log_of.brings(&log(), &[(1, 0)], 10, 10);
        assert_eq!(log_of.all(), [6, 7, 8], "from {from}");
    }
}

/// The damage is found, and the reader looks, before anybody has been told.
#[test]
fn damage_behind_the_last_record_is_not_passed() {
    let records = || sent(1, 0..2);
    let damaged = |at: usize| {
        let mut batch = sent(1, 2..4);
        let place = batch.len() - at;
        batch[place] ^= 0xff;
        batch
    };
    // Within the records, which the checksum covers; and a batch that does not decompress.
    for (check_crcs, at) in [(true, 1), (false, 4)] {
        let mut log = Log::read(IsolationLevel::ReadCommitted, 0);
        let config = ReaderConfig { check_crcs, max_decompressed: 1 << 20 };
        log.reader = Reader::new(&mut log.world.consumer, config, log.world.now);
        log.brings(&[records(), damaged(at)], &[], 4, 4);
        assert_eq!([log.next(), log.next()], [Some(0), Some(1)]);
        assert_eq!(log.next(), None, "it is fetched again first");
        assert_eq!(log.world.consumer.position(&super::at(0)), Some(2));
        log.brings(&[], &[], 4, 4);
        let again = log.asked().topics.iter().flat_map(|topic| &topic.partitions);
        assert_eq!(again.map(|asked| asked.fetch_offset).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn a_batch_decompresses_to_as_much_as_is_allowed_and_not_to_a_byte_more() {
    let first = |max_decompressed| {
        let mut log = Log::read(IsolationLevel::ReadCommitted, 0);
        let config = ReaderConfig { check_crcs: true, max_decompressed };
        log.reader = Reader::new(&mut log.world.consumer, config, log.world.now);
        log.brings(&[sent(1, 0..2)], &[], 2, 2);
        log.next()
    };
    let mut plain = Vec::new();
    let (batch, most) = (sent(1, 0..2), 1 << 20);
    let codec = BatchHeader::decode(&batch).unwrap().compression().unwrap();
    assert_ne!(codec, Compression::None);
    Decompressor::new().decompress(codec, &batch[BatchHeader::SIZE..], &mut plain, most).unwrap();
    assert_eq!(first(plain.len()), Some(0));
    assert_eq!(first(plain.len() - 1), None);
}

/// A batch that has more than it says, and a marker behind it.
#[test]
fn bytes_behind_the_last_record_of_a_batch_are_told_though_a_marker_follows() {
    let mut log = Log::read(IsolationLevel::ReadCommitted, 0);
    let config = ReaderConfig { check_crcs: false, max_decompressed: 1 << 20 };
    log.reader = Reader::new(&mut log.world.consumer, config, log.world.now);
    let mut batch = sent(1, 0..3);
    batch[60] = 2;
    log.brings(&[batch, end(ControlType::Commit, 1, 3)], &[], 4, 4);
    assert_eq!([log.next(), log.next()], [Some(0), Some(1)]);
    log.reader.sync(&mut log.world.consumer, true, log.world.now);
    assert_eq!(log.world.consumer.position(&super::at(0)), Some(2));
}

#[test]
fn a_partition_that_an_open_transaction_holds_back_says_so() {
    let mut log_of = Log::read(IsolationLevel::ReadCommitted, 0);
    log_of.brings(&[sent(1, 0..2), end(ControlType::Commit, 1, 2)], &[], 3, 9);
    assert_eq!(log_of.all(), [0, 1]);
    let told = log_of.world.consumer.explain(log_of.world.now).to_string();
    assert!(told.contains("6 offsets wait for a transaction that is still open"), "{told}");
    assert_eq!(log_of.world.consumer.lag(&at(0), 3), Some(0), "there is nothing more to be read now");
}

impl Log {
    /// Time passes, a second and a half after the other, while the log stays as it is.
    fn stays(&mut self, times: usize, stable: i64, high: i64) {
        for _ in 0..times {
            self.world.pass(Duration::from_millis(1500));
            self.brings(&[], &[], stable, high);
        }
    }

    /// Answers DescribeProducers for the partition: by an error, or with the transactions that each producer has open.
    fn describes(&mut self, error_code: ErrorCode, producers: &[(i64, i64)]) {
        let asked = self.world.expect(ApiKey::DescribeProducers);
        let Request::DescribeProducers(request) = &asked.request else { unreachable!() };
        let topics: Vec<(&str, &[i32])> = request
            .topics
            .iter()
            .map(|topic| (topic.name.as_str(), topic.partition_indexes.as_slice()))
            .collect();
        assert_eq!(topics, [("t", [0].as_slice())]);
        let state = |(producer_id, current_txn_start_offset): &(i64, i64)| DescribeProducersProducerState {
            producer_id: *producer_id,
            last_timestamp: 1234,
            current_txn_start_offset: *current_txn_start_offset,
            ..Default::default()
        };
        let partition = DescribeProducersPartitionResponse {
            error_code,
            active_producers: producers.iter().map(state).collect(),
            ..Default::default()
        };
        let topic = DescribeProducersTopicResponse { name: "t".to_owned(), partitions: vec![partition] };
        self.world.answer(&asked, DescribeProducersResponse { topics: vec![topic], ..Default::default() });
    }

    fn told(&self) -> String {
        self.world.consumer.explain(self.world.now).to_string()
    }
}

#[test]
fn a_leader_is_asked_whose_transaction_holds_a_partition_back_once_it_has_for_a_while() {
    let mut log_of = Log::read(IsolationLevel::ReadCommitted, 3);
    log_of.brings(&[], &[], 3, 9);
    log_of.stays(1, 3, 9);
    assert!(!log_of.world.has_asked(ApiKey::DescribeProducers), "it may be over soon");
    log_of.stays(1, 3, 9);
    // One has none open, one began later: the oldest is where the stable part ends.
    log_of.describes(ErrorCode::None, &[(7, -1), (9, 3), (8, 5)]);
    let told = log_of.told();
    assert!(
        told.contains("an open transaction of producer id 9, from offset 3 on, holds back 6 offsets"),
        "{told}"
    );
    log_of.stays(3, 3, 9);
    assert!(!log_of.world.has_asked(ApiKey::DescribeProducers), "not again within five seconds");
    log_of.stays(1, 3, 9);
    log_of.describes(ErrorCode::None, &[(9, 3)]);
    // The next stay is another.
    log_of.brings(&[sent(9, 3..6), end(ControlType::Commit, 9, 6)], &[], 7, 9);
    assert_eq!(log_of.all(), [3, 4, 5]);
    let told = log_of.told();
    assert!(told.contains("2 offsets wait for a transaction that is still open"), "{told}");
}

#[test]
fn whose_transaction_holds_a_partition_back_is_not_told_where_the_leader_does_not_tell() {
    let mut log_of = Log::read(IsolationLevel::ReadCommitted, 3);
    log_of.brings(&[], &[], 3, 9);
    log_of.stays(2, 3, 9);
    log_of.describes(ErrorCode::TopicAuthorizationFailed, &[]);
    let told = log_of.told();
    assert!(told.contains("6 offsets wait for a transaction that is still open"), "{told}");
}

#[test]
fn nobody_is_asked_for_producers_where_no_transaction_holds_anything_back() {
    for (isolation, stable) in [(IsolationLevel::ReadUncommitted, 3), (IsolationLevel::ReadCommitted, 9)] {
        let mut log_of = Log::read(isolation, 9);
        log_of.brings(&[], &[], stable, 9);
        log_of.stays(4, stable, 9);
        assert!(!log_of.world.has_asked(ApiKey::DescribeProducers), "{isolation:?}");
    }
}

/// A broker answers such a fetch at once, and empty.
#[test]
fn who_stands_behind_the_last_stable_offset_asks_again_after_a_pause() {
    let mut log_of = Log::read(IsolationLevel::ReadCommitted, 7);
    log_of.brings(&[], &[], 3, 9);
    assert!(log_of.world.fetches.is_empty(), "nothing is asked again at once");
    log_of.world.pass(Duration::from_millis(499));
    assert!(log_of.world.fetches.is_empty());
    log_of.world.pass(Duration::from_millis(2));
    assert!(!log_of.world.fetches.is_empty());
    let told = log_of.world.consumer.explain(log_of.world.now).to_string();
    assert!(told.contains("2 offsets wait for a transaction"), "{told}");
}
