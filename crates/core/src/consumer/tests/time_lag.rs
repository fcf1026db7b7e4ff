//! How long ago what is read next was written.

use super::{isolation::Log, many::bring, *};
use crate::{IsolationLevel, lanes::Slice};

const SECOND: i64 = 1_000;

/// What is written to the log, and when, and how far it was fetched and read. Records that are written at once are a batch.
struct Flow {
    log: Log,
    written: Vec<i64>,
    fetched: i64,
    /// When the fetch under way was sent.
    sent: i64,
    slice: Option<Slice<Frame>>,
    position: i64,
}

impl Flow {
    fn new() -> Self {
        let log = Log::read(IsolationLevel::ReadUncommitted, 0);
        let sent = log.world.now.wall.0;
        Self { log, written: Vec::new(), fetched: 0, sent, slice: None, position: 0 }
    }

    fn now(&self) -> i64 {
        self.log.world.now.wall.0
    }

    fn end(&self) -> i64 {
        self.written.len() as i64
    }

    fn pass(&mut self, millis: i64) {
        self.log.world.now = self.log.world.now.after(Duration::from_millis(millis as u64));
    }

    fn write(&mut self, records: usize) {
        self.written.extend(vec![self.now(); records]);
    }

    /// Answers the fetch under way, if there is one, with what the log has beyond it.
    fn answer(&mut self, stamp: impl Fn(i64) -> i64) {
        if self.log.world.fetches.is_empty() {
            return;
        }
        if self.fetched == self.end() {
            // A broker without records answers after 500 ms.
            if self.now() >= self.sent + 500 {
                self.silence();
            }
            return;
        }
        self.sent = self.now();
        let new: Vec<(i64, i64)> =
            (self.fetched..).zip(self.written[self.fetched as usize..].to_vec()).collect();
        let batch = |same: &[(i64, i64)]| of_time(same[0].0..same[0].0 + same.len() as i64, stamp(same[0].1));
        let batches: Vec<Vec<u8>> = new.chunk_by(|a, b| a.1 == b.1).map(batch).collect();
        self.log.brings(&batches, &[], self.end(), self.end());
        self.fetched = self.end();
    }

    /// Answers the fetch under way with nothing new.
    fn silence(&mut self) {
        let fetch = self.log.world.fetches.pop_front().unwrap();
        bring(&mut self.log.world, &fetch, Vec::new());
        self.sent = self.now();
    }

    fn read_to(&mut self, offset: i64) {
        while self.position < offset {
            let Some(slice) = self.slice.take().or_else(|| self.log.world.take()) else { return };
            self.position = offset.min(slice.next);
            self.log.world.back_from(&slice, self.position);
            self.slice = Some(slice).filter(|slice| self.position < slice.next);
        }
    }

    fn told(&self, position: i64) -> Option<i64> {
        let told = self.log.world.consumer.time_lag(&at(0), position, self.log.world.now)?;
        Some(told.as_millis() as i64)
    }

    fn age(&self, offset: i64) -> i64 {
        self.written.get(offset as usize).map_or(0, |at| self.now() - at)
    }
}

fn of_time(offsets: std::ops::Range<i64>, at: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in offsets.clone() {
        let headers: [ottla_protocol::records::Header<'_>; 0] = [];
        builder.append(at, None, Some(b"value"), headers).expect("room");
    }
    let mut batch = builder.finish(&mut Compressor::new());
    ottla_protocol::records::set_base_offset(&mut batch, offsets.start).unwrap();
    batch
}

fn right(at: i64) -> i64 {
    at
}

#[test]
fn who_begins_behind_is_told_the_time_that_the_record_carries() {
    let mut flow = Flow::new();
    for _ in 0..4 {
        flow.write(10);
        flow.pass(600 * SECOND);
    }
    assert_eq!(flow.told(0), None, "nothing was fetched");
    flow.answer(right);
    assert_eq!(
        [0, 9, 10, 39].map(|offset| flow.told(offset)),
        [2_400, 2_400, 1_800, 600].map(|age| Some(age * SECOND))
    );
    assert_eq!(flow.told(40), Some(0), "all is read");
    flow.read_to(15);
    flow.pass(5 * SECOND);
    assert_eq!(
        [15, 20, 30].map(|offset| flow.told(offset)),
        [1_805, 1_205, 605].map(|age| Some(age * SECOND))
    );
    let stats = flow.log.world.consumer.stats(flow.log.world.now);
    assert_eq!(stats.partitions[0].time_lag, Some(Duration::from_secs(1_805)));
    assert_eq!(stats.time_lag_max(), Some(Duration::from_secs(1_805)));
}

#[test]
fn what_was_there_before_the_first_answer_and_carries_no_time_has_no_age_and_what_follows_has() {
    let mut flow = Flow::new();
    flow.write(10);
    flow.answer(|_| -1);
    flow.pass(SECOND);
    assert_eq!(flow.told(0), None);
    flow.write(10);
    flow.answer(|_| -1);
    flow.pass(60 * SECOND);
    assert_eq!(flow.told(9), None);
    assert_eq!([10, 15].map(|offset| flow.told(offset)), [Some(61 * SECOND), Some(60_500)]);
}

#[test]
fn a_time_in_the_future_counts_as_that_of_the_answer() {
    let mut flow = Flow::new();
    flow.write(10);
    flow.answer(|at| at + 3_600 * SECOND);
    flow.pass(7 * SECOND);
    assert_eq!(flow.told(0), Some(7 * SECOND));
}

/// Steady, in bursts, stopped and caught up, with timestamps that are right, of another time, and none at all.
#[test]
fn the_age_is_told_within_a_second_or_a_twentieth() {
    type Due = fn(i64) -> usize;
    let steady: Due = |_| 5;
    let bursts: Due = |step| if step % 40 == 13 { 400 } else { 0 };
    let stopped: Due = |step| if step < 600 { 5 } else { 0 };
    let uneven: Due = |step| [1, 30, 0, 2, 90, 0, 0][(step / 37 % 7) as usize];
    let stamps: [fn(i64) -> i64; 3] = [right, |at| at - 400 * 86_400 * SECOND, |_| -1];
    for stamp in stamps {
        for due in [steady, bursts, stopped, uneven] {
            for behind in [0, 4 * SECOND, 45 * SECOND] {
                let mut flow = Flow::new();
                // What is there at the first answer is older than can be told without timestamps.
                flow.write(1);
                flow.answer(stamp);
                flow.read_to(1);
                for step in 0..1_200 {
                    flow.pass(100);
                    flow.write(due(step));
                    flow.answer(stamp);
                    let until = flow.now() - behind;
                    flow.read_to(flow.written.partition_point(|at| *at <= until) as i64);
                    let (told, truth) = (flow.told(flow.position).unwrap(), flow.age(flow.position));
                    let off = (told - truth).abs();
                    let of = (step, behind, stamp(flow.now()), due(13));
                    assert!(off <= SECOND || off * 20 <= truth, "{told} for {truth}, {of:?}");
                }
            }
        }
    }
}

#[test]
fn a_clock_that_is_put_forward_or_back_changes_no_age_that_answers_have_told() {
    for by in [-3_600 * SECOND, 3_600 * SECOND] {
        let mut flow = Flow::new();
        flow.write(1);
        flow.answer(right);
        flow.read_to(1);
        for _ in 0..10 {
            flow.pass(SECOND);
            flow.write(3);
            flow.answer(right);
        }
        assert_eq!(flow.told(1), Some(9 * SECOND));
        flow.log.world.now.wall.0 += by;
        for offset in [1, 4, 16, 28] {
            let truth = flow.age(offset) - by;
            assert!(
                (flow.told(offset).unwrap() - truth).abs() <= SECOND,
                "{offset}: {:?} {truth}",
                flow.told(offset)
            );
        }
    }
}

#[test]
fn a_record_of_a_pause_is_not_taken_for_one_of_its_end() {
    let mut flow = Flow::new();
    let world = &mut flow.log.world;
    world.consumer.assign([at(0), at(1)], world.now).unwrap();
    for partition in [0, 1] {
        assert!(world.consumer.seek(&at(partition), SeekTo::Offset(0), world.now));
    }
    // What was asked for before.
    flow.silence();
    flow.write(1);
    flow.answer(right);
    flow.read_to(1);
    let world = &mut flow.log.world;
    world.consumer.set_paused(&at(0), true, world.now);
    for half in 0..20 {
        flow.silence();
        flow.pass(500);
        if half == 5 {
            flow.write(3);
        }
    }
    let world = &mut flow.log.world;
    world.consumer.set_paused(&at(0), false, world.now);
    flow.silence();
    flow.answer(right);
    assert_eq!(flow.told(1), Some(flow.age(1)));
}

#[test]
fn of_a_log_that_has_become_shorter_nothing_is_known_but_what_it_holds_now() {
    let mut flow = Flow::new();
    flow.write(1);
    flow.answer(|_| -1);
    flow.read_to(1);
    flow.pass(SECOND);
    flow.write(99);
    flow.answer(|_| -1);
    flow.pass(SECOND);
    assert_eq!(flow.told(1), Some(2 * SECOND));
    flow.log.brings(&[], &[], 50, 50);
    assert_eq!(flow.told(1), None);
    flow.pass(SECOND);
    flow.log.brings(&[], &[], 60, 60);
    assert_eq!([49, 50].map(|offset| flow.told(offset)), [None, Some(SECOND)]);
}

#[test]
fn where_the_logs_begin_was_deleted_what_is_left_is_told() {
    let mut flow = Flow::new();
    let fetch = flow.log.world.fetches.pop_front().unwrap();
    flow.log.world.fetched_by(&fetch, 0, ErrorCode::OffsetOutOfRange, None);
    assert_eq!(flow.told(0), None);
    let lookup = flow.log.world.expect(ApiKey::ListOffsets);
    let partitions =
        vec![ListOffsetsPartitionResponse { partition_index: 0, offset: 50, ..Default::default() }];
    let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions };
    flow.log.world.answer(&lookup, ListOffsetsResponse { topics: vec![topic], ..Default::default() });
    assert_eq!(flow.log.world.consumer.position(&at(0)), Some(50));
    flow.log.brings(&[of_time(50..60, flow.now() - 5 * SECOND)], &[], 60, 60);
    assert_eq!([50, 59, 60].map(|offset| flow.told(offset)), [Some(5 * SECOND), Some(5 * SECOND), Some(0)]);
}

#[test]
fn a_partition_that_was_lost_and_is_back_is_told_by_what_is_fetched_since() {
    let mut flow = Flow::new();
    flow.write(10);
    flow.answer(|_| -1);
    flow.pass(SECOND);
    flow.write(10);
    flow.answer(|_| -1);
    assert_eq!(flow.told(10), Some(SECOND));
    let world = &mut flow.log.world;
    world.consumer.assign([], world.now).unwrap();
    world.run();
    assert_eq!(flow.told(10), None, "it is nobody's");
    let world = &mut flow.log.world;
    world.consumer.assign([at(0)], world.now).unwrap();
    world.consumer.seek(&at(0), SeekTo::Offset(0), world.now);
    world.run();
    assert_eq!(flow.told(10), None, "nothing was fetched of it since");
}

#[test]
fn what_a_transaction_held_back_is_as_old_as_its_records() {
    let mut log = Log::read(IsolationLevel::ReadCommitted, 0);
    let told = |log: &Log| log.world.consumer.time_lag(&at(0), 0, log.world.now);
    log.brings(&[], &[], 0, 10);
    assert_eq!(told(&log), Some(Duration::ZERO), "nothing may be read");
    let written = log.world.now.wall.0;
    log.world.now = log.world.now.after(Duration::from_secs(20));
    log.brings(&[of_time(0..10, written)], &[], 11, 11);
    assert_eq!(told(&log), Some(Duration::from_secs(20)));
}
